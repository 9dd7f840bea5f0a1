"""Reads an audit bundle that may hold anything: its manifest, if a trusted key signed that, and its entries."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gate.domain.canonical import canonical
from gate.errors import GateError, InputError, PermitRefused, TamperingFound
from gate.ledger.checkpoints import Note
from gate.ledger.format import statement_of
from gate.permits.envelope import MAX_ENVELOPE, read_envelope, unseal
from gate.permits.keys import PublicKey, public_key_from_text
from gate.permits.succession import successors
from gate.service import bundle_format as form
from gate.service.cosigned import signed_by_any

UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError, InputError)
MOST_PROBLEMS = 100  # kept; the rest is only counted

_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Said:
    """An entry of the ledger as the bundle has it."""

    index: int
    payload: bytes
    kind: str
    body: Mapping[str, Any]
    inclusion: tuple[bytes, ...]


@dataclass
class Opened:
    """A bundle that was read.

    Attributes:
        trusted: the keys that were given and those they vouch for, without those that the ledger revoked.
        revoked: ids of keys that the ledger revoked.
        roots: of earlier states of the ledger that are shown to be beginnings of this one, by size.
    """

    files: Mapping[str, bytes]
    manifest: Mapping[str, Any]
    entries: Mapping[int, Said]
    trusted: tuple[PublicKey, ...]
    revoked: frozenset[str]
    roots: dict[int, str] = field(default_factory=dict)

    def of(self, *kinds: str) -> Iterator[Said]:
        """Yield the entries of some kinds, in the ledger's order."""
        return (said for said in self.entries.values() if said.kind in kinds)

    @property
    def keys(self) -> tuple[PublicKey, ...]:
        """All keys whose signatures within the ledger count: those trusted, and those the ledger names."""
        named = {key.key_id: key for key in self.trusted}
        for said in self.of("key"):
            if "public_key" in said.body:
                key = public_key_from_text(said.body["public_key"])
                named.setdefault(key.key_id, key)
        return tuple(named.values())


@dataclass
class Findings:
    """What a verification proved, what it cannot prove, and what contradicts."""

    proved: list[str] = field(default_factory=list)
    not_proved: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    contradictions: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing contradicts."""
        return not self.contradictions

    def problem(self, where: str, what: str) -> None:
        """Note a contradiction."""
        self.contradictions += 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(f"{where}: {what}")

    def check(self, where: str, look: Callable[[], object]) -> bool:
        """Note what a look raises; say whether it raised nothing."""
        try:
            look()
        except UNREADABLE:
            self.problem(where, "cannot be read")
        except GateError as error:
            self.problem(f"{where}, {error.where}" if error.where else where, error.message)
        else:
            return True
        return False

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "ok": self.ok,
            "proved": self.proved,
            "not_proved": self.not_proved,
            "problems": self.problems,
            "contradictions": self.contradictions,
        }


def signed_manifest(files: Mapping[str, bytes], keys: Sequence[PublicKey]) -> tuple[dict[str, Any], set[str]]:
    """Return the manifest, if one of these keys signed it, or one that they vouch for; and the ids of who signed.

    Nothing else is read before: what anybody may have written is at most as long as an envelope.

    Args:
        files: what the archive holds.
        keys: the ledger's public keys, as the verifier has them from elsewhere.

    Raises:
        TamperingFound: it is no bundle, or none of these keys signed it.
    """
    for name in (form.MANIFEST, form.ENVELOPE, form.ENTRIES, form.NOTE, form.SIZES):
        if name not in files:
            raise TamperingFound("is not there", where=name)
    if len(files[form.MANIFEST]) > MAX_ENVELOPE:
        raise TamperingFound("is larger than any", where=form.MANIFEST)
    manifest = form.read_json(files[form.MANIFEST], form.MANIFEST)
    if not _is_manifest(manifest):
        raise TamperingFound("is not the manifest of a bundle, version 1", where=form.MANIFEST)
    trusted = _trusted(manifest, keys)
    try:
        envelope = read_envelope(files[form.ENVELOPE])
        signed = unseal(envelope, form.MANIFEST_TYPE, trusted)
    except PermitRefused as error:
        raise TamperingFound(error.message, where=form.ENVELOPE, hint="compare the key with the ledger's") from None
    if signed != files[form.MANIFEST] or files[form.ENVELOPE] != canonical(envelope):
        raise TamperingFound("is not what was signed", where=form.MANIFEST)
    return manifest, {one["keyid"] for one in envelope["signatures"]}


def open_bundle(
    files: Mapping[str, bytes], manifest: Mapping[str, Any], signers: Collection[str], keys: Sequence[PublicKey]
) -> Opened:
    """Read the entries; whether they and the rest fit together is not judged here.

    Args:
        files: what the archive holds, held against the manifest.
        manifest: a trusted one.
        signers: ids of the keys that signed it.
        keys: as for `signed_manifest`.

    Raises:
        TamperingFound: they cannot be read, or say that a signer's key was revoked.
    """
    lines = form.read_lines(files[form.ENTRIES], form.ENTRIES)
    entries = [_said(one, f"{form.ENTRIES}:{number}") for number, one in enumerate(lines, 1)]
    if [said.index for said in entries] != sorted({said.index for said in entries}):
        raise TamperingFound("its entries are not in the ledger's order", where=form.ENTRIES)
    stated = [said.body for said in entries if said.kind == "key"]
    revoked = frozenset(str(body.get("key_id")) for body in stated if body.get("state") == "revoked")
    trusted = _trusted(manifest, keys, revoked)
    if not {key.key_id for key in trusted}.issuperset(signers):
        raise TamperingFound("it is signed by a key that was revoked, or that only a revoked one vouches for")
    return Opened(files, manifest, {said.index: said for said in entries}, trusted, revoked)


def _trusted(
    manifest: Mapping[str, Any], keys: Sequence[PublicKey], revoked: Collection[str] = ()
) -> tuple[PublicKey, ...]:
    origin = manifest["ledger_origin"]
    return successors(keys, manifest["successions"], ledger_origin=origin, revoked=revoked)


def _is_manifest(manifest: Any) -> bool:
    try:
        size, root = manifest["checkpoint"]["size"], manifest["checkpoint"]["root"]
        return (
            set(manifest) == form.MANIFEST_FIELDS
            and manifest["v"] == form.VERSION
            and type(size) is int
            and _HASH.fullmatch(root) is not None
            and isinstance(manifest["ledger_origin"], str)
            and all(isinstance(one, dict) for one in manifest["successions"])
            and all(set(one) == {"name", "sha256", "size", "what"} for one in manifest["files"])
            and all(isinstance(one["name"], str) for one in manifest["files"])
            and all(set(one) == {"what", "why"} for one in manifest["left_out"])
            and all(isinstance(text, str) for one in manifest["left_out"] for text in one.values())
        )
    except UNREADABLE:
        return False


def _said(line: Any, where: str) -> Said:
    try:
        index, payload, path = line["index"], line["payload"].encode(), line["inclusion"]
        inclusion = tuple(map(hash_of, path))
        if set(line) != {"index", "payload", "inclusion"} or type(index) is not int or index < 0:
            raise ValueError
    except UNREADABLE:
        raise TamperingFound("is not an entry with its proof", where=where) from None
    statement = statement_of(payload)
    if statement is None:
        raise TamperingFound("its bytes are not those of an entry", where=where)
    return Said(index, payload, statement["kind"], statement["body"], inclusion)


def hash_of(text: Any) -> bytes:
    """Return 32 bytes written as hexadecimal digits.

    Raises:
        ValueError, TypeError: they are not.
    """
    if not _HASH.fullmatch(text):
        raise ValueError(text)
    return bytes.fromhex(text)


def signed_note_of(content: bytes, keys: Sequence[PublicKey]) -> Note:
    """Read a checkpoint that one of these keys signed.

    Raises:
        InputError: it is none.
        TamperingFound: none of them signed it.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise InputError("is not text") from None
    return signed_by_any(text, keys, otherwise="no trusted key signed it")


def read_events(content: bytes) -> list[Mapping[str, Any]]:
    """Read lineage events, one a line.

    Raises:
        ValueError: a line is none.
    """
    events = [json.loads(one) for one in content.split(b"\n") if one]
    if not all(isinstance(event, dict) for event in events):
        raise ValueError
    return events
