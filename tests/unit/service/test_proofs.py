"""Nothing is signed of a ledger that is not what was published of it: no checkpoint, no proof."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gate.errors import LedgerUnavailable, TamperingFound
from gate.ledger.checkpoints import parse_note
from gate.service.auditing import signed_note
from gate.service.core import Service
from gate.service.entry_view import entry_proof
from gate.service.proofs import prove_consistency, prove_entry
from gate.service.publishing import sign_checkpoint
from support.world import new_service

SIGNING: dict[str, Callable[[Service], Any]] = {
    "checkpoint": sign_checkpoint,
    "of the past": lambda service: sign_checkpoint(service, size=2),
    "entry": lambda service: prove_entry(service, 0),
    "entry for a caller": lambda service: entry_proof(service, 0, lambda dag: True),
    "consistency": lambda service: prove_consistency(service, 1, 2),
}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with new_service(tmp_path / "home") as opened:
        yield opened


def publish(service: Service, *, size: int, root: bytes) -> None:
    """Put a checkpoint where the last published one is kept, as a ledger that went another way would have."""
    with service.ledger.read() as reader:
        note = signed_note(service, reader.origin, size, root)
    service.settings.checkpoint_path.parent.mkdir(exist_ok=True)
    service.settings.checkpoint_path.write_text(note, "utf-8")


@pytest.mark.parametrize("sign", SIGNING.values(), ids=SIGNING.keys())
def test_what_was_published_is_looked_at_before_anything_is_signed(
    service: Service, sign: Callable[[Service], Any]
) -> None:
    assert sign(service)
    size = service.ledger_size()
    publish(service, size=size, root=b"\1" * 32)
    with pytest.raises(TamperingFound, match="are not those that were published"):
        sign(service)
    publish(service, size=size + 1, root=b"\1" * 32)
    with pytest.raises(LedgerUnavailable, match="this database was restored"):
        sign(service)


def test_a_proof_carries_the_present_checkpoint(service: Service) -> None:
    proof, signed = prove_entry(service, 1), sign_checkpoint(service)
    assert proof["checkpoint"] == signed.note
    assert parse_note(proof["checkpoint"]).root == signed.root
