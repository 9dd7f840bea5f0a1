"""Copies entries with everything they mention, byte by byte: into a file, and into a ledger that lost them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import select

from gate.domain.canonical import sha256_hex
from gate.errors import InputError, TamperingFound
from gate.ledger import tables
from gate.ledger.checkpoints import Note
from gate.ledger.format import opens, refs_in, statement_of
from gate.ledger.reading import PAGE, Entry, Reader, chunks
from gate.ledger.writing import Transaction, insert_into

_PERSON = "person:"
_DIGEST = "sha256:"

Record = Mapping[str, Any]
"""One of `{"entry", "payload"}`, `{"opening", "kind", "value", "salt"}`, `{"attachment", "media_type", "content"}`."""


def exported(reader: Reader, start: int, stop: int) -> Iterator[Record]:
    """Yield entries from `start` up to `stop` as JSON-ready records, openings and attachments before who mentions them.

    What was erased is left out: it stays erased wherever the records go.
    """
    page = list[Entry]()
    for entry in reader.entries(start=start, stop=stop):
        page.append(entry)
        if len(page) == PAGE:
            yield from _page(reader, page)
            page = []
    yield from _page(reader, page)


def replay(tx: Transaction, records: Iterable[Record], checkpoint: Note) -> int:
    """Append the entries that are missing up to a checkpoint, exactly as they were; all of them or, on any doubt, none.

    Args:
        tx: a ledger with fewer entries than the checkpoint saw; our exception, leaving its context, undoes all.
        records: what `exported` yields; entries before the missing ones and after the checkpoint are passed over.
        checkpoint: of this ledger, its signature already verified.

    Returns:
        How many entries were appended.

    Raises:
        InputError: not such records, or they end too early.
        TamperingFound: they are not the entries the checkpoint saw.
    """
    before, page = tx.size, list[tuple[bytes, dict[str, Any]]]()
    for record in records:
        if tx.size + len(page) >= checkpoint.size:
            break
        if "entry" not in record:
            _keep(tx, record)
        elif (idx := _whole(record)) >= tx.size + len(page):
            if idx > tx.size + len(page):
                raise InputError(f"entry {tx.size + len(page)} is missing", where="copy", hint="copy from there on")
            page.append(_payload(record))
        if len(page) == PAGE:
            _append(tx, page)
            page = []
    _append(tx, page)
    if tx.size < checkpoint.size:
        raise InputError(f"the copy ends before entry {tx.size}", where="copy", hint=f"{checkpoint.size} are needed")
    if tx.origin != checkpoint.origin or tx.root_at(checkpoint.size) != checkpoint.root:
        raise TamperingFound(
            "the copy does not hold the entries that were published", where="copy", hint="find another copy"
        )
    return tx.size - before


def openings(reader: Reader, refs: Sequence[str]) -> Iterator[Record]:
    """Yield what references stand for, with the salts that prove it; erased ones are left out."""
    opening = tables.opening.c
    for some in chunks(refs):
        columns = select(opening.ref, opening.kind, opening.value, opening.salt)
        for ref, kind, value, salt in reader.connection.execute(columns.where(opening.ref.in_(some))):
            yield {"opening": ref, "kind": kind, "value": value, "salt": bytes(salt).hex()}


def _page(reader: Reader, page: list[Entry]) -> Iterator[Record]:
    refs, digests = dict[str, None](), dict[str, None]()
    for entry in page:
        refs.update(dict.fromkeys(refs_in(entry.body)))
        if entry.by.startswith(_PERSON):
            refs[entry.by.removeprefix(_PERSON)] = None
        named = (value for value in entry.body.values() if isinstance(value, str) and value.startswith(_DIGEST))
        digests.update(dict.fromkeys(named))
    yield from openings(reader, list(refs))
    attachment = tables.attachment.c
    for some in chunks(list(digests), 8):
        held = select(attachment.digest, attachment.media_type, attachment.content)
        for digest, media_type, content in reader.connection.execute(held.where(attachment.digest.in_(some))):
            yield {"attachment": digest, "media_type": media_type, "content": base64.b64encode(content).decode()}
    for entry in page:
        yield {"entry": entry.idx, "payload": entry.payload.decode()}


def _append(tx: Transaction, page: list[tuple[bytes, dict[str, Any]]]) -> None:
    if page:
        tx.append_exactly([(payload, said) for payload, said in page])
    # A copy from before an erasure must not bring back what was erased by one of these entries.
    tx.erase(ref for _, said in page if said["kind"] == "erasure" for ref in refs_in(said["body"]))


def _whole(record: Record) -> int:
    idx = record["entry"]
    if not (type(idx) is int and idx >= 0):
        raise _malformed("an entry's place is not a number")
    return idx


def _payload(record: Record) -> tuple[bytes, dict[str, Any]]:
    payload = str(record.get("payload")).encode("utf-8", "surrogatepass")
    said = statement_of(payload)
    if said is None:
        raise _malformed(f"entry {record['entry']} has no canonical payload")
    return payload, said


def _keep(tx: Transaction, record: Record) -> None:
    """Put an opening or attachment back, unless it is there; one that does not belong to its name is refused."""
    if "opening" in record:
        ref, kind, value = (record.get(name) for name in ("opening", "kind", "value"))
        digest = opens(ref, kind, value, _bytes(bytes.fromhex, record.get("salt")))
        if digest is None:
            raise _malformed("an opening does not belong to its reference")
        row = {"ref": ref, "kind": kind, "value": value, "salt": bytes.fromhex(record["salt"]), "value_digest": digest}
        insert = insert_into(tx.connection, tables.opening)
        known = select(tables.opening.c.ref).where(tables.opening.c.ref == ref)
    elif "attachment" in record:
        content = _bytes(lambda text: base64.b64decode(text, validate=True), record.get("content"))
        if sha256_hex(content) != record["attachment"] or not isinstance(record.get("media_type"), str):
            raise _malformed("an attachment does not belong to its digest")
        row = {"digest": record["attachment"], "media_type": record["media_type"], "content": content}
        insert = insert_into(tx.connection, tables.attachment)
        known = select(tables.attachment.c.digest).where(tables.attachment.c.digest == row["digest"])
    else:
        raise _malformed("a record is neither entry, opening nor attachment")
    if tx.connection.execute(known).first() is None:
        tx.connection.execute(insert, row)


def _bytes(read: Any, text: object) -> bytes:
    try:
        found: bytes = read(text)
    except (ValueError, TypeError, binascii.Error):
        raise _malformed("bytes cannot be read") from None
    return found


def _malformed(what: str) -> InputError:
    return InputError(f"not a copy of a ledger's entries: {what}", where="copy", hint="gate ledger copy writes one")
