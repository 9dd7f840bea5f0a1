"""Receipts: the service's signed word that it recorded one redemption just now, so that a lying one is found out."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from gate.domain.canonical import canonical
from gate.domain.instants import checked_instant, format_instant, parse_instant
from gate.domain.run import TaskRun
from gate.errors import InputError, PermitRefused
from gate.permits.envelope import refusal, seal, unseal
from gate.permits.keys import PublicKey, SigningKey
from gate.permits.permit import is_count, is_permit_id, is_root, is_text

RECEIPT_TYPE = "application/vnd.consent-gate.receipt.v1+json"
FRESH = timedelta(seconds=60)  # how far `issued_at` may lie from the verifier's clock, either way
NONCE_BYTES = 32
UNPERMITTED = "00000000-0000-4000-8000-000000000000"
"""Stands for the permit in the receipt of a start that the mode `observe` let through without one."""

_NONCE = re.compile(rf"[0-9a-f]{{{2 * NONCE_BYTES}}}")
_refused = partial(refusal, what="receipt", hint="ask the service again; if it answers the same, do not trust it")


@dataclass(frozen=True, slots=True)
class Receipt:
    """A statement that one try of one task redeemed one permit, made for one question.

    Attributes:
        permit_id: the permit's id, a lower-case UUID (version 4).
        run: the try that redeemed it.
        index: ledger index of the redemption.
        nonce: 64 hex digits that whoever asked has chosen: an older answer does not fit the question.
        checkpoint: ledger size and root (64 hex digits) that hold the redemption already; to be compared with any
            later checkpoint of the ledger.
        issued_at: when the service answered.
        v: version of this statement.

    Raises:
        InputError: a field that no receipt could have.
    """

    permit_id: str
    run: TaskRun
    index: int
    nonce: str
    checkpoint: tuple[int, str]
    issued_at: datetime
    v: int = 1

    def __post_init__(self) -> None:
        size, root = self.checkpoint
        checked_instant(self.issued_at)
        wrong = {
            "v": type(self.v) is not int or self.v != 1,
            "permit_id": not is_permit_id(self.permit_id),
            "run": not is_run(self.run),
            "index": not is_count(self.index),
            "nonce": not (isinstance(self.nonce, str) and _NONCE.fullmatch(self.nonce)),
            "checkpoint": not (is_count(size) and is_root(root)),
        }
        wrong["checkpoint"] = wrong["checkpoint"] or wrong["index"] or self.index >= size
        for name, bad in wrong.items():
            if bad:
                raise InputError("is not what a receipt can hold", where=f"receipt.{name}")

    def to_payload(self) -> bytes:
        """Return the canonical bytes that are signed."""
        return canonical(
            {
                "v": self.v,
                "permit_id": self.permit_id,
                "run": self.run.to_dict(),
                "index": self.index,
                "nonce": self.nonce,
                "checkpoint": {"size": self.checkpoint[0], "root": self.checkpoint[1]},
                "issued_at": format_instant(self.issued_at),
            }
        )

    @classmethod
    def from_payload(cls, payload: bytes) -> Receipt:
        """Read what `to_payload` wrote, and nothing else: other spellings of the same receipt are refused.

        Raises:
            PermitRefused: `permit_mismatch`.
        """
        try:
            receipt = cls._from_fields(json.loads(payload))
            if receipt.to_payload() == payload:
                return receipt
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, InputError):
            pass
        raise _refused("its payload is not a version 1 receipt", "receipt")

    @classmethod
    def _from_fields(cls, data: Mapping[str, Any]) -> Receipt:
        return cls(
            v=data["v"],
            permit_id=data["permit_id"],
            run=TaskRun.from_dict(data["run"]),
            index=data["index"],
            nonce=data["nonce"],
            checkpoint=(data["checkpoint"]["size"], data["checkpoint"]["root"]),
            issued_at=parse_instant(data["issued_at"]),
        )


def new_nonce() -> str:
    """Return 32 random bytes as hex, to be used for one question only."""
    return secrets.token_hex(NONCE_BYTES)


def issue_receipt(receipt: Receipt, key: SigningKey) -> dict[str, Any]:
    """Sign a receipt into its DSSE envelope."""
    return seal(receipt.to_payload(), RECEIPT_TYPE, key)


def verify_receipt(
    envelope: Mapping[str, Any] | None,
    keys: Sequence[PublicKey],
    *,
    permit_id: str,
    run: TaskRun,
    nonce: str,
    now: datetime,
) -> Receipt:
    """Return the receipt if it is genuine, fresh, and the answer to this very question.

    Args:
        envelope: what `issue_receipt` returned, from anywhere; `None` when the service gave none.
        keys: the pinned public keys.
        permit_id: the permit that was presented.
        run: the try it was presented for, equal in every part.
        nonce: what `new_nonce` made for this question.
        now: the moment of the check, with a zone.

    Raises:
        PermitRefused: `permit_missing` without an envelope, else `permit_mismatch`.
    """
    if envelope is None:
        raise PermitRefused(
            "the service gave no receipt for the redemption", hint="ask it again", reason="permit_missing"
        )
    receipt = Receipt.from_payload(unseal(envelope, RECEIPT_TYPE, keys))
    if abs(checked_instant(now, "now") - receipt.issued_at) > FRESH:
        raise _refused(
            f"it was issued at {format_instant(receipt.issued_at)}, more than {FRESH.seconds} s from now",
            "receipt.issued_at",
            hint="compare the clocks of this machine and the service's",
        )
    for name, expected in (("permit_id", permit_id), ("run", run), ("nonce", nonce)):
        if getattr(receipt, name) != expected:
            raise _refused(f"it is for another {name.removesuffix('_id')}", f"receipt.{name}")
    return receipt


def is_run(run: TaskRun) -> bool:
    """Whether a field of a signed statement names a try of a task."""
    return (
        all(is_text(text) for text in (run.dag_id, run.run_id, run.task_id))
        and type(run.map_index) is int
        and run.map_index >= -1
        and type(run.try_number) is int
        and run.try_number >= 1
    )
