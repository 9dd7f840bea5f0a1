"""Counts who is in a dataset: rows and accounts by consent group and category, in one expression on DuckDB."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gate.domain.dataset import Dataset
from gate.domain.decision import RowGroup
from gate.errors import DatasetError
from gate.scan.census import Census, open_census
from gate.scan.engine import engine, reading
from gate.scan.readers import FILE
from gate.scan.snapshot import SnapshotFiles, open_snapshot
from gate.scan.tables import ROWS, Source, open_source

if TYPE_CHECKING:
    import pyarrow as pa
    from ibis import Table
    from ibis.backends.duckdb import Backend
    from ibis.expr.types import ArrayValue, BooleanValue, Value

UNKNOWN_GROUP = 0  # accounts that are not in the snapshot


@dataclass(frozen=True, slots=True)
class CoverageCounts:
    """What `DatasetFacts` needs of a dataset. Every row counts once: `total_rows` is the sum of the three kinds.

    Attributes:
        rows: rows by their set of groups (ascending) and category; only rows that name accounts and have a category.
        accounts: distinct accounts by (category, group) in those rows; category `None` without a category column.
        unattributed: rows without an account, by category: null or blank account; null or empty list, or one with a
            null or blank element; all rows of a `nobody` dataset.
        null_categories: rows whose category is null or blank, whatever their account.
        total_accounts: distinct accounts anywhere in the data.
        listed: rows name their accounts in a list, so that all participants' accounts can be there.
    """

    rows: tuple[RowGroup, ...]
    accounts: Mapping[tuple[str | None, int], int]
    unattributed: Mapping[str | None, int]
    null_categories: int
    total_rows: int
    total_accounts: int
    listed: bool = False


def count_coverage(subject: Dataset | Census, snapshot: SnapshotFiles) -> CoverageCounts:
    """Join the accounts in the data with a consent snapshot and count.

    Args:
        subject: what to count: a dataset as it is now, or the census of a version.
        snapshot: see `gate.scan.snapshot`; accounts not in it are of group 0.

    Raises:
        DatasetError: missing, empty, unreadable, no such column, accounts of mixed types, no rows.
        CannotDecide: the snapshot cannot be read.
    """
    with engine() as con:
        standing = open_snapshot(snapshot, con)
        dataset = _dataset(subject)
        with reading(dataset):
            rows = _opened(subject, con)
            listed = rows["account"].type().is_array()
            if listed:
                counted = _listed(rows, standing)
            else:
                counted = _scalar(rows, standing, has_category=dataset.category_column is not None)
            found = con.to_pyarrow(counted)
    return _counts(found, dataset, listed=listed)


def account_rows(
    subject: Dataset | Census,
    snapshot: SnapshotFiles,
    groups: Collection[int],
    category: str | None = None,
    limit: int | None = 20,
) -> list[tuple[str, int]]:
    """Return the accounts of `groups` with the most rows, most first, then by account.

    Args:
        subject: what to look at.
        snapshot: as for `count_coverage`.
        groups: consent groups; 0 is the accounts that are not in the snapshot.
        category: only rows of this category.
        limit: at most so many accounts; `None` for all.

    Raises:
        DatasetError: as `count_coverage`.
    """
    import ibis

    with engine() as con:
        standing = open_snapshot(snapshot, con)
        with reading(_dataset(subject)):
            rows = _opened(subject, con)
            if category is not None:
                rows = rows.filter(rows["category"] == category)
            per_account = _grouped(_each_account(rows), standing)
            wanted = per_account.filter(per_account["group"].isin(list(groups))) if groups else per_account.limit(0)
            totals = wanted.group_by("account").agg(n=wanted["n"].sum())
            found = con.to_pyarrow(totals.order_by([ibis.desc("n"), "account"]).limit(limit))
    return list(zip(found["account"].to_pylist(), found["n"].to_pylist(), strict=True))


def account_ids(subject: Dataset | Census) -> list[str]:
    """Return every distinct account in the data, sorted: also those in rows that block for another reason.

    Raises:
        DatasetError: as `count_coverage`.
    """
    with engine() as con, reading(_dataset(subject)):
        accounts = _each_account(_opened(subject, con)).select("account").distinct()
        found: list[str] = con.to_pyarrow(accounts.order_by("account"))["account"].to_pylist()
    return found


def _dataset(subject: Dataset | Census) -> Dataset:
    return subject.dataset if isinstance(subject, Census) else subject


def _opened(subject: Dataset | Census, con: Backend) -> Table:
    if isinstance(subject, Census):
        return open_census(subject, con)
    return dataset_rows(open_source(subject, con))


def dataset_rows(source: Source) -> Table:
    """Return the data as few rows as one aggregation makes of it: account, category (both as written), n of rows.

    Aggregating the bare columns first is what makes this fast: joins then see accounts, not rows.
    """
    import ibis
    import pyarrow as pa

    table, dataset = source.table, source.layout.dataset
    columns = [name for name in dict.fromkeys((source.account, source.category)) if name is not None]
    keys = [name for name in columns if name not in source.of_path]
    by_path = {name: list(source.of_path[name]) for name in columns if name in source.of_path}
    keys += [FILE] if by_path else []
    number = table[ROWS].sum().fill_null(0) if source.counted else table.count()
    rows = table.group_by(keys).agg(gate_rows=number) if keys else table.agg(gate_rows=number)
    if by_path:
        places = pa.array(range(len(source.layout.files)), pa.uint64())
        values = {name: pa.array(found, pa.string()) for name, found in by_path.items()}
        rows = rows.inner_join(ibis.memtable(pa.table({FILE: places} | values)), FILE)
    constant = dataset.account.value if dataset.account.kind == "constant" else None
    rows = rows.select(
        account=rows[source.account] if source.account else ibis.literal(constant, type="string"),
        category=rows[source.category] if source.category else ibis.literal("", type="string"),
        no_category=_blank(rows[source.category]) if source.category else ibis.literal(False),
        n=rows["gate_rows"],
    )
    if by_path:
        rows = rows.group_by(["account", "category", "no_category"]).agg(n=rows["n"].sum())
    return rows


def _blank(text: Value) -> BooleanValue:
    """Whether the text is null or white space; to be fast, only what sorts before `!` is trimmed to see."""
    import ibis

    return ibis.cases((text.isnull(), True), (text < "!", text.strip() == ""), else_=False)


def _scalar(rows: Table, snapshot: Table, *, has_category: bool) -> Table:
    """Count rows and accounts where each row names one account."""
    import ibis

    named = _grouped(rows, snapshot)
    part = ibis.cases(
        (named["no_category"], "no_category"), (_blank(named["account"]), "unattributed"), else_="attributed"
    )
    labelled = named.select("category", "group", "n", part=part)
    counted = labelled.group_by(["part", "category", "group"]).agg(rows=labelled["n"].sum(), accounts=labelled.count())
    counted = counted.select(
        "part",
        "category",
        groups=ibis.array([counted["group"].cast("int64")]),
        rows=counted["rows"].cast("int64"),
        accounts=counted["accounts"].cast("int64"),
    )
    return counted.union(_total(rows)) if has_category else counted


def _listed(rows: Table, snapshot: Table) -> Table:
    """Count rows and accounts where each row lists accounts; a row's groups are those of all its accounts."""
    import ibis

    accounts: ArrayValue = rows["account"]
    whole = (accounts.length() > 0).fill_null(False) & (accounts.filter(_blank).length() == 0).fill_null(False)
    part = ibis.cases((rows["no_category"], "no_category"), (~whole, "unattributed"), else_="attributed")
    numbered = rows.mutate(part=part, id=ibis.row_number())
    other = numbered.filter(numbered["part"] != "attributed")
    dropped = other.group_by(["part", "category"]).agg(rows=other["n"].sum())
    kept = numbered.filter(numbered["part"] == "attributed")
    each = _grouped(kept.select("id", "category", "n", account=kept["account"].unnest()), snapshot)
    sets = each.group_by(["id", "category", "n"]).agg(groups=each["group"].cast("int64").collect(distinct=True))
    sets = sets.mutate(groups=sets["groups"].sort())
    by_set = sets.group_by(["category", "groups"]).agg(rows=sets["n"].sum())
    distinct = each.select("category", "group", "account").distinct()
    by_group = distinct.group_by(["category", "group"]).agg(accounts=distinct.count())
    none = ibis.literal([], type="array<int64>")
    zero = ibis.literal(0, type="int64")
    attributed = ibis.literal("attributed", type="string")
    return ibis.union(
        dropped.select("part", "category", groups=none, rows=dropped["rows"].cast("int64"), accounts=zero),
        by_set.select("category", "groups", part=attributed, rows=by_set["rows"].cast("int64"), accounts=zero).select(
            "part", "category", "groups", "rows", "accounts"
        ),
        by_group.select(
            part=attributed,
            category=by_group["category"],
            groups=ibis.array([by_group["group"].cast("int64")]),
            rows=zero,
            accounts=by_group["accounts"].cast("int64"),
        ),
        _total(rows),
    )


def _total(rows: Table) -> Table:
    """Return one row with the number of distinct accounts."""
    import ibis

    each = _each_account(rows)
    total = each.agg(accounts=each["account"].nunique())
    return total.select(
        part=ibis.literal("total", type="string"),
        category=ibis.literal(None, type="string"),
        groups=ibis.literal([], type="array<int64>"),
        rows=ibis.literal(0, type="int64"),
        accounts=total["accounts"].cast("int64"),
    )


def _each_account(rows: Table) -> Table:
    """Return one row per account a row names (a list that repeats an account names it once), blank ones left out."""
    if rows["account"].type().is_array():
        rows = rows.mutate(account=rows["account"].unique()).unnest("account")
    return rows.filter(~_blank(rows["account"]))


def _grouped(rows: Table, snapshot: Table) -> Table:
    joined = rows.left_join(snapshot, rows["account"] == snapshot["account_id"])
    return joined.mutate(group=joined["group"].fill_null(UNKNOWN_GROUP)).drop("account_id")


def _counts(found: pa.Table, dataset: Dataset, *, listed: bool) -> CoverageCounts:
    rows: dict[tuple[tuple[int, ...], str | None], int] = {}
    accounts: dict[tuple[str | None, int], int] = {}
    unattributed: dict[str | None, int] = {}
    null_categories = total_accounts = 0
    for line in found.to_pylist():
        category = line["category"] if dataset.category_column is not None else None
        groups: tuple[int, ...] = tuple(line["groups"])
        match line["part"]:
            case "attributed":
                if line["rows"]:
                    rows[groups, category] = line["rows"]
                if line["accounts"]:
                    accounts[category, groups[0]] = line["accounts"]
            case "unattributed":
                unattributed[category] = unattributed.get(category, 0) + line["rows"]
            case "no_category":
                null_categories += line["rows"]
            case _:
                total_accounts = line["accounts"]
    total = sum(rows.values()) + sum(unattributed.values()) + null_categories
    if dataset.category_column is None:  # an account has one group, so nobody was counted twice
        total_accounts = total_accounts or sum(accounts.values())
    if not total:
        raise DatasetError("holds no rows", where=dataset.uri, hint="an empty dataset cannot be decided about")
    ordered = sorted(rows.items(), key=lambda item: (item[0][1] or "", item[0][0]))
    return CoverageCounts(
        rows=tuple(RowGroup(groups, count, category) for (groups, category), count in ordered),
        accounts=dict(sorted(accounts.items(), key=lambda item: (item[0][0] or "", item[0][1]))),
        unattributed=dict(sorted(unattributed.items(), key=lambda item: item[0] or "")),
        null_categories=null_categories,
        total_rows=total,
        total_accounts=total_accounts,
        listed=listed,
    )
