"""Answers to requests with an idempotency key: kept once, given again, forgotten; and the schema that brought them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from gate.errors import LedgerUnavailable
from gate.ledger import database
from gate.ledger.store import Answer, Transaction, create_ledger, open_ledger
from support.ledgers import check, fill, fresh, numbered, opened


def test_an_answer_is_given_again(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger:
        assert ledger.answered("k") is None
        assert ledger.remember("k", "sha256:1", 201, b'{"index":7}') == Answer("sha256:1", 201, b'{"index":7}')
    with opened(ledger_url) as ledger:
        assert ledger.answered("k") == Answer("sha256:1", 201, b'{"index":7}')
        assert ledger.answered("other") is None


def test_the_first_answer_stays(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger:
        first = ledger.remember("k", "sha256:1", 201, b"one")
        assert ledger.remember("k", "sha256:2", 500, b"two") == first == ledger.answered("k")


def test_racing_answers_agree(ledger_url: str) -> None:
    racers = 6
    together = Barrier(racers)
    with fresh(ledger_url) as ledger:

        def race(number: int) -> Answer:
            together.wait()
            return ledger.remember("k", "sha256:1", 200, str(number).encode())

        with ThreadPoolExecutor(racers) as pool:
            answers = set(pool.map(race, range(racers)))
        assert answers == {ledger.answered("k")}


def test_old_answers_are_forgotten(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger:
        ledger.remember("k", "sha256:1", 200, b"")
        now = datetime.now(UTC)
        assert ledger.forget_answers(now - timedelta(hours=1)) == 0
        assert ledger.answered("k") is not None
        assert ledger.forget_answers(now + timedelta(hours=1)) == 1
        assert ledger.answered("k") is None
        assert ledger.remember("k", "sha256:2", 200, b"new").request_digest == "sha256:2"


def test_answers_are_no_part_of_the_record(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger:
        with ledger.write() as tx:
            fill(tx)
            head = tx.head()
        ledger.remember("k", "sha256:1", 200, b"")
        with ledger.read() as reader:
            assert reader.head() == head
    assert check(ledger_url).ok


def test_an_older_database_is_upgraded_with_everything_in_it(ledger_url: str) -> None:
    with older_program(ledger_url) as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
        command.upgrade(config, "0001")
        connection.execute(text("INSERT INTO meta (key, value) VALUES ('origin', 'consent-gate.ledger/old')"))
        Transaction(connection, lambda: b"0" * 16).append_many(numbered(0, 1))
    with pytest.raises(LedgerUnavailable, match="gate db upgrade"):
        open_ledger(ledger_url)
    create_ledger(ledger_url)
    with opened(ledger_url) as ledger:
        with ledger.write() as tx:
            assert (tx.origin, tx.size, tx.entry(0).subject) == ("consent-gate.ledger/old", 1, "n0")
            tx.append_many(numbered(1, 3))
        assert ledger.remember("k", "sha256:1", 200, b"").status == 200
    report = check(ledger_url)
    assert (report.ok, report.size) == (True, 3)


@contextmanager
def older_program(url: str) -> Iterator[Connection]:
    """Open a writing transaction as a program of an earlier version would have: `open_ledger` refuses its schema."""
    parsed = database.parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        database.create_file(parsed)
    engine = database.make_engine(parsed, 5.0)
    try:
        with engine.connect() as connection, database.writer(connection).begin():
            yield connection
    finally:
        engine.dispose()
