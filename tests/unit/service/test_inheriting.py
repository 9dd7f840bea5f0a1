"""What comes to a dataset version from its sources: as tags and lineage name them, however far back."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gate.domain.dataset import Dataset, dataset
from gate.domain.instants import format_instant
from gate.errors import LineageUnavailable
from gate.lineage.observed import observe
from gate.lineage.store.ingest import store_events
from gate.scan.digest import measure
from gate.service.acting import Person
from gate.service.acts import approve, propose
from gate.service.core import Service
from gate.service.deciding import check, decide
from gate.service.retagging import changed_decisions
from gate.service.tagging import tag_dataset
from gate.service.tags import Tagged, read_tags
from support.anonymity import VOUCHED
from support.lineage_scene import event as ran
from support.world import ASKING, USE, Clock, add_account, event, new_service, say


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with new_service(tmp_path / "home", Clock()) as opened:
        add_account(opened, "acme")
        yield opened


def table(folder: Path, name: str, **columns: Any) -> Dataset:
    """Write a small table in which detection finds nothing."""
    rows = [{"account_id": "acme", "n": n, **columns} for n in range(3)]
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return dataset(str(folder / f"{name}.jsonl"), "account_id")


def tag(service: Service, data: Dataset, *declare: str, made_from: tuple[Dataset, ...] = (), **how: Any) -> Tagged:
    uris = [one.uri for one in made_from]
    how = {"by": "service:airflow", "via": "airflow", **how}
    return tag_dataset(service, data, declare, made_from=uris, **how)


def words(tagged: Tagged) -> set[str]:
    return {category.value for category in tagged.categories}


def now(service: Service, data: Dataset) -> Tagged:
    with service.ledger.read() as reader:
        return read_tags(reader, measure(data)[0], service.now(reader))


def reasons(service: Service, *datasets: Dataset) -> list[str]:
    return [reason.value for reason in check(service, datasets, USE)[0].reasons]


def named(data: Dataset) -> dict[str, Any]:
    return {"namespace": data.namespace, "name": data.name, "facets": {}}


def tell(service: Service, reads: list[Dataset], writes: Dataset, minute: int = 0, **facets: Any) -> None:
    told = ran(
        "etl.build", minute, run=f"run {minute}", reads=map(named, reads), writes=[named(writes) | {"facets": facets}]
    )
    store_events(service.intake.store(), [observe(told)])


def test_a_derived_table_bears_what_its_source_bears(service: Service, tmp_path: Path) -> None:
    source, derived = table(tmp_path, "chat"), table(tmp_path, "features")
    tag(service, source, "chat")
    found = tag(service, derived, "telemetry", made_from=(source,))
    assert words(found) == {"chat", "telemetry"}
    assert ("chat", "inherited") in found.sources
    assert reasons(service, derived) == ["no_consent"]
    say(service, event("acme"))
    assert reasons(service, derived) == []


def test_lineage_says_what_it_came_of(service: Service, tmp_path: Path) -> None:
    source, derived = table(tmp_path, "phi"), table(tmp_path, "features")
    tag(service, source, "phi")
    tell(service, [source], derived)
    found = tag(service, derived, "telemetry")
    assert words(found) == {"phi", "telemetry"}
    assert f"inherits phi from {source.name}" in found.notes


def test_lineage_heard_after_the_tag_counts_at_the_decision(service: Service, tmp_path: Path) -> None:
    source, derived = table(tmp_path, "phi"), table(tmp_path, "features")
    tag(service, source, "phi")
    tag(service, derived, "telemetry")
    assert reasons(service, derived) == []
    tell(service, [source], derived)
    assert reasons(service, derived) == ["no_consent"]


def test_column_lineage_names_columns_and_takes_nothing_away(service: Service, tmp_path: Path) -> None:
    source, derived = table(tmp_path, "chat"), table(tmp_path, "features")
    tag(service, source, "chat")
    field = {"namespace": source.namespace, "name": source.name, "field": "n"}
    tell(service, [source], derived, columnLineage={"fields": {"count": {"inputFields": [field]}}})
    found = tag(service, derived, "telemetry")
    assert words(found) == {"chat", "telemetry"}
    assert f"inherits chat from {source.name} (columns n → count)" in found.notes


def test_a_source_without_a_tag_blocks_until_it_has_one(service: Service, tmp_path: Path) -> None:
    source, derived = table(tmp_path, "raw"), table(tmp_path, "features")
    found = tag(service, derived, "telemetry", made_from=(source,))
    assert found.questions == (f"What did it get from {source.name}? That is not tagged.",)
    assert reasons(service, derived) == ["unclassified_data"]
    tag(service, source, "telemetry")
    assert now(service, derived).questions == ()
    assert reasons(service, derived) == []


def test_a_person_may_answer_for_a_source_that_nobody_can_tag(service: Service, tmp_path: Path) -> None:
    source, derived = table(tmp_path, "raw"), table(tmp_path, "features")
    tag(service, derived, "telemetry", made_from=(source,))
    tag(service, derived, made_from=(source,), resolve=["none"], by="ann", via="cli")
    assert words(now(service, derived)) == {"telemetry"}
    assert reasons(service, derived) == []


def test_tagging_a_source_again_re_tags_what_came_of_it(service: Service, tmp_path: Path) -> None:
    raw, clean, features = (table(tmp_path, name) for name in ("raw", "clean", "features"))
    tag(service, raw, "telemetry")
    tag(service, clean, "telemetry", made_from=(raw,))
    tag(service, features, "telemetry", made_from=(clean,))
    outcome = decide(service, [features], USE, ASKING)
    assert outcome.allowed
    tag(service, raw, "telemetry", "phi")
    assert words(now(service, features)) == {"telemetry", "phi"}
    with service.ledger.read() as reader:
        [changed] = changed_decisions(reader, raw, service.now(reader))
    assert (changed.decision, changed.verdict, changed.dataset) == (outcome.index, "allow", features.name)
    assert (changed.added, changed.removed) == (("phi",), ())
    with service.ledger.read() as reader:
        assert changed_decisions(reader, table(tmp_path, "other"), service.now(reader)) == []


def test_a_diamond_is_the_union_of_both_ways(service: Service, tmp_path: Path) -> None:
    raw, left, right, joined = (table(tmp_path, name) for name in ("raw", "left", "right", "joined"))
    tag(service, raw, "telemetry")
    tag(service, left, "chat", made_from=(raw,))
    tag(service, right, "audio", made_from=(raw,))
    assert words(tag(service, joined, made_from=(left, right))) == {"telemetry", "chat", "audio"}


def test_a_circle_ends(service: Service, tmp_path: Path) -> None:
    one, two = table(tmp_path, "one"), table(tmp_path, "two")
    tag(service, one, "chat", made_from=(two,))
    tag(service, two, "audio", made_from=(one,))
    for data in (one, two):
        assert words(now(service, data)) == {"chat", "audio"}
        assert now(service, data).questions == ()


def test_what_is_changed_in_place_keeps_what_was_there(service: Service, tmp_path: Path) -> None:
    data = table(tmp_path, "table")
    tag(service, data, "phi")
    tell(service, [data], data)
    data = table(tmp_path, "table", more=1)
    assert words(tag(service, data, "telemetry")) == {"phi", "telemetry"}


def test_what_is_overwritten_as_a_whole_does_not(service: Service, tmp_path: Path) -> None:
    old, new, data = (table(tmp_path, name) for name in ("old", "new", "table"))
    tag(service, old, "phi")
    tag(service, new, "telemetry")
    tell(service, [old], data)
    tell(service, [new], data, minute=1, lifecycleStateChange={"lifecycleStateChange": "OVERWRITE"})
    assert words(tag(service, data, "telemetry")) == {"telemetry"}


def test_a_rename_hides_nothing(service: Service, tmp_path: Path) -> None:
    before, after = table(tmp_path, "before"), table(tmp_path, "after")
    tag(service, before, "education_record")
    was = {"namespace": before.namespace, "name": before.name}
    tell(service, [], after, lifecycleStateChange={"lifecycleStateChange": "RENAME", "previousIdentifier": was})
    assert words(tag(service, after, "telemetry")) == {"education_record", "telemetry"}


def test_leaving_a_source_out_later_does_not_lose_it(service: Service, tmp_path: Path) -> None:
    source, derived = table(tmp_path, "chat"), table(tmp_path, "features")
    tag(service, source, "chat")
    tag(service, derived, "telemetry", made_from=(source,))
    assert words(tag(service, derived, "telemetry")) == {"chat", "telemetry"}


def test_doubts_about_a_source_are_doubts_about_what_came_of_it(service: Service, tmp_path: Path) -> None:
    (tmp_path / "raw.bin").write_bytes(random.Random(1).randbytes(9000))
    raw = dataset(str(tmp_path / "raw.bin"), "constant:acme")
    derived, further = table(tmp_path, "features"), table(tmp_path, "further")
    tag(service, raw)
    tag(service, derived, "telemetry", made_from=(raw,))
    tag(service, further, "telemetry", made_from=(derived,))
    assert reasons(service, further) == ["unclassified_data"]
    tag(service, raw, resolve=["telemetry"], by="ann", via="cli")
    assert reasons(service, further) == []


def test_none_is_contradicted_by_what_it_inherits(service: Service, tmp_path: Path) -> None:
    source, derived = table(tmp_path, "chat"), table(tmp_path, "features")
    tag(service, source, "chat")
    tag(service, derived, "none", made_from=(source,))
    say(service, event("acme"))
    assert "tag_conflict" in reasons(service, derived)


def test_nothing_is_decided_while_nobody_can_say_what_it_came_of(tmp_path: Path) -> None:
    with new_service(tmp_path / "home", Clock()) as service:
        add_account(service, "acme")
        data = table(tmp_path, "features")
        tag(service, data, "telemetry")
        service.close()
        place = tmp_path / "home" / "lineage.db"
        for file in place.parent.glob("lineage.db*"):
            file.unlink()
        place.mkdir()
        with pytest.raises(LineageUnavailable) as caught:
            check(service, [data], USE)
        assert caught.value.exit_code == 4


class TestDeclassification:
    """Inheritance stops only by a declassification, and only for as long as that stands."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def world(self, tmp_path: Path, clock: Clock) -> Iterator[Service]:
        with new_service(tmp_path / "home", clock) as opened:
            add_account(opened, "acme")
            yield opened

    def anonymous(self, service: Service, data: Dataset, *removes: str, days: int = 30) -> None:
        with service.ledger.read() as reader:
            until = service.now(reader) + timedelta(days=days)
        params = {"uri": data.uri, "digest": measure(data)[0].digest, "removes": list(removes)}
        proposal = propose(
            service,
            "declassification",
            {**params, "expires_at": format_instant(until), **VOUCHED},
            "counts per month",
            by=Person("airflow", "alice", "Alice"),
        )
        approve(service, proposal, by=Person("airflow", "bob", "Bob"))

    def test_what_came_of_anonymous_data_is_anonymous_while_that_stands(
        self, world: Service, clock: Clock, tmp_path: Path
    ) -> None:
        raw, counts, report = (table(tmp_path, name) for name in ("raw", "counts", "report"))
        tag(world, raw, "phi")
        tag(world, counts, made_from=(raw,))
        tag(world, report, made_from=(counts,))
        assert reasons(world, report) == ["no_consent"]
        self.anonymous(world, counts, "phi")
        found = now(world, report)
        assert (words(found), found.declassified_until is not None) == ({"aggregated_anonymous"}, True)
        assert reasons(world, report) == []
        clock.forward(days=31)
        assert words(now(world, report)) >= {"phi"}
        assert "no_consent" in reasons(world, report)

    def test_another_way_round_it_still_counts(self, world: Service, tmp_path: Path) -> None:
        raw, counts, report = (table(tmp_path, name) for name in ("raw", "counts", "report"))
        tag(world, raw, "phi")
        tag(world, counts, made_from=(raw,))
        tag(world, report, made_from=(counts, raw))
        self.anonymous(world, counts, "phi")
        assert words(now(world, report)) == {"phi"}
        assert reasons(world, report) == ["no_consent"]

    def test_beside_other_data_only_that_counts(self, world: Service, tmp_path: Path) -> None:
        raw, counts, report = (table(tmp_path, name) for name in ("raw", "counts", "report"))
        tag(world, raw, "phi")
        tag(world, counts, made_from=(raw,))
        tag(world, report, "telemetry", made_from=(counts,))
        self.anonymous(world, counts, "phi")
        assert words(now(world, report)) == {"telemetry"}
        assert reasons(world, report) == []
        assert decide(world, [report], USE, ASKING).allowed
