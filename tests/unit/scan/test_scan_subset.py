"""A subset holds what passes and nothing else, appears whole or not at all, and never replaces other data."""

import gzip

import fsspec
import pyarrow as pa
import pytest
from pyarrow import parquet

from gate.domain.dataset import dataset
from gate.errors import CannotDecide, DatasetError
from gate.scan.digest import measure
from gate.scan.subset import write_subset


@pytest.fixture
def lake(tmp_path):
    table = {"account_id": ["a", "b"], "group": pa.array([1, 2], pa.int32())}
    parquet.write_table(pa.table(table), tmp_path / "snapshot.parquet")
    return tmp_path


def cut(lake, source, groups=(1,), target="out", **more):
    return write_subset(source, str(lake / "snapshot.parquet"), groups, str(lake / target), **more)


def test_parquet_keeps_schema_metadata_packing_row_order_and_row_groups(lake):
    schema = pa.schema(
        [
            pa.field("n", pa.int16(), nullable=False),
            pa.field("account_id", pa.dictionary(pa.int32(), pa.string())),
            pa.field("at", pa.timestamp("ns", "Europe/Paris"), metadata={"k": "v"}),
            pa.field("deep", pa.list_(pa.struct([("x", pa.decimal128(9, 2))]))),
        ],
        metadata={"owner": "us"},
    )
    names = ["a", "b", "a", "c", None, "a"]
    rows = [{"n": n, "account_id": name, "at": n, "deep": [{"x": n}]} for n, name in enumerate(names)]
    table = pa.Table.from_pylist(rows, schema)
    parquet.write_table(table, lake / "t.parquet", row_group_size=2, compression="zstd")
    version = cut(lake, dataset(str(lake / "t.parquet"), "account_id"), target="out/t.parquet")
    written = parquet.ParquetFile(lake / "out/t.parquet")
    assert written.schema_arrow.equals(parquet.read_schema(lake / "t.parquet"), check_metadata=True)
    assert written.schema_arrow.metadata == {b"owner": b"us"}
    assert written.read().to_pylist() == [row for row in table.to_pylist() if row["account_id"] == "a"]
    assert written.metadata.row_group(0).column(0).compression == "ZSTD"
    assert version.dataset == dataset(str(lake / "out/t.parquet"), "account_id")
    assert (version.digest, version.files) == (measure(version.dataset)[0].digest, 1)
    assert version.subset_of == f"file://{lake}/t.parquet"


def test_unknown_accounts_pass_only_when_group_0_does(lake):
    (lake / "t.csv").write_text("account_id\na\nb\nstranger\n\n")
    source = dataset(str(lake / "t.csv"), "account_id")
    cut(lake, source, {0}, "only-unknown.csv")
    cut(lake, source, {0, 1}, "both.csv")
    assert (lake / "only-unknown.csv").read_text() == '"account_id"\n"stranger"\n'
    assert (lake / "both.csv").read_text() == '"account_id"\n"a"\n"stranger"\n'


def test_an_account_the_snapshot_lists_twice_must_pass_both_times(lake):
    table = {"account_id": ["a", "a", "b"], "group": pa.array([1, 2, 1], pa.int32())}
    parquet.write_table(pa.table(table), lake / "snapshot.parquet")
    (lake / "t.csv").write_text("account_id\na\nb\n")
    cut(lake, dataset(str(lake / "t.csv"), "account_id"), {1}, "one.csv")
    cut(lake, dataset(str(lake / "t.csv"), "account_id"), {0, 1}, "two.csv")
    assert (lake / "one.csv").read_text() == (lake / "two.csv").read_text() == '"account_id"\n"b"\n'


def test_csv_keeps_delimiter_and_tells_null_from_empty(lake):
    (lake / "t.csv").write_bytes('\ufeffaccount_id;n;m\r\na;"x;""y""\nz";\r\na;"";ñ\r\nb;1;2\r\n'.encode())
    cut(lake, dataset(str(lake / "t.csv"), "account_id"), target="out.csv")
    assert (lake / "out.csv").read_text() == '"account_id";"n";"m"\n"a";"x;""y""\nz";\n"a";"";"ñ"\n'


def test_json_records_keep_their_own_text(lake):
    (lake / "t.jsonl").write_text(
        '{"n": 1.50, "account_id" :"a","n2":1e400}\n\n{"account_id":"b"}\n{"account_id":"\\u0061"}'
    )
    cut(lake, dataset(str(lake / "t.jsonl"), "account_id"), target="out.jsonl")
    assert (lake / "out.jsonl").read_text() == '{"n": 1.50, "account_id" :"a","n2":1e400}\n{"account_id":"\\u0061"}\n'


def test_gzip_stays_gzip_and_equal_rows_give_equal_bytes(lake):
    (lake / "t.csv.gz").write_bytes(gzip.compress(b"account_id\na\nb\n"))
    first = cut(lake, dataset(str(lake / "t.csv.gz"), "account_id"), target="1/t.csv.gz")
    second = cut(lake, dataset(str(lake / "t.csv.gz"), "account_id"), target="2/t.csv.gz")
    assert gzip.decompress((lake / "1/t.csv.gz").read_bytes()) == b'"account_id"\n"a"\n'
    assert first.digest == second.digest


def test_order_of_a_large_csv_is_kept(lake):
    rows = [f"{'a' if n % 3 else 'b'},{n}" for n in range(400_000)]
    (lake / "t.csv").write_text("account_id,n\n" + "\n".join(rows) + "\n")
    cut(lake, dataset(str(lake / "t.csv"), "account_id"), target="out.csv")
    kept = [int(line.split(",")[1].strip('"')) for line in (lake / "out.csv").read_text().splitlines()[1:]]
    assert kept == [n for n in range(400_000) if n % 3]


def media(lake):
    for name in ("a/1.wav", "a/2.wav", "b/1.wav", "loose.wav"):
        (lake / "media" / name).parent.mkdir(parents=True, exist_ok=True)
        (lake / "media" / name).write_bytes(b"RIFF....WAVE" + name.encode())
    return dataset(str(lake / "media"), "path:{account}/*.wav")


def test_files_are_copied_not_linked(lake):
    cut(lake, media(lake))
    kept = sorted(str(path.relative_to(lake / "out")) for path in (lake / "out").rglob("*.wav"))
    assert kept == ["a/1.wav", "a/2.wav"]
    original, copy = (lake / folder / "a/1.wav" for folder in ("media", "out"))
    assert original.read_bytes() == copy.read_bytes()
    assert copy.stat().st_nlink == 1
    assert not copy.samefile(original)


def test_folder_keeps_its_layout_without_files_that_lost_all_rows_and_without_markers(lake):
    for account in "ab":
        folder = lake / "hive" / f"account_id={account}"
        folder.mkdir(parents=True)
        parquet.write_table(pa.table({"n": [1, 2]}), folder / "p.parquet")
    (lake / "hive/_SUCCESS").touch()
    cut(lake, dataset(str(lake / "hive"), "account_id"))
    assert [str(path.relative_to(lake / "out")) for path in (lake / "out").rglob("*") if path.is_file()] == [
        "account_id=a/p.parquet"
    ]


def leftovers(lake):
    return [path for path in lake.iterdir() if "unfinished" in path.name]


def test_nothing_passes_is_an_error_and_leaves_nothing(lake):
    (lake / "t.csv").write_text("account_id\na\n")
    with pytest.raises(DatasetError, match="no row passes"):
        cut(lake, dataset(str(lake / "t.csv"), "account_id"), {2}, "out.csv")
    with pytest.raises(DatasetError, match="no row passes"):
        cut(lake, dataset(str(lake / "t.csv"), "account_id"), (), "out.csv")
    with pytest.raises(DatasetError, match="no row passes"):
        cut(lake, dataset(str(lake / "t.csv")), {0, 1, 2}, "out.csv")
    assert not (lake / "out.csv").exists()
    assert not leftovers(lake)


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.jsonl"])
def test_source_damaged_halfway_leaves_nothing(lake, name):
    (lake / "src").mkdir()
    names = [f"a{i}" for i in range(50_000)]
    if name == "t.parquet":
        parquet.write_table(pa.table({"account_id": names}), lake / "src" / name, row_group_size=1000)
        content = bytearray((lake / "src" / name).read_bytes())
        content[len(content) // 2 : len(content) // 2 + 2000] = b"\xff" * 2000
        (lake / "src" / name).write_bytes(content)
    else:
        row = '{{"account_id":"{}"}}' if name == "t.jsonl" else "{}"
        lines = [*(["account_id"] if name == "t.csv" else []), *map(row.format, names), '"']
        (lake / "src" / name).write_text("\n".join(lines))
    with pytest.raises(DatasetError):
        cut(lake, dataset(str(lake / "src"), "account_id"), {0})
    assert not (lake / "out").exists()
    assert not leftovers(lake)


def test_writing_again_gives_the_same_version_and_other_data_is_never_replaced(lake):
    source = media(lake)
    assert cut(lake, source) == cut(lake, source)
    with pytest.raises(DatasetError, match="exists and holds other data"):
        cut(lake, source, {1, 2})
    (lake / "t.csv").write_text("account_id\na\n")
    table = dataset(str(lake / "t.csv"), "account_id")
    assert cut(lake, table, target="out.csv") == cut(lake, table, target="out.csv")
    (lake / "out.csv").write_text("mine")
    with pytest.raises(DatasetError, match="exists and holds other data"):
        cut(lake, table, target="out.csv")
    assert (lake / "out.csv").read_text() == "mine"
    assert not leftovers(lake)


def test_source_that_is_not_the_version_decided_about_is_refused(lake):
    source = media(lake)
    decided, _ = measure(source)
    assert cut(lake, source, expected=decided).files == 2
    (lake / "media/a/1.wav").write_bytes(b"RIFF....WAVEother")
    with pytest.raises(DatasetError) as caught:
        cut(lake, source, target="second", expected=decided)
    assert caught.value.reason == "dataset_changed"
    assert not (lake / "second").exists()


def test_target_that_cannot_be_written(lake):
    (lake / "file").write_text("x")
    with pytest.raises(CannotDecide, match="cannot be written"):
        cut(lake, media(lake), target="file/out")
    with pytest.raises(DatasetError, match="local folder"):
        write_subset(media(lake), None, {0}, "memory://out")


def test_remote_source(lake):
    memory = fsspec.filesystem("memory")
    memory.pipe("/subset/a/1.wav", b"one")
    memory.pipe("/subset/b/1.wav", b"two")
    version = cut(lake, dataset("memory://subset", "path:{account}/*.wav"))
    assert (lake / "out/a/1.wav").read_bytes() == b"one"
    assert version.files == 1
