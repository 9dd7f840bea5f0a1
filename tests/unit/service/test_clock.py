"""Clocks that are wrong: behind the ledger nothing is decided; ahead, the way back is on record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gate.domain.instants import utc_now
from gate.errors import CannotDecide, CheckFailed, InputError
from gate.ledger.store import NewEntry
from gate.service.clock import accept_clock, steady_now
from gate.service.core import Service
from support.ledgers import check, fresh
from support.world import START, Clock, add_account, event, new_service, say


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(tmp_path: Path, clock: Clock) -> Iterator[Service]:
    with new_service(tmp_path / "home", clock) as opened:
        add_account(opened, "acme")
        yield opened


def now(service: Service):
    with service.ledger.read() as reader:
        return steady_now(service.clock, reader)


def test_time_goes_on_from_the_newest_entry(service: Service, clock: Clock) -> None:
    clock.forward(hours=1)
    assert now(service) == clock.now
    say(service, event("acme"))
    clock.forward(seconds=-30)
    assert now(service) == START + timedelta(hours=1), "two machines a little apart: the ledger's time is the floor"
    clock.forward(seconds=-1)
    with pytest.raises(CannotDecide, match="behind the ledger") as refused:
        now(service)
    assert (refused.value.reason, refused.value.exit_code) == ("cannot_decide", 4)


def test_what_is_recorded_is_in_order_whoever_records_it(service: Service, clock: Clock) -> None:
    clock.forward(hours=1)
    say(service, event("acme"))
    clock.forward(seconds=-20)
    say(service, event("acme", "withdraw"))
    with service.ledger.read() as reader:
        times = [entry.recorded_at for entry in reader.entries()]
    assert times == sorted(times)
    assert times[-1] == START + timedelta(hours=1)
    clock.forward(seconds=-20)
    with pytest.raises(CannotDecide, match="behind the ledger"):
        say(service, event("acme", "refuse"))


def test_a_clock_cannot_be_walked_back_in_small_steps(service: Service, clock: Clock) -> None:
    clock.forward(hours=1)
    say(service, event("acme"))
    for step in range(5):
        clock.now = START + timedelta(hours=1, seconds=-29)
        say(service, event("acme", "withdraw", effective_at=f"2023-10-0{step + 1}T00:00:00Z"))
    assert now(service) == START + timedelta(hours=1)


def test_recording_again_needs_no_clock(service: Service) -> None:
    new = NewEntry("tag", "t", {}, START + timedelta(hours=1), "service:test", "import")
    with service.ledger.write() as tx:
        first = tx.append_many([new])[0][0]
        again = replace(new, recorded_at=START)
        assert tx.append_many([again]) == [(first, False)], "it stands there already: nothing new is recorded"
        with pytest.raises(CannotDecide):
            tx.append_many([replace(again, subject="u")])


def test_a_batch_that_goes_back_is_put_in_order(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'l.db'}"
    with fresh(url) as ledger, ledger.write() as tx:
        times = [START, START - timedelta(seconds=9), START + timedelta(seconds=1)]
        written = tx.append_many(
            NewEntry("tag", f"t{n}", {"n": n}, time, "service:test", "import") for n, time in enumerate(times)
        )
        assert [entry.recorded_at for entry, _ in written] == [START, START, times[2]]
    assert check(url).ok


def test_after_a_clock_ran_ahead_somebody_says_so(service: Service, clock: Clock) -> None:
    with pytest.raises(CheckFailed, match="not ahead"):
        accept_clock(service, "nothing happened", by="eve", via="cli")
    clock.forward(days=300)
    say(service, event("acme"))
    clock.forward(days=-300)
    with pytest.raises(CannotDecide, match="accept-clock"):
        now(service)
    with pytest.raises(InputError, match="missing"):
        accept_clock(service, " ", by="eve", via="cli")
    index = accept_clock(service, "the board battery", by="eve", via="cli")
    assert now(service) == clock.now
    say(service, event("acme", "withdraw"))
    with service.ledger.read() as reader:
        entry = reader.entry(index)
        assert (entry.kind, entry.recorded_at, entry.via) == ("clock", START, "cli")
        assert entry.by.startswith("person:")
        assert entry.body["ahead_until"] == "2024-10-27T00:00:00Z"
        assert reader.open_ref(entry.body["reason_ref"]) == "the board battery"
        assert reader.entry(index - 1).recorded_at == START + timedelta(days=300), "nothing is rewritten"


def test_an_empty_ledger_takes_any_clock(tmp_path: Path) -> None:
    with fresh(f"sqlite:///{tmp_path / 'l.db'}") as ledger, ledger.read() as reader:
        assert steady_now(Clock(), reader) == START
        assert abs(steady_now(utc_now, reader) - utc_now()) < timedelta(minutes=1)
