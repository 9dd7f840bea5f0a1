"""Asks the snapshot's grouping about accounts that are in no ledger."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import pyarrow as pa

from gate.domain.decision import AccountFacts
from gate.ledger.mirror.coding import NEVER, Codes, microseconds
from gate.ledger.mirror.grouping import Groups


def numbers(accounts: list[AccountFacts], now: datetime, boundaries: Collection[datetime]) -> list[int]:
    """Return the number of each account's group."""
    codes, shapes, starts, ends = Codes(), list[int](), list[list[int]](), list[list[int]]()
    for account in accounts:
        events = sorted(account.events, key=lambda recorded: recorded.index)
        begins = [microseconds(recorded.event.effective_at) for recorded in events]
        terms = [codes.term(recorded.authority, recorded.event) for recorded in events]
        shapes.append(codes.shape(account.profile, terms, begins))
        starts.append(begins)
        ends.append([NEVER if r.event.expires_at is None else microseconds(r.event.expires_at) for r in events])
    groups = Groups(codes, microseconds(now), tuple(sorted(map(microseconds, boundaries))))
    times = pa.list_(pa.int64())
    found, _ = groups.number(pa.array(shapes, pa.int32()), pa.array(starts, times), pa.array(ends, times))
    return [int(number) for number in found]


def same_group(one: AccountFacts, other: AccountFacts, now: datetime, boundaries: Collection[datetime]) -> bool:
    """Whether the two are in one group."""
    first, second = numbers([one, other], now, boundaries)
    return first == second
