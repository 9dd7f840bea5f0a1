"""Policies as people read them: which were active since when, the table drawn, and what changed between two of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from gate.domain.instants import format_instant, parse_instant
from gate.domain.words import Category, Ownership, Purpose
from gate.errors import InputError, LedgerUnavailable
from gate.ledger.reading import Reader
from gate.policy.cells import OTHER, OTHER_REGION, describe_cell
from gate.policy.diff import CellChange, diff
from gate.policy.matrix import Square, matrix
from gate.policy.table import Policy, Row, load_policy, parse_policy, shipped_policies
from gate.service.core import Service

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_WITHOUT_ZONE = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?")
_ANYTHING_ELSE = {OTHER: "anything else", OTHER_REGION: "anywhere else"}


class UnknownPolicy(InputError):
    """A version that was never active here and is not shipped."""

    status = 404


@dataclass(frozen=True, slots=True)
class Activation:
    """A policy that decisions followed from a ledger entry on.

    Attributes:
        until: when the next one was activated; `None` while it is active.
    """

    index: int
    at: datetime
    until: datetime | None
    name: str
    version: str
    digest: str


@dataclass(frozen=True, slots=True)
class Viewed:
    """A policy somebody looks at.

    Attributes:
        at: the instant whose rows are in effect.
        activation: its newest activation; `None` for one that only comes with the product.
        active: decisions follow it now.
        early: no policy was active at `at` yet; this is the first that was.
    """

    policy: Policy
    at: datetime
    activation: Activation | None
    active: bool
    early: bool = False


def activations(service: Service) -> list[Activation]:
    """Return every activation, newest first."""
    with service.ledger.read() as reader:
        return _activations(reader)


def _activations(reader: Reader) -> list[Activation]:
    found: list[Activation] = []
    until: datetime | None = None
    for entry in reversed(list(reader.entries("policy_activation"))):
        body = entry.body
        found.append(
            Activation(entry.idx, entry.recorded_at, until, body["name"], str(body["version"]), body["digest"])
        )
        until = entry.recorded_at
    return found


def view_policy(service: Service, version: str = "", at: datetime | None = None) -> Viewed:
    """Return a policy: by its digest or shipped name, else the one that was active at `at`, else the active one.

    Raises:
        UnknownPolicy: never active here, and not shipped.
        LedgerUnavailable: none is active, or its table is gone.
    """
    with service.ledger.read() as reader:
        found = _activations(reader)
        instant = at or service.now(reader)
        if not found:
            raise LedgerUnavailable("no policy is active", hint="gate policy activate NAME", reason="cannot_decide")
        if not version:
            then = next((one for one in found if one.at <= instant), None)
            chosen = then or found[-1]
            return Viewed(_kept(reader, chosen), instant, chosen, chosen == found[0], early=then is None)
        policy = _find(reader, found, version)
    activation = next((one for one in found if one.digest == policy.digest), None)
    return Viewed(policy, instant, activation, policy.digest == found[0].digest)


def find_policy(service: Service, version: str) -> Policy:
    """Return a policy by its digest, if it was ever active here, or by its shipped name.

    Raises:
        UnknownPolicy: see above.
        LedgerUnavailable: its table is gone.
    """
    with service.ledger.read() as reader:
        return _find(reader, _activations(reader), version)


def _find(reader: Reader, found: Iterable[Activation], version: str) -> Policy:
    for one in found:  # only what was a policy here: a digest must not open any other attachment
        if one.digest == version:
            return _kept(reader, one)
    shipped = _shipped()
    by_name = shipped.get(version) or next((p for p in shipped.values() if p.digest == version), None)
    if by_name is None:
        raise UnknownPolicy("there is no such policy here", where="version", hint="choose one of those that are listed")
    return by_name


def _kept(reader: Reader, activation: Activation) -> Policy:
    table = reader.attachment(activation.digest)
    if table is None:
        raise LedgerUnavailable("the policy's table is gone", where=activation.digest, reason="cannot_decide")
    return _parsed(table, activation.name)


@lru_cache(maxsize=16)
def _parsed(table: bytes, name: str) -> Policy:
    return parse_policy(table, name)


@lru_cache(maxsize=1)
def _shipped() -> Mapping[str, Policy]:
    return {name: load_policy(name) for name in shipped_policies()}


def shipped_name(policy: Policy) -> str | None:
    """Return the name by which the product ships this very table."""
    return next((name for name, one in _shipped().items() if one.digest == policy.digest), None)


def instant_from(text: str, field: str) -> datetime:
    """Read an instant somebody typed; a date is its midnight, and without a zone it is UTC.

    Raises:
        InputError: naming the field.
    """
    text = text.strip()
    if _DATE.fullmatch(text):
        text += "T00:00:00Z"
    elif _WITHOUT_ZONE.fullmatch(text):
        text += "Z"
    return parse_instant(text, field)


# --- the table drawn ---


@dataclass(frozen=True, slots=True)
class Line:
    """Categories that the table treats alike, with a square for each group of purposes."""

    categories: tuple[Category, ...]
    squares: tuple[Square, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """What the table says where models have one kind of owner; purposes that it treats alike share a column."""

    ownership: Ownership
    purposes: tuple[tuple[Purpose, ...], ...]
    lines: tuple[Line, ...]


def sheets(policy: Policy, at: datetime) -> list[Sheet]:
    """Draw the table as it is in effect at `at`."""
    squares = {(one.ownership, one.category, one.purpose): one for one in matrix(policy, at)}
    return [_sheet(squares, ownership) for ownership in Ownership]


def _sheet(squares: Mapping[tuple[Ownership, Category, Purpose], Square], ownership: Ownership) -> Sheet:
    looks = {c: {p: _look(squares[ownership, c, p]) for p in Purpose} for c in Category}
    purposes: dict[object, list[Purpose]] = {}
    for purpose in Purpose:
        purposes.setdefault(tuple(looks[category][purpose] for category in Category), []).append(purpose)
    categories: dict[object, list[Category]] = {}
    for category in Category:
        categories.setdefault(tuple(looks[category].values()), []).append(category)
    columns = tuple(tuple(alike) for alike in purposes.values())
    lines = [
        Line(tuple(alike), tuple(squares[ownership, alike[0], column[0]] for column in columns))
        for alike in categories.values()
    ]
    return Sheet(ownership, columns, tuple(lines))


def _look(square: Square) -> object:
    return square.requirement, tuple(r.id for r in square.rows), tuple(r.id for r in square.exceptions)


# --- the difference of two ---


@dataclass(frozen=True, slots=True)
class Choice:
    """A policy to compare with: `key` is its digest or shipped name."""

    key: str
    label: str


@dataclass(frozen=True, slots=True)
class Change:
    """Cells whose answer changes alike.

    Attributes:
        direction: `stricter`, `looser`, or `other` when the same is asked for under other conditions.
        where: the words of each dimension that these cells have, such as `("purpose", "train, tune")`.
    """

    direction: str
    before: str
    after: str
    cells: int
    like: str
    where: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class RowChange:
    """A row that one of two tables lacks, or has otherwise; `fields` are the names of what differs."""

    row: str
    how: str
    before: Row | None
    after: Row | None
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changes from one policy to another; `cells` counts the cells by direction."""

    before: Policy
    after: Policy
    changes: tuple[Change, ...]
    rows: tuple[RowChange, ...]
    settings: tuple[str, ...]
    cells: Mapping[str, int]


def choices(service: Service) -> list[Choice]:
    """Return what can be compared: every policy that was ever active, newest first, and those that are shipped."""
    found: dict[str, Choice] = {}
    for i, one in enumerate(activations(service)):
        state = "active" if i == 0 else f"active from {format_instant(one.at)[:10]}"
        found.setdefault(one.digest, Choice(one.digest, f"{one.name} {one.version}, {state}, entry {one.index}"))
    for name, policy in _shipped().items():
        found.setdefault(policy.digest, Choice(name, f"{name} {policy.version}, shipped, never active"))
    return list(found.values())


def default_pair(offered: list[Choice]) -> tuple[str, str]:
    """Return what to compare when nothing was chosen: the active policy and the one before, else a shipped one."""
    if len(offered) < 2:
        return offered[0].key, offered[0].key
    first, second = offered[0], offered[1]
    was_active = second.key.startswith("sha256:")
    return (second.key, first.key) if was_active else (first.key, second.key)


@lru_cache(maxsize=16)
def compare(before: Policy, after: Policy) -> Comparison:
    """Compare two policies, as `gate policy diff` does, told in words."""
    found = diff(before, after)
    grouped: dict[tuple[str, str, str], list[CellChange]] = {}
    for change in found.cells:
        grouped.setdefault((_direction(change.tighter), change.before, change.after), []).append(change)
    order = ("looser", "stricter", "other")
    changes = [_change(*key, alike) for key, alike in sorted(grouped.items(), key=lambda item: order.index(item[0][0]))]
    cells = {word: sum(change.cells for change in changes if change.direction == word) for word in order}
    old, new = ({row.id: row for row in policy.rows} for policy in (before, after))
    rows = [
        *(RowChange(name, "added", None, new[name]) for name in found.added),
        *(RowChange(name, "removed", old[name], None) for name in found.removed),
        *(RowChange(name, "changed", old[name], new[name], fields) for name, fields in found.changed),
    ]
    return Comparison(before, after, tuple(changes), tuple(rows), found.settings, cells)


def _direction(tighter: bool | None) -> str:
    return "other" if tighter is None else "stricter" if tighter else "looser"


def _change(direction: str, before: str, after: str, alike: list[CellChange]) -> Change:
    where = tuple(_where(alike))
    return Change(direction, before, after, sum(one.cells for one in alike), describe_cell(alike[0].cell), where)


def _where(alike: list[CellChange]) -> Iterator[tuple[str, str]]:
    for name in ("category", "purpose", "ownership", "feature", "region", "segment", "terms"):
        words = dict.fromkeys(getattr(one.cell, name) for one in alike)
        shown = [_ANYTHING_ELSE.get(word, str(word).replace("_", " ")) for word in words if word is not None]
        if shown and shown not in (["anything else"], ["anywhere else"]):
            # Of the last four, one stands for all that no row tells from it.
            yield name if name in ("category", "purpose", "ownership") else f"{name} like", ", ".join(shown)
