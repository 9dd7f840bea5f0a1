"""For whoever asked far away: the service's signed word that it recorded a redemption, and finding that one again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gate.domain.remedies import refused
from gate.domain.run import TaskRun
from gate.domain.words import Reason
from gate.ledger.store import Entry, Reader
from gate.permits.permit import open_permit
from gate.permits.receipt import UNPERMITTED, Receipt, issue_receipt
from gate.service.core import Service
from gate.service.decisions import read_outcome
from gate.service.keyring import keyring, signing_key_of
from gate.service.ports import Redeemed


def sign_receipt(service: Service, redeemed: Redeemed, nonce: str) -> Mapping[str, Any]:
    """Return the signed receipt of a redemption that stands, for one question.

    Args:
        redeemed: what was recorded.
        nonce: 64 hex digits that whoever asked has chosen.

    Raises:
        KeyLost: the signing key is not there.
        InputError: not such a nonce.
    """
    if redeemed.moment is not None:
        head, ring = redeemed.moment
    else:
        with service.ledger.read() as reader:
            head, ring = reader.head(), keyring(reader)
    receipt = Receipt(
        permit_id=redeemed.permit.permit_id if redeemed.permit else UNPERMITTED,
        run=redeemed.run,
        index=redeemed.index,
        nonce=nonce,
        checkpoint=(head.size, head.root.hex()),
        issued_at=service.clock(),  # when we answer; the redemption's own time was held against the ledger
    )
    return issue_receipt(receipt, signing_key_of(service.settings, ring))


def find_redemption(service: Service, index: int, run: TaskRun) -> Redeemed:
    """Return a recorded redemption, or a start that the mode `observe` let through, as it was answered.

    Args:
        index: its ledger index.
        run: the try it must be of.

    Raises:
        PermitRefused: there is none of this try at this place.
    """
    with service.ledger.read() as reader:
        entry = _entry(reader, index)
        if entry is None or entry.body["run"] != run.to_dict():
            raise refused("no redemption of this try is recorded there", Reason.PERMIT_MISMATCH)
        if entry.kind == "refusal":
            decision = reader.entry(entry.body["decision"])
            outcome = read_outcome(reader, decision)
            return Redeemed(None, index, run, outcome.decision.use, outcome.versions, decision.idx)
        envelope = reader.entry(entry.body["permit"]).body["envelope"]
    permit = open_permit(envelope, service.pinned_keys)
    return Redeemed(permit, index, run, permit.use, permit.datasets, permit.decision_index, envelope)


def _entry(reader: Reader, index: int) -> Entry | None:
    entry = reader.entry(index) if index < reader.size else None
    started = entry is not None and (
        entry.kind == "redemption" or (entry.kind == "refusal" and "observed" in entry.body)
    )
    return entry if started else None
