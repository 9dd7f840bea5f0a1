"""The census of counts: the same accounts with as many rows are the same version, whoever counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from gate.errors import DatasetError
from gate.scan.batch import look_at_counts
from gate.scan.census import Look, check_census
from gate.scan.coverage import count_coverage


def look(folder: Path, accounts: Any, rows: list[int]) -> Look:
    return look_at_counts(pa.table({"account": accounts, "n": pa.array(rows, pa.int64())}), "account_id", folder)


def test_order_and_splitting_do_not_count(tmp_path: Path) -> None:
    whole = look(tmp_path, pa.array(["b", "a", None]), [1, 3, 2])
    split = look(tmp_path, pa.array(["a", None, "b", "a", None]), [1, 1, 1, 2, 1])
    assert whole.version.digest == split.version.digest


@pytest.mark.parametrize(
    ("accounts", "rows"),
    [(["a", "c"], [3, 1]), (["a", "b"], [1, 3]), (["a", ""], [3, 1]), (["a", None], [3, 1]), (["a,b"], [4])],
)
def test_other_accounts_or_rows_are_another_version(tmp_path: Path, accounts: list[Any], rows: list[int]) -> None:
    here = look(tmp_path, pa.array(["a", "b"]), [3, 1])
    assert look(tmp_path, pa.array(accounts), rows).version.digest != here.version.digest


def test_numbers_are_the_text_they_are_written_as(tmp_path: Path) -> None:
    assert look(tmp_path, pa.array([7]), [1]).version == look(tmp_path, pa.array(["7"]), [1]).version


def test_a_list_is_not_its_text(tmp_path: Path) -> None:
    listed, text = look(tmp_path, pa.array([["a"]]), [1]), look(tmp_path, pa.array(["a"]), [1])
    assert listed.version.digest != text.version.digest


@pytest.mark.parametrize(
    "accounts",
    [
        pa.array(["a", "a", None]),
        pa.array(["a", "a", None]).dictionary_encode(),
        pa.array([["a", "b"], ["a"], []]),
        pa.array([None, None, None]),
    ],
)
def test_it_is_a_census_as_any_other(tmp_path: Path, accounts: pa.Array) -> None:
    census = check_census(look(tmp_path, accounts, [1, 1, 1]).census)
    assert count_coverage(census, None).total_rows == 3


@pytest.mark.parametrize("accounts", [pa.array([1.5]), pa.array([b"a"]), pa.array([{"a": 1}]), pa.array([[["a"]]])])
def test_what_names_no_account_is_refused(tmp_path: Path, accounts: pa.Array) -> None:
    with pytest.raises(DatasetError, match="names no account"):
        look(tmp_path, accounts, [1])


def test_no_rows_are_nothing_to_decide_about(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no rows"):
        look(tmp_path, pa.array([], pa.string()), [])
