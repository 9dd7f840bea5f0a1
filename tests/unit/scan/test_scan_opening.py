"""A job reads exactly the permitted bytes, from a copy nobody else writes to."""

import stat

import fsspec
import pyarrow as pa
import pytest
from pyarrow import parquet

from gate.domain.dataset import dataset
from gate.errors import CannotDecide, DatasetError
from gate.scan.digest import measure
from gate.scan.opening import PermittedData


@pytest.fixture
def private(tmp_path):
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def lake(tmp_path):
    for account, values in {"007": [1, 2], "b": [3]}.items():
        folder = tmp_path / "lake" / f"account_id={account}"
        folder.mkdir(parents=True)
        parquet.write_table(pa.table({"n": values}), folder / "p.parquet")
    (tmp_path / "lake/_SUCCESS").touch()
    return dataset(str(tmp_path / "lake"), "account_id")


ROWS = [{"n": 1, "account_id": "007"}, {"n": 2, "account_id": "007"}, {"n": 3, "account_id": "b"}]


def test_every_way_of_reading_gives_the_same_rows(lake, private):
    version, manifest = measure(lake)
    with PermittedData(version, private, manifest) as data:
        assert data.arrow().to_pylist() == ROWS
        assert data.pandas().to_dict("records") == ROWS
        assert data.duckdb().filter("n > 1").fetchall() == [(2, "007"), (3, "b")]
        assert [path.name for path in data.paths()] == ["_SUCCESS", "p.parquet", "p.parquet"]
        assert all(path.is_relative_to(private) for path in data.paths())


def test_the_copy_is_private_read_only_and_removed(lake, private):
    with PermittedData(measure(lake)[0], private) as data:
        for path in data.paths():
            assert stat.S_IMODE(path.stat().st_mode) == 0o400
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o500
        assert len([*private.iterdir()]) == 1
    assert not any(private.iterdir())


def test_changes_of_the_original_do_not_reach_the_reader(lake, private, tmp_path):
    with PermittedData(measure(lake)[0], private) as data:
        for path in (tmp_path / "lake").rglob("*.parquet"):
            path.unlink()
        assert data.arrow().to_pylist() == ROWS


@pytest.mark.parametrize("change", ["edit", "add", "remove", "rename"])
def test_other_bytes_than_permitted_are_refused_and_nothing_stays(lake, private, tmp_path, change):
    version, manifest = measure(lake)
    path = tmp_path / "lake/account_id=b/p.parquet"
    match change:
        case "edit":
            parquet.write_table(pa.table({"n": [4]}), path)
        case "add":
            (path.parent / "q.parquet").write_bytes(path.read_bytes())
        case "remove":
            path.unlink()
        case "rename":
            path.parent.rename(tmp_path / "lake/account_id=c")
    with pytest.raises(DatasetError) as caught, PermittedData(version, private, manifest):
        pytest.fail("opened")
    assert caught.value.reason == "dataset_changed"
    assert "account_id=b" in str(caught.value)
    assert not any(private.iterdir())


def damage(data):
    path = data.paths()[-1]
    path.chmod(0o600)
    path.write_bytes(b"x")


def test_a_copy_that_was_changed_is_noticed_at_the_end(lake, private):
    version, _ = measure(lake)
    data = PermittedData(version, private).open()
    damage(data)
    with pytest.raises(DatasetError) as caught:
        data.close()
    assert caught.value.reason == "dataset_changed"
    assert not any(private.iterdir())


def test_an_error_of_the_job_is_not_hidden_and_the_copy_is_removed(lake, private):
    with pytest.raises(ZeroDivisionError), PermittedData(measure(lake)[0], private) as data:
        raise ZeroDivisionError(damage(data))
    assert not any(private.iterdir())


def test_open_and_close_without_with(lake, private):
    data = PermittedData(measure(lake)[0], private).open()
    data.verify()
    data.close()
    assert not any(private.iterdir())
    for read in (data.paths, data.arrow, data.duckdb, data.verify):
        with pytest.raises(DatasetError, match="is closed"):
            read()


def test_single_files_globs_and_media(private, tmp_path):
    (tmp_path / "t.csv").write_text("account_id,n\n007,1\n")
    for name in ("a", "b"):
        (tmp_path / "media" / name).mkdir(parents=True)
        (tmp_path / "media" / name / "1.wav").write_bytes(b"RIFF....WAVE")
    for source, rows in (
        (dataset(str(tmp_path / "t.csv"), "account_id"), [{"account_id": "007", "n": "1"}]),
        (dataset(str(tmp_path / "*.csv"), "path:{account}.csv"), [{"account_id": "007", "n": "1"}]),
        (dataset(str(tmp_path / "media/b*"), "path:{account}/*"), [{"path": "b/1.wav", "account": "b", "size": 12}]),
    ):
        with PermittedData(measure(source)[0], private) as data:
            assert data.arrow().to_pylist() == rows
            assert data.duckdb().fetchall() == [tuple(rows[0].values())]


def test_remote_files_are_copied(private):
    fsspec.filesystem("memory").pipe("/opening/t.jsonl", b'{"account_id":"a"}\n')
    source = dataset("memory://opening/t.jsonl", "account_id")
    with PermittedData(measure(source)[0], private) as data:
        assert data.pandas()["account_id"].tolist() == ["a"]
        assert data.paths()[0].is_relative_to(private)


def test_no_folder_for_the_copy(lake, private):
    with pytest.raises(CannotDecide, match="no copy can be made"):
        PermittedData(measure(lake)[0], private / "missing").open()
