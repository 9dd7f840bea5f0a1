"""Let others check the record: verification, signed checkpoints, proofs of single entries."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from gate.errors import InputError, TamperingFound
from gate.ledger.checkpoints import Note, note_text, sign_note, verify_note
from gate.permits.keys import PublicKey
from gate.service.core import Service

NOTE_NAME = "consent-gate"  # name of our signature line in checkpoints


def verify_ledger(
    service: Service, checkpoint: str | None = None, progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Check the whole ledger, and against a checkpoint kept elsewhere when one is given.

    Args:
        checkpoint: a signed note; its signature is checked with the pinned keys first.

    Returns:
        `entries`, `root`, `erased` (openings and attachments that are gone) and `findings` (empty when untouched).

    Raises:
        InputError: the checkpoint is malformed.
        TamperingFound: the checkpoint's signature is wrong.
    """
    from gate.ledger.verify import verify  # not for every training task, which reads checkpoints too

    known = None if checkpoint is None else checked_note(service, checkpoint)
    with service.ledger.read() as reader:
        report = verify(reader, checkpoint=known, progress=progress)
    return {
        "entries": report.size,
        "root": report.root.hex(),
        "erased": report.erased,
        "findings": [f"{finding.where}: {finding.what}" for finding in report.findings],
        "contradictions": report.contradictions,
    }


def signed_checkpoint(service: Service) -> tuple[str, int, str]:
    """Sign the present size and root.

    Returns:
        The note, the size, the root as hex.
    """
    with service.ledger.read() as reader:
        head, origin = reader.head(), reader.origin
    return signed_note(service, origin, head.size, head.root), head.size, head.root.hex()


def prove_entry(service: Service, index: int) -> dict[str, Any]:
    """Prove that an entry stands in the ledger, for somebody who trusts only the signed checkpoint.

    Raises:
        InputError: there is no such entry.
    """
    with service.ledger.read() as reader:
        head, origin = reader.head(), reader.origin
        if index >= head.size:
            raise InputError(f"there is no entry {index}", where="index", hint=f"the ledger holds {head.size}")
        entry = reader.entry(index)
        path = reader.inclusion_proof(index, head.size)
    return {
        "index": index,
        "size": head.size,
        "kind": entry.kind,
        "payload": entry.payload.decode(),
        "leaf_hash": entry.leaf_hash.hex(),
        "inclusion": [node.hex() for node in path],
        "checkpoint": signed_note(service, origin, head.size, head.root),
    }


def signed_note(service: Service, origin: str, size: int, root: bytes) -> str:
    """Return a checkpoint of the ledger, signed with our key."""
    key = service.key
    return sign_note(note_text(origin, size, root), NOTE_NAME, key.sign, key.public)


def checked_note(service: Service, note: str) -> Note:
    """Read a checkpoint and check that one of the pinned keys signed it.

    Raises:
        InputError: it is malformed.
        TamperingFound: none did, or the signature is wrong.
    """
    return _checked(note, service.pinned_keys)


@lru_cache(maxsize=8)
def _checked(note: str, keys: tuple[PublicKey, ...]) -> Note:
    refused = TamperingFound("no pinned key signed this checkpoint", where="checkpoint")
    for key in keys:
        try:
            return verify_note(note, NOTE_NAME, key.raw, key.verifies)
        except TamperingFound as error:
            refused = error
    raise refused
