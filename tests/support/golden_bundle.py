"""The bundle whose bytes are frozen in tests/golden/bundle_v1*.zip: how it was made, and its ledger made of it again.

`python -m support.golden_bundle FOLDER` (with tests/ on the path) makes such files; the frozen ones stay as they are.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key

from gate.domain.run import Confirmed
from gate.domain.words import Ownership
from gate.ledger.checkpoints import parse_note
from gate.ledger.copying import Record, replay
from gate.ledger.store import create_ledger, open_ledger
from gate.lineage.observed import observe
from gate.permits import public_key_to_text
from gate.policy.table import parse_policy
from gate.service import bundle_format as form
from gate.service.archive import unpack
from gate.service.bundle import Scope, export_bundle
from gate.service.consents import record_model
from gate.service.core import Service, activate_policy, set_up
from gate.service.settings import Settings, read_settings
from support.audited import record
from support.lineage_pages import keep
from support.permits import SEED, signing_key
from support.world import Clock

SCOPE = Scope(model="ms-1")
RECORD = (form.NOTE, form.ENTRIES, form.SIZES, form.EVENTS)  # what follows from the ledger; how it is shown may change
_PKCS8 = bytes.fromhex("302e020100300506032b657004220420")  # RFC 8410: what stands before an Ed25519 seed
_POLICY = """\
name: golden
version: "1.0"
sources:
  S: {title: The terms of a company that exists in tests only, medium: terms, statements: []}
terms_versions:
  - {version: 2023-08-07, from: 2023-08-07}
rows:
  - id: chat-training
    categories: [chat]
    purposes: [train]
    ownership: [first_party]
    requirement: consent
    toggle: share_for_training
    effective: {from: 2023-03-01}
    status: stated
    citations: [{source: S, section: "1", authority: terms, quote: nothing is trained on without consent}]
"""


def make(folder: Path) -> dict[str, bytes]:
    """Make the bundles of a new ledger: one without names, and one in which an account is opened."""
    with set_up(_settings(folder / "home"), clock=Clock()) as service:
        service.confirm = lambda run: Confirmed()
        record_model(service, "ms-1", Ownership.FIRST_PARTY, ["meeting_summary"], "registry/ms-1", by="eve", via="cli")
        activate_policy(service, parse_policy(_POLICY), by="eve", via="cli")
        record(service, folder, "chat.jsonl")
        return {"bundle_v1.zip": written(service), "bundle_v1_opened.zip": written(service, "acme")}


def written(service: Service, *opened: str) -> bytes:
    """Export the bundle that is frozen."""
    return export_bundle(service, SCOPE, by="service:auditor", opened=opened, pdf=False).archive


def again(archive: bytes, folder: Path) -> Service:
    """Make a ledger of a bundle that holds every entry, as a copy would; open it with the key that signed it."""
    files, settings = unpack(archive), _settings(folder)
    note = parse_note(files[form.NOTE].decode())
    create_ledger(settings.database_url, salt=lambda: bytes.fromhex(note.origin.rpartition("/")[2]))
    service = Service(settings, open_ledger(settings.database_url), Clock())
    settings.pinned_keys_path.write_text(public_key_to_text(signing_key().public_key) + "\n")
    events = [json.loads(line) for line in files[form.EVENTS].splitlines()]
    with service.ledger.write() as tx:
        replay(tx, _records(files), note)
        for event in events:
            decision = event["run"]["facets"].get("gate_decision")
            if decision is not None:
                tx.outbox_put(f"decision/{decision['ledger']['index']}", json.dumps(event))
    keep(service, map(observe, events))
    return service


def _settings(home: Path) -> Settings:
    settings = read_settings({"GATE_HOME": str(home)})
    settings.key_path.parent.mkdir(mode=0o700, parents=True)
    private = load_der_private_key(_PKCS8 + SEED, None)
    settings.key_path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    settings.key_path.chmod(0o600)
    return settings


def _records(files: dict[str, bytes]) -> list[Record]:
    kept = [
        {
            "attachment": "sha256:" + name.removeprefix(form.ATTACHED),
            "media_type": "application/octet-stream",
            "content": base64.b64encode(content).decode(),
        }
        for name, content in files.items()
        if name.startswith(form.ATTACHED)
    ]
    lines = [json.loads(line) for line in files[form.ENTRIES].splitlines()]
    return [*kept, *({"entry": one["index"], "payload": one["payload"]} for one in lines)]


if __name__ == "__main__":
    target = Path(sys.argv[1])
    for made, content in make(target / "made").items():
        (target / made).write_bytes(content)
