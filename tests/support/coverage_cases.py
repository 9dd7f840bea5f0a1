"""One small table with every kind of row, in every format and arrangement of files, and what is in it."""

import csv
import gzip
import io
import json

import pyarrow as pa
from pyarrow import parquet

from gate.domain.decision import RowGroup
from gate.scan.coverage import CoverageCounts

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


def layouts(name, write):
    """Yield the same rows as one file, as a folder of two, and nested."""
    yield {name: write(NUMBERED)}, name
    yield {f"one-{name}": write(NUMBERED[:4]), f"two-{name}": write(NUMBERED[4:]), "_SUCCESS": b""}, ""
    yield {f"x/{name}": write(NUMBERED[:1]), f"y/z/{name}": write(NUMBERED[1:])}, ""
    yield {f"x/{name}": write(NUMBERED[:5]), f"y/{name}": write(NUMBERED[5:]), "other.txt": b"x"}, "[xy]/*"


def write_one(path, row):
    if path.suffix == ".csv":
        values = ("" if value is None else str(value) for value in row.values())
        path.write_text(",".join(row) + "\n" + ",".join(values) + "\n")
    elif path.suffix == ".jsonl":
        path.write_text(json.dumps(row) + "\n")
    else:
        parquet.write_table(pa.table({name: pa.array([value]) for name, value in row.items()}), path)
