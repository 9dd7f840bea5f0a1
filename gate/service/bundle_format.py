"""What an audit bundle holds: names of its files, its manifest, how many bytes; for whoever writes and whoever checks.

It imports no database: a bundle is checked on machines that have none.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

from gate.domain.canonical import canonical, sha256_hex
from gate.errors import InputError, TamperingFound

VERSION = 1
MANIFEST_TYPE = "application/vnd.consent-gate.bundle.v1+json"  # of the envelope's payload

MANIFEST, ENVELOPE = "manifest.json", "manifest.dsse.json"
NOTE, ENTRIES, SIZES, OPENINGS = "checkpoint.note", "entries.jsonl", "checkpoints.jsonl", "openings.json"
EVENTS, ANSWER, PICTURE = "lineage/events.jsonl", "lineage/answer.json", "lineage/graph.svg"
REPORT, PDF = "report.html", "report.pdf"
ATTACHED, COSIGNED = "attachments/", "cosigned/"  # folders; attachments are named by the hex of their digest

MANIFEST_FIELDS = {"v", "ledger_origin", "checkpoint", "created_at", "scope", "files", "left_out", "successions"}
WHAT = {
    NOTE: "the ledger's size and root, a C2SP signed note",
    ENTRIES: "entries of the ledger as they are, each with the proof that it stands below the checkpoint",
    SIZES: "proofs that earlier states of the ledger are beginnings of that of the checkpoint",
    OPENINGS: "what references of the accounts that were opened stand for, with the salts",
    EVENTS: "OpenLineage events as they came, one a line",
    ANSWER: "the graph that was asked for",
    PICTURE: "the graph as a picture",
    REPORT: "the report for people",
    PDF: "the report for printing",
}
_REF_SIZE = 32  # bytes


def attachment_file(digest: str) -> str:
    """Return the name of the file that holds an attachment: policies, and which accounts a decision is about."""
    return f"{ATTACHED}{digest.removeprefix('sha256:')}"


def what_is(name: str) -> str:
    """Say what a file is."""
    if name.startswith(ATTACHED):
        return "what entries name by this digest: a policy, or which accounts a decision is about"
    return "a checkpoint that others cosigned" if name.startswith(COSIGNED) else WHAT[name]


def listed(files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """Return the manifest's list of files."""
    return [
        {"name": name, "sha256": sha256_hex(content), "size": len(content), "what": what_is(name)}
        for name, content in sorted(files.items())
    ]


def line(value: Any) -> bytes:
    """Return one line of a JSONL file, canonical."""
    return canonical(value) + b"\n"


def read_json(data: bytes, where: str) -> Any:
    """Read canonical JSON.

    Raises:
        TamperingFound: it is none.
    """
    try:
        value = json.loads(data)
        if canonical(value) == data:
            return value
    except (ValueError, RecursionError, InputError):
        pass
    raise TamperingFound("is not JSON as we write it", where=where)


def read_lines(data: bytes, where: str) -> list[Any]:
    """Read a JSONL file whose lines are canonical.

    Raises:
        TamperingFound: a line is not.
    """
    if data and not data.endswith(b"\n"):
        raise TamperingFound("ends before its last line does", where=where)
    return [read_json(one, f"{where}:{number}") for number, one in enumerate(data.split(b"\n")[:-1], 1)]


def refs_in_attachment(name: str, content: bytes) -> Iterator[str]:
    """Yield the accounts that an attachment of a decision names, as references.

    Args:
        name: `accounts`: the references one after the other; `detail`: JSON, per finding those with the most rows.
        content: its bytes.
    """
    if name == "accounts":
        yield from (content[at : at + _REF_SIZE].hex() for at in range(0, len(content), _REF_SIZE))
    else:
        yield from (ref for top in json.loads(content) for ref, _ in top["accounts"])


def rests_on(kind: str, body: Mapping[str, Any]) -> tuple[int, str] | None:
    """Return size and root of the earlier state of the ledger that an entry says it rests on.

    Raises:
        ValueError, KeyError, TypeError: it is a permit or attestation that cannot be read.
    """
    if kind == "decision":
        found = body["checkpoint"]
    elif kind in ("permit", "attestation"):
        said = json.loads(base64.b64decode(body["envelope"]["payload"]))
        found = (said if kind == "permit" else said["predicate"]["ledger"])["checkpoint"]
    else:
        return None
    return found["size"], found["root"]
