"""Tables that cannot be trusted end in one clear DatasetError that quotes no value of theirs."""

import gzip
import json
import subprocess
import sys

import pyarrow as pa
import pytest
from pyarrow import parquet

from gate.domain.dataset import dataset
from gate.errors import CannotDecide, DatasetError
from gate.scan.coverage import account_ids, account_rows, count_coverage
from gate.scan.engine import engine
from gate.scan.tables import relation

SECRET = "acme-secret"


def parquet_file(path, **columns):
    parquet.write_table(pa.table(columns), path)
    return path


def refused(uri, account="account_id", **more):
    source = dataset(str(uri), account, **more)
    with pytest.raises(DatasetError) as caught:
        count_coverage(source, None)
    assert caught.value.exit_code == 4
    assert SECRET not in str(caught.value.to_dict())
    return str(caught.value)


def test_missing_column_names_those_there_and_the_nearest(tmp_path):
    for name, text in {"a.csv": "acount_id,n\nx,1\n", "a.jsonl": '{"acount_id":"x","n":1}\n'}.items():
        (tmp_path / name).write_text(text)
    parquet_file(tmp_path / "a.parquet", acount_id=["x"], n=[1])
    for name in ("a.csv", "a.jsonl", "a.parquet"):
        message = refused(tmp_path / name)
        assert "has no column 'account_id'; it has acount_id, n (did you mean 'acount_id'?)" in message
    assert "has no column 'ACOUNT_ID'" in refused(tmp_path / "a.parquet", "ACOUNT_ID")
    assert "no column 'cat'" in refused(tmp_path / "a.csv", "acount_id", category_column="cat")


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json"])
def test_no_rows(tmp_path, name):
    (tmp_path / name).write_text({"a.csv": "account_id\n", "a.jsonl": "\n", "a.json": "[]"}[name])
    assert "holds no rows" in refused(tmp_path / name)


def test_no_rows_in_parquet(tmp_path):
    assert "holds no rows" in refused(parquet_file(tmp_path / "a.parquet", account_id=pa.array([], pa.string())))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (f'{{"account_id":"{SECRET}"}}\n{{"account_id":7}}\n', "mixed types: integers and text"),
        ('{"account_id":["a"]}\n{"account_id":"a"}\n', "mixed types: lists and text"),
        ('{"account_id":["a",7]}\n', "mixed types: integers and text"),
        ('{"account_id":["a"]}\n{"account_id":[7]}\n', "mixed types: integers and text"),
        ('{"account_id":7.5}\n', "fractions"),
        ('{"account_id":true}\n', "true or false"),
        ('{"account_id":{"id":1}}\n', "objects"),
        ('{"account_id":[["a"]]}\n', "lists"),
        (f'["{SECRET}"]\n', "not records"),
        ('{"account_id":"a"}\n7\n', "not records"),
        (f'{{"account_id":"a","account_id":"{SECRET}"}}\n', "names a field twice"),
        (f'{{"account_id":"{SECRET}"}}\n{{"account_id":"{SECRET}', "not JSON"),
        (f'{{"account_id":"{SECRET}"}} {{"account_id":"b"}}\n', "not JSON"),
    ],
)
def test_json_records(tmp_path, rows, message):
    (tmp_path / "a.jsonl").write_text(rows)
    assert message in refused(tmp_path / "a.jsonl")


@pytest.mark.parametrize("text", ['[{"account_id":"a"}', '[{"account_id":"a"}] x', '[{"account_id":"a"},]'])
def test_broken_json_array(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    refused(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"account_id,n\n{SECRET},1\n{SECRET},2,3\n".encode(), "line 3 has 3 fields where the header has 2"),
        (f"account_id,n\n{SECRET}\n".encode(), "line 2 has 1 fields where the header has 2"),
        (f'account_id,n\n{SECRET},"x\n'.encode(), "line 2 opens a quote that is never closed"),
        (b"account_id,n\na,1\n" * 1000 + SECRET.encode() + b"\xff,2\n", "not UTF-8"),
        (b"account_id,n\n\xf1,1\n", "not UTF-8"),
        (b"account_id,Account_ID\na,b\n", "two columns of the same name"),
        (b"\n\n", "no header line"),
        (b"account_id,n\na," + b"x" * 3_000_000 + b"\n", "too long"),
    ],
)
def test_csv(tmp_path, content, message):
    (tmp_path / "a.csv").write_bytes(content)
    error = refused(tmp_path / "a.csv")
    assert message in error
    assert "a.csv" in error


@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.gz"])
def test_truncated_gzip(tmp_path, name):
    row = '{{"account_id":"{}"}}' if "json" in name else "{}"
    text = "\n".join(["account_id"] * ("csv" in name) + [row.format(i * 7919) for i in range(50_000)])
    packed = gzip.compress(text.encode())
    for cut in (len(packed) // 2, len(packed) - 3):
        (tmp_path / name).write_bytes(packed[:cut])
        assert "gzip" in refused(tmp_path / name)


def test_files_of_one_dataset_must_agree(tmp_path):
    (tmp_path / "a.csv").write_text("account_id,n\na,1\n")
    (tmp_path / "b.csv").write_text("n,account_id\n1,a\n")
    assert "b.csv: its header differs from that of 'a.csv'" in refused(tmp_path)


def test_parquet_files_of_one_dataset_must_agree(tmp_path):
    parquet_file(tmp_path / "a.parquet", account_id=["a"])
    parquet_file(tmp_path / "b.parquet", account_id=[7])
    assert "mixed types: integers and text" in refused(tmp_path)
    parquet_file(tmp_path / "b.parquet", n=[7])
    assert "b.parquet: has no column 'account_id'" in refused(tmp_path)


@pytest.mark.parametrize("keep", [4, 8, 100, -1, -9])
def test_truncated_parquet_names_the_file(tmp_path, keep):
    whole = parquet_file(tmp_path / "a.parquet", account_id=["a"] * 1000).read_bytes()
    parquet_file(tmp_path / "b.parquet", account_id=["a"])
    (tmp_path / "a.parquet").write_bytes(whole[:keep])
    assert "a.parquet: is truncated or damaged Parquet" in refused(tmp_path)


def test_damaged_parquet_pages(tmp_path):
    path = parquet_file(tmp_path / "a.parquet", account_id=[f"{SECRET}-{i}" for i in range(5000)])
    content = bytearray(path.read_bytes())
    content[20:2000] = b"\xff" * 1980
    path.write_bytes(content)
    refused(path)


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1.5]),
        pa.array([True]),
        pa.array([b"x"]),
        pa.array([{"a": 1}]),
        pa.array([[["a"]]]),
        pa.array([1], pa.date32()),
    ],
)
def test_types_that_name_no_account(tmp_path, values):
    assert "names no account" in refused(parquet_file(tmp_path / "a.parquet", account_id=values))


def test_category_lists_are_refused(tmp_path):
    path = parquet_file(tmp_path / "a.parquet", account_id=["a"], cat=[["audio"]])
    assert "holds lists" in refused(path, category_column="cat")


@pytest.mark.parametrize("name", ["p.parquet", "p.csv", "p.jsonl"])
def test_column_in_files_and_folder_names_is_ambiguous(tmp_path, name):
    folder = tmp_path / "account_id=a"
    folder.mkdir()
    if name == "p.parquet":
        parquet_file(folder / name, account_id=["b"])
    else:
        (folder / name).write_text({"p.csv": "account_id\nb\n", "p.jsonl": '{"account_id":"b"}\n'}[name])
    assert "both in the files and in folder names" in refused(tmp_path)


def test_partitions_above_the_dataset_do_not_count(tmp_path):
    folder = tmp_path / "account_id=evil"
    folder.mkdir()
    parquet_file(folder / "p.parquet", account_id=["good"])
    assert account_ids(dataset(str(folder), "account_id")) == ["good"]


def test_file_names_with_glob_characters_read_only_themselves(tmp_path):
    for name in ("*.csv", "x[1].csv", "x1.csv"):
        (tmp_path / name).write_text(f"account_id\n{name}\n")
    assert account_ids(dataset(str(tmp_path / "*.csv"), "account_id")) == ["*.csv"]
    assert account_ids(dataset(str(tmp_path / "x[1].csv"), "account_id")) == ["x[1].csv"]
    assert count_coverage(dataset(str(tmp_path), "account_id"), None).total_rows == 3


def test_snapshot_that_cannot_be_read(tmp_path):
    path = parquet_file(tmp_path / "a.parquet", account_id=["a"])
    (tmp_path / "snap").write_text("no")
    for snapshot in ("snap", "missing"):
        with pytest.raises(CannotDecide, match="snapshot"):
            count_coverage(dataset(str(path), "account_id"), str(tmp_path / snapshot))


def test_accounts_stay_the_text_they_are(tmp_path):
    ids = ["007", "7", "2023-01-01", "1e3", "NULL", "null", "nan", "True", " x", "x ", 'q"q', "ñ", "a,b"]
    lines = ['"' + name.replace('"', '""') + '"' for name in ids]
    (tmp_path / "a.csv").write_text("account_id\n" + "\n".join(lines) + "\n")
    parquet_file(tmp_path / "a.parquet", account_id=ids)
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"account_id": name}) + "\n" for name in ids))
    for name in ("a.csv", "a.parquet", "a.jsonl"):
        source = dataset(str(tmp_path / name), "account_id")
        assert account_ids(source) == sorted(ids, key=str.encode), name
        with engine() as con:
            assert con.to_pyarrow(relation(source, con))["account_id"].to_pylist() == ids, name


def test_integers_are_their_decimal_text(tmp_path):
    path = parquet_file(
        tmp_path / "a.parquet", account_id=pa.array([7, -1, 2**63], pa.decimal128(19)).cast(pa.string())
    )
    assert account_ids(dataset(str(path), "account_id")) == ["-1", "7", "9223372036854775808"]
    path = parquet_file(tmp_path / "b.parquet", account_id=pa.array([7, 2**64 - 1], pa.uint64()))
    assert account_ids(dataset(str(path), "account_id")) == ["18446744073709551615", "7"]
    path = parquet_file(tmp_path / "c.parquet", account_id=pa.array([[7, 8], [8]], pa.large_list(pa.int8())))
    assert account_ids(dataset(str(path), "account_id")) == ["7", "8"]
    path = parquet_file(tmp_path / "d.parquet", account_id=pa.array(["a", "b"]).dictionary_encode())
    assert account_ids(dataset(str(path), "account_id")) == ["a", "b"]


def test_account_rows_are_the_most_first_within_the_groups(tmp_path):
    parquet_file(tmp_path / "snap.parquet", account_id=["a", "b"], group=pa.array([1, 2], pa.int32()))
    path = parquet_file(
        tmp_path / "a.parquet",
        account_id=["a", "b", "b", "c", "c", "c", None, ""],
        cat=["x", "x", "y", "x", "x", "x", "x", "x"],
    )
    source, snapshot = dataset(str(path), "account_id", category_column="cat"), str(tmp_path / "snap.parquet")
    assert account_rows(source, snapshot, [0, 1, 2]) == [("c", 3), ("b", 2), ("a", 1)]
    assert account_rows(source, snapshot, [0, 2], limit=1) == [("c", 3)]
    assert account_rows(source, snapshot, [1, 2], category="x") == [("a", 1), ("b", 1)]
    assert account_rows(source, snapshot, []) == []


def test_importing_the_room_costs_nothing():
    code = (
        "import sys, gate.scan, gate.scan.coverage, gate.scan.subset, gate.scan.opening, gate.scan.detect.examination\n"
        "heavy = {'duckdb', 'ibis', 'pyarrow', 'pandas', 'av', 'fsspec', 'numpy'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
