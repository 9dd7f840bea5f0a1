"""Feeds and recorded times on every database: text sorts alike, and a server's clock is asked where there is one."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gate.domain.instants import utc_now
from gate.errors import CannotDecide
from gate.ledger import clock, records
from gate.ledger.state import feeds
from gate.ledger.store import NewEntry
from support.ledgers import COMMON, NOW, check, fresh

LATER = timedelta(hours=1)


def test_every_source_stands_once_with_its_newest_watermark(ledger_url: str) -> None:
    sources = ("a", "crm", "crm-2", "crm.eu", "crm0", "crm_us", "crmz", "zz")
    with fresh(ledger_url) as ledger:
        for step in (2, 1, 3):
            with ledger.write() as tx:
                for source in reversed(sources):
                    records.record_feed(tx, source, NOW + step * LATER, **COMMON)
        with ledger.read() as reader:
            assert [(feed.source, feed.watermark) for feed in feeds(reader)] == [(s, NOW + 3 * LATER) for s in sources]
            assert len(list(reader.entries("feed"))) == 2 * len(sources), "the older report added nothing"
    assert check(ledger_url).ok


def test_the_newest_entry_is_the_floor_of_time(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger:
        with ledger.write() as tx:
            assert clock.recorded_until(tx) is None
            tx.append_many([NewEntry("tag", "t1", {}, NOW + LATER, "service:test", "import")])
        with ledger.write() as tx:
            assert clock.recorded_until(tx) == NOW + LATER
            with pytest.raises(CannotDecide, match="behind the ledger"):
                tx.append_many([NewEntry("tag", "t2", {}, NOW, "service:test", "import")])
        with ledger.write() as tx:
            close = NewEntry("tag", "t2", {}, NOW + LATER - clock.CLOCK_SKEW, "service:test", "import")
            assert tx.append_many([close])[0][0].recorded_at == NOW + LATER


def test_a_servers_clock_is_compared(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger, ledger.read() as reader:
        clock.check_against_database(reader, utc_now())
        for wrong in (utc_now() + LATER, utc_now() - LATER):
            if ledger_url.startswith("sqlite"):
                clock.check_against_database(reader, wrong)  # it runs on this machine's own
            else:
                with pytest.raises(CannotDecide, match="1:00:00 apart"):
                    clock.check_against_database(reader, wrong)
