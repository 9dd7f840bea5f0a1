"""One table, every format and place it can be in: the counts are the same."""

import csv
import gzip
import io
import json

import fsspec
import pyarrow as pa
import pytest
from pyarrow import parquet

from gate.domain.dataset import dataset
from gate.domain.decision import RowGroup
from gate.scan.coverage import CoverageCounts, account_ids, account_rows, count_coverage
from gate.scan.engine import engine
from gate.scan.subset import write_subset
from gate.scan.tables import relation

ROWS = [
    ("a", "audio"),
    ("a", "chat"),
    ("007", "audio"),
    ("a", None),
    (None, "audio"),
    ("zoe", "chat"),
    ("zoe", "chat"),
    ("", "chat"),
    ("7", "audio"),
]
GROUPS = {"a": 1, "007": 2, "7": 1}
EXPECTED = CoverageCounts(
    rows=(
        RowGroup((1,), 2, "audio"),
        RowGroup((2,), 1, "audio"),
        RowGroup((0,), 2, "chat"),
        RowGroup((1,), 1, "chat"),
    ),
    accounts={("audio", 1): 2, ("audio", 2): 1, ("chat", 0): 1, ("chat", 1): 1},
    unattributed={"audio": 1, "chat": 1},
    null_categories=1,
    total_rows=9,
    total_accounts=4,
)


def as_csv(rows, delimiter=","):
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\r\n").writerows([("account_id", "category", "n"), *rows])
    return out.getvalue().encode()


def as_jsonl(rows):
    return "".join(
        json.dumps({"account_id": account, "category": category, "n": n}) + "\n" for account, category, n in rows
    ).encode()


def as_json(rows):
    return json.dumps([{"category": c, "account_id": a, "n": n} for a, c, n in rows], indent=1).encode()


def as_parquet(rows):
    accounts, categories, numbers = zip(*rows, strict=True)
    table = pa.table({"account_id": pa.array(accounts, pa.string()), "category": categories, "n": numbers})
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, row_group_size=2)
    return sink.getvalue().to_pybytes()


WRITERS = {
    "t.csv": as_csv,
    "t.tsv": lambda rows: as_csv(rows, "\t"),
    "semicolon.csv": lambda rows: as_csv(rows, ";"),
    "bom.csv": lambda rows: b"\xef\xbb\xbf" + as_csv(rows),
    "t.csv.gz": lambda rows: gzip.compress(as_csv(rows)),
    "t.jsonl": as_jsonl,
    "t.json": as_json,
    "t.ndjson.gz": lambda rows: gzip.compress(as_jsonl(rows)),
    "t.parquet": as_parquet,
}
NUMBERED = [(account, category, n) for n, (account, category) in enumerate(ROWS)]


@pytest.fixture
def snapshot(tmp_path):
    path = tmp_path / "snapshot.parquet"
    table = {"account_id": list(GROUPS), "group": pa.array(GROUPS.values(), pa.int32())}
    parquet.write_table(pa.table(table), path)
    return str(path)


def layouts(name, write):
    """Yield the same rows as one file, as a folder of two, and nested."""
    yield {name: write(NUMBERED)}, name
    yield {f"one-{name}": write(NUMBERED[:4]), f"two-{name}": write(NUMBERED[4:]), "_SUCCESS": b""}, ""
    yield {f"x/{name}": write(NUMBERED[:1]), f"y/z/{name}": write(NUMBERED[1:])}, ""
    yield {f"x/{name}": write(NUMBERED[:5]), f"y/{name}": write(NUMBERED[5:]), "other.txt": b"x"}, "[xy]/*"


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


def write_one(path, row):
    if path.suffix == ".csv":
        values = ("" if value is None else str(value) for value in row.values())
        path.write_text(",".join(row) + "\n" + ",".join(values) + "\n")
    elif path.suffix == ".jsonl":
        path.write_text(json.dumps(row) + "\n")
    else:
        parquet.write_table(pa.table({name: pa.array([value]) for name, value in row.items()}), path)


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
