"""Service tokens: what workers, consoles and directory syncs show to the decision service. Only hashes are kept."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from gate.domain.instants import format_instant, parse_instant
from gate.errors import InputError
from gate.ledger.store import Entry, Reader
from gate.service.actors import recorded_actor
from gate.service.anchors import recording
from gate.service.core import Service


class Scope(StrEnum):
    """What a token may do; nothing implies anything else."""

    READ = "read"
    TAG = "tag"
    CONSENT = "consent"
    DIRECTORY = "directory"
    DECIDE = "decide"
    REDEEM = "redeem"
    LINEAGE = "lineage"


WORKER_SCOPES = frozenset({Scope.TAG, Scope.DECIDE, Scope.REDEEM})
SECRET_SIZE = 32  # bytes of randomness
MAX_LIFETIME = timedelta(days=366)
RESERVED_NAMES = frozenset({"airflow", "directory", "setup"})  # our own identities in the ledger

_PREFIX = "gate"
_ID = re.compile(r"[0-9a-f]{16}")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_MAX_TEXT = 256  # characters; a token has 65


@dataclass(frozen=True, slots=True)
class Token:
    """A service token as the ledger knows it.

    Attributes:
        token_id: names the token in lists and for revocation; no secret.
        name: the identity that stands in ledger entries as `service:NAME`; several tokens may share it.
        index: ledger index of its creation.
    """

    token_id: str
    name: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    index: int

    def state(self, now: datetime) -> str:
        """Return `valid`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if now >= self.expires_at else "valid"

    def to_dict(self, now: datetime) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "token_id": self.token_id,
            "name": self.name,
            "scopes": sorted(self.scopes),
            "state": self.state(now),
            "created_at": format_instant(self.created_at),
            "expires_at": format_instant(self.expires_at),
            "revoked_at": self.revoked_at and format_instant(self.revoked_at),
            "index": self.index,
        }


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token just made; `text` is the only copy there will ever be."""

    token: Token
    text: str = field(repr=False)


def create_token(
    service: Service, name: str, scopes: Iterable[str], *, lifetime: timedelta, by: str, via: str
) -> NewToken:
    """Make a token and record its hash.

    Args:
        name: lower-case letters, digits, `.`, `_`, `-`; up to 63.
        scopes: at least one of `Scope`. One token cannot do two people's work: what workers do, recording consent,
            and saying who may consent are kept apart.
        lifetime: up to a year.
        by: who asks; see `recorded_actor`.

    Raises:
        InputError: a name, scope, combination or lifetime that is not allowed.
    """
    wanted = _checked_scopes(scopes)
    _check_name(name)
    if not timedelta(0) < lifetime <= MAX_LIFETIME:
        raise InputError(f"must be from 1 to {MAX_LIFETIME.days} days", where="lifetime")
    now = service.clock()
    token_id = secrets.token_hex(8)
    text = f"{_PREFIX}_{token_id}_{secrets.token_urlsafe(SECRET_SIZE)}"
    body = {
        "token_id": token_id,
        "action": "create",
        "name": name,
        "scopes": sorted(wanted),
        "sha256": _hash(text).hex(),
        "expires_at": format_instant(now + lifetime),
    }
    with recording(service) as tx:
        actor = recorded_actor(tx, by)
        entry, _ = tx.append("token", f"{token_id}/create", body, recorded_at=now, by=actor, via=via)
    return NewToken(_token([entry]), text)


def revoke_token(service: Service, token_id: str, *, by: str, via: str) -> Token:
    """End a token now; a request that begins afterwards is refused. Revoking it again adds nothing.

    Raises:
        InputError: there is no such token.
    """
    now = service.clock()
    body = {"token_id": token_id, "action": "revoke"}
    with recording(service) as tx:
        if not _entries(tx, token_id):
            raise InputError("there is no such token", where="token id", hint="gate tokens list")
        actor = recorded_actor(tx, by)
        tx.append("token", f"{token_id}/revoke", body, recorded_at=now, by=actor, via=via)
        return _token(_entries(tx, token_id))


def list_tokens(service: Service) -> list[Token]:
    """Return every token ever made, oldest first."""
    by_id: dict[str, list[Entry]] = {}
    with service.ledger.read() as reader:
        for entry in reader.entries("token"):
            by_id.setdefault(entry.body["token_id"], []).append(entry)
    return [_token(entries) for entries in by_id.values()]


def find_token(reader: Reader, text: str) -> Token | None:
    """Return the token this text is, whatever its state; `None` for text that is none.

    Asked at every request and never kept between requests, so that a revocation counts at once.
    """
    if not is_token(text):
        return None
    token_id = text.split("_", 2)[1]
    entries = _entries(reader, token_id)
    kept = bytes.fromhex(entries[0].body["sha256"]) if entries else bytes(32)
    same = hmac.compare_digest(_hash(text), kept)  # in constant time, and also when there is no such id
    return _token(entries) if same and entries else None


def is_token(text: str) -> bool:
    """Whether text has the form of a service token: another kind of bearer has not."""
    if len(text) > _MAX_TEXT:
        return False
    prefix, _, rest = text.partition("_")
    token_id, _, secret = rest.partition("_")
    return prefix == _PREFIX and bool(_ID.fullmatch(token_id)) and bool(secret)


def _checked_scopes(scopes: Iterable[str]) -> frozenset[Scope]:
    asked = sorted(set(scopes))
    if not asked:
        raise InputError("names no scope", where="scopes", hint="one or more of: " + ", ".join(Scope))
    for scope in asked:
        if scope not in set(Scope):
            raise InputError(f"{scope[:40]!r} is not known", where="scopes", hint="one of: " + ", ".join(Scope))
    wanted = frozenset(Scope(scope) for scope in asked)
    apart = [group for group in (WORKER_SCOPES, {Scope.CONSENT}, {Scope.DIRECTORY}) if wanted & group]
    if len(apart) > 1:
        raise InputError(
            "one token cannot hold these together: whoever holds it could let itself train",
            where="scopes",
            hint="make one token for tag, decide and redeem, one for consent, one for directory",
        )
    return wanted


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InputError(
            "is not a token name", where="name", hint="lower-case letters, digits, dot, dash and underscore; up to 63"
        )
    if name in RESERVED_NAMES:
        raise InputError("is the name of one of our own identities", where="name", hint="choose another")


def _entries(reader: Reader, token_id: str) -> list[Entry]:
    if not _ID.fullmatch(token_id):
        return []
    return list(reader.entries("token", subject_prefix=token_id + "/"))


def _token(entries: list[Entry]) -> Token:
    """Read creation and, if it was, revocation of one token."""
    made, *ended = entries
    body = made.body
    return Token(
        token_id=body["token_id"],
        name=body["name"],
        scopes=frozenset(Scope(scope) for scope in body["scopes"]),
        created_at=made.recorded_at,
        expires_at=parse_instant(body["expires_at"]),
        revoked_at=ended[0].recorded_at if ended else None,
        index=made.idx,
    )


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
