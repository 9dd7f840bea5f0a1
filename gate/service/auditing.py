"""Let others check the record: verification, and signed checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from gate.ledger.checkpoints import NOTE_NAME, Note, note_text, sign_note
from gate.permits.keys import PublicKey
from gate.service.core import Service
from gate.service.cosigned import signed_by_any


def verify_ledger(
    service: Service,
    checkpoint: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    *,
    since: bool = False,
) -> dict[str, Any]:
    """Check the whole ledger, and against a checkpoint kept elsewhere when one is given.

    Args:
        checkpoint: a signed note; its signature is checked with the pinned keys first.
        since: the checkpoint vouches for what it covers; see `gate.ledger.verify.verify`.

    Returns:
        `entries`, `root`, `erased` (openings and attachments that are gone) and `findings` (empty when untouched).

    Raises:
        InputError: the checkpoint is malformed.
        TamperingFound: the checkpoint's signature is wrong.
    """
    from gate.ledger.verify import verify  # not for every training task, which reads checkpoints too

    known = None if checkpoint is None else checked_note(service, checkpoint)
    with service.ledger.read() as reader:
        report = verify(reader, checkpoint=known, since=since, progress=progress)
    return {
        "entries": report.size,
        "root": report.root.hex(),
        "erased": report.erased,
        "findings": [f"{finding.where}: {finding.what}" for finding in report.findings],
        "contradictions": report.contradictions,
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
    return signed_by_any(note, keys, otherwise="no pinned key signed this checkpoint")
