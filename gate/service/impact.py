"""What is affected when something happens to an account, a dataset, a consent or a policy row."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from gate.domain.dataset import dataset
from gate.domain.instants import format_instant, parse_instant
from gate.errors import InputError
from gate.ledger.records import ACCOUNT
from gate.ledger.store import Entry, Reader
from gate.lineage.store.database import LineageStore
from gate.lineage.store.graph import FOREVER, named, versions_of
from gate.lineage.store.lookup import nodes_by_id
from gate.service.account_history import check_known_at
from gate.service.collecting import nothing_collected
from gate.service.core import Service
from gate.service.impact_derived import Reached, reach
from gate.service.impact_ledger import Decisions, VersionKey, Whose
from gate.service.impact_shown import shown
from gate.service.impact_verdicts import Verdicts

KINDS = ("account", "dataset", "consent", "policy_row")
REF = re.compile(r"[0-9a-f]{64}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_INDEX = re.compile(r"[0-9]{1,15}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOST_VERSIONS = 100_000  # of one digest or dataset that lineage alone knows


@dataclass(frozen=True, slots=True)
class Subject:
    """What is asked about: one of `KINDS` and its name, as people write it."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Found:
    """A subject, looked up.

    Attributes:
        ref: of the account, when it is about one.
        account: its name; `None` when it was erased, or it is about none.
        seeds: versions that lineage knows of it.
    """

    subject: Subject
    held: dict[int, Entry]
    ref: str | None = None
    account: str | None = None
    seeds: tuple[VersionKey, ...] = ()


def everything(_: str) -> bool:
    """See the runs of every DAG."""
    return True


def subject_of(**asked: str | None) -> Subject:
    """Return the one thing that was asked about.

    Raises:
        InputError: none, or several.
    """
    given = [(kind, name) for kind, name in asked.items() if name]
    if len(given) != 1:
        raise InputError(
            "ask about one thing", where="subject", hint="an account, a dataset, a consent's entry, or a policy row"
        )
    return Subject(*given[0])


def impact(
    service: Service,
    store: LineageStore,
    subject: Subject,
    *,
    as_of: datetime | int | None = None,
    sees: Callable[[str], bool] = everything,
) -> dict[str, Any]:
    """Say which versions, decisions, runs and models something concerns, what was right then and what would be now.

    Args:
        service: the ledger.
        store: lineage.
        subject: what is asked about.
        as_of: only what was recorded and told until then; or when the ledger held so many entries.
        sees: whether the caller may see a DAG's runs; others are left out, and what only they lead to.

    Returns:
        JSON-ready; see docs/impact.md.

    Raises:
        InputError: neither ledger nor lineage knows the subject.
        LedgerUnavailable, LineageUnavailable: they cannot be read.
    """
    with service.ledger.read() as reader, nothing_collected():
        now = service.now(reader)
        stop, at = moment(reader, as_of)
        decisions = Decisions(reader, stop, sees)
        found = _FINDERS[subject.kind](_Sources(reader, store, decisions, at), subject)
        reached = follow(store, decisions, found, sees, at=at)
        verdicts = Verdicts(service, reader, now, reader.size)
        told = {entry.idx: verdicts.about(entry, found.ref) for entry in reached.decisions.values()}
        answer = shown(reader, decisions, reached, told)
        return {
            "question": {
                "about": subject.kind,
                "name": found.account if found.ref else subject.name,
                "account_ref": found.ref,
                "as_of": format_instant(as_of) if isinstance(as_of, datetime) else None,
                "ledger_index": as_of if isinstance(as_of, int) else None,
            },
            "ledger_size": reader.size,
            **answer,
        }


def follow(
    store: LineageStore, decisions: Decisions, found: Found, sees: Callable[[str], bool], *, at: int = FOREVER
) -> Reached:
    """Find everything that holds what was looked up, or came of it."""
    whose = Whose(decisions, found.held, by_account=found.ref is not None)
    return reach(store, decisions, found.held, whose, sees, seeds=found.seeds, at=at)


def moment(reader: Reader, as_of: datetime | int | None) -> tuple[int, int]:
    """Return how many entries the ledger held at a moment, and the moment in microseconds since 1970.

    Raises:
        InputError: the ledger never held so many.
    """
    if as_of is None:
        return reader.size, FOREVER
    if isinstance(as_of, datetime):
        return size_at(reader, as_of), microseconds(as_of)
    check_known_at(reader.size, as_of)
    return as_of, microseconds(reader.entry(as_of - 1).recorded_at) if as_of else 0


def read_moment(text: str | None) -> datetime | int | None:
    """Read an as-of: an RFC 3339 instant, or how many entries the ledger held.

    Raises:
        InputError: neither.
    """
    if not text:
        return None
    return int(text) if _INDEX.fullmatch(text) else parse_instant(text, "as_of")


def microseconds(at: datetime) -> int:
    """Return an instant as lineage counts it."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def size_at(reader: Reader, at: datetime) -> int:
    """Return how many entries the ledger held at an instant: those up to the last that was recorded by then."""
    low, high = 0, reader.size
    while low < high:
        middle = (low + high) // 2
        if reader.entry(middle).recorded_at <= at:
            low = middle + 1
        else:
            high = middle
    return low


def of_account(reader: Reader, decisions: Decisions, ref: str, subject: Subject) -> Found:
    """Look up what holds an account, by its reference."""
    name = reader.open_ref(ref)
    return Found(subject, decisions.holding(ref), ref, name if isinstance(name, str) else None)


@dataclass(frozen=True, slots=True)
class _Sources:
    reader: Reader
    store: LineageStore
    decisions: Decisions
    at: int


def _account(where: _Sources, subject: Subject) -> Found:
    ref = where.reader.ref(ACCOUNT, subject.name)
    if ref is None and REF.fullmatch(subject.name):  # an erased account has no name any more
        ref = subject.name if next(where.reader.entries(account_ref=subject.name), None) else None
    if ref is None:
        raise InputError("the ledger does not know this account", where="account", hint="gate accounts show NAME")
    return of_account(where.reader, where.decisions, ref, subject)


def _consent(where: _Sources, subject: Subject) -> Found:
    index = int(subject.name) if _INDEX.fullmatch(subject.name) else -1
    entry = where.reader.entry(index) if 0 <= index < where.reader.size else None
    if entry is None or entry.kind != "consent" or entry.account_ref is None:
        raise InputError("is no consent event's ledger entry", where="consent", hint="gate consent list shows them")
    return of_account(where.reader, where.decisions, entry.account_ref, subject)


def _dataset(where: _Sources, subject: Subject) -> Found:
    name = subject.name
    if _DIGEST.fullmatch(name):
        held = where.decisions.about(digest=name)
        with where.store.read() as connection:
            nodes = named(connection, "version", name, limit=MOST_VERSIONS)
            known = [node.name for node in nodes if node.name[-1] == name]
    else:
        wanted = dataset(name)
        held = where.decisions.about(uri=wanted.uri)
        with where.store.read() as connection:
            ids = versions_of(connection, (wanted.namespace, wanted.name), at=where.at)
            known = [node.name for node in nodes_by_id(connection, ids).values()]
    if not held and not known:
        raise InputError(
            "neither ledger nor lineage knows this dataset", where="dataset", hint="a URI, or sha256: and its digest"
        )
    return Found(subject, held, seeds=tuple((key[0], key[1], key[2]) for key in known if len(key) == 3))


def _policy_row(where: _Sources, subject: Subject) -> Found:
    held = where.decisions.citing(subject.name)
    if not held and not any(
        _has_row(where.reader, entry, subject.name) for entry in where.reader.entries("policy_activation")
    ):
        raise InputError("no policy that was active has such a row", where="policy_row", hint="gate policy show")
    return Found(subject, held)


def _has_row(reader: Reader, activation: Entry, row: str) -> bool:
    table: Mapping[str, Any] = json.loads(reader.attachment(activation.body["digest"]) or b"{}")
    return any(one.get("id") == row for one in table.get("rows", ()))


_FINDERS: Mapping[str, Callable[[_Sources, Subject], Found]] = {
    "account": _account,
    "dataset": _dataset,
    "consent": _consent,
    "policy_row": _policy_row,
}
