"""A bulk import writes the very bytes that recording one by one writes, in the same order, and once."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from gate.domain.consent import Appointment, parse_consent_event
from gate.domain.words import Role
from gate.errors import CannotDecide
from gate.ledger import bulk, merkle, records
from gate.ledger.bulk import append_lines
from gate.ledger.format import refs_in
from gate.ledger.lines import Line, order_of
from gate.service.shaping import Appointments, Consents
from gate.service.spool import Spool
from support.databases import fresh_database, postgres_server
from support.ledgers import COMMON, NOW, check, fresh, numbered

START = datetime(2023, 8, 10, tzinfo=UTC)


@pytest.fixture
def other_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'other' / 'ledger.db'}"


def same_salt() -> bytes:
    """Make references depend on their values alone, so that the order they are made in does not show."""
    return b"s" * 16


def histories(count: int, seed: int = 7) -> list[dict[str, Any]]:
    """Return events in which every field occurs with and without a value, and texts that need escaping."""
    chance = random.Random(seed)
    events = []
    for number in range(count):
        at = START + timedelta(seconds=chance.randrange(10_000))
        account = chance.choice(["acme", "ünïted", '100 % "quoted" \\ back', f"a{number % 40}"])
        optional: dict[str, Any] = {
            "categories": chance.choice([["chat"], ["chat", "audio"]]),
            "features": chance.choice(["*", ["50 % off"]]),
            "purposes": ["train"],
            "ownership": ["first_party"],
            "notice": {"terms_version": "2023-08-07", "text_sha256": "ab" * 32},
            "instrument": "contract",
            "channel": chance.choice(["console", "%s"]),
            "bundled_with_service": True,
            "withdrawal_channel": "form",
            "jurisdiction": "US",
            "evidence": chance.choice(["form", f"form {number}"]),
            "expires_at": (at + timedelta(days=9, microseconds=chance.choice([0, 5]))).isoformat(),
        }
        events.append(
            {
                "account_id": account,
                "action": chance.choice(["grant", "withdraw", "refuse"]),
                "toggle": "share_for_training",
                "principal": {"id": f"admin@{account}", "role": "admin"} | chance.choice([{}, {"evidence": "seen"}]),
                "effective_at": chance.choice([at, at + timedelta(milliseconds=5)]).isoformat(),
                **{name: value for name, value in optional.items() if chance.random() < 0.7},
            }
        )
    return [*events, *events[::7]]


def lines_of(read: Consents | Appointments, rows: Sequence[Any]) -> list[Line]:
    shaped = [read(row) for row in rows]
    return sorted((order_of(texts[1]), place, shape, texts) for place, (shape, texts) in enumerate(shaped))


def pages(lines: Sequence[Line], size: int) -> Iterator[Sequence[Line]]:
    for start in range(0, len(lines), size):
        yield lines[start : start + size]


def entries(url: str, *batches: Any) -> list[tuple[Any, ...]]:
    """Record batches, each a function of a transaction; return all entries, the head and the number of openings."""
    with fresh(url, salt=same_salt) as ledger:
        for batch in batches:
            with ledger.write() as tx:
                batch(tx)
        with ledger.read() as reader:
            found: list[tuple[Any, ...]] = [(e.idx, e.subject, e.payload, e.leaf_hash) for e in reader.entries()]
            refs = {ref for e in reader.entries() for ref in refs_in(e.body)}
            return [*found, reader.head(), sorted(reader.open_refs(refs).items())]


def test_consents_give_the_same_bytes(ledger_url: str, other_url: str) -> None:
    raw = histories(300)
    events = sorted(map(parse_consent_event, raw), key=lambda event: event.effective_at)
    lines = lines_of(Consents(), raw)
    one_by_one = entries(
        other_url,
        lambda tx: tx.append_many(numbered(0, 5)),
        lambda tx: records.record_consents(tx, events[:20], **COMMON),
        lambda tx: records.record_consents(tx, events, **COMMON),
    )
    in_bulk = entries(
        ledger_url,
        lambda tx: tx.append_many(numbered(0, 5)),
        lambda tx: append_lines(tx, pages(lines[:20], 20), **COMMON),
        lambda tx: append_lines(tx, pages(lines, 37), **COMMON),
    )
    assert in_bulk == one_by_one
    assert check(ledger_url).ok


def test_appointments_give_the_same_bytes(ledger_url: str, other_url: str) -> None:
    chance = random.Random(3)
    said = [
        Appointment(f"a{number % 9}", f"p%{number % 7}", "appoint" if number % 3 else "remove", Role.ADMIN, at)
        for number in range(60)
        for at in [START + timedelta(days=chance.randrange(5))]
    ]
    raw = [
        {
            "account_id": a.account_id,
            "person_id": a.person_id,
            "action": a.action,
            "role": "admin",
            "effective_at": a.effective_at.isoformat(),
        }
        for a in said
    ]
    ordered = sorted(said, key=lambda a: a.effective_at)
    one_by_one = entries(other_url, lambda tx: records.record_appointments(tx, ordered, **COMMON))
    in_bulk = entries(ledger_url, lambda tx: append_lines(tx, pages(lines_of(Appointments(), raw), 7), **COMMON))
    assert in_bulk == one_by_one


def test_what_is_known_adds_nothing_and_is_counted(ledger_url: str) -> None:
    lines = lines_of(Consents(), histories(50))
    with fresh(ledger_url) as ledger:
        for added, known in ((50, 8), (0, 58)):
            with ledger.write() as tx:
                done = append_lines(tx, pages(lines, 9), **COMMON)
                assert (done.added, done.known) == (added, known)
        with ledger.read() as reader:
            assert reader.size == 50
            heads = reader.connection.exec_driver_sql("SELECT size, previous FROM tree_head").fetchall()
            assert [tuple(head) for head in heads] == [(50, 0)], "an import is one batch"
    assert check(ledger_url).ok


@pytest.mark.postgres
def test_after_a_large_import_the_database_knows_what_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it plans as for an empty ledger, and every lookup reads all of it until autovacuum comes by."""
    monkeypatch.setattr(bulk, "_MANY", 200)
    lines = lines_of(Consents(), histories(300))
    with fresh_database(postgres_server()) as url, fresh(url) as ledger:
        with ledger.write() as tx:
            append_lines(tx, pages(lines, 100), **COMMON)
        with ledger.read() as reader:
            planned = "SELECT relname, reltuples FROM pg_class WHERE relname IN ('entry', 'opening', 'node')"
            counted = dict(tuple(row) for row in reader.connection.exec_driver_sql(planned))
            assert counted["entry"] == reader.size
            assert counted["opening"] > 0


@pytest.mark.postgres
def test_statistics_that_cannot_be_had_cost_no_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "_MANY", 200)
    lines = lines_of(Consents(), histories(300))
    with fresh_database(postgres_server()) as url, fresh(url) as ledger:
        with psycopg.connect(url) as other, ledger.write() as tx:
            other.execute("LOCK TABLE entry IN SHARE UPDATE EXCLUSIVE MODE")  # as a running vacuum holds it
            tx.connection.exec_driver_sql("SET LOCAL lock_timeout = '100ms'")
            told = append_lines(tx, pages(lines, 100), **COMMON)
        with ledger.read() as reader:
            assert reader.size == told.added > 200


def test_an_error_on_the_way_undoes_all(ledger_url: str) -> None:
    def failing() -> Iterator[Sequence[Line]]:
        yield from pages(lines_of(Consents(), histories(50)), 20)
        raise CannotDecide("the disk is gone", reason="cannot_decide")

    with fresh(ledger_url) as ledger:
        with pytest.raises(CannotDecide), ledger.write() as tx:
            append_lines(tx, failing(), **COMMON)
        with ledger.read() as reader:
            assert (reader.size, reader.ref("account", "acme")) == (0, None)
        with ledger.write() as tx:
            tx.append_many(numbered(0, 3))
    assert (check(ledger_url).ok, check(ledger_url).size) == (True, 3)


def test_a_clock_that_is_behind_is_rounded_up_or_refused(ledger_url: str) -> None:
    lines = lines_of(Consents(), histories(3))
    with fresh(ledger_url) as ledger:
        with ledger.write() as tx:
            tx.append_many(numbered(0, 1))
        with ledger.write() as tx:
            append_lines(tx, [lines], **{**COMMON, "recorded_at": NOW - timedelta(seconds=5)})
            assert tx.newest().recorded_at == NOW  # type: ignore[union-attr]
        with pytest.raises(CannotDecide, match="clock is behind"), ledger.write() as tx:
            append_lines(tx, [lines], **{**COMMON, "recorded_at": NOW - timedelta(minutes=5)})


def test_nothing_is_nothing(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger, ledger.write() as tx:
        assert append_lines(tx, [], **COMMON).added == 0
        assert tx.size == 0


@pytest.mark.parametrize("count", [0, 1, 50, 30_000])
def test_a_spool_gives_all_back_in_order(count: int) -> None:
    chance, spool = random.Random(count), Spool(run=997)
    shape = ("consent", "", (), -1)
    lines: list[Line] = [(f"{chance.randrange(50):04}", place, shape, (f"text {place}",)) for place in range(count)]
    for line in lines:
        spool.add(line)
    assert spool.count == count
    for _ in range(2):
        given = list(spool.pages())
        assert [line for page in given for line in page] == sorted(lines)
        assert max(map(len, given), default=0) < 20_000
    spool.close()


def test_batches_of_leaves_give_the_tree_of_leaf_by_leaf() -> None:
    chance, leaves = random.Random(1), [bytes([n % 256]) * 32 for n in range(700)]
    peaks, whole, completed = list[bytes](), list[tuple[int, int, bytes]](), list[tuple[int, int, bytes]]()
    grown, size = list[bytes](), 0
    for place, leaf in enumerate(leaves):
        merkle.add_leaf(peaks, place, leaf, whole)
    while size < len(leaves):
        some = leaves[size : size + chance.randrange(0, 40)]
        grown = merkle.add_leaves(grown, size, some, completed, 3)
        size += len(some)
    assert grown == peaks
    assert sorted(completed) == sorted(node for node in whole if node[0] >= 3)
