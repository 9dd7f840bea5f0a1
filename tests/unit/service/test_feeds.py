"""Consent sources: how far they have come, and when a policy finds them behind."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from gate.errors import InputError
from gate.ledger.state import Feed, feeds
from gate.policy.table import Policy, load_policy, parse_policy
from gate.service.core import Service
from gate.service.feeds import fresh_until, list_feeds, report_watermark, stale_feeds
from support.world import START, Clock, new_service

HOUR = timedelta(hours=1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(tmp_path: Path, clock: Clock) -> Iterator[Service]:
    with new_service(tmp_path / "home", clock) as opened:
        yield opened


def report(service: Service, source: str, watermark) -> tuple[Feed, bool]:
    return report_watermark(service, source, watermark, by="service:sync", via="api")


def standing(service: Service) -> dict[str, object]:
    with service.ledger.read() as reader:
        return {feed.source: feed.watermark for feed in feeds(reader)}


def test_the_newest_watermark_of_each_source_stands(service: Service, clock: Clock) -> None:
    assert standing(service) == {}
    for source in ("crm", "crm-2", "crm.eu", "crm_us", "crm2", "a", "zz"):
        feed, new = report(service, source, START - 2 * HOUR)
        assert (feed.source, feed.watermark, new) == (source, START - 2 * HOUR, True)
    report(service, "crm", START - HOUR)
    clock.forward(hours=3)
    report(service, "crm.eu", START + HOUR)
    assert standing(service) == dict.fromkeys(("a", "crm-2", "crm2", "crm_us", "zz"), START - 2 * HOUR) | {
        "crm": START - HOUR,
        "crm.eu": START + HOUR,
    }


def test_a_watermark_never_goes_back(service: Service) -> None:
    first, _ = report(service, "crm", START - HOUR)
    for older in (START - HOUR, START - 2 * HOUR, START - HOUR - timedelta(milliseconds=5)):
        assert report(service, "crm", older) == (first, False)
    with service.ledger.read() as reader:
        assert len(list(reader.entries("feed"))) == 1


def test_fractions_are_rounded_down(service: Service) -> None:
    feed, _ = report(service, "crm", START - timedelta(microseconds=1))
    assert feed.watermark == START - timedelta(seconds=1)


def test_the_future_cannot_have_been_handed_over(service: Service) -> None:
    with pytest.raises(InputError, match="not happened yet"):
        report(service, "crm", START + timedelta(seconds=31))
    feed, _ = report(service, "crm", START + timedelta(seconds=30))  # their clock is a little ahead of ours
    assert feed.watermark == START


@pytest.mark.parametrize("source", ["", "CRM", "a/b", "a b", "-a", "ü", "x" * 65])
def test_sources_have_plain_names(service: Service, source: str) -> None:
    with pytest.raises(InputError, match="not a source's name"):
        report(service, source, START)


def bounded(extra: str) -> Policy:
    return parse_policy(f"name: tiny\nversion: '1'\n{extra}rows: []\n")


def test_stale_is_older_than_the_bound() -> None:
    policy = load_policy("zoom-2023-08")
    crm = Feed("crm", START, 1)
    day = timedelta(hours=24)
    assert stale_feeds(policy, [crm], START + day) == ()
    assert stale_feeds(policy, [crm], START + day + timedelta(seconds=1)) == ("crm",)
    assert stale_feeds(policy, [], START) == (), "a source nobody asked for need not report"
    assert fresh_until(policy, [crm, Feed("b", START + HOUR, 2)]) == START + day
    assert fresh_until(policy, []) is None


def test_a_required_source_must_have_reported() -> None:
    policy = bounded("feeds: {max_age_hours: 1, required: [crm, console]}\n")
    assert stale_feeds(policy, [Feed("crm", START, 1)], START) == ("console",)
    assert stale_feeds(policy, [Feed("other", START - 2 * HOUR, 1)], START) == ("console", "crm", "other")
    unbounded = bounded("")
    assert stale_feeds(unbounded, [Feed("crm", START, 1)], START + 10_000 * HOUR) == ()
    assert fresh_until(unbounded, [Feed("crm", START, 1)]) is None


def test_sources_are_listed_with_what_is_stale(service: Service, clock: Clock) -> None:
    report(service, "crm", START)
    clock.forward(hours=25)
    report(service, "console", clock.now)
    assert [(row["source"], row["watermark"], row["stale"]) for row in list_feeds(service)] == [
        ("console", "2024-01-02T01:00:00Z", False),
        ("crm", "2024-01-01T00:00:00Z", True),
    ]
