"""A home that can be audited: a training that was attested, a run that was blocked, and the events of both."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from gate.domain.run import TaskRun
from gate.permits import SigningKey
from gate.service import bundle_format as form
from gate.service.archive import pack, unpack
from gate.service.bundle import Scope, export_bundle
from gate.service.core import Service
from gate.service.deciding import decide
from gate.service.ports import Produced
from gate.service.tagging import tag_dataset
from gate.service.worker import measure_model, redeem
from support.lineage_pages import airflow, dataset, event, keep
from support.world import ASKING, TRAIN, USE, add_account, chat_file, new_service, say
from support.world import event as consent

BLOCKED = TaskRun("train_summary", "blocked__1", "consent_gate")


def audited(folder: Path, *, name: str = "chat.jsonl") -> Service:
    """Open a service with everything recorded: `acme` and `bigco` agreed, `nono` did not."""
    service = new_service(folder / "home")
    record(service, folder, name)
    return service


def record(service: Service, folder: Path, name: str) -> None:
    """Record it in a ledger that knows the model `ms-1`; data and models lie in a folder."""
    from gate.lineage.observed import observe

    for account in ("acme", "bigco", "nono"):
        add_account(service, account)
    say(service, consent("acme"), consent("bigco"))
    data = chat_file(folder, ["acme", "bigco", "acme"], name)
    tagged = tag_dataset(service, data, ["chat"], by="service:airflow", via="airflow")
    outcome = decide(service, [data], USE, ASKING)
    assert outcome.allowed
    right = redeem(service, TRAIN, [data], USE, by="service:airflow")
    model = folder / "models" / "ms-1.bin"
    model.parent.mkdir(exist_ok=True)
    model.write_bytes(b"weights")
    produced = Produced(right.index, TRAIN, measure_model(model))
    service.record_attestation(produced, by="service:airflow")
    digest = tagged.version.digest
    keep(
        service, map(observe, [_decided(service, outcome.index), _trained(data.name, digest, produced, outcome.index)])
    )
    refused = chat_file(folder, ["acme", "nono"], "blocked.jsonl")
    tag_dataset(service, refused, ["chat"], by="service:airflow", via="airflow")
    assert not decide(service, [refused], USE, replace(ASKING, run=BLOCKED)).allowed


def _decided(service: Service, index: int) -> dict[str, Any]:
    text = service.ledger.outbox_event(f"decision/{index}")
    assert text is not None
    found: dict[str, Any] = json.loads(text)
    return found


def _trained(name: str, digest: str, produced: Produced, decision: int) -> dict[str, Any]:
    own = {
        "job": {"namespace": "airflow", "name": "train_summary.train"},
        "eventTime": "2024-01-01T00:01:00Z",
        "run": {"runId": "01939c1e-0000-7000-8000-000000000001"},
    }
    facets = {
        **airflow(TRAIN.dag_id, TRAIN.run_id, TRAIN.task_id),
        "tags": {"tags": [{"key": "gate.decision", "value": str(decision)}]},
    }
    model = dataset(produced.model.dataset.namespace, produced.model.dataset.name, produced.model.digest, model="ms-1")
    return event(own, "COMPLETE", facets, [dataset("file", name, digest)], [model])


def bundle(service: Service, scope: Scope | None = None, **how: Any) -> bytes:
    """Return the bundle about the model, without PDF."""
    made = export_bundle(service, scope or Scope(model="ms-1"), by="service:auditor", pdf=False, **how)
    return made.archive


def resealed(service: Service, archive: bytes, **changes: bytes | None) -> bytes:
    """Change files of a bundle (`None` removes one) and sign the manifest anew: what only the operator can do."""
    return sealed_by(service.key, archive, **changes)


def sealed_by(key: SigningKey, archive: bytes, **changes: bytes | None) -> bytes:
    """Do the same with any key."""
    from gate.domain.canonical import canonical
    from gate.permits.envelope import seal

    files: dict[str, Any] = {**unpack(archive), **changes}
    kept = {name: content for name, content in files.items() if content is not None}
    old = json.loads(kept.pop(form.MANIFEST))
    del kept[form.ENVELOPE]
    payload = canonical({**old, "files": form.listed(kept)})
    envelope = canonical(seal(payload, form.MANIFEST_TYPE, key))
    return pack({**kept, form.MANIFEST: payload, form.ENVELOPE: envelope})
