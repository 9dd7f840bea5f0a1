"""Attestations from the ledger's side: what a training says it produced, bound to what let it, signed and kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gate.domain.canonical import sha256_hex
from gate.errors import TamperingFound
from gate.ledger.store import Entry, Reader, Transaction
from gate.permits.attestation import Artifact, Attestation, Named, issue_attestation, verify_attestation
from gate.service.anchors import recording
from gate.service.core import Service
from gate.service.keyring import signing_key, trusted
from gate.service.ports import Attested, Produced, Redeemed
from gate.service.receipts import find_redemption

KIND = "attestation"


def record_attestation(service: Service, produced: Produced, *, by: str) -> Attested:
    """Attest a model to the try that trained it, unless that very thing was attested before.

    The model is the worker's word. Everything else in the statement comes from the ledger. Each model of a try, and
    each version of the same file, is an entry of its own: what was said once is never replaced.

    Raises:
        PermitRefused: no redemption of this try is recorded there, or the try is not running any more.
        CannotDecide: Airflow cannot be asked whether it is.
    """
    redeemed = find_redemption(service, produced.redemption, produced.run)
    subject = attestation_subject(produced)
    known = service.ledger.look(lambda reader: reader.find(KIND, subject))
    if known is None:
        service.confirm(produced.run)  # whoever trained long ago has nothing new to say
        with recording(service) as tx:
            known = tx.find(KIND, subject) or _append(service, tx, redeemed, produced, by)
    return Attested(known.idx, produced.model, known.body["envelope"])


def attestation_subject(produced: Produced) -> str:
    """Return the ledger subject of an attestation: one per model version and redemption, found by the digest."""
    return f"{produced.model.digest}/{produced.redemption}/{produced.model.key}"


def attestations_of(reader: Reader, digest: str) -> list[Entry]:
    """Return the attestations of a model's digest, oldest first."""
    return list(reader.entries(KIND, subject_prefix=f"{digest}/"))


def attestations_at(reader: Reader, uri: str) -> list[Entry]:
    """Return the attestations of whatever was trained to a location, oldest first; reads all attestations."""
    return [entry for entry in reader.entries(KIND) if entry.body["model"]["uri"] == uri]


@dataclass(frozen=True, slots=True)
class Checked:
    """An attestation held against the ledger.

    Attributes:
        index: its ledger index.
        envelope: as it was signed.
        statement: what it says; empty when no trusted key signed it.
        signature: whether a pinned key that was not revoked signed it.
        ledger: whether every entry and the checkpoint it names are those the ledger holds.
        problems: what is wrong.
    """

    index: int
    envelope: Mapping[str, Any]
    statement: Mapping[str, Any]
    signature: bool
    ledger: bool
    problems: tuple[str, ...]


def check_attestation(service: Service, reader: Reader, entry: Entry) -> Checked:
    """Hold a recorded attestation against keys and ledger."""
    envelope = entry.body["envelope"]
    try:
        attestation = verify_attestation(envelope, trusted(service.pinned_keys, reader))
    except TamperingFound as error:
        return Checked(entry.idx, envelope, {}, signature=False, ledger=False, problems=(error.message,))
    problems = tuple(_contradictions(reader, entry, attestation))
    return Checked(
        entry.idx, envelope, attestation.to_statement(), signature=True, ledger=not problems, problems=problems
    )


def _contradictions(reader: Reader, entry: Entry, said: Attestation) -> list[str]:
    """Return where an attestation says other than the ledger that holds it."""
    wrong = []
    if entry.body != _body(said, envelope=entry.body["envelope"]):
        wrong.append("its entry says other than its statement")
    if said.ledger_origin != reader.origin:
        wrong.append("it is of another ledger")
    size, root = said.checkpoint
    if size > entry.idx or reader.root_at(size).hex() != root:
        wrong.append("the ledger never had its checkpoint")
        return wrong
    for what, named in (("decision", said.decision), ("redemption", said.redemption)):
        if sha256_hex(reader.entry(int(named.name)).payload) != named.digest:
            wrong.append(f"the ledger holds another {what} at {named.name}")
    return wrong


def _append(service: Service, tx: Transaction, redeemed: Redeemed, produced: Produced, by: str) -> Entry:
    now, head = service.now(tx), tx.head()
    start, decision = tx.entry(redeemed.index), tx.entry(redeemed.decision_index)
    permit, policy = redeemed.permit, decision.body["decision"]["policy"]
    attestation = Attestation(
        model=Artifact.of(produced.model),
        datasets=tuple(Artifact.of(version) for version in redeemed.versions),
        use=redeemed.use,
        run=produced.run,
        ledger_origin=tx.origin,
        decision=Named(decision.idx, sha256_hex(decision.payload)),
        redemption=Named(start.idx, sha256_hex(start.payload)),
        permit_id=permit.permit_id if permit else None,
        policy=Named(policy["name"], policy["digest"]),
        checkpoint=(head.size, head.root.hex()),
        facts_from=permit.facts_from if permit else "worker_asserted",
        recorded_at=now,
        override=permit.override if permit else None,
    )
    body = _body(attestation, envelope=issue_attestation(attestation, signing_key(service.settings, tx)))
    return tx.append(KIND, attestation_subject(produced), body, recorded_at=now, by=by, via="airflow")[0]


def _body(attestation: Attestation, *, envelope: Mapping[str, Any]) -> dict[str, Any]:
    model = attestation.model
    return {
        "model": {"uri": model.uri, "digest": model.digest, "files": model.files, "size": model.size},
        "redemption": attestation.redemption.name,
        "decision": attestation.decision.name,
        "run": attestation.run.to_dict(),
        "unpermitted": attestation.unpermitted,
        "envelope": dict(envelope),
    }
