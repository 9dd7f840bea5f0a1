"""Frozen bundles: what was exported once must verify for ever, and its ledger must give the same record again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gate.ledger.writing import KINDS
from gate.service import bundle_format as form
from gate.service.archive import unpack
from gate.service.bundle_verify import verify_bundle
from support.golden_bundle import RECORD, SCOPE, again, make, written
from support.permits import signing_key

# A file here is never written again: auditors keep bundles for years.
GOLDEN = Path(__file__).parents[1] / "golden"
KEYS = [signing_key().public_key]
PROVED = [
    "a key you gave (or one that it vouches for) signed the manifest",
    "all 12 files are those of the manifest, and there are no others",
    "20 entries stand, unaltered and in this order, in the ledger ORIGIN of 20 entries that a trusted key signed",
    "4 earlier states that they rest on are beginnings of that ledger",
    "2 consents are of the 3 accounts that decisions name by reference",
    "lineage events name the digests of 1 attestations, model and data alike",
    "2 decisions follow the policies included here, in force when they were made",
    "1 permits and 1 redemptions are about those decisions and their data",
    "1 attestations of models are signed and name exactly those entries and policies",
]


def frozen(name: str) -> bytes:
    return (GOLDEN / name).read_bytes()


def proved(archive: bytes) -> list[str]:
    found, manifest = verify_bundle(archive, KEYS)
    assert found.problems == []
    assert any("verdicts themselves" in one for one in found.not_proved)
    return [one.replace(manifest["ledger_origin"], "ORIGIN") for one in found.proved]


def test_what_was_exported_once_verifies_for_ever() -> None:
    assert proved(frozen("bundle_v1.zip")) == PROVED


def test_so_do_names_that_were_opened() -> None:
    wanted = [one.replace("12 files", "13 files").replace("of 20 entries", "of 21 entries") for one in PROVED]
    opened = "4 names and texts that were opened are what their references stand for"
    assert [one for one in proved(frozen("bundle_v1_opened.zip")) if one != opened] == wanted
    assert opened in proved(frozen("bundle_v1_opened.zip"))


@pytest.mark.parametrize("name", ["bundle_v1.zip", "bundle_v1_opened.zip"])
def test_another_key_has_not_signed_it(name: str) -> None:
    assert not verify_bundle(frozen(name), [signing_key(b"\2" * 32).public_key])[0].ok


def test_the_same_ledger_gives_the_same_record(tmp_path: Path) -> None:
    """All that follows from the ledger, byte for byte; report and picture may come to look otherwise."""
    old = unpack(frozen("bundle_v1.zip"))
    with again(frozen("bundle_v1.zip"), tmp_path) as service:
        archive = written(service)
        assert archive == written(service)
    new = unpack(archive)
    assert set(new) == set(old)
    attached = {name for name in old if name.startswith(form.ATTACHED)}
    assert {name: new[name] for name in (*RECORD, *attached)} == {name: old[name] for name in (*RECORD, *attached)}
    then, now = json.loads(old[form.MANIFEST]), json.loads(new[form.MANIFEST])
    for name in ("v", "ledger_origin", "checkpoint", "created_at", "scope", "successions"):
        assert now[name] == then[name]
    assert proved(archive) == PROVED


def test_what_is_made_now_has_the_frozen_form(tmp_path: Path) -> None:
    made = make(tmp_path)
    for name, archive in made.items():
        assert sorted(map(shape, unpack(archive))) == sorted(map(shape, unpack(frozen(name))))
        assert set(proved(archive)) == set(proved(frozen(name)))
    lines = unpack(frozen("bundle_v1.zip"))[form.ENTRIES].splitlines()
    kinds = {json.loads(json.loads(line)["payload"])["kind"] for line in lines}
    assert kinds <= KINDS
    assert json.loads(unpack(made["bundle_v1.zip"])[form.MANIFEST])["scope"] == SCOPE.to_dict()


def shape(name: str) -> str:
    return form.ATTACHED if name.startswith(form.ATTACHED) else name
