"""Proves single entries, and that the ledger grew and nothing else; nothing is signed over what was published."""

from __future__ import annotations

from typing import Any

from gate.errors import InputError
from gate.service.anchors import check_anchor
from gate.service.auditing import signed_note
from gate.service.core import Service


def prove_entry(service: Service, index: int) -> dict[str, Any]:
    """Prove that an entry stands in the ledger, for somebody who trusts only the signed checkpoint.

    Raises:
        InputError: there is no such entry.
        TamperingFound, LedgerUnavailable: the ledger is not what was published of it.
    """
    with service.ledger.read() as reader:
        check_anchor(service, reader)
        head, origin = reader.head(), reader.origin
        if index >= head.size:
            raise InputError(f"there is no entry {index}", where="index", hint=f"the ledger holds {head.size}")
        entry = reader.entry(index)
        path = reader.inclusion_proof(index, head.size)
    return {
        "index": index,
        "size": head.size,
        "kind": entry.kind,
        "payload": entry.payload.decode(),
        "leaf_hash": entry.leaf_hash.hex(),
        "inclusion": [node.hex() for node in path],
        "checkpoint": signed_note(service, origin, head.size, head.root),
    }


def prove_consistency(service: Service, old: int, new: int) -> dict[str, Any]:
    """Prove that the ledger of `old` entries is a prefix of the ledger of `new`, as RFC 9162 section 2.1.4 says.

    Raises:
        InputError: the ledger never had these sizes, or the first is larger.
        TamperingFound, LedgerUnavailable: it is not what was published of it.
    """
    with service.ledger.read() as reader:
        check_anchor(service, reader)
        path = reader.consistency_proof(old, new)
        roots, origin = (reader.root_at(old), reader.root_at(new)), reader.origin
    return {
        "origin": origin,
        "old_size": old,
        "new_size": new,
        "old_root": roots[0].hex(),
        "new_root": roots[1].hex(),
        "consistency": [node.hex() for node in path],
        "checkpoint": signed_note(service, origin, new, roots[1]),
    }
