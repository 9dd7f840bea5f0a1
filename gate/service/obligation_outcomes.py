"""What came of obligations: listed by what presses most, and recorded by people; an outcome is never taken back."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from gate.domain.instants import format_instant
from gate.errors import InputError
from gate.ledger.records import TEXT
from gate.lineage.store.database import LineageStore
from gate.service.actors import SERVICE, recorded_actor
from gate.service.anchors import recording
from gate.service.core import Service
from gate.service.obligations import ID_LENGTH, KIND, Obligation, obligations

MAX_TEXT = 2000  # characters of a note, or of where evidence is
_ID = re.compile(rf"[0-9a-f]{{{ID_LENGTH}}}")
_SHA256 = re.compile(r"(?:sha256:)?([0-9a-fA-F]{64})")
_ORDER = ("overdue", "open", "kept")  # of what is still to be looked at


class Outcome(StrEnum):
    """What was done about a model or a copy."""

    RETRAINED = "retrained"
    DELETED = "deleted"
    NO_LONGER_USED = "no_longer_used"
    KEPT = "kept"


class Filter(StrEnum):
    """Which obligations to list: what is not done, or a part of it, or what is done, or all."""

    OPEN = "open"
    OVERDUE = "overdue"
    KEPT = "kept"
    DONE = "done"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody says was done.

    Attributes:
        evidence: where it can be looked up; `sha256`: of what lies there.
        note: why, in words.
    """

    outcome: str
    evidence: str | None = None
    sha256: str | None = None
    note: str | None = None


def listed(
    service: Service,
    store: LineageStore,
    *,
    which: Filter = Filter.OPEN,
    sees: Callable[[str], bool] | None = None,
    account_ref: str | None = None,
) -> dict[str, Any]:
    """List obligations, what is overdue first: the same JSON for command line, API and page.

    Args:
        service: the ledger.
        store: lineage.
        which: which ones; `open` lists what is kept as well, last.
        sees: whether the caller may see a DAG's runs.
        account_ref: only those of one account.
    """
    with service.ledger.read() as reader:
        now = service.now(reader)
        known = obligations(service, reader, store, sees=sees, account_ref=account_ref)
    chosen = sorted((one for one in known if _chosen(one, which, now)), key=lambda one: _pressing(one, now))
    counts = Counter(one.state(now) for one in known)
    return {
        "obligations": [one.to_dict(now) for one in chosen],
        "counts": {state: counts[state] for state in ("overdue", "open", *Outcome)},
        "at": format_instant(now),
    }


def record_outcome(
    service: Service,
    store: LineageStore,
    obligation: str,
    said: Said,
    *,
    by: str,
    via: str,
    sees: Callable[[str], bool] | None = None,
) -> tuple[int, bool]:
    """Record what was done about an obligation; what was recorded before stays, the newest counts.

    Args:
        service: the ledger.
        store: lineage.
        obligation: its id.
        said: what was done.
        by: the person who says so; see `gate.service.actors.recorded_actor`.
        via: how it came in.
        sees: whether that person may see a DAG's runs.

    Returns:
        The entry's ledger index, and whether it is new: the same again, right after, adds nothing.

    Raises:
        InputError: there is no such obligation, something is missing, or `by` is a service.
        LedgerUnavailable, LineageUnavailable: nothing is recorded.
    """
    said = checked(said)
    if by.startswith(SERVICE):
        raise InputError("an outcome is recorded by a person", where="by", hint="log in; a service token is no person")
    one = find_obligation(service, store, obligation, sees=sees)
    with recording(service) as tx:
        before = list(tx.entries(KIND, subject_prefix=one.id + "/"))
        body = {
            "obligation": one.id,
            "kind": one.kind,
            "consent": one.consent,
            "account_ref": one.account_ref,
            "run": None if one.run is None else dict(one.run),
            "artifact": one.artifact and list(one.artifact),
            "due_at": format_instant(one.due_at),
            "outcome": said.outcome,
            "evidence_ref": said.evidence and tx.commit_ref(TEXT, said.evidence),
            "evidence_sha256": said.sha256,
            "note_ref": said.note and tx.commit_ref(TEXT, said.note),
        }
        if before and before[-1].body == body:
            return before[-1].idx, False
        actor = recorded_actor(tx, by)
        entry, _ = tx.append(KIND, f"{one.id}/{len(before)}", body, recorded_at=service.now(tx), by=actor, via=via)
    return entry.idx, True


def find_obligation(
    service: Service, store: LineageStore, obligation: str, *, sees: Callable[[str], bool] | None = None
) -> Obligation:
    """Return an obligation by its id.

    Raises:
        InputError: there is none that the caller may see.
    """
    if _ID.fullmatch(obligation):
        with service.ledger.read() as reader:
            for one in obligations(service, reader, store, sees=sees):
                if one.id == obligation:
                    return one
    raise InputError("there is no such obligation", where="obligation", hint="gate lineage impact --open lists them")


def checked(said: Said) -> Said:
    """Return what was said, in its plain form.

    Raises:
        InputError: an outcome that we do not know, or one without what it needs.
    """
    texts = {name: _text(getattr(said, name), name) for name in ("evidence", "sha256", "note")}
    if said.outcome not in tuple(Outcome):
        raise InputError("is no outcome", where="outcome", hint="one of: " + ", ".join(Outcome))
    digest = _SHA256.fullmatch(texts["sha256"] or "")
    if texts["sha256"] and not digest:
        raise InputError("is no SHA-256", where="sha256", hint="64 digits and letters from a to f")
    if said.outcome == Outcome.KEPT and not texts["note"]:
        raise InputError("keeping it needs a reason", where="note", hint="say why in a note; it stays listed as kept")
    if said.outcome != Outcome.KEPT and not texts["evidence"]:
        raise InputError("say where the proof is", where="evidence", hint="a ticket, a log, a report of the deletion")
    if texts["evidence"] and not digest:
        raise InputError("evidence needs its SHA-256", where="sha256", hint="sha256sum FILE: so nobody can swap it")
    if digest and not texts["evidence"]:
        raise InputError("a SHA-256 of nothing", where="evidence", hint="say where the file is")
    return Said(said.outcome, texts["evidence"], f"sha256:{digest[1].lower()}" if digest else None, texts["note"])


def _text(value: str | None, name: str) -> str | None:
    text = (value or "").strip()
    if len(text) > MAX_TEXT or "\x00" in text:
        raise InputError(f"is longer than {MAX_TEXT} characters, or holds a NUL", where=name)
    return text or None


def _chosen(one: Obligation, which: Filter, now: datetime) -> bool:
    state = one.state(now)
    match which:
        case Filter.ALL:
            return True
        case Filter.OPEN:
            return state in _ORDER
        case Filter.DONE:
            return state not in _ORDER
        case _:
            return state == which


def _pressing(one: Obligation, now: datetime) -> tuple[int, datetime, str]:
    state = one.state(now)
    return (_ORDER.index(state) if state in _ORDER else len(_ORDER)), one.due_at, one.id
