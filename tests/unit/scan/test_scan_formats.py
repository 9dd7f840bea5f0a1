"""One kind of table, or files that are rows: decided by names and bytes together."""

import gzip

import pyarrow as pa
import pytest
from pyarrow import parquet

from gate.domain.dataset import dataset
from gate.errors import DatasetError
from gate.scan.formats import detect

WAV = b"RIFF\x24\0\0\0WAVEfmt "


def parquet_bytes():
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table({"account_id": ["a"]}), sink)
    return sink.getvalue().to_pybytes()


def lake(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return str(folder)


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.csv", b"account_id\n1\n", "csv"),
        ("a.TSV", b"account_id\n1\n", "csv"),
        ("a.csv.gz", gzip.compress(b"account_id\n1\n", mtime=0), "csv"),
        ("a.jsonl", b'{"account_id":1}\n', "jsonl"),
        ("a.ndjson", b'{"account_id":1}\n', "jsonl"),
        ("a.json", b'[{"account_id":1}]', "json"),
        ("a.json", b'{"account_id":1}\n{"account_id":2}\n', "jsonl"),
        ("a.json", b'{\n "resourceType":"Bundle"\n}\n', None),
        ("a.json.gz", gzip.compress(b'{"account_id":1}\n', mtime=0), "jsonl"),
        ("part-0", parquet_bytes(), "parquet"),
        ("a.vtt", b"WEBVTT\n", None),
        ("a.csv", WAV, None),
        ("a.txt", b"account_id\n1\n", None),
        ("a.csv", "naïve 😀\n".encode() * 2000, "csv"),
    ],
)
def test_one_file(tmp_path, name, content, kind):
    layout = detect(dataset(lake(tmp_path, {name: content}), "constant:acme"))
    assert (layout.format, layout.kind) == (kind, "files" if kind is None else "table")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.parquet", b"account_id\n1\n", "does not begin like it"),
        ("a.parquet", b"PARE" + b"x" * 20, "encrypted"),
        ("a.csv.gz", b"account_id\n1\n", "disagree on gzip"),
        ("a.csv", gzip.compress(b"account_id\n1\n", mtime=0), "disagree on gzip"),
        ("a.csv", "account_id\nx\n".encode("utf-16-le"), "not UTF-8"),
        ("a.jsonl", b"\x00\x01\x02", "not UTF-8"),
        ("a.csv", b"", "is empty"),
    ],
)
def test_names_and_bytes_that_disagree_are_refused(tmp_path, name, content, message):
    with pytest.raises(DatasetError, match=message):
        detect(dataset(lake(tmp_path, {name: content}), "constant:acme"))


def test_markers_are_not_rows_but_belong_to_the_version(tmp_path):
    files = {"p.parquet": parquet_bytes(), "_SUCCESS": b"", ".p.parquet.crc": b"crc\0\0\0\x02\0abcd", "._SUCCESS": b""}
    layout = detect(dataset(lake(tmp_path, files), "account_id"))
    assert [file.path for file in layout.files] == ["p.parquet"]
    assert len(layout.all_files) == 4


@pytest.mark.parametrize(
    "hidden", [{"_more.wav": WAV}, {".hidden": b"x"}, {".x.crc": b"crc\0"}, {".p.parquet.crc": b"not a checksum"}]
)
def test_nothing_that_holds_data_passes_for_a_marker(tmp_path, hidden):
    uri = lake(tmp_path, {"p.parquet": parquet_bytes(), **hidden})
    with pytest.raises(DatasetError, match="mixes tables and other files"):
        detect(dataset(uri, "account_id"))
    assert len(detect(dataset(uri, "constant:acme")).files) == 2


def test_hidden_tables_are_read_like_the_others(tmp_path):
    layout = detect(dataset(lake(tmp_path, {"a.csv": b"account_id\n1\n", "_b.csv": b"account_id\n2\n"}), "account_id"))
    assert [file.path for file in layout.files] == ["_b.csv", "a.csv"]


def test_mixed_folders_are_files_unless_a_column_is_named(tmp_path):
    uri = lake(tmp_path, {"a.csv": b"x\n1\n", "b.jsonl": b"{}\n", "c.jsonl": b"{}\n"})
    assert detect(dataset(uri, "path:{account}.*")).kind == "files"
    with pytest.raises(DatasetError, match=r"'a\.csv' is unlike the others"):
        detect(dataset(uri, "account_id"))
    with pytest.raises(DatasetError, match="mixes"):
        detect(dataset(uri, "constant:a", category_column="cat"))


def test_files_have_no_columns(tmp_path):
    uri = lake(tmp_path, {"a.wav": WAV})
    for source in (dataset(uri, "account_id"), dataset(uri, "constant:a", category_column="account_id")):
        with pytest.raises(DatasetError, match="no column 'account_id'") as caught:
            detect(source)
        assert "path:{account}" in str(caught.value.hint)


def test_only_markers_is_empty(tmp_path):
    with pytest.raises(DatasetError, match="is empty"):
        detect(dataset(lake(tmp_path, {"_SUCCESS": b""}), "account_id"))
