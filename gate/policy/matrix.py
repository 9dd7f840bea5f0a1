"""Draws the table for people: category by purpose, one sheet per model owner, in a terminal or as a web page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gate.domain.instants import format_instant
from gate.domain.words import Category, Ownership, Purpose, Requirement
from gate.policy.cells import OTHER, OTHER_REGION
from gate.policy.explain import cite, describe, scope
from gate.policy.match import Cell, match
from gate.policy.rows import RANK, Policy, Row

if TYPE_CHECKING:
    from rich.console import RenderableType

_W = TypeVar("_W", Category, Purpose)

LEGEND = {
    "allow": "no consent needed",
    "consent": "an owner or admin of every account must have agreed",
    "undecided": "blocks, consent or not: a person must decide",
    "deny": "blocks, and no consent lifts it",
    "no row": "blocks: the table does not speak about it",
}
_COLOURS = {"allow": "green", "consent": "yellow", "undecided": "magenta", "deny": "red", "no row": "red"}


@dataclass(frozen=True, slots=True)
class Square:
    """What the table says in general of category × purpose × ownership, and the rows that make exceptions."""

    category: Category
    purpose: Purpose
    ownership: Ownership
    requirement: Requirement | None
    rows: tuple[Row, ...]
    exceptions: tuple[Row, ...]

    @property
    def word(self) -> str:
        """Return the requirement's name, or `no row`."""
        return "no row" if self.requirement is None else self.requirement.value

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "category": self.category.value,
            "purpose": self.purpose.value,
            "ownership": self.ownership.value,
            "requirement": self.requirement and self.requirement.value,
            "rows": [row.id for row in self.rows],
            "exceptions": [
                {"row": row.id, "requirement": row.requirement.value, "scope": scope(row)} for row in self.exceptions
            ],
        }


def matrix(policy: Policy, at: datetime) -> list[Square]:
    """Return every square of the table at `at`, by ownership, category and purpose."""
    return [
        _square(policy, category, purpose, ownership, at)
        for ownership in Ownership
        for category in Category
        for purpose in Purpose
    ]


def _square(policy: Policy, category: Category, purpose: Purpose, ownership: Ownership, at: datetime) -> Square:
    terms: list[str | None] = [version.version for version in policy.terms_versions] or [None]
    found = [
        match(policy, Cell(category, purpose, ownership, OTHER, OTHER_REGION, OTHER, version), at).rows
        for version in terms
    ]
    general = tuple(dict.fromkeys(row for rows in found for row in rows))
    rank = max((RANK[row.requirement] for row in general), default=-1)
    exceptions = tuple(
        row
        for row in policy.rows
        if row.speaks_of(category, purpose, ownership)
        and row.in_effect(at)
        and row not in general
        and RANK[row.requirement] >= rank
    )
    if category is Category.UNCLASSIFIED:
        return Square(category, purpose, ownership, Requirement.DENY, _deniers(policy, category, at), ())
    return Square(category, purpose, ownership, list(RANK)[rank] if rank >= 0 else None, general, exceptions)


def _deniers(policy: Policy, category: Category, at: datetime) -> tuple[Row, ...]:
    return tuple(row for row in policy.rows if category in (row.categories or ()) and row.in_effect(at))


def to_rich(policy: Policy, at: datetime) -> RenderableType:
    """Return the sheets and the legend for a Rich console."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    squares = {(s.ownership, s.category, s.purpose): s for s in matrix(policy, at)}
    parts: list[RenderableType] = []
    for ownership in Ownership:
        looks = {c: {p: _look(squares[ownership, c, p]) for p in Purpose} for c in Category}
        purposes = _alike(Purpose, {p: tuple(looks[c][p] for c in Category) for p in Purpose})
        categories = _alike(Category, {c: tuple(looks[c].values()) for c in Category})
        sheet = Table(title=f"{policy.name}: {ownership} model", title_justify="left", show_lines=True)
        sheet.add_column("", no_wrap=True, min_width=max(map(len, Category)))
        for same in purposes:
            sheet.add_column("\n".join(same))
        for alike in categories:
            shown = [looks[alike[0]][same[0]] for same in purposes]
            sheet.add_row("\n".join(alike), *(Text(look, style=_COLOURS[look.rstrip("*")]) for look in shown))
        parts.append(sheet)
    parts += [Text(f"{word}: {meaning}", style=_COLOURS[word]) for word, meaning in LEGEND.items()]
    parts.append(Text("* stricter for some features, regions or segments: gate policy explain, or --html"))
    return Group(*parts)


def _look(square: Square) -> str:
    return square.word + ("*" if square.exceptions else "")


def _alike(words: Iterable[_W], looks: Mapping[_W, object]) -> list[list[_W]]:
    """Put words that look the same on a sheet together, so that it fits a terminal."""
    groups: dict[object, list[_W]] = {}
    for word in words:
        groups.setdefault(looks[word], []).append(word)
    return list(groups.values())


def to_html(policy: Policy, at: datetime) -> str:
    """Return one self-contained page without scripts: the sheets, the legend, every row with clause and quotes."""
    squares = {(s.ownership, s.category, s.purpose): s for s in matrix(policy, at)}
    sheets = "".join(_sheet(squares, ownership) for ownership in Ownership)
    legend = "".join(f"<dt>{_badge(word)}</dt><dd>{escape(text)}</dd>" for word, text in LEGEND.items())
    rows = "".join(_row_html(row) for row in policy.rows if row.in_effect(at))
    style = Path(__file__).with_name("matrix.css").read_text(encoding="utf-8")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(policy.name)}: policy matrix</title><style>{style}</style></head><body><main>"
        f"<h1>{escape(policy.name)} <small>version {escape(policy.version)}</small></h1>"
        f"<p>{escape(policy.description)}</p>"
        f"<p class=meta>As of {format_instant(at)}. Digest <code>{policy.digest}</code></p>"
        f"<h2>Legend</h2><dl>{legend}</dl>{sheets}<h2>Rows</h2>{rows}</main></body></html>\n"
    )


def _sheet(squares: dict[tuple[Ownership, Category, Purpose], Square], ownership: Ownership) -> str:
    head = "".join(f'<th scope="col">{purpose.value.replace("_", " ")}</th>' for purpose in Purpose)
    lines = []
    for category in Category:
        row = "".join(_square_html(squares[ownership, category, purpose]) for purpose in Purpose)
        lines.append(f'<tr><th scope="row">{category.value.replace("_", " ")}</th>{row}</tr>')
    title = f"{ownership.value.replace('_', ' ')} model"
    return (
        f'<h2>{title}</h2><div class="sheet"><table><caption>{title}: category by purpose</caption>'
        f'<thead><tr><th scope="col">category</th>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
    )


def _square_html(square: Square) -> str:
    links = "".join(f' <a href="#{row.id}">{row.id}</a>' for row in square.rows)
    stricter = "".join(
        f'<li>{_badge(row.requirement.value)} {escape(scope(row))} <a href="#{row.id}">{row.id}</a></li>'
        for row in square.exceptions
    )
    return f"<td>{_badge(square.word)}{links}{f'<ul>{stricter}</ul>' if stricter else ''}</td>"


def _badge(word: str) -> str:
    return f'<b class="{word.replace(" ", "-")}">{word}</b>'


def _row_html(row: Row) -> str:
    quotes = "".join(f"<li>{escape(cite(citation))}</li>" for citation in row.citations)
    where = f"<p>Applies to: {escape(scope(row))}</p>" if scope(row) else ""
    rules = f" · rules {', '.join(map(str, row.rules))}" if row.rules else ""
    since = format_instant(row.effective_from)
    until = f" until {format_instant(row.effective_until)}" if row.effective_until else ""
    return (
        f'<section id="{row.id}"><h3>{row.id} {_badge(row.requirement.value)}</h3><p>{escape(describe(row))}</p>'
        f"{where}<p>{escape(row.note)}</p><ul>{quotes}</ul>"
        f"<p class=meta>{row.status}{rules} · effective from {since}{until}</p></section>"
    )
