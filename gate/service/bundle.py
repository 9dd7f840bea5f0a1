"""Writes an audit bundle: one signed archive that answers who let which data train what, and proves it without us."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gate.domain.canonical import canonical
from gate.domain.instants import format_instant
from gate.errors import InputError
from gate.ledger.checkpoints import parse_note
from gate.ledger.format import refs_in
from gate.ledger.reading import Reader
from gate.permits.envelope import MAX_ENVELOPE, seal
from gate.service import bundle_format as form
from gate.service.access import record_access
from gate.service.archive import pack
from gate.service.auditing import checked_note
from gate.service.bundle_contents import ACCOUNT_KINDS, Chosen, Scope, choose, decisions_of
from gate.service.bundle_lineage import Traced, trace
from gate.service.bundle_report import report_html
from gate.service.core import Service
from gate.service.printing import MOST, printer
from gate.service.publishing import Checkpoint, sign_checkpoint

_ROWS = (300, 200, 100, 50, 20, 10, 0)  # of each table in a report that is too long to be printed whole
_NEVER = (
    ("other entries of the ledger", "they do not concern what was asked; proofs show those that do"),
    ("entries of kinds access, token and feed", "who looked, service tokens and watermarks are no part of the answer"),
    ("the data and the models themselves", "the bundle names their digests"),
)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle.

    Attributes:
        archive: its bytes.
        manifest: what it holds.
    """

    archive: bytes
    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """What the report is about."""

    scope: Scope
    origin: str
    checkpoint: Checkpoint
    created_at: datetime
    chosen: Chosen
    traced: Traced
    opened: Mapping[str, Any]


def export_bundle(
    service: Service,
    scope: Scope,
    *,
    by: str,
    opened: Sequence[str] = (),
    cosigned: Sequence[str] = (),
    pdf: bool | None = None,
) -> Bundle:
    """Write the bundle that answers an audit, signed with the ledger's key.

    Args:
        scope: what is audited.
        by: who asks; recorded, before anything is opened.
        opened: accounts whose references are opened: their ids, and the people and texts of their entries.
        cosigned: checkpoints of this ledger that others cosigned; they are included.
        pdf: whether the report for printing must be in it; `None`: where it can be made, and else it says why not.

    Raises:
        InputError: nothing is known of what was asked, the ledger knows no such account, there is too much, or a PDF
            must be in it and cannot be made here.
        TamperingFound, LedgerUnavailable: the ledger is not what was published of it; nothing is signed.
        KeyLost: the signing key is not there.
    """
    if pdf:
        printer()  # before anything is recorded
    with service.ledger.read() as reader:
        accounts = {name: _known(reader, name) for name in opened}
    for name in accounts:
        record_access(service, by=by, what={"page": "audit_export", "of": "account"}, account_id=name, via="cli")
    checkpoint = sign_checkpoint(service)
    with service.ledger.read() as reader:
        named = decisions_of(reader, scope, checkpoint.size)
        traced = trace(service, scope, [entry.idx for entry in named])
        found = [reader.entry(idx) for idx in traced.decisions if idx < reader.size]
        both = [*named, *(entry for entry in found if entry.kind == "decision")]
        decisions = [entry for entry in both if entry.idx < checkpoint.size]
        if not decisions:
            raise InputError(f"the ledger holds no decision about {scope.told()}", hint="gate lineage upstream model:…")
        chosen = choose(reader, decisions, scope, checkpoint.size)
        openings = _openings(reader, chosen, accounts)
        told = Told(scope, reader.origin, checkpoint, service.now(reader), chosen, traced, _values(openings))
        files = {
            **_record(reader, chosen, checkpoint),
            **_lineage(traced),
            **_cosigned(service, reader, chosen, checkpoint, cosigned),
        }
        if accounts:
            files[form.OPENINGS] = canonical(openings)
    files.update(_reports(told, pdf))
    return _sealed(service, told, files)


def _known(reader: Reader, account: str) -> str:
    ref = reader.ref("account", account)
    if ref is None:
        raise InputError("the ledger knows no such account", where="--open")
    return ref


def _record(reader: Reader, chosen: Chosen, checkpoint: Checkpoint) -> dict[str, bytes]:
    """Write the entries with their proofs, the earlier states they rest on, and the attachments."""
    entries, sizes = bytearray(), set[int]()
    indices = sorted(chosen.entries)
    for idx, proof in zip(indices, reader.inclusion_proofs(indices, checkpoint.size), strict=True):
        entry, path = chosen.entries[idx], [node.hex() for node in proof]
        entries += form.line({"index": idx, "payload": entry.payload.decode(), "inclusion": path})
        rests = form.rests_on(entry.kind, entry.body)
        sizes.update([] if rests is None else [rests[0]])
    return {
        form.NOTE: checkpoint.note.encode(),
        form.ENTRIES: bytes(entries),
        form.SIZES: b"".join(_size(reader, size, checkpoint) for size in sorted(sizes)),
        **{form.attachment_file(digest): content for digest, content in chosen.attachments.items()},
    }


def _size(reader: Reader, size: int, checkpoint: Checkpoint) -> bytes:
    path = [node.hex() for node in reader.consistency_proof(size, checkpoint.size)]
    return form.line({"size": size, "root": reader.root_at(size).hex(), "consistency": path})


def _lineage(traced: Traced) -> dict[str, bytes]:
    files = {form.EVENTS: "".join(event + "\n" for event in traced.events).encode()}
    if traced.answer is not None:
        files[form.ANSWER] = json.dumps(traced.answer, ensure_ascii=False, indent=1).encode()
    if traced.picture is not None:
        files[form.PICTURE] = traced.picture.encode()
    return files


def _cosigned(
    service: Service, reader: Reader, chosen: Chosen, checkpoint: Checkpoint, notes: Sequence[str]
) -> dict[str, bytes]:
    """Include checkpoints that others cosigned, with the proof that this ledger continues them."""
    files: dict[str, bytes] = {}
    for number, note in enumerate(notes, 1):
        size = checked_note(service, note).size
        if parse_note(note).origin != reader.origin or size > checkpoint.size:
            raise InputError("is no checkpoint of what this ledger holds", where="--cosigned")
        path = [node.hex() for node in reader.consistency_proof(size, checkpoint.size)]
        files[f"{form.COSIGNED}{number:03}.note"] = note.encode()
        files[f"{form.COSIGNED}{number:03}.json"] = canonical({"size": size, "consistency": path})
    if not notes:
        chosen.leave("cosignatures", "none were given; see gate ledger cosign and --cosigned")
    return files


def _openings(reader: Reader, chosen: Chosen, accounts: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the openings of some accounts and of what their own entries mention, of other accounts nothing."""
    from gate.ledger.copying import openings

    refs = set(accounts.values())
    mine = [entry for entry in chosen.of(*ACCOUNT_KINDS) if entry.account_ref in refs]
    wanted = refs.intersection(chosen.accounts)
    for ref in sorted(refs - wanted):
        chosen.leave(f"the opening of {ref}", "no decision here is about that account")
    for entry in mine:
        wanted.update(refs_in(entry.body))
    found = (dict(one) for one in openings(reader, sorted(wanted)))
    return sorted(found, key=lambda one: str(one["opening"]))


def _values(openings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {one["opening"]: json.loads(one["value"]) for one in openings}


def _reports(told: Told, pdf: bool | None) -> dict[str, bytes]:
    chosen = told.chosen
    for what, why in _NEVER:
        chosen.leave(what, why)
    if not told.opened:
        chosen.leave("names of accounts and people", "entries hold references; --open ACCOUNT opens those of one")
    for note in told.traced.left_out:
        chosen.leave(*note)
    printed = _printed(told, pdf)
    if isinstance(printed, bytes):
        return {form.REPORT: report_html(told).encode(), form.PDF: printed}
    chosen.leave(form.PDF, printed)
    return {form.REPORT: report_html(told).encode()}


def _printed(told: Told, wanted: bool | None) -> bytes | str:
    """Return the report as PDF, or why there is none.

    Of a report that would take minutes to print, the first rows of each table are.

    Raises:
        InputError: there must be one, and it cannot be made here.
    """
    if wanted is False:
        return "it was not asked for"
    try:
        write, page = printer(), report_html(told)
        if len(page) > MOST:
            told.chosen.leave("rows of long tables in report.pdf", "report.html has all of them")
            pages = (report_html(told, most) for most in _ROWS)
            page = next((shorter for shorter in pages if len(shorter) <= MOST), page)
        return write(page)
    except InputError as error:
        if wanted:
            raise
        return f"{error.message}: {error.hint}"


def _sealed(service: Service, told: Told, files: dict[str, bytes]) -> Bundle:
    manifest = {
        "v": form.VERSION,
        "ledger_origin": told.origin,
        "checkpoint": {"size": told.checkpoint.size, "root": told.checkpoint.root.hex()},
        "created_at": format_instant(told.created_at),
        "scope": told.scope.to_dict(),
        "files": form.listed(files),
        "left_out": told.chosen.left_out,
        "successions": [one.body["statement"] for one in told.chosen.of("key") if one.body.get("statement")],
    }
    payload = canonical(manifest)
    if 4 * len(payload) > 3 * MAX_ENVELOPE - 4096:
        raise InputError("more decisions than one manifest can list", where="--period", hint="ask for less at a time")
    envelope = canonical(seal(payload, form.MANIFEST_TYPE, service.key))
    return Bundle(pack({**files, form.MANIFEST: payload, form.ENVELOPE: envelope}), manifest)
