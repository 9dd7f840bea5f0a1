"""Witnesses: somebody else's key signs a checkpoint, but only one that continues what it signed before. Files only."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gate.domain.canonical import digest
from gate.errors import CannotDecide, CheckFailed, InputError, TamperingFound
from gate.ledger import merkle
from gate.ledger.checkpoints import Note, cosign_note, parse_note, verify_cosignature
from gate.permits.keys import PublicKey, SigningKey
from gate.service.cosigned import signed_by_any

NOT_SIGNED = "no key of the ledger signed this checkpoint"
PROOF_FIELDS = ("old_size", "new_size", "consistency")


@dataclass(frozen=True, slots=True)
class Witness:
    """Who cosigns.

    Attributes:
        name: stands in the signature line; a URL without its scheme is usual.
        key: the witness's own.
        memory: folder where the witness keeps what it signed last of each ledger; nobody else may write there.
    """

    name: str
    key: SigningKey
    memory: Path


def cosign(
    witness: Witness,
    note: str,
    ledger_keys: Sequence[PublicKey],
    *,
    at: datetime,
    previous: str | None = None,
    proof: Mapping[str, Any] | None = None,
) -> str:
    """Cosign a checkpoint, and remember it.

    Args:
        witness: who cosigns.
        note: the checkpoint, signed by the ledger.
        ledger_keys: the ledger's public keys, as the witness pinned them.
        at: the witness's present time.
        previous: a checkpoint this witness cosigned before; for a witness whose memory is elsewhere.
        proof: what `prove_consistency` gave, from the size that was cosigned last to this one.

    Returns:
        The note with the witness's line.

    Raises:
        InputError: a malformed note or proof; or a proof is needed and missing.
        CheckFailed: the note is older than what was cosigned already.
        TamperingFound: a signature is wrong, or the ledger is not the one that was cosigned before: rewritten.
        CannotDecide: the memory cannot be read or written.
    """
    now = signed_by_any(note, ledger_keys, otherwise=NOT_SIGNED)
    place = witness.memory / f"{digest(now.origin).removeprefix('sha256:')[:32]}.note"
    with _alone(witness.memory):  # or two at once would each sign a fork of what was signed before
        known = [_own(witness, text, now) for text in (_read(place), previous) if text is not None]
        if known:
            _check_continues(max(known, key=lambda one: one.size), now, proof)
        cosigned = cosign_note(note, witness.name, witness.key.sign, witness.key.public, int(at.timestamp()))
        write_whole(place, cosigned)
    return cosigned


def parse_proof(text: str, where: str) -> dict[str, Any]:
    """Read what `gate ledger prove --consistency OLD NEW --json` wrote.

    Raises:
        InputError: it is something else.
    """
    try:
        proof = json.loads(text)
        sizes = [proof[name] for name in PROOF_FIELDS[:2]]
        nodes = [bytes.fromhex(node) for node in proof["consistency"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise _no_proof(where) from None
    if not all(type(size) is int and size >= 0 for size in sizes) or any(len(node) != 32 for node in nodes):
        raise _no_proof(where)
    return {"old_size": sizes[0], "new_size": sizes[1], "consistency": nodes}


def write_whole(path: Path, text: str) -> None:
    """Write a file as a whole or not at all, on disk before anybody counts on it.

    Raises:
        CannotDecide: it cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise CannotDecide(f"cannot be written: {error.strerror}", where=str(path)) from None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise CannotDecide(f"cannot be written: {error.strerror}", where=str(folder)) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _own(witness: Witness, text: str, now: Note) -> Note:
    """Read a note that this witness cosigned before."""
    verify_cosignature(text, witness.name, witness.key.public, witness.key.public_key.verifies)
    note = parse_note(text)
    if note.origin != now.origin:
        raise InputError("it is of another ledger", where="previous checkpoint")
    return note


def _check_continues(before: Note, now: Note, proof: Mapping[str, Any] | None) -> None:
    if now.size < before.size:
        raise CheckFailed(
            f"{before.size} entries were cosigned already, this checkpoint is of {now.size}",
            where="checkpoint",
            hint="take a newer one; if there is none, the ledger lost entries",
        )
    if now.size == before.size:
        if now.root != before.root:
            raise _rewritten(before)
        return
    if proof is None and before.size:
        raise InputError(
            f"{before.size} entries were cosigned before, and nothing shows that these {now.size} continue them",
            where="--proof",
            hint=f"gate ledger prove --consistency {before.size} {now.size} --json > FILE",
        )
    nodes: Sequence[bytes] = []
    if proof is not None and before.size:
        if (proof["old_size"], proof["new_size"]) != (before.size, now.size):
            raise InputError(
                f"it is from {proof['old_size']} to {proof['new_size']} entries",
                where="--proof",
                hint=f"needed is one from {before.size} to {now.size}",
            )
        nodes = proof["consistency"]
    if not merkle.verify_consistency(before.size, now.size, before.root, now.root, nodes):
        raise _rewritten(before)


def _rewritten(before: Note) -> TamperingFound:
    return TamperingFound(
        f"its first {before.size} entries are not shown to be those that were cosigned: the ledger was rewritten",
        where="checkpoint",
        hint="keep both checkpoints: together they are the evidence",
    )


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError):
        raise CannotDecide(
            "what this witness signed last cannot be read", where=str(path), hint="restore it; never start anew"
        ) from None


def _no_proof(where: str) -> InputError:
    return InputError("is not a consistency proof", where=where, hint="gate ledger prove --consistency OLD NEW --json")
