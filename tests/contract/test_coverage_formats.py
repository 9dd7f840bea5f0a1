"""One table, every format and place it can be in: the counts are the same."""

import fsspec
import pyarrow as pa
import pytest
from pyarrow import parquet

from gate.domain.dataset import dataset
from gate.domain.decision import RowGroup
from gate.errors import DatasetError
from gate.scan.coverage import account_ids, account_rows, count_coverage
from gate.scan.engine import engine
from gate.scan.subset import write_subset
from gate.scan.tables import relation
from support.coverage_cases import EXPECTED, GROUPS, NUMBERED, WRITERS, layouts, write_one


@pytest.fixture
def snapshot(tmp_path):
    path = tmp_path / "snapshot.parquet"
    table = {"account_id": list(GROUPS), "group": pa.array(GROUPS.values(), pa.int32())}
    parquet.write_table(pa.table(table), path)
    return str(path)


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("place", ["local", "memory"])
def test_counts_rows_and_subset_are_the_same(tmp_path, snapshot, name, place):
    for number, (files, suffix) in enumerate(layouts(name, WRITERS[name])):
        root = str(tmp_path / str(number)) if place == "local" else f"memory://contract/{name}/{number}"
        fs, path = fsspec.core.url_to_fs(root)
        for file, content in files.items():
            fs.makedirs(f"{path}/{file}".rpartition("/")[0], exist_ok=True)
            fs.pipe(f"{path}/{file}", content)
        source = dataset(f"{root}/{suffix}" if suffix else root, "account_id", category_column="category")
        assert count_coverage(source, snapshot) == EXPECTED
        assert account_ids(source) == ["007", "7", "a", "zoe"]
        assert account_rows(source, snapshot, [0, 1]) == [("a", 3), ("zoe", 2), ("7", 1)]
        subset = write_subset(source, snapshot, {1}, str(tmp_path / f"subset-{number}" / name))
        with engine() as con:
            kept = con.to_pyarrow(relation(subset.dataset, con)).to_pylist()
        assert [(row["account_id"], row["category"], int(row["n"])) for row in kept] == [
            ("a", "audio", 0),
            ("a", "chat", 1),
            ("7", "audio", 8),
        ]


@pytest.mark.parametrize("key", ["account_id", "category"])
@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet"])
def test_hive_partitions_are_columns(tmp_path, snapshot, key, name):
    place = 0 if key == "account_id" else 1
    for number, row in enumerate(NUMBERED):
        value = "__HIVE_DEFAULT_PARTITION__" if row[place] is None else row[place]
        path = tmp_path / "hive" / f"{key}={value}" / f"{number}-{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        bare = list(row[:2])
        del bare[place]
        write_one(path, {"category" if place == 0 else "account_id": bare[0], "n": row[2]})
    source = dataset(str(tmp_path / "hive"), "account_id", category_column="category")
    assert count_coverage(source, snapshot) == EXPECTED


@pytest.mark.parametrize("name", WRITERS)
def test_constant_path_and_nobody_locators(tmp_path, snapshot, name):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / name).write_bytes(WRITERS[name](NUMBERED))
    root = str(tmp_path / "a")
    for source in (dataset(root, "constant:a"), dataset(str(tmp_path / "[a]"), "path:{account}/*")):
        counts = count_coverage(source, snapshot)
        assert (counts.rows, counts.accounts) == ((RowGroup((1,), 9),), {(None, 1): 1})
        assert account_ids(source) == ["a"]
    for source in (dataset(root), dataset(root, "path:{account}/nowhere/*")):
        counts = count_coverage(source, snapshot)
        assert (counts.rows, counts.accounts, counts.unattributed) == ((), {}, {None: 9})
        assert account_ids(source) == []


def test_files_are_rows(tmp_path, snapshot):
    for name in ("a/1.wav", "a/2.wav", "007/1.wav", "stranger/1.wav", "loose.wav"):
        path = tmp_path / "media" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"RIFF....WAVE" + name.encode())
    counts = count_coverage(dataset(str(tmp_path / "media"), "path:{account}/*.wav"), snapshot)
    assert counts.rows == (RowGroup((0,), 1), RowGroup((1,), 2), RowGroup((2,), 1))
    assert (counts.unattributed, counts.total_rows, counts.total_accounts) == ({None: 1}, 5, 3)


def test_columns_that_differ_in_case_only_are_refused(tmp_path):
    parquet.write_table(pa.table({"Account_ID": [7], "account_id": [8]}), tmp_path / "t.parquet")
    for name in ("account_id", "Account_ID"):
        with pytest.raises(DatasetError, match="two columns"):
            count_coverage(dataset(str(tmp_path / "t.parquet"), name), None)
