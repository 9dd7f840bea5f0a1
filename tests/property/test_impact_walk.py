"""What an account concerns is what a plain walk over the same ledger and lineage finds, in any small world."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gate.domain.run import TaskRun
from gate.lineage.observed import observe
from gate.lineage.store.database import LineageStore
from gate.lineage.store.ingest import store_events
from gate.service.anchors import recording
from gate.service.core import Service
from gate.service.impact import Subject, impact
from gate.service.lineage_store import open_lineage
from support.impact import chats, trained
from support.world import Clock, add_account, event, new_service, say

SETS = 6
NAMES = ("acme", "zeta")

Body = dict[str, Any]


@dataclass(frozen=True)
class Decided:
    """A decision about datasets; `accounts` is its list, empty where it keeps none."""

    datasets: tuple[int, ...]
    accounts: frozenset[str]
    allowed: bool
    declassified: bool


@dataclass(frozen=True)
class Ran:
    """A run, and which of the decisions let it train, if one did."""

    reads: tuple[int, ...]
    writes: tuple[int, ...]
    permitted_by: int | None


World = tuple[list[Decided], list[Ran]]

some = st.lists(st.integers(0, SETS - 1), max_size=2, unique=True).map(tuple)
decisions = st.builds(
    Decided,
    st.lists(st.integers(0, SETS - 1), min_size=1, max_size=2, unique=True).map(tuple),
    st.frozensets(st.sampled_from(NAMES)),
    st.booleans(),
    st.integers(0, 9).map(lambda chance: chance == 0),
)
runs = st.builds(Ran, some, some, st.one_of(st.none(), st.integers(0, 3)))
worlds = st.tuples(st.lists(decisions, min_size=1, max_size=4), st.lists(runs, max_size=6))


def walked(world: World) -> tuple[set[int], set[int], set[int]]:
    """Return the datasets, decisions and runs that concern the first account: the rules, again and again."""
    decided, ran = world
    holds = {number for number, one in enumerate(decided) if NAMES[0] in one.accounts}

    def free(data: int) -> bool:
        about = [(number in holds, one) for number, one in enumerate(decided) if data in one.datasets]
        if any(one.declassified for _, one in about):
            return True
        alone = any(held and len(one.datasets) == 1 for held, one in about)
        return not alone and any(one.accounts and not held for held, one in about)

    found, chosen, reached = set[int](), set(holds), set[int]()
    before = -1
    while before != len(found) + len(chosen) + len(reached):
        before = len(found) + len(chosen) + len(reached)
        for number in chosen:
            datasets = decided[number].datasets
            found.update(data for data in datasets if len(datasets) == 1 or not free(data))
        carried = {data for data in found if not free(data)}
        for number, run in enumerate(ran):
            trained_on = run.permitted_by in chosen and decided[run.permitted_by].allowed
            if trained_on or carried.intersection(run.reads).difference(run.writes):
                reached.add(number)
                found.update(data for data in run.writes if not free(data))
        chosen.update(number for number, one in enumerate(decided) if carried.intersection(one.datasets))
    return found, chosen, reached


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with new_service(tmp_path_factory.mktemp("impact") / "home", Clock()) as opened:
        yield opened


@pytest.fixture(scope="module")
def store(service: Service) -> Iterator[LineageStore]:
    with open_lineage(service.settings) as opened:
        yield opened


@pytest.fixture(scope="module")
def body(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Body:
    """What the ledger keeps of a real decision."""
    add_account(service, "real")
    say(service, event("real"))
    return dict(trained(service, chats(tmp_path_factory.mktemp("lake"), "real", ["real"])).record)


def digest(world: int, data: int) -> str:
    return f"sha256:{1000 * world + data:064x}"


def decide(service: Service, body: Body, number: int, decided: list[Decided]) -> list[int]:
    """Append decisions as the ledger keeps them; returns their indices."""
    item = body["datasets"][0]
    for account in NAMES:
        add_account(service, f"{account}{number}")
    found = []
    with recording(service) as tx:
        for place, one in enumerate(decided):
            refs = tx.commit_refs("account", [f"{account}{number}" for account in sorted(one.accounts)]).values()
            said = {
                **body,
                "run": TaskRun("decides", f"{number}.{place}", "gate").to_dict(),
                "decision": {**body["decision"], "verdict": "allow" if one.allowed else "block"},
                "accounts": tx.attach(b"".join(sorted(map(bytes.fromhex, refs))), "application/octet-stream"),
                "datasets": [
                    {
                        **item,
                        "version": {**item["version"], "uri": f"file:///lake/{data}", "digest": digest(number, data)},
                        "sources": [["chat", "declassified"]] if one.declassified else item["sources"],
                    }
                    for data in one.datasets
                ],
            }
            entry, _ = tx.append(
                "decision", f"{number}/{place}", said, recorded_at=service.clock(), by="service:x", via="x"
            )
            found.append(entry.idx)
    return found


def tell(store: LineageStore, number: int, ran: list[Ran], indices: list[int]) -> list[str]:
    """Tell lineage of runs; returns their ids."""
    ids = [str(uuid.UUID(int=1000 * number + place)) for place in range(len(ran))]
    events = []
    for id_, run in zip(ids, ran, strict=True):
        by = run.permitted_by
        tags = [] if by is None else [{"key": "gate.decision", "value": str(indices[by])}]
        versions = {data: {"version": {"datasetVersion": digest(number, data)}} for data in range(SETS)}
        events.append(
            {
                "eventType": "COMPLETE",
                "eventTime": "2024-01-01T00:00:00Z",
                "run": {"runId": id_, "facets": {"tags": {"tags": tags}}},
                "job": {"namespace": "default", "name": "job"},
                "inputs": [{"namespace": "file", "name": f"/lake/{n}", "facets": versions[n]} for n in run.reads],
                "outputs": [{"namespace": "file", "name": f"/lake/{n}", "facets": versions[n]} for n in run.writes],
            }
        )
    store_events(store, map(observe, events))
    return ids


numbers = count(1)


@given(worlds)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_accounts_impact_is_what_a_plain_walk_finds(
    service: Service, store: LineageStore, body: Body, world: World
) -> None:
    number = next(numbers)  # the ledger keeps the worlds before: nothing of them may be found
    decided, ran = world
    ran = [run if run.permitted_by in range(len(decided)) else replace(run, permitted_by=None) for run in ran]
    indices = decide(service, body, number, decided)
    ids = tell(store, number, ran, indices)
    answer = impact(service, store, Subject("account", f"{NAMES[0]}{number}"))
    data, chosen, reached = walked((decided, ran))
    assert {one["version"] for one in answer["versions"]} == {digest(number, one) for one in data}
    assert {one["index"] for one in answer["decisions"]} == {indices[one] for one in chosen}
    assert {one["lineage_run"] for one in answer["runs"]} == {ids[one] for one in reached}
