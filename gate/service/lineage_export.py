"""Exports an answer about lineage: as JSON, for drawing tools, as a picture or page, as W3C PROV, as raw events."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from gate.errors import InputError
from gate.lineage.store.database import LineageStore
from gate.lineage.store.graph import events_of
from gate.service.lineage_questions import Question, ask, microseconds
from gate.service.lineage_sight import everybody

MEDIA_TYPES: dict[str, str] = {
    "json": "application/json",
    "dot": "text/vnd.graphviz",
    "mermaid": "text/plain",
    "svg": "image/svg+xml",
    "html": "text/html",
    "prov": "application/json",
    "openlineage": "application/x-ndjson",
}


def written(
    store: LineageStore, question: Question, form: str, *, sees: Callable[[str], bool] = everybody
) -> Iterator[str]:
    """Answer a question in a form; the parts joined are the document.

    Args:
        form: one of `MEDIA_TYPES`.
        sees: see `gate.service.lineage_questions.ask`.

    Raises:
        InputError: see `ask`; no such form; the answer is too large for a picture.
        LineageUnavailable: the store cannot be read.
    """
    if form not in MEDIA_TYPES:
        raise InputError(f"{form[:40]!r} is not a format", where="format", hint=", ".join(MEDIA_TYPES))
    if form == "openlineage":
        return _events(store, ask(store, replace(question, level="run"), sees=sees), question)
    return iter([_as(form, ask(store, question, sees=sees))])


def _as(form: str, answer: dict[str, Any]) -> str:
    from gate.lineage.render.page import to_html
    from gate.lineage.render.prov import to_prov
    from gate.lineage.render.svg import to_svg
    from gate.lineage.render.text import to_dot, to_mermaid

    if form in ("json", "prov"):
        value = answer if form == "json" else to_prov(answer)
        return json.dumps(value, ensure_ascii=False, indent=2) + "\n"
    written_as = {"dot": to_dot, "mermaid": to_mermaid, "svg": to_svg, "html": to_html}
    return written_as[form](answer)


def _events(store: LineageStore, answer: dict[str, Any], question: Question) -> Iterator[str]:
    """Yield the events of the answer's runs that had been by then, one a line, as they came."""
    runs = [node["name"] for node in answer["nodes"] if node["kind"] == "run" and node["depth"] is not None]
    with store.read() as connection:
        for event in events_of(connection, runs, at=microseconds(question.as_of)):
            yield event + "\n"
