"""What a dataset was made from, as the lineage store heard it: the same answers on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gate.lineage.observed import observe
from gate.lineage.store.database import LineageStore, open_store
from gate.lineage.store.ingest import store_events
from gate.lineage.store.origins import Origin, origins
from support.lineage_scene import data, digest, event

RAW, CLEAN, TABLE = "/lake/raw", "/lake/clean", "/lake/table"


@pytest.fixture
def store(ledger_url: str) -> Iterator[LineageStore]:
    with open_store(ledger_url) as opened:
        yield opened


def tell(store: LineageStore, *events: dict[str, Any]) -> None:
    store_events(store, [observe(one) for one in events])


def ask(store: LineageStore, name: str) -> list[tuple[str, str | None]]:
    with store.read() as connection:
        return [(origin.dataset[1], origin.version) for origin in origins(connection, ("file", name))]


def changed(name: str, how: str, **more: Any) -> dict[str, Any]:
    output = data(name)
    output["facets"]["lifecycleStateChange"] = {"lifecycleStateChange": how, **more}
    return output


def test_a_dataset_nobody_wrote_has_none(store: LineageStore) -> None:
    tell(store, event("etl.read", 0, reads=[data(RAW)]))
    assert ask(store, RAW) == []
    assert ask(store, "/nowhere") == []


def test_the_inputs_of_every_writer_count(store: LineageStore) -> None:
    tell(
        store,
        event("etl.one", 0, reads=[data(RAW, digest("a"))], writes=[data(CLEAN)]),
        event("etl.two", 1, reads=[data(TABLE)], writes=[data(CLEAN)]),
        event("etl.three", 2, reads=[data("/lake/other")], writes=[data("/lake/elsewhere")]),
    )
    assert ask(store, CLEAN) == [(RAW, digest("a")), (TABLE, None)]


def test_a_version_that_is_only_assumed_is_not_taken_for_known(store: LineageStore) -> None:
    tell(
        store,
        event("notes.tag", 0, reads=[data(RAW, digest("a"))]),
        event("etl.one", 1, reads=[data(RAW)], writes=[data(CLEAN, digest("b"))]),
    )
    assert ask(store, CLEAN) == [(RAW, None)]


@pytest.mark.parametrize("how", ["CREATE", "OVERWRITE", "TRUNCATE"])
def test_what_was_written_anew_forgets_its_past(store: LineageStore, how: str) -> None:
    tell(
        store,
        event("etl.old", 0, reads=[data(RAW)], writes=[data(CLEAN)]),
        event("etl.new", 1, reads=[data(TABLE)], writes=[changed(CLEAN, how)]),
        event("etl.more", 2, reads=[data("/lake/later")], writes=[data(CLEAN)]),
    )
    assert ask(store, CLEAN) == [("/lake/later", None), (TABLE, None)]


@pytest.mark.parametrize("how", ["ALTER", "RENAME", "", "overwrite"])
def test_any_other_change_keeps_it(store: LineageStore, how: str) -> None:
    tell(
        store,
        event("etl.old", 0, reads=[data(RAW)], writes=[data(CLEAN)]),
        event("etl.part", 1, reads=[data(TABLE)], writes=[changed(CLEAN, how)]),
    )
    assert ask(store, CLEAN) == [(RAW, None), (TABLE, None)]


def test_a_change_in_place_reads_itself(store: LineageStore) -> None:
    tell(store, event("etl.add", 0, reads=[data(CLEAN), data(RAW)], writes=[data(CLEAN)]))
    assert ask(store, CLEAN) == [(CLEAN, None), (RAW, None)]


def test_a_renamed_dataset_comes_from_what_it_was_called(store: LineageStore) -> None:
    before = {"namespace": "file", "name": RAW}
    tell(store, event("etl.move", 0, writes=[changed(CLEAN, "RENAME", previousIdentifier=before)]))
    assert ask(store, CLEAN) == [(RAW, None)]


def test_what_was_written_under_another_name_counts(store: LineageStore) -> None:
    output = data(CLEAN)
    named = {"namespace": "hive://meta", "name": "lake.clean", "type": "TABLE"}
    output["facets"]["symlinks"] = {"identifiers": [named, {"name": 1}, "no"]}
    other = {"namespace": "hive://meta", "name": "lake.clean", "facets": {}}
    tell(
        store,
        event("etl.one", 0, reads=[data(RAW)], writes=[output]),
        event("spark.two", 1, reads=[data(TABLE)], writes=[other]),
    )
    assert ask(store, CLEAN) == [(RAW, None), (TABLE, None)]


def test_columns_are_told_and_lessen_nothing(store: LineageStore) -> None:
    output = data(CLEAN)
    fields = {"summary": {"inputFields": [{"namespace": "file", "name": RAW, "field": "text"}]}}
    output["facets"]["columnLineage"] = {"fields": fields}
    tell(store, event("etl.one", 0, reads=[data(RAW, digest("a")), data(TABLE)], writes=[output]))
    with store.read() as connection:
        found = origins(connection, ("file", CLEAN))
    assert found == (
        Origin(("file", RAW), digest("a"), (("text", "summary"),)),
        Origin(("file", TABLE), None),
    )


def test_columns_of_what_no_input_names_count_as_its_source(store: LineageStore) -> None:
    output = data(CLEAN)
    fields = {"a": {"inputFields": [{"namespace": "file", "name": RAW, "field": "x"}]}, "b": None, "c": {}}
    output["facets"]["columnLineage"] = {"fields": fields}
    tell(store, event("etl.one", 0, writes=[output]))
    assert ask(store, CLEAN) == [(RAW, None)]


def test_an_event_about_a_dataset_says_itself_what_it_was_made_from(store: LineageStore) -> None:
    about = data(CLEAN, digest("b"))
    about["facets"]["lineage"] = {"inputs": [{"namespace": "file", "name": RAW, "type": "DATASET"}]}
    tell(store, {"eventTime": "2026-11-22T10:00:00Z", "dataset": about})
    assert ask(store, CLEAN) == [(RAW, None)]


def test_beyond_the_writers_whose_events_are_read_everything_counts(
    store: LineageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gate.lineage.store.origins._LOOKED_AT", 1)
    tell(
        store,
        event("etl.old", 0, reads=[data(RAW)], writes=[data(CLEAN)]),
        event("etl.anew", 1, reads=[data(TABLE)], writes=[changed(CLEAN, "OVERWRITE")]),
        event("etl.last", 2, reads=[data("/lake/later")], writes=[data(CLEAN)]),
    )
    assert ask(store, CLEAN) == [("/lake/later", None), (RAW, None), (TABLE, None)]
