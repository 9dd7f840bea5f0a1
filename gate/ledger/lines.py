"""What a bulk import hands over: templates of canonical bytes, and the few texts that fill them."""

from __future__ import annotations

import re
from typing import Any

from gate.domain.canonical import canonical
from gate.domain.consent import Appointment, ConsentEvent
from gate.domain.instants import format_instant
from gate.ledger.records import ACCOUNT, PERSON, TEXT, Refs, appointment_body, pseudonymous

# Plain tuples, for they are spooled by the hundred thousand and marshal knows no other kind.
Shape = tuple[str, str, tuple[str | None, ...], int]
"""Kind of entry; template of the canonical body; per hole the kind of reference that fills it, `None` for text that
stands as it is; the hole whose reference leads the subject, or -1. The first hole is the account, the second
`effective_at`."""

Line = tuple[str, int, Shape, tuple[str, ...]]
"""What sorts it by time; its place in the file; its shape; per hole the text, unless a reference fills the hole the
value that the reference is to stand for."""

_HOLES = {
    "account_id": ACCOUNT,
    "effective_at": None,
    "evidence": TEXT,
    "expires_at": None,
    "principal.evidence": TEXT,
    "person_id": PERSON,
    "withdrawal_channel": TEXT,
}
_MARK = re.compile(r'"\\u0000([a-z_.]+)"')  # a NUL: no text of an event holds one


class _Echo(dict[tuple[str, str], str]):
    """Stands in for references: what stands for a mark is the mark."""

    def __missing__(self, key: tuple[str, str]) -> str:
        return key[1]


_ECHO: Refs = _Echo()


def consent_shape(event: ConsentEvent) -> tuple[Shape, tuple[str, ...]]:
    """Return the shape of a consent event, and which of its texts fill the holes.

    Raises:
        InputError: it has no canonical form.
    """
    said = event.to_dict()
    marked = {name: _mark(name) if name in _HOLES else value for name, value in said.items()}
    principal = {**said["principal"], "id": _mark("person_id")}
    if "evidence" in principal:
        principal["evidence"] = _mark("principal.evidence")
    return _shape("consent", pseudonymous({**marked, "principal": principal}, _ECHO))


def consent_texts(event: ConsentEvent) -> dict[str, str | None]:
    """Return the texts of a consent event that may fill holes, by name."""
    return {
        "account_id": event.account_id,
        "effective_at": format_instant(event.effective_at),
        "evidence": event.evidence,
        "expires_at": None if event.expires_at is None else format_instant(event.expires_at),
        "principal.evidence": event.principal.evidence,
        "person_id": event.principal.id,
        "withdrawal_channel": event.withdrawal_channel,
    }


def appointment_shape(appointment: Appointment) -> tuple[Shape, tuple[str, ...]]:
    """Return the shape of an appointment, and which of its texts fill the holes."""
    body = appointment_body(appointment, _mark("account_id"), _mark("person_id"), _mark("effective_at"))
    (kind, template, holes, _), names = _shape("appointment", body)
    return (kind, template, holes, names.index("person_id")), names


def order_of(instant: str) -> str:
    """Return what sorts like the instants themselves; without the `Z`, no fraction comes before its whole second."""
    return instant[:-1]


def _shape(kind: str, body: dict[str, Any]) -> tuple[Shape, tuple[str, ...]]:
    text = canonical(body).decode()
    names = tuple(_MARK.findall(text))
    holes = tuple(_HOLES[name] for name in names)
    return (kind, _MARK.sub('"%s"', text.replace("%", "%%")), holes, -1), names


def _mark(name: str) -> str:
    return f"\x00{name}"
