"""Writes an audit bundle's report: one page that needs nothing else, for people who were not there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from gate.lineage.render.shown import clean
from gate.service import bundle_tables as tables

if TYPE_CHECKING:
    from gate.service.bundle import Told

_UNBROKEN = 24  # characters; a longer word may break anywhere
_WORD = re.compile(rf"\S{{{_UNBROKEN},}}")
_PROVES = (
    "Every entry shown here stands, unaltered and in this order, in the ledger at the checkpoint above.",
    "The states of the ledger on which decisions, permits and attestations rest are beginnings of that same ledger.",
    "Each decision follows the policy included here; each permit, redemption and attested model names its decision.",
    "Each model and dataset is meant by the digest of its bytes: another file is another model.",
)
_CANNOT = (
    "What is in the data is the word of the worker that looked at it (facts: worker asserted), and so is that a model"
    " came of exactly that data.",
    "Lineage events are claims of the systems that sent them. What nobody told is not in the graph.",
    "Nothing here shows that something else did not happen: trainings outside the gate leave no entry.",
    "What was recorded after the checkpoint, such as a withdrawal, is not in here.",
    "Whether a clause permits a use in law is for a lawyer to say. The clauses are quoted as the policy quotes them.",
)


def report_html(told: Told, most: int | None = None) -> str:
    """Return the page. Every text that comes from a record or an event is escaped.

    Args:
        told: what it is about.
        most: rows of a table that are shown; `None`: all.
    """
    chosen = told.chosen
    title = f"Audit of {told.scope.told()}"
    shown = (
        tables.models(chosen),
        tables.decisions(chosen),
        tables.sources(chosen),
        tables.clauses(chosen),
        tables.cited(chosen),
        tables.consents(chosen),
        tables.persons(chosen),
        tables.refused(chosen),
    )
    style = Path(__file__).with_name("bundle_report.css").read_text("utf-8")
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>{_text(title)}</title><style>\n{style}</style></head><body>",
        f'<h1 data-as-of="{_text(_as_of(told))}">{_text(title)}</h1>',
        _facts(told),
        *(f'<p class="warning" role="alert">{_text(one)}</p>' for one in tables.warnings(chosen)),
        f'<p class="summary">{_text(_summary(told))}</p>',
        *(_table(one, most) for one in shown),
        _opened(told, most),
        "<h2>The way of the data</h2>",
        _picture(told),
        "<h2>What this bundle proves</h2>",
        _list(_PROVES),
        "<p>Do not take our word for it: <code>gate audit verify BUNDLE --key KEY</code> checks all of it offline, with"
        " the ledger's public key, which you should have from elsewhere.</p>",
        "<h2>What it cannot prove</h2>",
        _list(_CANNOT),
        "<h2>What is left out</h2>",
        _list(f"{one['what']}: {one['why']}" for one in chosen.left_out),
        "</body></html>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _as_of(told: Told) -> str:
    """Say, for the foot of every page, which record this is of."""
    return f"ledger {told.origin} at {told.checkpoint.size} entries, {tables.when(told.created_at)}"


def _facts(told: Told) -> str:
    facts = {
        "Asked": told.scope.told(),
        "Answered at": tables.when(told.created_at),
        "Ledger": told.origin,
        "Checkpoint": f"{told.checkpoint.size} entries, root {told.checkpoint.root.hex()}",
        "In this bundle": f"{len(told.chosen.entries)} entries, {len(told.traced.events)} lineage events",
    }
    rows = (f'<tr><th scope="row">{_text(name)}</th>{_cell(value)}</tr>' for name, value in facts.items())
    return f'<table class="facts"><tbody>\n{"".join(rows)}\n</tbody></table>'


def _summary(told: Told) -> str:
    verdicts = [entry.body["decision"]["verdict"] for entry in told.chosen.of("decision")]
    trained, redeemed = len(told.chosen.of("attestation")), len(told.chosen.of("redemption"))
    return (
        f"{_many(len(verdicts), 'decision')}: {verdicts.count('allow')} allowed, {verdicts.count('block')} blocked."
        f" {_many(redeemed, 'redeemed permit')}, {_many(trained, 'attested model')}."
        f" The decisions name {_many(len(told.chosen.accounts), 'account')} by reference;"
        f" {_many(len(told.chosen.of('consent')), 'consent event')} of theirs on record."
    )


def _many(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _opened(told: Told, most: int | None) -> str:
    if not told.opened:
        return ""
    rows = [(ref, value) for ref, value in sorted(told.opened.items())]
    return _table(tables.Table("Opened on request", ("reference", "stands for"), rows), most)


def _picture(told: Told) -> str:
    if told.traced.picture is None:
        return "<p>There is no picture; see what is left out.</p>"
    return f"<figure>{told.traced.picture.rstrip()}</figure>"


def _table(table: tables.Table, most: int | None) -> str:
    title = f"<h2>{_text(table.caption)}</h2>"
    if not table.rows:
        return f"{title}\n<p>None.</p>"
    head = "".join(f'<th scope="col">{_text(column)}</th>' for column in table.columns)
    body = "\n".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in table.rows[:most])
    name = f'aria-label="{_text(table.caption)}"'
    return f"{title}\n<table {name}><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>{_more(table, most)}"


def _more(table: tables.Table, most: int | None) -> str:
    left = len(table.rows) - len(table.rows[:most])
    return f"\n<p>And {_many(left, 'more row')}: report.html, in the same bundle, shows all.</p>" if left else ""


def _cell(value: object) -> str:
    """Write a cell; a word that no line holds, such as a digest, may break anywhere, and others may not."""
    text = clean(value)
    return f"<td>{_WORD.sub(_long, escape(text)) if _WORD.search(text) else escape(text)}</td>"


def _long(word: re.Match[str]) -> str:
    return f"<code>{word[0]}</code>"


def _list(items: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{_text(item)}</li>" for item in items) + "</ul>"


def _text(value: object) -> str:
    return escape(clean(value))
