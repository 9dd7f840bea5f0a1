"""Whatever was made from whatever: a version bears what a plain walk up the same record finds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gate.domain.dataset import DatasetVersion, dataset
from gate.domain.words import Category
from gate.service.core import Service
from gate.service.ports import TagStatement
from gate.service.tags import read_tags
from support.world import Clock, new_service

NAMES = 5
WORDS = ("audio", "chat", "phi", "telemetry")


@dataclass(frozen=True)
class Said:
    """One tag: of which dataset and version, what it declares, what it names as sources."""

    name: int
    version: int
    declared: frozenset[str]
    made_from: frozenset[int]


said = st.builds(
    Said,
    st.integers(0, NAMES - 1),
    st.integers(0, 1),
    st.frozensets(st.sampled_from(WORDS), max_size=2),
    st.frozensets(st.integers(0, NAMES), max_size=2),  # the last is never tagged
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with new_service(tmp_path_factory.mktemp("inheriting") / "home", Clock()) as opened:
        yield opened


worlds = count()


def version(world: int, name: int, number: int) -> DatasetVersion:
    return DatasetVersion(dataset(f"/w{world}/{name}", "account_id"), f"sha256:{number:064x}", 1, 1)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tags=st.lists(said, min_size=1, max_size=8))
def test_the_answer_is_that_of_a_plain_walk(service: Service, tags: list[Said]) -> None:
    world = next(worlds)
    for tag in tags:
        uris = tuple(dataset(f"/w{world}/{name}").uri for name in sorted(tag.made_from - {tag.name}))
        statement = TagStatement(
            version(world, tag.name, tag.version), declared=tuple(sorted(tag.declared)), made_from=uris
        )
        service.record_tag(statement, by="service:airflow", via="airflow")
    with service.ledger.read() as reader:
        for name, number in {(tag.name, tag.version) for tag in tags}:
            found = read_tags(reader, version(world, name, number), service.now(reader))
            words, unknown = walked(tags, (name, number), set())
            assert found.categories == {Category(word) for word in words}
            assert bool(found.questions) == unknown


def walked(tags: list[Said], node: tuple[int, int], seen: set[tuple[int, int]]) -> tuple[set[str], bool]:
    """Go up from one version: every version on record of whatever any tag of it names."""
    seen.add(node)
    mine = [tag for tag in tags if (tag.name, tag.version) == node]
    words, unknown = {word for tag in mine for word in tag.declared}, False
    for name in {name for tag in mine for name in tag.made_from if name != tag.name}:
        versions = {(tag.name, tag.version) for tag in tags if tag.name == name}
        unknown = unknown or not versions
        for further in versions - seen:
            more, doubt = walked(tags, further, seen)
            words, unknown = words | more, unknown or doubt
    return words, unknown


def test_a_long_chain_is_walked(tmp_path: Path) -> None:
    with new_service(tmp_path / "home", Clock()) as service:
        for number in range(60):
            uris = (dataset(f"/chain/{number - 1}").uri,) if number else ()
            declared = ("phi",) if number == 0 else ()
            made = DatasetVersion(dataset(f"/chain/{number}", "account_id"), f"sha256:{number:064x}", 1, 1)
            service.record_tag(TagStatement(made, declared=declared, made_from=uris), by="service:x", via="airflow")
        with service.ledger.read() as reader:
            last = read_tags(reader, made, service.now(reader))
    assert last.categories == {Category.PHI}
