"""A census says who is in a dataset, of the very bytes that were measured; one from a stranger is looked at first."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from gate.domain.dataset import dataset
from gate.errors import DatasetError, InputError
from gate.scan import census as module
from gate.scan.census import Census, check_census, look, take_census
from gate.scan.coverage import account_ids, account_rows, count_coverage
from support.world import chat_file

SOUND = {
    "account": pa.array(["a", None], pa.string()),
    "category": pa.array(["", ""], pa.string()),
    "no_category": pa.array([False, False]),
    "n": pa.array([2, 1], pa.int64()),
}


def write(folder: Path, columns: dict[str, pa.Array]) -> Census:
    path = folder / "census.parquet"
    parquet.write_table(pa.table(columns), path)
    return Census(dataset("/lake/chat.jsonl", "account_id"), path)


def test_it_answers_what_the_dataset_answers(tmp_path: Path) -> None:
    data = chat_file(tmp_path, ["a", "b", "a", None, " "])
    seen = look(data, tmp_path)
    assert count_coverage(seen.census, None) == count_coverage(data, None)
    assert account_ids(seen.census) == account_ids(data) == ["a", "b"]
    assert account_rows(seen.census, None, [0]) == account_rows(data, None, [0]) == [("a", 2), ("b", 1)]
    assert check_census(seen.census) is seen.census


def test_lists_of_accounts(tmp_path: Path) -> None:
    path = tmp_path / "meetings.jsonl"
    path.write_text('{"who": ["a", "b"]}\n{"who": []}\n{"who": ["b"]}\n', "utf-8")
    census = take_census(dataset(str(path), "who"), tmp_path / "census.parquet")
    assert count_coverage(census, None).listed
    assert account_ids(check_census(census)) == ["a", "b"]


def test_data_that_changes_meanwhile_is_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = chat_file(tmp_path, ["a"])
    counted = module.take_census

    def write_and_put_back(*args):
        chat_file(tmp_path, ["b"])
        census = counted(*args)
        chat_file(tmp_path, ["a"])
        return census

    monkeypatch.setattr(module, "take_census", write_and_put_back)
    with pytest.raises(DatasetError) as caught:
        look(data, tmp_path)
    assert caught.value.reason == "dataset_changed"


@pytest.mark.parametrize(
    "change",
    [
        {"account": pa.array([1, 2])},
        {"account": pa.array([[1], [2]])},
        {"n": pa.array([-1, 1], pa.int64())},
        {"n": pa.array([1.5, 1.0])},
        {"n": pa.array([None, 1], pa.int64())},
        {"no_category": pa.array([None, False])},
        {"more": pa.array([1, 2])},
    ],
    ids=["numbers", "lists of numbers", "negative", "fractions", "no count", "no answer", "more columns"],
)
def test_another_form_is_refused(tmp_path: Path, change: dict[str, pa.Array]) -> None:
    assert check_census(write(tmp_path, SOUND))
    with pytest.raises(InputError, match="census"):
        check_census(write(tmp_path, SOUND | change))


def test_what_is_no_parquet_or_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    census = write(tmp_path, SOUND)
    monkeypatch.setattr(module, "MAX_UNPACKED", 10)
    with pytest.raises(InputError, match="too large"):
        check_census(census)
    census.path.write_bytes(b"PAR1 but not really")
    with pytest.raises(InputError, match="can be read"):
        check_census(census)
