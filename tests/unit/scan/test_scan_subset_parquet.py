"""Cutting Parquet files: order, schema and rows are those of a plain filter, whoever copies them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from gate.domain.dataset import dataset
from gate.errors import DatasetError
from gate.scan import subset_parquet
from gate.scan.subset import write_subset

ROWS = 300_000  # several row groups, so that more than one thread reads
PLAIN = pa.schema(
    [("n", pa.int64()), ("account_id", pa.string()), ("at", pa.timestamp("us", "UTC")), ("x", pa.float32())]
)


@pytest.fixture
def copied_by(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Tell who copied."""
    told: list[str] = []
    arrow, duckdb = subset_parquet._with_arrow, subset_parquet._with_duckdb

    def with_arrow(*given: Any) -> int:
        told.append("arrow")
        return arrow(*given)

    def with_duckdb(*given: Any) -> int | None:
        kept = duckdb(*given)
        if kept is not None:
            told.append("duckdb")
        return kept

    monkeypatch.setattr(subset_parquet, "_with_arrow", with_arrow)
    monkeypatch.setattr(subset_parquet, "_with_duckdb", with_duckdb)
    return told


def snapshot(folder: Path, groups: dict[str, int]) -> str:
    table = {"account_id": list(groups), "group": pa.array(groups.values(), pa.int32())}
    parquet.write_table(pa.table(table), folder / "snapshot.parquet")
    return str(folder / "snapshot.parquet")


def rows(accounts: int) -> list[dict[str, Any]]:
    dice = random.Random(accounts)
    names = [*(f"account-{n}" for n in range(accounts)), None, "", " \t", "\N{LATIN SMALL LETTER E WITH ACUTE}"]
    return [{"n": n, "account_id": dice.choice(names), "at": n, "x": n / 3} for n in range(ROWS)]


@pytest.mark.parametrize("accounts", [3, 50_000])
@pytest.mark.parametrize("groups", [{1}, {0, 1}, {0}])
def test_rows_keep_their_order(tmp_path: Path, accounts: int, groups: set[int], copied_by: list[str]) -> None:
    table = pa.Table.from_pylist(rows(accounts), PLAIN.with_metadata({"owner": "us"}))
    parquet.write_table(table, tmp_path / "t.parquet", row_group_size=40_000)
    known = {f"account-{n}": 1 + n % 2 for n in range(accounts) if n % 3}
    write_subset(
        dataset(str(tmp_path / "t.parquet"), "account_id"), snapshot(tmp_path, known), groups, f"{tmp_path}/o.parquet"
    )
    wanted = [
        row["n"]
        for row in table.select(["n", "account_id"]).to_pylist()
        if (row["account_id"] or "").strip() and known.get(row["account_id"], 0) in groups
    ]
    written = parquet.read_table(tmp_path / "o.parquet")
    assert written["n"].to_pylist() == wanted
    assert written.equals(table.take(wanted))
    assert written.schema.metadata == {b"owner": b"us"}
    assert copied_by == ["duckdb"]


@pytest.mark.parametrize(
    ("kind", "by"),
    [
        (pa.dictionary(pa.int32(), pa.string()), "arrow"),
        (pa.large_string(), "arrow"),
        (pa.list_(pa.string()), "duckdb"),
        (pa.list_(pa.large_string()), "arrow"),
    ],
)
@pytest.mark.parametrize("groups", [{1}, {0, 1}, {0}])
def test_other_types_are_cut_alike(
    tmp_path: Path, kind: pa.DataType, by: str, groups: set[int], copied_by: list[str]
) -> None:
    said = [None if n % 11 == 0 else f"account-{n % 7}" for n in range(2000)]
    values: list[Any] = list(said)
    if pa.types.is_list(kind):
        values = [[a, "account-1"] if a else [[], [None], None][n % 3] for n, a in enumerate(said)]
    table = pa.table({"n": pa.array(range(2000)), "account_id": pa.array(values, kind)})
    parquet.write_table(table, tmp_path / "t.parquet", row_group_size=300)
    known = {f"account-{n}": 1 for n in (1, 2, 5)} | {"account-3": 2}
    source, target = dataset(str(tmp_path / "t.parquet"), "account_id"), tmp_path / "o.parquet"

    def passes(account: str | None) -> bool:
        named = {account, "account-1"} if pa.types.is_list(kind) else {account}
        return account is not None and all(known.get(name or "", 0) in groups for name in named)

    wanted = table.take(pa.array([n for n, account in enumerate(said) if passes(account)], pa.int64()))
    if not wanted.num_rows:
        with pytest.raises(DatasetError, match="no row passes"):
            write_subset(source, snapshot(tmp_path, known), groups, str(target))
        return
    write_subset(source, snapshot(tmp_path, known), groups, str(target))
    assert parquet.read_table(target).equals(wanted)
    assert copied_by == [by]


def test_columns_that_differ_in_case_only_are_refused(tmp_path: Path) -> None:
    table = pa.table({"Account_ID": ["good", "good"], "account_id": ["good", "bad"], "n": [0, 1]})
    parquet.write_table(table, tmp_path / "t.parquet")
    source = dataset(str(tmp_path / "t.parquet"), "account_id")
    with pytest.raises(DatasetError, match="has two columns"):
        write_subset(source, snapshot(tmp_path, {"good": 1}), {1}, f"{tmp_path}/o.parquet")
    assert not (tmp_path / "o.parquet").exists()


def test_a_column_named_like_duckdbs_own_is_kept(tmp_path: Path, copied_by: list[str]) -> None:
    table = pa.table({"account_id": ["a", "b", "a"], "file_row_number": [5, 6, 7]})
    parquet.write_table(table, tmp_path / "t.parquet")
    source = dataset(str(tmp_path / "t.parquet"), "account_id")
    write_subset(source, snapshot(tmp_path, {"a": 1}), {1}, f"{tmp_path}/o.parquet")
    assert parquet.read_table(tmp_path / "o.parquet")["file_row_number"].to_pylist() == [5, 7]
    assert copied_by == ["arrow"]


def test_rows_without_a_category_are_left_out(tmp_path: Path, copied_by: list[str]) -> None:
    table = pa.table({"account_id": ["a"] * 5, "kind": ["audio", None, " ", "chat", ""], "n": range(5)})
    parquet.write_table(table, tmp_path / "t.parquet")
    source = dataset(str(tmp_path / "t.parquet"), "account_id", category_column="kind")
    write_subset(source, snapshot(tmp_path, {"a": 1}), {1}, f"{tmp_path}/o.parquet")
    assert parquet.read_table(tmp_path / "o.parquet")["n"].to_pylist() == [0, 3]
    assert copied_by == ["duckdb"]


def test_whoever_swaps_the_file_between_choosing_and_copying_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, target = tmp_path / "t.parquet", tmp_path / "o.parquet"
    parquet.write_table(pa.table({"account_id": ["good", "bad"]}), path)
    ours, choose, copy = path.read_bytes(), subset_parquet._staying, subset_parquet._with_duckdb

    def then_swapped(*given: Any) -> Any:
        chosen = choose(*given)
        parquet.write_table(pa.table({"account_id": ["bad", "good"]}), path)
        return chosen

    def then_back(*given: Any) -> Any:
        kept = copy(*given)
        path.write_bytes(ours)
        return kept

    monkeypatch.setattr(subset_parquet, "_staying", then_swapped)
    monkeypatch.setattr(subset_parquet, "_with_duckdb", then_back)
    source = dataset(str(path), "account_id")
    with pytest.raises(DatasetError, match="changed while"):
        write_subset(source, snapshot(tmp_path, {"good": 1}), {1}, str(target))
    assert not target.exists()
