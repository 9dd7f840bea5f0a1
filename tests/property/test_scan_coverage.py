"""Counting and cutting agree with a plain recomputation, row by row, for any small table."""

import csv
import json
import tempfile
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from gate.domain.dataset import dataset
from gate.errors import DatasetError
from gate.scan.coverage import account_ids, account_rows, count_coverage
from gate.scan.engine import engine
from gate.scan.subset import write_subset
from gate.scan.tables import relation

ACCOUNT = st.sampled_from(["a", "b", "c", "007", "7", " a", "a ", "ü", "!", "\x01", "NULL"]) | st.text(
    st.characters(codec="utf-8", exclude_characters="\0\r", exclude_categories=("Cs",)), min_size=1, max_size=4
)
MAYBE_ACCOUNT = ACCOUNT | st.none() | st.sampled_from(["", " ", "\t "])
CATEGORY = st.sampled_from(["audio", "chat", "weird", "", " "]) | st.none()
LISTS = st.none() | st.lists(MAYBE_ACCOUNT, max_size=4)
SCALAR_ROWS = st.lists(st.tuples(MAYBE_ACCOUNT, CATEGORY), min_size=1, max_size=30)
LIST_ROWS = st.lists(st.tuples(LISTS, CATEGORY), min_size=1, max_size=30)
SNAPSHOT = st.dictionaries(ACCOUNT, st.integers(1, 4), max_size=6)
BLANK = " \t\n\r\v\f"


def is_blank(text):
    return text is None or not text.strip(BLANK)


def as_lists(rows):
    """Every row as (list of accounts or None, category)."""
    return [([account] if not isinstance(account, list) else account, category) for account, category in rows]


def whole(accounts):
    return bool(accounts) and not any(map(is_blank, accounts))


def recount(rows, snapshot, with_category):
    """Count as the words of CoverageCounts say, one row at a time."""
    grouped, unattributed, named, nulls = Counter(), Counter(), {}, 0
    for accounts, category in rows:
        key = category if with_category else None
        if with_category and is_blank(category):
            nulls += 1
        elif not whole(accounts):
            unattributed[key] += 1
        else:
            grouped[tuple(sorted({snapshot.get(account, 0) for account in accounts})), key] += 1
            for account in accounts:
                named.setdefault((key, snapshot.get(account, 0)), set()).add(account)
    everybody = {account for accounts, _ in rows for account in accounts or () if not is_blank(account)}
    return grouped, unattributed, {key: len(found) for key, found in named.items()}, nulls, everybody


def check(path, rows, snapshot, folder, *, with_category):
    snap = folder / "snap.parquet"
    table = {"account_id": pa.array(snapshot, pa.string()), "group": pa.array(snapshot.values(), pa.int32())}
    parquet.write_table(pa.table(table), snap)
    rows = as_lists(rows)
    source = dataset(str(path), "account_id", category_column="category" if with_category else None)
    counts = count_coverage(source, str(snap))
    grouped, unattributed, named, nulls, everybody = recount(rows, snapshot, with_category)
    assert Counter({(row.groups, row.category): row.rows for row in counts.rows}) == grouped
    assert len(counts.rows) == len(grouped)
    assert dict(counts.unattributed) == unattributed
    assert dict(counts.accounts) == named
    assert (counts.null_categories, counts.total_rows) == (nulls, len(rows))
    assert counts.total_accounts == len(everybody)
    assert account_ids(source) == sorted(everybody, key=str.encode)
    check_top(source, rows, snapshot, snap)
    check_subset(source, rows, snapshot, snap, folder / f"subset{path.suffix}", with_category)


def check_top(source, rows, snapshot, snap):
    for groups in ({0}, {1, 2}):
        tally = Counter(a for accounts, _ in rows for a in set(accounts or ()) if not is_blank(a))
        wanted = [(name, n) for name, n in tally.items() if snapshot.get(name, 0) in groups]
        assert (
            account_rows(source, str(snap), groups, limit=3)
            == sorted(wanted, key=lambda pair: (-pair[1], pair[0].encode()))[:3]
        )


def check_subset(source, rows, snapshot, snap, target, with_category):
    passing = {0, 1}
    kept = [
        number
        for number, (accounts, category) in enumerate(rows)
        if whole(accounts)
        and {snapshot.get(account, 0) for account in accounts} <= passing
        and not (with_category and is_blank(category))
    ]
    if not kept:
        with pytest.raises(DatasetError, match="no row passes"):
            write_subset(source, str(snap), passing, str(target))
        assert not target.exists()
        return
    subset = write_subset(source, str(snap), passing, str(target))
    with engine() as con:
        assert [int(row["n"]) for row in con.to_pyarrow(relation(subset.dataset, con)).to_pylist()] == kept


def write_parquet(path, rows):
    accounts = [account for account, _ in rows]
    kind = pa.list_(pa.string()) if any(isinstance(account, list) for account in accounts) else pa.string()
    columns = {"account_id": pa.array(accounts, kind), "category": pa.array([c for _, c in rows], pa.string())}
    parquet.write_table(pa.table(columns | {"n": pa.array(range(len(rows)))}), path, row_group_size=3)


def write_jsonl(path, rows):
    with path.open("w", encoding="utf-8") as out:
        for number, (account, category) in enumerate(rows):
            record = {"account_id": account, "category": category, "n": number}
            out.write(json.dumps(record, ensure_ascii=bool(number % 2)) + "\n")


def write_csv(path, rows):
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(["n", "account_id", "category"])
        writer.writerows((number, *row) for number, row in enumerate(rows))


@pytest.mark.parametrize(("suffix", "write"), [("csv", write_csv), ("jsonl", write_jsonl), ("parquet", write_parquet)])
@settings(max_examples=6, deadline=None)
@given(
    rows=SCALAR_ROWS,
    snapshot=SNAPSHOT,
    with_category=st.booleans(),
)
def test_scalar_accounts(suffix, write, rows, snapshot, with_category):
    if suffix == "csv":
        rows = [("" if account is None else account, category or "") for account, category in rows]
    if suffix == "jsonl" and all(account is None for account, _ in rows):
        rows = [*rows, ("a", "chat")]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"t.{suffix}"
        write(path, rows)
        check(path, rows, snapshot, Path(folder), with_category=with_category)


@pytest.mark.parametrize(("suffix", "write"), [("jsonl", write_jsonl), ("parquet", write_parquet)])
@settings(max_examples=6, deadline=None)
@given(rows=LIST_ROWS, snapshot=SNAPSHOT, with_category=st.booleans())
def test_listed_accounts(suffix, write, rows, snapshot, with_category):
    rows = [*rows, (["a"], "chat")]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"t.{suffix}"
        write(path, rows)
        check(path, rows, snapshot, Path(folder), with_category=with_category)
