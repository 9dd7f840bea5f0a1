"""The lineage graph: a page that draws it, the answer as JSON, and as tables for screen readers and printing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import JSONResponse, Response

from gate.api.auth import Principal
from gate.api.health import service_of
from gate.api.problems import problem_response
from gate.domain.decision import decision_from_dict
from gate.domain.remedies import REMEDIES
from gate.domain.words import Category
from gate.errors import GateError, InputError
from gate.service.core import Service
from gate.service.decision_index import Row
from gate.service.decision_view import Cell, cells
from gate.service.lineage_store import open_lineage
from gate.service.policies import instant_from
from gate.service.reviewer_view import seen_decision
from gate.web.access import SeesRuns
from gate.web.decision import nothing_here
from gate.web.pages import HEADERS, Addresses, decisions_of, page, short_name

if TYPE_CHECKING:
    from gate.service.lineage_questions import Question

router = APIRouter()

NEWEST = 12  # decisions and models to choose from
ROWS = 500  # of a table, a page
MAX_TEXT = 2000  # characters of a parameter
CLAUSES = 2  # quoted for each row of the policy
DIRECTIONS = ("both", "upstream", "downstream")
LEVELS = ("run", "dataset")

Text = Annotated[str, Query(max_length=MAX_TEXT)]
Nodes = Annotated[list[Annotated[str, Query(max_length=MAX_TEXT)]], Query(max_length=100)]
Index = Annotated[int, Path(ge=0, lt=1 << 62)]


@dataclass(frozen=True, slots=True)
class Asked:
    """What an address asks for, as it was written.

    Attributes:
        as_of: an instant, or the index of a ledger entry.
    """

    nodes: tuple[str, ...]
    direction: str
    as_of: str
    level: str
    depth: str
    category: str

    def query(self, **changes: str | None) -> dict[str, Any]:
        """Return the parameters of an address that asks the same, but for changes; what is usual is left out."""
        usual = {"direction": DIRECTIONS[0], "level": LEVELS[0]}
        known = {name: getattr(self, name) for name in ("direction", "as_of", "level", "depth", "category")} | changes
        return {"node": list(self.nodes)} | {name: one for name, one in known.items() if one != usual.get(name)}


def _asked(
    node: Nodes = [],  # noqa: B006  # FastAPI copies it
    direction: Text = "",
    as_of: Text = "",
    level: Text = "",
    depth: Text = "",
    category: Text = "",
) -> Asked:
    nodes = tuple(text for one in node if (text := one.strip()))
    return Asked(
        nodes, direction.strip() or "both", as_of.strip(), level.strip() or "run", depth.strip(), category.strip()
    )


Asks = Annotated[Asked, Depends(_asked)]


@router.get("/lineage")
def show(request: Request, principal: SeesRuns, asked: Asks) -> Response:
    """Show the graph's page; its script asks for the answer."""
    wrong, instant = None, ""
    try:
        if asked.nodes:
            question = question_of(service_of(request), asked)
            instant = question.to_dict()["as_of"] or ""
    except InputError as error:
        wrong = error
    return _page(request, principal, "lineage.html", asked, wrong, instant=instant)


@router.get("/lineage.json")
def data(request: Request, principal: SeesRuns, asked: Asks) -> Response:
    """Give out the answer; what is wrong with the question is told in words for the page."""
    try:
        answer = answer_to(service_of(request), asked, principal.sees)
    except GateError as error:
        return JSONResponse(
            {"message": error.message, "hint": error.hint}, problem_response(error).status_code, HEADERS
        )
    text = json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
    return Response(text, media_type="application/json", headers=HEADERS)


@router.get("/lineage/table")
def table(
    request: Request,
    principal: SeesRuns,
    asked: Asks,
    number: Annotated[int, Query(alias="page", ge=1, le=10**6)] = 1,
) -> Response:
    """Show the same answer as tables: its nodes, and the links among them."""
    answer, wrong = None, None
    try:
        answer = answer_to(service_of(request), asked, principal.sees) if asked.nodes else None
    except InputError as error:
        wrong = error
    nodes, edges = (answer["nodes"], answer["edges"]) if answer else ([], [])
    pages = max(1, -(-max(len(nodes), len(edges)) // ROWS))
    number = min(number, pages)
    part = slice((number - 1) * ROWS, number * ROWS)
    paged = {"answer": answer, "nodes": nodes[part], "edges": edges[part], "number": number, "pages": pages}
    labels = {one["id"]: one["label"] for one in nodes}
    return _page(request, principal, "lineage_table.html", asked, wrong, labels=labels, **paged)


@router.get("/lineage/decisions/{index}.json")
def decision(request: Request, principal: SeesRuns, index: Index) -> Response:
    """Tell what a decision rests on: its rows of the policy with their clauses; counts of accounts, never names."""
    with service_of(request).ledger.read() as reader:
        entry = seen_decision(reader, index, principal.sees)
    if entry is None:
        raise nothing_here()
    found, to = decision_from_dict(entry.body["decision"]), Addresses(request)
    use = found.use
    told = {
        "address": to(f"decisions/{index}"),
        "ledger": to(f"ledger/{index}") if "read" in principal.scopes else None,
        "verdict": found.verdict.value,
        "policy": found.policy_name,
        "use": ", ".join(word for word in (use.purpose.value, use.feature, use.model, use.ownership.value) if word),
        "reasons": [{"code": reason.value, "remedy": REMEDIES[reason]} for reason in found.reasons],
        "cells": [_cell(cell, to) for cell in cells(found)],
    }
    return JSONResponse(told, headers=HEADERS)


def question_of(service: Service, asked: Asked) -> Question:
    """Return the question that an address asks.

    Raises:
        InputError: it means nothing; the error names the parameter.
    """
    from gate.service.lineage_questions import Question, question_at

    question = Question(
        asked.nodes,
        cast('Literal["upstream", "downstream", "both"]', asked.direction),
        level=cast('Literal["run", "dataset"]', asked.level),
        depth=_number(asked.depth, "depth") if asked.depth else None,
        category=asked.category or None,
    )
    if asked.as_of.isascii() and asked.as_of.isdecimal():
        return question_at(question, None, _number(asked.as_of, "as_of"), lambda: service)
    return replace(question, as_of=instant_from(asked.as_of, "as_of")) if asked.as_of else question


def answer_to(service: Service, asked: Asked, sees: Callable[[str], bool]) -> dict[str, Any]:
    """Answer what an address asks, as far as the caller may see it.

    Raises:
        InputError: the question means nothing, or nothing is known by such a name.
        LineageUnavailable: the store cannot be read.
    """
    from gate.service.lineage_questions import ask

    question = question_of(service, asked)
    with open_lineage(service.settings) as store:
        return ask(store, question, sees=sees)


def _number(text: str, where: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise InputError("is not a number of 0 or more", where=where)
    return int(text)


def _page(
    request: Request, principal: Principal, template: str, asked: Asked, wrong: GateError | None, **values: Any
) -> Response:
    decisions, models = ([], []) if asked.nodes and not wrong else _newest(decisions_of(request).rows(), principal.sees)
    return page(
        request,
        template,
        422 if wrong else 200,
        section="lineage",
        asked=asked,
        wrong=wrong,
        categories=[category.value for category in Category],
        directions=DIRECTIONS,
        levels=LEVELS,
        newest=decisions,
        models=models,
        **values,
    )


def _newest(rows: Iterable[Row], sees: Callable[[str], bool]) -> tuple[list[Row], list[str]]:
    """Return the newest decisions that the caller may see, and the models that may have been trained."""
    seen = list(islice((row for row in rows if row.verdict in ("allow", "block") and sees(row.dag_id)), 50 * NEWEST))
    models = dict.fromkeys(row.model for row in seen if row.model and row.verdict == "allow")
    return seen[:NEWEST], list(models)[:NEWEST]


def _cell(cell: Cell, to: Addresses) -> Mapping[str, Any]:
    return {
        "dataset": short_name(cell.dataset or "(none)"),
        "category": cell.category,
        "requirement": cell.requirement,
        "row": cell.row,
        "policy": f"{to('policy')}#{quote(cell.row, safe='')}" if cell.row else None,
        "blocks": cell.blocks,
        "reasons": list(cell.reasons),
        "accounts_with": cell.accounts_with,
        "accounts_without": cell.accounts_without,
        "rows_with": cell.rows_with,
        "rows_without": cell.rows_without,
        "clauses": [
            {"quote": one.quote, "authority": str(one.authority), "section": one.section, "source": one.source}
            for one in cell.citations[:CLAUSES]
        ],
    }
