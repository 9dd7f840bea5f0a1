"""k-anonymity is counted over every column of the very bytes that were hashed, and what cannot be counted is said."""

from __future__ import annotations

import gzip
import json
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from gate.domain.anonymity import Anonymity, SensitiveColumn
from gate.domain.dataset import dataset
from gate.errors import DatasetError, InputError
from gate.scan import anonymity as module
from gate.scan import copying
from gate.scan.anonymity import measure_anonymity
from gate.scan.digest import measure
from support.anonymity import alike, table_file


def found(path: Path, *sensitive: str) -> Anonymity:
    return measure_anonymity(dataset(str(path)), (), sensitive)


def counts(path: Path, *sensitive: str) -> tuple[int, int, int]:
    seen = found(path, *sensitive)
    return seen.rows, seen.groups, seen.k_measured


def lines(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


def columns(path: Path, **values: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table(values), path)
    return path


def test_a_group_is_rows_alike_in_all_quasi_identifiers(tmp_path: Path) -> None:
    data = table_file(tmp_path, alike(6, 9))
    seen = measure_anonymity(data)
    assert seen == Anonymity(measure(data)[0].digest, ("age", "area"), (), 15, 2, 6)
    assert seen == measure_anonymity(data, ["area", "age"]) == Anonymity.from_dict(seen.to_dict())
    assert list(seen.shortcomings(6)) == []
    assert list(seen.shortcomings(7)) == ["the smallest group has 6 rows, fewer than 7"]


def test_a_sensitive_column_makes_no_groups_but_is_looked_at(tmp_path: Path) -> None:
    rows = [("30-39", "north", str(minutes), cause) for minutes, cause in zip([1, 1, 1, 2, 2], "aaaaa", strict=True)]
    rows += [("40-49", "north", "3", cause) for cause in "aaabb"]
    data = table_file(tmp_path, rows, header="age,area,minutes,cause")
    seen = measure_anonymity(data, sensitive=["minutes", "cause"])
    assert seen.sensitive == (
        SensitiveColumn("minutes", number=True, distinct=3, rarest=2, diversity=1),
        SensitiveColumn("cause", number=False, distinct=2, rarest=2, diversity=1),
    )
    assert list(seen.shortcomings(5)) == [
        "the column 'cause' has values that fewer than 5 rows share: generalize or suppress them"
    ]


def test_free_text_and_numbers_of_ones_own_are_named(tmp_path: Path) -> None:
    data = table_file(tmp_path, [("30-39", f"I am no. {n}", n) for n in range(20)], header="age,note,meeting")
    assert list(measure_anonymity(data, sensitive=["note", "meeting"]).shortcomings(5)) == [
        "the column 'note' has values that fewer than 5 rows share: generalize or suppress them",
        "the column 'meeting' has a number of its own in most rows: round it or leave it out",
    ]
    assert measure_anonymity(data).k_measured == 1


def test_null_is_a_value(tmp_path: Path) -> None:
    path = columns(tmp_path / "t.parquet", age=[1, 1, None, None, None], m=[1.5, None, None, None, None])
    assert counts(path, "m") == (5, 2, 2)
    assert found(path, "m").sensitive == (SensitiveColumn("m", number=True, distinct=1, rarest=1, diversity=1),)
    nothing = columns(tmp_path / "n.parquet", age=[1, 1], m=pa.array([None, None], pa.string()))
    assert found(nothing, "m").sensitive == (SensitiveColumn("m", number=False, distinct=0, rarest=0, diversity=1),)
    assert list(found(nothing, "m").shortcomings(2)) == []
    records = lines(tmp_path / "t.jsonl", {"a": None, "b": 1}, {"b": 1}, {"a": "null", "b": 1})
    assert counts(records) == (3, 2, 1)


def test_json_fields_are_compared_as_they_are(tmp_path: Path) -> None:
    """A guessed type would take two values for one: these would be dates, doubles, one column."""
    records = (
        [{"v": "2024-01-01T00:00:00Z"}, {"v": "2024-01-01T00:00:00+00:00"}],
        [{"v": 2**63 + 1}, {"v": 2**63 + 2}, {"v": 0.5}],
        [{"v": 1, "V": 1}, {"v": 1, "V": 2}],
        [{"v": {"a": [1]}}, {"v": {"a": [2]}}],
        [{"a/b~c": 1}, {"a/b~c": 2}],
        [{"v": "1"}, {"v": 1}],
    )
    for number, some in enumerate(records):
        assert counts(lines(tmp_path / f"{number}.jsonl", *some)) == (len(some), len(some), 1)
    array = tmp_path / "t.json"
    array.write_text('[{"v": {"a": 1}}, {"v": {"a":1}}]')
    assert counts(array) == (2, 1, 2)


def test_parquet_values_are_compared_by_type(tmp_path: Path) -> None:
    days = columns(tmp_path / "t.parquet", day=[date(2024, 1, 1)] * 3, tags=[["a"], ["a"], ["b"]], ok=[True] * 3)
    assert counts(days) == (3, 2, 1)
    assert counts(days, "tags") == (3, 1, 3)


def test_folders_count_and_so_do_their_names(tmp_path: Path) -> None:
    for area in ("north", "__HIVE_DEFAULT_PARTITION__"):
        for part in range(2):
            columns(tmp_path / "calls" / f"area={area}" / f"part {part}'s.parquet", age=[30] * (2 + part))
    (tmp_path / "calls" / "_SUCCESS").touch()
    assert found(tmp_path / "calls").quasi_identifiers == ("age", "area")
    assert counts(tmp_path / "calls") == (10, 2, 5)
    assert [one.column for one in found(tmp_path / "calls", "area").sensitive] == ["area"]
    for part in range(2):
        (tmp_path / "lines" / f"area={part}").mkdir(parents=True)
        lines(tmp_path / "lines" / f"area={part}" / "t.jsonl", *[{"age": 1}] * 3)
    assert counts(tmp_path / "lines") == (6, 2, 3)


def test_gzip_and_names_that_sql_would_mind(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b'n,"c0","a ""b""; \'c\'"\r\n1,2,3\r\n1,2,3\r\n'))
    assert found(path).quasi_identifiers == ("n", "c0", "a \"b\"; 'c'")
    assert counts(path, "c0", "n") == (2, 1, 2)


def test_every_column_is_accounted_for(tmp_path: Path) -> None:
    data = table_file(tmp_path, alike(6))
    with pytest.raises(InputError, match="'area' is neither"):
        measure_anonymity(data, ["age"])
    assert measure_anonymity(data, ["age"], ["area"]).columns == ("age", "area")
    with pytest.raises(InputError, match="cannot be both"):
        measure_anonymity(data, ["age", "area"], ["area"])
    with pytest.raises(InputError, match="at least one"):
        measure_anonymity(data, sensitive=["age", "area"])
    with pytest.raises(DatasetError, match="no column 'arae'") as missing:
        measure_anonymity(data, sensitive=["arae"])
    assert missing.value.hint == "did you mean 'area'?"
    with pytest.raises(DatasetError, match="no column 'q'"):
        measure_anonymity(data, ["q"])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.csv", "age,area\n", "holds no rows"),
        ("t.json", "[]", "holds no rows"),
        ("t.jsonl", "{}\n", "holds no rows"),
        ("t.csv", "", "is empty"),
        ("t.txt", "some words", "is no table"),
        ("t.csv", "age,area\n1\n", "fields"),
        ("t.jsonl", '{"a": 1, "a": 2}\n', "names a field twice"),
        ("t.csv", "age,gate_file_index\n1,2\n", "is ours"),
    ],
)
def test_what_cannot_be_measured_says_so(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DatasetError, match=said):
        found(tmp_path / name)


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="does not exist"):
        found(tmp_path / "t.csv")


def test_files_must_be_of_one_mind(tmp_path: Path) -> None:
    columns(tmp_path / "t" / "a.parquet", v=[2**53])
    columns(tmp_path / "t" / "b.parquet", v=[2.0**53])
    with pytest.raises(DatasetError, match="its columns differ"):
        found(tmp_path / "t")
    twice = tmp_path / "twice.parquet"
    parquet.write_table(pa.table([[1], [2]], ["v", "V"]), twice)
    with pytest.raises(DatasetError, match="two columns of the same name"):
        found(twice)
    columns(tmp_path / "both" / "v=1" / "a.parquet", v=[1])
    with pytest.raises(DatasetError, match="both in the files and in folder names"):
        found(tmp_path / "both")


def test_digest_and_counts_are_of_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever swaps the file after it was hashed, and swaps it back, is noticed."""
    data = table_file(tmp_path, alike(3))
    path = tmp_path / "calls.csv"
    ours = path.read_bytes()
    hashing, grouping = copying.measure, module._grouped

    def then_swapped(*words: Any) -> Any:
        seen = hashing(*words)
        table_file(tmp_path, alike(50))
        return seen

    def then_back(*words: Any) -> Any:
        seen = grouping(*words)
        path.write_bytes(ours)
        return seen

    monkeypatch.setattr(copying, "measure", then_swapped)
    monkeypatch.setattr(module, "_grouped", then_back)
    with pytest.raises(DatasetError) as caught:
        measure_anonymity(data)
    assert caught.value.reason == "dataset_changed"
