"""Who acts and how it is recorded: the words that all two-person acts share."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from gate.errors import InputError
from gate.ledger.store import Entry, Transaction
from gate.service.actors import SERVICE

MAX_TEXT = 2000  # characters of a reason or of any one parameter


class Act(StrEnum):
    """What needs two people."""

    BREAK_GLASS = "break_glass"
    POLICY_ACTIVATION = "policy_activation"
    DECLASSIFICATION = "declassification"
    KEY_ROTATION = "key_rotation"
    KEY_REVOCATION = "key_revocation"
    MODE = "mode"


@dataclass(frozen=True, slots=True)
class Person:
    """An authenticated log-in. Only an authenticator makes one; two people are two different log-ins.

    Attributes:
        issuer: who vouches for the subject, such as `airflow` or an OIDC issuer's address.
        subject: the issuer's own, never reassigned id of the person; compared exactly, case and white space included.
        name: how to show the person to others; means nothing.

    Raises:
        InputError: an empty id, or an issuer that could be taken for something else.
    """

    issuer: str
    subject: str
    name: str = ""

    def __post_init__(self) -> None:
        for field, value in (("issuer", self.issuer), ("subject", self.subject)):
            if not isinstance(value, str) or not value or len(value) > MAX_TEXT:
                raise InputError("a log-in needs an issuer and a subject", where=f"person.{field}")
        # With neither, `actor` has one reading, and nobody is recorded as one of our own services.
        if "|" in self.issuer or self.issuer.startswith(SERVICE):
            raise InputError("is not the name of an issuer", where="person.issuer")

    @property
    def actor(self) -> str:
        """What `recorded_actor` takes: one text per log-in."""
        return f"{self.issuer}|{self.subject}"


@dataclass(frozen=True, slots=True)
class Acted:
    """How an act came about: what its effect's entry says beside the effect.

    Attributes:
        by: as recorded: a person's reference, or a service.
        persons: how many authenticated or local people stand behind it.
        proposal: ledger index of the proposal; none for an act of one person.
        reason_ref: reference of the reason given.
    """

    at: datetime
    by: str
    via: str
    persons: int
    proposal: int | None = None
    reason_ref: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields every effect's body holds."""
        return {"persons": self.persons, "proposal": self.proposal, "reason_ref": self.reason_ref}

    def append(self, tx: Transaction, kind: str, subject: str, body: Mapping[str, Any]) -> Entry:
        """Append the effect; one that stands there already is returned."""
        both = {**body, **self.to_dict()}
        return tx.append(kind, subject, both, recorded_at=self.at, by=self.by, via=self.via)[0]


def checked_params(params: Mapping[str, Any], required: Collection[str], optional: Collection[str] = ()) -> None:
    """Make sure that exactly these parameters were given, and that texts are no longer than they may be.

    Raises:
        InputError: one is missing, unknown, empty or too long.
    """
    for name in sorted(set(params) - {*required, *optional}):
        raise InputError("is not a parameter of this act", where=str(name)[:40])
    for name in sorted(set(required) - set(params)):
        raise InputError("is missing", where=name)
    for name, value in params.items():
        if value == "" or (isinstance(value, str) and len(value) > MAX_TEXT):
            raise InputError(f"expected a text of 1 to {MAX_TEXT} characters", where=name)


def text_param(params: Mapping[str, Any], name: str) -> str:
    """Return a parameter that must be text.

    Raises:
        InputError: it is none.
    """
    value = params.get(name)
    if not isinstance(value, str) or not value:
        raise InputError("expected text", where=name)
    return value
