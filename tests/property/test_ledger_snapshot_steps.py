"""A snapshot brought up to date step by step says of every account what one made at once says."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.domain.consent import Profile
from gate.domain.decision import AccountFacts
from gate.ledger import records, snapshots, state
from gate.ledger.mirror import mirror
from gate.ledger.snapshots import current_snapshot, read_groups
from gate.ledger.store import Transaction
from support.grouping import same_group
from support.ledgers import COMMON, NOW, appointment, at, consent, fresh, sqlite_url

BOUNDARIES = [at("2023-03-01"), at("2023-08-07")]
ACCOUNTS, PEOPLE = ["acme", "bolt", "dune"], ["ada", "bob"]
DATES = ["2023-01-01", "2023-05-01", "2024-01-10", "2024-06-02", "2024-06-20"]


@st.composite
def steps(draw: st.DrawFn) -> list[tuple[str, tuple[str, str, str, str]]]:
    """What happens one after another: what, and to whom, by whom, since when, until when."""
    who = st.tuples(*map(st.sampled_from, (ACCOUNTS, PEOPLE, DATES, ["", *DATES[2:]])))
    kinds = ["grant", "grant", "withdraw", "refuse", "appoint", "remove", "profile", "erase", "other", "later", "look"]
    return draw(st.lists(st.tuples(st.sampled_from(kinds), who), min_size=1, max_size=14))


def act(tx: Transaction, kind: str, account: str, person: str, since: str, until: str, number: int) -> None:
    match kind:
        case "grant" | "withdraw" | "refuse":
            ends = f"{until}T00:00:00Z" if until > since and kind == "grant" else None
            event = consent(
                account,
                kind,
                principal={"id": person, "role": "owner"},
                effective_at=f"{since}T00:00:00Z",
                expires_at=ends,
                evidence=f"form {person}",
            )
            records.record_consents(tx, [event], **COMMON)
        case "appoint" | "remove":
            records.record_appointments(tx, [appointment(account, person, kind, since)], **COMMON)
        case "profile":
            records.record_profile(tx, account, Profile("US", person, since), **COMMON)
        case "erase":
            gone = [tx.ref("account", account), tx.ref("text", f"form {person}")][number % 2]
            tx.erase([gone] if gone else [])
        case "other":
            tx.append("genesis", f"step {number}", {}, **COMMON)


@settings(max_examples=50, deadline=None)
@given(steps(), st.booleans())
def test_step_by_step_and_at_once_agree(taken: list[tuple[str, tuple[str, str, str, str]]], small: bool) -> None:
    now = NOW
    with (
        TemporaryDirectory() as name,
        fresh(sqlite_url(Path(name) / "l.db")) as ledger,
        pytest.MonkeyPatch.context() as patch,
    ):
        if small:  # so that deltas are merged and made anew
            for module in (mirror, snapshots):
                patch.setattr(module, "_SMALL", 1)
        kept = Path(name) / "kept"
        for number, (kind, (account, person, since, until)) in enumerate(taken):
            if kind == "later":
                now += timedelta(days=1 + number)
            elif kind != "look":
                with ledger.write() as tx:
                    act(tx, kind, account, person, since, until, number)
            with ledger.read() as reader:
                snapshot = current_snapshot(reader, now, BOUNDARIES, kept)
                found = read_groups(snapshot)
                for one in ACCOUNTS:
                    same(state.account_facts(reader, one), snapshot.facts(found.get(one, 0)), now)
                at_once = current_snapshot(reader, now, BOUNDARIES, Path(name) / f"once-{number}")
                assert set(read_groups(at_once)) == set(found)
                assert at_once.valid_until == snapshot.valid_until


def same(own: AccountFacts, told: AccountFacts, now: datetime) -> None:
    assert same_group(own, told, now, BOUNDARIES), (own, told)
