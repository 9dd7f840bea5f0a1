"""Checks an audit bundle offline, with nothing but public keys: no database, no network, no trust in its maker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gate.domain.canonical import sha256_hex
from gate.errors import InputError, TamperingFound
from gate.ledger import merkle
from gate.ledger.checkpoints import Note
from gate.permits.keys import PublicKey
from gate.service import bundle_format as form
from gate.service.archive import unpack
from gate.service.bundle_checks import check_contents
from gate.service.bundle_opened import Findings, Opened, hash_of, open_bundle, signed_manifest, signed_note_of
from gate.service.cosigned import cosigned_by


def verify_bundle(
    data: bytes, keys: Sequence[PublicKey], cosigners: Mapping[str, PublicKey] | None = None
) -> tuple[Findings, Mapping[str, Any]]:
    """Check everything in a bundle.

    Args:
        data: its bytes.
        keys: the ledger's public keys, as the verifier has them from elsewhere; at least one.
        cosigners: name → key of those who must have cosigned a checkpoint in it.

    Returns:
        What was found, and the manifest (empty unless a trusted key signed it). Nothing is raised for what is wrong
        with the bundle.
    """
    found = Findings()
    manifest: Mapping[str, Any] = {}
    try:
        files = unpack(data)
        manifest, signers = signed_manifest(files, keys)
        _check_files(files, manifest, found)
        if not found.ok:
            return found, manifest
        opened = open_bundle(files, manifest, signers, keys)
    except TamperingFound as error:
        found.problem(error.where or "bundle", error.message)
        return found, manifest
    _check_tree(opened, found)
    if found.ok:
        _check_cosigners(opened, cosigners or {}, found)
        check_contents(opened, found)
    return found, manifest


def _check_files(files: Mapping[str, bytes], manifest: Mapping[str, Any], found: Findings) -> None:
    """Hold every file against the manifest, and the manifest against the files."""
    there = set(files) - {form.MANIFEST, form.ENVELOPE}
    names = [one["name"] for one in manifest["files"]]
    for name in sorted(there.difference(names)):
        found.problem(name, "is not in the manifest")
    for one in manifest["files"]:
        content = files.get(one["name"])
        if content is None:
            found.problem(str(one["name"]), "is in the manifest and not in the archive")
        elif (sha256_hex(content), len(content)) != (one["sha256"], one["size"]):
            found.problem(one["name"], "was altered")
    if len(set(names)) != len(names):
        found.problem(form.MANIFEST, "names a file twice")
    if found.ok:
        found.proved.append("a key you gave (or one that it vouches for) signed the manifest")
        found.proved.append(f"all {len(names)} files are those of the manifest, and there are no others")


def _check_tree(opened: Opened, found: Findings) -> None:
    """Check who signed the checkpoint, that every entry stands below it, and that it continues the earlier states."""
    note = _checkpoint(opened, found)
    if note is None:
        return
    for said in opened.entries.values():
        leaf = merkle.leaf_hash(said.payload)
        if not merkle.verify_inclusion(said.index, note.size, leaf, said.inclusion, note.root):
            found.problem(f"entry {said.index}", "is not shown to stand below the checkpoint")
    genesis = opened.entries.get(0)
    if genesis is None or genesis.kind != "genesis" or genesis.body.get("origin") != note.origin:
        found.problem("entry 0", "does not name this ledger")
    found.check(form.SIZES, lambda: _check_sizes(opened, note, found))
    if found.ok:
        found.proved.append(
            f"{len(opened.entries)} entries stand, unaltered and in this order, in the ledger {note.origin} of"
            f" {note.size} entries that a trusted key signed"
        )
        found.proved.append(f"{len(opened.roots)} earlier states that they rest on are beginnings of that ledger")


def _checkpoint(opened: Opened, found: Findings) -> Note | None:
    named = opened.manifest["checkpoint"]
    try:
        note = signed_note_of(opened.files[form.NOTE], opened.trusted)
    except (TamperingFound, InputError) as error:
        found.problem(form.NOTE, error.message)
        return None
    if (note.origin, note.size, note.root.hex()) != (opened.manifest["ledger_origin"], named["size"], named["root"]):
        found.problem(form.NOTE, "is of another ledger or state than the manifest says")
        return None
    return note


def _check_sizes(opened: Opened, note: Note, found: Findings) -> None:
    for one in form.read_lines(opened.files[form.SIZES], form.SIZES):
        size, root, path = one["size"], hash_of(one["root"]), tuple(map(hash_of, one["consistency"]))
        if not merkle.verify_consistency(size, note.size, root, note.root, path):
            found.problem(form.SIZES, f"the state of {size} entries is not shown to be a beginning of the ledger")
        opened.roots[size] = one["root"]
    opened.roots.setdefault(note.size, note.root.hex())


def _check_cosigners(opened: Opened, cosigners: Mapping[str, PublicKey], found: Findings) -> None:
    """Check the checkpoints that others cosigned: by whom, and that this ledger continues them."""
    now, notes = opened.manifest["checkpoint"], dict[str, Note]()
    for name in (one for one in opened.files if one.startswith(form.COSIGNED) and one.endswith(".note")):
        found.check(name, lambda name=name: notes.update({name: _continued(opened, name, now)}))  # type: ignore[misc]
    for who, key in cosigners.items():
        found.check(f"cosigner {who}", lambda who=who, key=key: _cosigned(opened, notes, who, key, found))  # type: ignore[misc]
    if not cosigners:
        found.not_proved.append(
            "that the operator shows everybody the same ledger: give --cosigner NAME=KEY of a witness you trust"
        )


def _continued(opened: Opened, name: str, now: Mapping[str, Any]) -> Note:
    note = signed_note_of(opened.files[name], opened.trusted)
    proof = form.read_json(opened.files[name.removesuffix("note") + "json"], name)
    path = tuple(map(hash_of, proof["consistency"]))
    root = hash_of(now["root"])
    same = note.origin == opened.manifest["ledger_origin"] and proof["size"] == note.size
    if not (same and merkle.verify_consistency(note.size, now["size"], note.root, root, path)):
        raise TamperingFound("this ledger is not shown to continue what was cosigned")
    return note


def _cosigned(opened: Opened, notes: Mapping[str, Note], who: str, key: PublicKey, found: Findings) -> None:
    refused = TamperingFound("did not cosign any checkpoint in the bundle")
    for name, note in notes.items():
        try:
            [told] = cosigned_by(opened.files[name].decode(), {who: key})
        except TamperingFound as error:
            refused = error
        else:
            found.proved.append(f"{who} cosigned the state of {note.size} entries at {told['at']}")
            return
    raise refused
