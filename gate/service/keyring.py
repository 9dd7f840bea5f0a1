"""The keys of a ledger: one signs, retired ones still verify, revoked ones no more. The ledger says which is which.

Crash-safe by order. A new key: file, pin, entry; one that died before its entry is used by the next act. A revoked key:
entry, then pin; from the entry on nothing it signed is redeemed, and any later act on keys removes the pin.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

from gate.domain.instants import format_instant, parse_instant
from gate.domain.words import Reason
from gate.errors import CannotDecide, InputError, KeyLost, PermitRefused, TamperingFound
from gate.ledger.store import Entry, Ledger, Reader, Transaction
from gate.permits.keys import (
    PublicKey,
    SigningKey,
    create_key,
    load_key,
    public_key_from_text,
    public_key_to_text,
)
from gate.permits.succession import introduce
from gate.service.acting import Acted, checked_params, text_param
from gate.service.settings import Settings


class KeyState(StrEnum):
    """What a key is good for."""

    SIGNING = "signing"
    RETIRED = "retired"
    REVOKED = "revoked"


TRUSTED = frozenset({KeyState.SIGNING, KeyState.RETIRED})


@dataclass(frozen=True, slots=True)
class LedgerKey:
    """A key the ledger names.

    Attributes:
        number: 1 for the first; tells which file holds its private half.
        index: ledger index since which it is in this state.
        revoked_since: the instant since which a revoked key counts as compromised.
        statement: its predecessor's word for it, if it has one.
    """

    public: PublicKey
    state: KeyState
    number: int
    index: int
    revoked_since: datetime | None = None
    statement: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "key_id": self.public.key_id,
            "public_key": public_key_to_text(self.public),
            "state": self.state.value,
            "number": self.number,
            "index": self.index,
            "revoked_since": self.revoked_since and format_instant(self.revoked_since),
        }


def keyring(reader: Reader) -> tuple[LedgerKey, ...]:
    """Return every key the ledger ever named, oldest first.

    Raises:
        TamperingFound: the entries cannot be meant.
    """
    return ring_of(reader.entries("key"))


def ring_of(entries: Iterable[Entry]) -> tuple[LedgerKey, ...]:
    """Read all the entries about keys; see `keyring`."""
    ring: dict[str, LedgerKey] = {}
    for entry in entries:
        body = entry.body
        if body["state"] == KeyState.REVOKED:
            known = ring.get(body["key_id"])
            if known is None:
                raise TamperingFound("revokes a key nobody made", where=f"ledger entry {entry.idx}")
            since = parse_instant(body["since"])
            ring[known.public.key_id] = replace(known, state=KeyState.REVOKED, index=entry.idx, revoked_since=since)
            continue
        for key_id, key in ring.items():
            if key.state is KeyState.SIGNING:
                ring[key_id] = replace(key, state=KeyState.RETIRED, index=entry.idx)
        public = public_key_from_text(body["public_key"])
        if public.key_id != body["key_id"] or public.key_id in ring:
            raise TamperingFound("names a key that is another, or a second time", where=f"ledger entry {entry.idx}")
        ring[public.key_id] = LedgerKey(
            public, KeyState.SIGNING, len(ring) + 1, entry.idx, statement=body.get("statement")
        )
    return tuple(ring.values())


def key_states(reader: Reader) -> dict[str, KeyState]:
    """Return the state of every key the ledger ever named, by key id."""
    return _states(keyring(reader))


def named_key(reader: Reader) -> str | None:
    """Return the id of the signing key the ledger names, if any."""
    signing = _signing(keyring(reader))
    return None if signing is None else signing.public.key_id


def statements(reader: Reader) -> list[Mapping[str, Any]]:
    """Return what keys said of their successors, in the ledger's order: for verifiers that pin an older one."""
    return [key.statement for key in keyring(reader) if key.statement is not None]


def trusted(pinned: Sequence[PublicKey], reader: Reader) -> tuple[PublicKey, ...]:
    """Return the pinned keys without those the ledger has revoked."""
    states = key_states(reader)
    return tuple(key for key in pinned if states.get(key.key_id) is not KeyState.REVOKED)


def check_signed(envelope: Mapping[str, Any], ring: Sequence[LedgerKey]) -> None:
    """Refuse what was signed by a key that was revoked, or that this ledger never named.

    A rotation refuses nothing: what a retired key signed stands until it expires.

    Args:
        envelope: one whose signatures were verified with the pinned keys.
        ring: the ledger's keys now, read in the transaction that acts on the answer.

    Raises:
        PermitRefused: `permit_mismatch`.
    """
    states = _states(ring)
    for signature in envelope["signatures"]:
        state = states.get(signature["keyid"])
        if state not in TRUSTED:
            what = "was revoked" if state is KeyState.REVOKED else "is not of this ledger"
            raise PermitRefused(
                f"the key that signed the permit {what}",
                hint="run the gate again: it decides again, and signs with the key of today",
                reason=Reason.PERMIT_MISMATCH.value,
            )


def signing_key(settings: Settings, reader: Reader) -> SigningKey:
    """Load the private half of the key the ledger names.

    Raises:
        KeyLost: it is not where it should be, or is another one.
    """
    return signing_key_of(settings, keyring(reader))


def signing_key_of(settings: Settings, ring: Sequence[LedgerKey]) -> SigningKey:
    """Load the private half of the key that signs among these; see `signing_key`."""
    signing = _signing(ring)
    if signing is None:
        return load_key(settings.key_path)
    return load_key(key_file(settings, signing.number), signing.public.key_id)


def holds_signing_key(settings: Settings, reader: Reader) -> bool:
    """Whether the private half of the signing key is kept on this machine."""
    signing = _signing(keyring(reader))
    return key_file(settings, 1 if signing is None else signing.number).exists()


def key_file(settings: Settings, number: int) -> Path:
    """Return where the private half of the ledger's nth key is kept; an older one is never overwritten."""
    first = settings.key_path
    return first if number == 1 else first.with_name(f"{first.stem}-{number}{first.suffix}")


def read_pins(settings: Settings) -> tuple[PublicKey, ...]:
    """Return the public keys we verify with, from our own configuration and not from the database.

    Raises:
        KeyLost: the file is missing.
        InputError: it holds something else.
    """
    try:
        text = settings.pinned_keys_path.read_text("ascii")
    except OSError:
        raise KeyLost(
            "the pinned public keys cannot be read",
            where=str(settings.pinned_keys_path),
            hint="restore the file from backup",
            reason="cannot_decide",
        ) from None
    return _pins_of(text)


@lru_cache(maxsize=4)
def _pins_of(text: str) -> tuple[PublicKey, ...]:
    return tuple(public_key_from_text(line) for line in text.splitlines() if line.strip())


def rotate(tx: Transaction, settings: Settings, params: Mapping[str, Any], acted: Acted) -> Entry:
    """Make a new key the signing one; the old one vouches for it and is retired.

    Raises:
        KeyLost: the old key is not there to vouch; revoke it instead.
        CannotDecide: the new key or the pins cannot be stored.
    """
    checked_params(params, ())
    return _new_key(tx, settings, signing_key(settings, tx), acted)


def check_revocation(tx: Transaction, params: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return the parameters of a revocation as they are recorded.

    Args:
        params: `key_id`, and `since` when it may have been compromised earlier than now.

    Raises:
        InputError: no such key, one that is revoked already, or an instant that has not come yet.
    """
    checked_params(params, ("key_id",), ("since",))
    key_id, since = text_param(params, "key_id"), params.get("since")
    instant = now if since is None else parse_instant(since, "since")
    if instant > now:
        raise InputError("has not come yet", where="since")
    state = key_states(tx).get(key_id)
    if state is None:
        raise InputError("the ledger names no such key", where="key_id", hint="gate keys show")
    if state is KeyState.REVOKED:
        raise InputError("is revoked already", where="key_id", hint="gate keys show")
    return {"key_id": key_id, "since": format_instant(instant)}


def revoke(tx: Transaction, settings: Settings, params: Mapping[str, Any], acted: Acted) -> Entry:
    """Revoke a key: nothing it signed counts from now on. The signing key gets a successor in the same act.

    The successor is not vouched for by the compromised key: whoever pins that one must pin the new one by hand.
    `drop_revoked_pins` belongs after the commit.

    Raises:
        InputError: it was revoked meanwhile.
        CannotDecide: the successor or its pin cannot be stored.
    """
    body = check_revocation(tx, params, acted.at)
    signing = _signing(keyring(tx))
    if signing is not None and signing.public.key_id == body["key_id"]:
        _new_key(tx, settings, None, acted)
    return acted.append(tx, "key", f"{body['key_id']}/revoked", {**body, "state": KeyState.REVOKED.value})


def drop_revoked_pins(ledger: Ledger, settings: Settings) -> None:
    """Remove revoked keys from our pins. Safe to repeat; what died between entry and pin is put right by it.

    Raises:
        KeyLost: the file of pins is missing.
        CannotDecide: it cannot be replaced.
    """
    with ledger.write() as tx:  # nothing is appended: the lock keeps two from replacing the file at once
        pins = read_pins(settings)
        left = trusted(pins, tx)
        if left != pins:
            _write_pins(settings, left)


def _states(ring: Sequence[LedgerKey]) -> dict[str, KeyState]:
    return {key.public.key_id: key.state for key in ring}


def _signing(ring: Sequence[LedgerKey]) -> LedgerKey | None:
    return next((key for key in ring if key.state is KeyState.SIGNING), None)


def _new_key(tx: Transaction, settings: Settings, voucher: SigningKey | None, acted: Acted) -> Entry:
    ring = keyring(tx)
    path = key_file(settings, len(ring) + 1)
    # A key left by an act that died before its entry signed nothing yet: use it.
    key = load_key(path) if path.exists() else create_key(path)
    if key.key_id in {known.public.key_id for known in ring}:
        raise CannotDecide(
            "a key the ledger knows already stands in the place of the next one", where=str(path), hint="move it away"
        )
    pins = read_pins(settings)
    if key.public_key not in pins:
        _write_pins(settings, (*pins, key.public_key))
    body: dict[str, Any] = {
        "key_id": key.key_id,
        "public_key": public_key_to_text(key.public_key),
        "state": KeyState.SIGNING.value,
    }
    if voucher is not None:
        body["statement"] = introduce(key.public_key, voucher, ledger_origin=tx.origin, at=acted.at)
    return acted.append(tx, "key", key.key_id, body)


def _write_pins(settings: Settings, pins: Sequence[PublicKey]) -> None:
    """Replace the file of pinned keys whole; only while the ledger's writer lock is held."""
    path = settings.pinned_keys_path
    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        with draft.open("x", encoding="ascii") as file:
            file.write("".join(public_key_to_text(key) + "\n" for key in pins))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise CannotDecide(
            f"the pinned keys cannot be stored: {error.strerror}",
            where=str(path),
            hint="make the folder writable, then do it again",
        ) from None
