"""Who signed and cosigned a checkpoint, for whoever has the note and their keys and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from gate.domain.instants import format_instant
from gate.errors import InputError, TamperingFound
from gate.ledger.checkpoints import NOTE_NAME, Note, verify_cosignature, verify_note
from gate.permits.keys import PublicKey, public_key_from_text


def signed_by_any(note: str, keys: Sequence[PublicKey], *, otherwise: str) -> Note:
    """Read a checkpoint and check that one of the ledger's keys signed it.

    Args:
        otherwise: what to say where there are no keys.

    Raises:
        InputError: the note is malformed.
        TamperingFound: none of them did, or the signature is wrong.
    """
    refused = TamperingFound(otherwise, where="checkpoint")
    for key in keys:
        try:
            return verify_note(note, NOTE_NAME, key.raw, key.verifies)
        except TamperingFound as error:
            refused = error
    raise refused


def cosigned_by(note: str, cosigners: Mapping[str, PublicKey]) -> list[dict[str, str]]:
    """Check that all of these cosigned a checkpoint.

    Returns:
        Per cosigner its name and when it signed.

    Raises:
        InputError: the note is malformed.
        TamperingFound: one of them did not, or its cosignature is wrong.
    """
    found = []
    for name, key in cosigners.items():
        at = verify_cosignature(note, name, key.raw, key.verifies)
        try:
            when = format_instant(datetime.fromtimestamp(at, UTC))
        except (ValueError, OverflowError, OSError):
            raise TamperingFound("the time of a cosignature cannot be one", where="checkpoint") from None
        found.append({"name": name, "at": when})
    return found


def parse_cosigners(texts: Iterable[str]) -> dict[str, PublicKey]:
    """Read `NAME=KEY`, the key as `gate keys create-witness` prints it.

    Raises:
        InputError: it reads otherwise.
    """
    found: dict[str, PublicKey] = {}
    for text in texts:
        name, equals, key = text.partition("=")
        if not (name and equals):
            raise InputError("expected NAME=KEY", where="--cosigner", hint="KEY as gate keys create-witness prints it")
        found[name] = public_key_from_text(key)
    return found
