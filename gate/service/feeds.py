"""Consent sources and how far behind they are: report a watermark, list them, say which a policy finds stale."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from gate.domain.instants import checked_instant, format_instant
from gate.errors import InputError
from gate.ledger import records, state
from gate.ledger.clock import CLOCK_SKEW
from gate.ledger.state import Feed
from gate.policy.table import Policy
from gate.service.actors import recorded_actor
from gate.service.anchors import recording
from gate.service.core import Service


def report_watermark(service: Service, source: str, watermark: datetime, *, by: str, via: str) -> tuple[Feed, bool]:
    """Record that a consent source has handed over everything up to `watermark`.

    Args:
        source: its name, like `admin-console`: lower-case letters, digits, `.`, `_` and `-`.
        by: who says so; see `recorded_actor`.
        via: `import`, `api` or `cli`.

    Returns:
        Where the source stands now, and whether this report moved it: an older watermark adds nothing.

    Raises:
        InputError: not a name, or a watermark that has not come yet.
    """
    watermark = checked_instant(watermark, "watermark")
    with recording(service) as tx:
        now = service.now(tx)
        if watermark > now + CLOCK_SKEW:
            hint = f"it is {format_instant(now)} now"
            raise InputError("nobody can have handed over what has not happened yet", where="watermark", hint=hint)
        actor = recorded_actor(tx, by)
        entry, new = records.record_feed(tx, source, min(watermark, now), recorded_at=now, by=actor, via=via)
        (feed,) = (feed for feed in state.feeds(tx) if feed.index == entry.idx)
    return feed, new


def stale_feeds(policy: Policy, feeds: Iterable[Feed], now: datetime) -> tuple[str, ...]:
    """Return the names of the sources that are behind the policy's bound, sorted: what `Facts.stale_feeds` takes."""
    if policy.feeds is None:
        return ()
    known = {feed.source: feed.watermark for feed in feeds}
    behind = {source for source, watermark in known.items() if now - watermark > policy.feeds.max_age}
    return tuple(sorted(behind.union(set(policy.feeds.required) - known.keys())))


def fresh_until(policy: Policy, feeds: Iterable[Feed]) -> datetime | None:
    """Return the last instant at which no source that ever reported is behind; `None` when time changes nothing."""
    bound = policy.feeds
    return min((feed.watermark + bound.max_age for feed in feeds), default=None) if bound else None


def list_feeds(service: Service) -> list[dict[str, Any]]:
    """Return every source with its watermark, and whether the active policy finds it stale; required ones included."""
    with service.ledger.read() as reader:
        now, policy, feeds = service.now(reader), service.policy(reader), state.feeds(reader)
    stale = set(stale_feeds(policy, feeds, now))
    listed = [
        {"source": feed.source, "watermark": format_instant(feed.watermark), "index": feed.index} for feed in feeds
    ]
    listed += [
        {"source": source, "watermark": None, "index": None} for source in stale - {feed.source for feed in feeds}
    ]
    return [{**row, "stale": row["source"] in stale} for row in sorted(listed, key=lambda row: str(row["source"]))]
