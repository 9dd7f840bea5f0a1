"""Whoever asks is told how far a scan has come; nobody asked, nobody is told; the answer is the same."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from gate.domain.dataset import dataset
from gate.scan import progress
from gate.scan.census import take_census
from gate.scan.coverage import account_ids
from gate.scan.progress import Progress, told
from gate.scan.subset import write_subset

ROWS = 2_000_000


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lake")
    rows = f"SELECT 'acct-' || (i * 7919) % {ROWS // 4} AS account_id, i AS n FROM range({ROWS}) t(i)"
    with duckdb.connect() as con:
        for kind in ("parquet", "csv"):
            con.execute(f"COPY ({rows}) TO '{folder / kind}.{kind}'")
    return folder


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_counting_tells_how_far_it_is(lake: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.002)
    source, seen = dataset(str(lake / f"{kind}.{kind}"), "account_id"), list[Progress]()
    with told(seen.append):
        census = take_census(source, tmp_path / "census.parquet")
    assert len(account_ids(census)) == ROWS // 4
    total, unit = (ROWS, "rows") if kind == "parquet" else ((lake / "csv.csv").stat().st_size, "bytes")
    assert {(one.doing, one.total, one.unit) for one in seen} == {("counting", total, unit)}
    assert [one.done for one in seen] == sorted(one.done for one in seen)
    assert 0 < seen[-1].done <= total


def test_writing_ends_with_everything(lake: Path, tmp_path: Path) -> None:
    seen = list[Progress]()
    with told(seen.append):
        write_subset(dataset(str(lake / "csv.csv"), "account_id"), None, {0}, str(tmp_path / "subset.csv"))
    written = [one for one in seen if one.doing == "writing"]
    assert [one.done == one.total for one in written] == [True]


def test_nobody_is_told_afterwards(lake: Path, tmp_path: Path) -> None:
    seen = list[Progress]()
    with told(seen.append):
        pass
    take_census(dataset(str(lake / "csv.csv"), "account_id"), tmp_path / "census.parquet")
    assert seen == []


@pytest.mark.parametrize(
    ("done", "unit", "said"),
    [(1_900_000_000, "bytes", "1.9 GB/s"), (12_000_000, "rows", "12 M rows/s"), (5, "rows", "5 rows/s")],
)
def test_rates_are_as_people_write_them(done: int, unit: str, said: str) -> None:
    assert Progress("counting", done, done, unit).rate(1.0) == said  # type: ignore[arg-type]
