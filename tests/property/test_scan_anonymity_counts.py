"""Groups, the smallest of them, and what sensitive columns hold agree with pandas, for any small table."""

import json
import tempfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from gate.domain.anonymity import SensitiveColumn
from gate.domain.dataset import dataset
from gate.scan.anonymity import measure_anonymity

DIGITS = ["1", "01"]
TEXT = st.sampled_from(["a", "A", "a ", "ä", "NULL", "null", "'", '"', ",", *DIGITS]) | st.text(
    st.characters(codec="utf-8", categories=("L", "Zs")), min_size=1, max_size=2
)
QUASI = st.none() | TEXT
NUMBER = st.none() | st.integers(-2, 3)
ROWS = st.lists(st.tuples(QUASI, st.sampled_from(["x", "y"]), QUASI, NUMBER), min_size=1, max_size=40)
NAMES = ("first", "second", "word", "number")


def by_pandas(rows, *, text_is_quoted):
    """Count with pandas, null being one value; rows, groups, the smallest, and both sensitive columns."""
    frame = pd.DataFrame(rows, columns=NAMES).astype(object)
    frame = frame.where(frame.notna(), None)
    groups = frame.groupby(["first", "second"], dropna=False)
    told = []
    for name in ("word", "number"):
        n = frame[name].value_counts()
        number = len(n) > 0 and (name == "number" or (not text_is_quoted and set(n.index) <= set(DIGITS)))
        rarest, diversity = int(n.min()) if len(n) else 0, int(groups[name].nunique(dropna=False).min())
        told.append(SensitiveColumn(name, number, len(n), rarest, diversity))
    return len(rows), groups.ngroups, int(groups.size().min()), tuple(told)


def write_parquet(path, rows):
    kinds = [pa.string()] * 3 + [pa.int64()]
    parquet.write_table(
        pa.table([pa.array(c, k) for c, k in zip(zip(*rows, strict=True), kinds, strict=True)], NAMES),
        path,
        row_group_size=5,
    )


def write_csv(path, rows):
    def cell(value):
        return "" if value is None else '"' + str(value).replace('"', '""') + '"'

    lines = [",".join(NAMES), *(",".join(map(cell, row)) for row in rows)]
    path.write_text("".join(line + "\n" for line in lines), "utf-8")


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(dict(zip(NAMES, row, strict=True))) + "\n" for row in rows), "utf-8")


@pytest.mark.parametrize(("suffix", "write"), [("csv", write_csv), ("jsonl", write_jsonl), ("parquet", write_parquet)])
@settings(max_examples=12, deadline=None)
@given(rows=ROWS)
def test_it_counts_as_pandas_does(suffix, write, rows):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"t.{suffix}"
        write(path, rows)
        seen = measure_anonymity(dataset(str(path)), sensitive=["number", "word"])
    expected = by_pandas(rows, text_is_quoted=suffix == "jsonl")
    told = tuple(sorted(seen.sensitive, key=lambda one: NAMES.index(one.column)))
    assert (seen.rows, seen.groups, seen.k_measured, told) == expected
