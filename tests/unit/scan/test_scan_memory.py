"""A scan keeps within the memory it is given: it spills, and counts the same."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from gate.domain.dataset import dataset
from gate.errors import CannotDecide, InputError
from gate.scan.coverage import count_coverage
from gate.scan.engine import MEMORY, engine


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lake") / "t.parquet"
    with duckdb.connect() as con:
        con.execute(
            f"COPY (SELECT md5((hash(i) % 700000)::VARCHAR) AS account_id FROM range(2000000) t(i)) TO '{path}'"
        )
    return path


def test_little_memory_gives_the_same_counts(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = dataset(str(table), "account_id")
    plenty = count_coverage(source, None)
    monkeypatch.setenv(MEMORY, "100MB")
    assert count_coverage(source, None) == plenty
    assert plenty.total_rows == 2_000_000


def test_too_little_is_told(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MEMORY, "2MB")
    with pytest.raises(CannotDecide, match="out of memory") as told:
        count_coverage(dataset(str(table), "account_id"), None)
    assert MEMORY in str(told.value.hint)


@pytest.mark.parametrize("amount", ["much", "-1GB", "2GB; ATTACH 'x'", "1e9", "2"])
def test_what_is_no_amount_is_refused(amount: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MEMORY, amount)
    with pytest.raises(InputError, match="not an amount of memory"), engine():
        pass


@pytest.mark.parametrize("amount", ["2GB", "1.5 GiB", " 512MB "])
def test_amounts_are_set(amount: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MEMORY, amount)
    with engine() as con:
        found = con.con.execute("SELECT current_setting('memory_limit')").fetchone()
    assert found is not None
    assert found[0].split()[0] in ("1.8", "1.5", "488.2")
