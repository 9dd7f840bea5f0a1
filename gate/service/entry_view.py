"""One ledger entry for people: what it says, who wrote it, and the proof that it stands in the ledger."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gate.ledger.store import Entry, Reader
from gate.service.actors import PERSON
from gate.service.core import Service
from gate.service.proofs import prove_entry

NAMING = ("decision", "proposal", "redemption", "permit")  # fields of a body that hold the index of another entry
NEAR = 200  # entries looked at for a neighbour that may be seen


@dataclass(frozen=True, slots=True)
class EntryView:
    """An entry.

    Attributes:
        person: the name behind `by`, for those who may see it; `None` when erased, hidden or no person.
        payload: what the leaf hash covers, indented for reading.
        proof: see `gate.service.proofs.prove_entry`.
        before, after: the nearest entries that the viewer may see.
    """

    index: int
    kind: str
    recorded_at: datetime
    by: str
    via: str
    person: str | None
    account_ref: str | None
    decision: int | None
    payload: str
    proof: dict[str, Any]
    before: int | None
    after: int | None


def show_entry(service: Service, index: int, sees: Callable[[str], bool], *, named: bool) -> EntryView | None:
    """Show an entry; `None` when there is none, or it is about a run of a DAG that the caller may not see."""
    with service.ledger.read() as reader:
        entry = _seen(reader, index, sees)
        if entry is None:
            return None
        by = entry.by
        return EntryView(
            index,
            entry.kind,
            entry.recorded_at,
            by,
            entry.via,
            reader.open_ref(by.removeprefix(PERSON)) if named and by.startswith(PERSON) else None,
            entry.account_ref,
            index if entry.kind == "decision" else _decision(entry),
            json.dumps(json.loads(entry.payload), indent=2, ensure_ascii=False),
            prove_entry(service, index),
            _neighbour(reader, index, -1, sees),
            _neighbour(reader, index, 1, sees),
        )


def entry_proof(service: Service, index: int, sees: Callable[[str], bool]) -> dict[str, Any] | None:
    """Return the proof of an entry; `None` as `show_entry`."""
    with service.ledger.read() as reader:
        if _seen(reader, index, sees) is None:
            return None
    return prove_entry(service, index)


def _seen(reader: Reader, index: int, sees: Callable[[str], bool]) -> Entry | None:
    if not 0 <= index < reader.size:
        return None
    entry = reader.entry(index)
    return entry if all(map(sees, _dags(reader, entry))) else None


def _dags(reader: Reader, entry: Entry) -> Iterator[str]:
    """Yield the DAGs whose runs an entry is about, by itself or by the entries it names."""
    yield from _named(entry.body)
    for name in NAMING:
        index = entry.body.get(name)
        if isinstance(index, int) and not isinstance(index, bool) and 0 <= index < entry.idx:
            yield from _dags(reader, reader.entry(index))
    if entry.kind == "permit":
        yield from (str(json.loads(part)[0]) for part in [entry.subject.rpartition("/")[0]])


def _named(body: Any) -> Iterator[str]:
    if isinstance(body, dict):
        if isinstance(body.get("dag_id"), str):
            yield body["dag_id"]
        for value in body.values():
            yield from _named(value)
    elif isinstance(body, list):
        for value in body:
            yield from _named(value)


def _decision(entry: Entry) -> int | None:
    index = entry.body.get("decision")
    return index if isinstance(index, int) else None


def _neighbour(reader: Reader, index: int, step: int, sees: Callable[[str], bool]) -> int | None:
    near = range(index + step, index + step * (NEAR + 1), step)
    return next((one for one in near if _seen(reader, one, sees) is not None), None)
