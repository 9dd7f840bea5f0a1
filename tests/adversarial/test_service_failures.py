"""When something that training needs is down, slow, full or lying: training does not start, and nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event as sqlalchemy_event

from gate.api.client import RemoteService
from gate.domain.dataset import Dataset
from gate.errors import CannotDecide, GateError, LedgerUnavailable, PermitRefused
from gate.service.auditing import verify_ledger
from gate.service.core import Service
from gate.service.deciding import decide
from gate.service.tagging import tag_dataset
from gate.service.worker import redeem
from support.served import Served, listening, served
from support.world import ASKING, RUN, TRAIN, USE, Clock, add_account, chat_file, event, new_service, reopen, say


@dataclass
class World:
    service: Service
    data: Dataset
    folder: Path


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Consented data with a decision and a waiting permit."""
    with new_service(tmp_path / "home") as service:
        add_account(service, "acme")
        say(service, event("acme"))
        data = chat_file(tmp_path, ["acme"] * 3)
        tag_dataset(service, data, ["chat"], by="service:airflow", via="airflow")
        assert decide(service, [data], USE, ASKING).allowed
        yield World(service, data, tmp_path)


def try_to_train(gate: Any, data: Dataset, expected: type[GateError]) -> GateError:
    with pytest.raises(expected) as caught:
        redeem(gate, TRAIN, [data], USE, by="service:airflow")
    return caught.value


def still_whole(service: Service, redemptions: int = 0) -> None:
    """The record is whole, and says only what happened."""
    assert verify_ledger(service)["findings"] == []
    with service.ledger.read() as reader:
        assert len(list(reader.entries("decision"))) == 1
        assert len(list(reader.entries("redemption"))) == redemptions


def trains_once_mended(service: Service, data: Dataset) -> None:
    assert redeem(service, replace(TRAIN, try_number=2), [data], USE, by="service:airflow").permit is not None


def remote(world: World, there: Served) -> RemoteService:
    """Return a client that outlives the server."""
    return RemoteService(there.url, there.token(), world.service.pinned_keys, clock=world.service.clock)


class TestDecisionService:
    def test_down(self, world: World) -> None:
        with served(world.service) as there:
            gate = remote(world, there)
        with gate:
            try_to_train(gate, world.data, CannotDecide)
        still_whole(world.service)
        trains_once_mended(world.service, world.data)

    def test_down_between_two_questions(self, world: World) -> None:
        """It dies after it showed the permit and before it redeems it."""
        with served(world.service) as there:
            gate = remote(world, there)
            envelope = gate.permit_of(TRAIN)
            _ = gate.pinned_keys
        with gate:
            gate.permit_of = lambda run: envelope
            try_to_train(gate, world.data, CannotDecide)
        still_whole(world.service)

    def test_slow(self, world: World) -> None:
        async def asleep(scope: Any, receive: Any, send: Any) -> None:
            import asyncio

            if scope["type"] == "http":
                await asyncio.sleep(30)

        with listening(asleep) as url:
            gate = RemoteService(url, "gate_" + "x" * 43, world.service.pinned_keys, timeout=0.2)
            began = time.monotonic()
            with gate:
                try_to_train(gate, world.data, CannotDecide)
            assert time.monotonic() - began < 25
        still_whole(world.service)

    def test_lying_with_another_key(self, world: World) -> None:
        """A service with a ledger of its own, in which everybody agreed."""
        with new_service(world.folder / "liar", Clock()) as liar:
            add_account(liar, "acme")
            say(liar, event("acme"))
            tag_dataset(liar, world.data, ["chat"], by="service:airflow", via="airflow")
            assert decide(liar, [world.data], USE, ASKING).allowed
            with served(liar) as there:
                token = there.token()
                gate = RemoteService(there.url, token, world.service.pinned_keys, clock=world.service.clock)
                with gate:
                    refusal = try_to_train(gate, world.data, PermitRefused)
        assert refusal.reason == "permit_mismatch"
        still_whole(world.service)

    def test_repeating_an_older_answer(self, world: World) -> None:
        """A service that was honest once, and answers the same after the withdrawal."""
        with served(world.service) as there, there.remote() as gate:
            first = redeem(gate, TRAIN, [world.data], USE, by="service:airflow")
            answer = {**first.to_dict(), "receipt": first.receipt}
            gate._line.json = lambda question: answer if "redemptions" in str(question) else {"permit": first.envelope}
            gate.pinned_keys = world.service.pinned_keys
            with pytest.raises(GateError):
                redeem(gate, TRAIN, [world.data], USE, by="service:airflow")


class TestDatabase:
    def test_gone(self, world: World) -> None:
        path = world.service.settings.embedded_database
        world.service.ledger.engine.dispose()
        for name in (path.name, path.name + "-wal", path.name + "-shm"):
            if (path.parent / name).exists():
                (path.parent / name).rename(path.parent / f"away-{name}")
        try_to_train(world.service, world.data, LedgerUnavailable)
        with pytest.raises(LedgerUnavailable):
            decide(world.service, [world.data], USE, replace(ASKING, run=replace(RUN, try_number=2)))
        assert not path.exists()
        for away in path.parent.glob("away-*"):
            away.rename(path.parent / away.name.removeprefix("away-"))
        with reopen(world.service.settings) as again:
            still_whole(again)
            trains_once_mended(again, world.data)

    def test_full(self, world: World) -> None:
        """Not one page more: neither a redemption nor a refusal can be written, so nothing starts."""
        engine = world.service.ledger.engine

        def full(raw: Any, *_: object) -> None:
            pages = raw.execute("PRAGMA page_count").fetchone()[0]
            raw.execute(f"PRAGMA max_page_count = {pages}")

        sqlalchemy_event.listen(engine, "checkout", full)
        failures: list[str] = []
        for number in range(40):
            try:
                redeem(world.service, replace(TRAIN, try_number=number + 1), [world.data], USE, by="service:airflow")
            except LedgerUnavailable as error:
                failures.append(error.message)
        assert failures
        assert all("no space" in message for message in failures)
        sqlalchemy_event.remove(engine, "checkout", full)
        engine.dispose()
        with reopen(world.service.settings) as again:
            still_whole(again, redemptions=40 - len(failures))

    def test_locked_by_another_writer(self, world: World) -> None:
        from gate.ledger.store import open_ledger

        with reopen(world.service.settings) as other:
            other.ledger.close()
            other.ledger = open_ledger(world.service.settings.database_url, wait=0.2)
            with world.service.ledger.write():
                try_to_train(other, world.data, LedgerUnavailable)
        still_whole(world.service)
        trains_once_mended(world.service, world.data)

    def test_read_only(self, world: World) -> None:
        engine = world.service.ledger.engine
        sqlalchemy_event.listen(engine, "checkout", lambda raw, *_: raw.execute("PRAGMA query_only = ON"))
        try_to_train(world.service, world.data, LedgerUnavailable)


@pytest.mark.postgres
def test_postgresql_ends_our_connections(tmp_path: Path, ledger_url: str) -> None:
    """As when the server restarts: what was open fails or goes on, what comes next works, nothing is there twice."""
    if not ledger_url.startswith("postgresql"):
        pytest.skip("SQLite has no connections to end")
    import psycopg

    with new_service(tmp_path / "home", url=ledger_url) as service:
        add_account(service, "acme")
        say(service, event("acme"))
        data = chat_file(tmp_path, ["acme"])
        tag_dataset(service, data, ["chat"], by="service:airflow", via="airflow")
        decide(service, [data], USE, ASKING)
        with psycopg.connect(ledger_url, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        right = redeem(service, TRAIN, [data], USE, by="service:airflow")
        assert redeem(service, TRAIN, [data], USE, by="service:airflow").index == right.index
        still_whole(service, redemptions=1)
