"""What the cluster policy found of a task, written on the task itself, where Airflow's serialised DAG carries it along.

The coverage page reads it back in the API server, where DAG files are never imported. It is a note and no lock: an
author can forge it, and changes nothing but what that page shows of their own DAG.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gate.airflow.judging import Finding

_FIELDS = ("doc_json", "doc_yaml", "doc_rst")  # Airflow serialises them and shows them nowhere
_KEY = "consent_gate"
STATUSES = ("gated", "guarded", "ungated", "exempt")


def leave_note(task: Any, found: Finding) -> None:
    """Write a finding on its task, the same at every parse, where its author wrote nothing or a JSON object.

    What an author wrote stays. If that fills every field with other text, the task carries no note.
    """
    fields = {name: _object(getattr(task, name, None) or "{}") for name in _FIELDS}
    name, written = next(((name, said) for name, said in fields.items() if said is not None), ("", {}))
    if not name:
        return
    note = {
        "status": found.status,
        "recognised_by": found.how,
        "gate": found.gate,
        "problem": found.problem,
        "exemption": found.exemption.to_dict() if found.exemption else None,
    }
    stated = {key: value for key, value in note.items() if value is not None}
    text = json.dumps({**written, _KEY: stated}, sort_keys=True, separators=(",", ":"))
    if hasattr(task, "partial_kwargs"):
        task.partial_kwargs = {**task.partial_kwargs, name: text}
    else:
        setattr(task, name, text)


def read_note(task: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what a task of a serialised DAG carries; `None` when that is nothing, or nothing of ours.

    Returns:
        `status`, `recognised_by`, `gate`, `problem` and `exemption`; texts or `None`, whatever somebody wrote there.
    """
    partial = task.get("partial_kwargs")
    places = (task, partial) if isinstance(partial, Mapping) else (task,)
    texts = (place.get(name) for name in _FIELDS for place in places)
    notes = ((_object(text) or {}).get(_KEY) for text in texts if isinstance(text, str))
    note = next((one for one in notes if isinstance(one, dict)), None)
    if note is None or note.get("status") not in STATUSES:
        return None
    exemption = note.get("exemption")
    stated = {name: _text(note.get(name)) for name in ("status", "recognised_by", "gate", "problem")}
    known = {name: _text(exemption.get(name)) for name in ("by", "why", "until")} if isinstance(exemption, dict) else {}
    return {**stated, "exemption": known if all(known.values()) and known else None}


def _object(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
