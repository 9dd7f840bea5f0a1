"""Says in words what the table asks of a cell, and on whose authority."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from gate.domain.decision import Citation
from gate.domain.instants import format_instant
from gate.domain.words import Category, Requirement
from gate.policy.match import Cell, match
from gate.policy.rows import RANK, Conditions, FeedBound, Policy, Row


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the table says of a cell at an instant.

    Attributes:
        requirement: the most restrictive of the rows that surely apply; None when none does, which blocks.
        rows: those rows.
        possible: rows that apply if the unknown region or segment is one of theirs.
        terms_known: the account's terms version is one of the policy's; if not, data about accounts blocks.
    """

    policy: str
    cell: Cell
    at: datetime
    requirement: Requirement | None
    rows: tuple[Row, ...]
    possible: tuple[Row, ...]
    terms_known: bool
    account_required: bool
    feeds: FeedBound | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "policy": self.policy,
            "cell": {name: None if value is None else str(value) for name, value in self.cell._asdict().items()},
            "at": format_instant(self.at),
            "requirement": self.requirement and self.requirement.value,
            "terms_known": self.terms_known,
            "feeds": self.feeds and feeds_to_dict(self.feeds),
            "rows": [_row_dict(row) for row in self.rows],
            "possible": [_row_dict(row) for row in self.possible],
            "text": list(self.lines()),
        }

    def lines(self) -> Iterator[str]:
        """Yield the explanation line by line."""
        cell = self.cell
        use = f"{cell.purpose} with a {cell.ownership} model" + (f", feature {cell.feature}" if cell.feature else "")
        yield f"{self.policy}: {cell.category} for {use}, at {format_instant(self.at)}"
        yield f"  {_ANSWER[self.requirement]}"
        for row in self.rows:
            yield from _row_lines(row)
        for row in self.possible:
            yield "  Blocks until region and segment are recorded, because this may apply:"
            yield from _row_lines(row)
        if self.account_required and not self.terms_known:
            yield "  Blocks until the account's terms version is recorded (terms_unknown)."
        if self.feeds and any(row.requirement is Requirement.CONSENT for row in (*self.rows, *self.possible)):
            yield f"  Blocks when {describe_feeds(self.feeds)} (stale_feed)."
        if self.account_required:
            yield "  Rows without an account block (unattributed_rows)."
        if cell.category is Category.NONE:
            yield "  Only if `none` was declared and nothing beside it (else unclassified_data or tag_conflict)."
        if cell.category is Category.AGGREGATED_ANONYMOUS:
            yield "  Only under a signed, unexpired declassification (else unclassified_data)."


_ANSWER = {
    None: "BLOCKED: no row speaks about it (no_matching_row).",
    Requirement.ALLOW: "ALLOWED without consent.",
    Requirement.CONSENT: "NEEDS CONSENT of every account in the data.",
    Requirement.UNDECIDED: "BLOCKED: undecided, consent or not (policy_undecided).",
    Requirement.DENY: "BLOCKED: denied, and no consent lifts it (policy_denied).",
}


def explain(policy: Policy, cell: Cell, at: datetime) -> Explanation:
    """Explain one cell of the table at `at`."""
    matched = match(policy, cell, at)
    requirements = sorted((row.requirement for row in matched.rows), key=RANK.__getitem__)
    return Explanation(
        policy=policy.name,
        cell=cell,
        at=at,
        requirement=requirements[-1] if requirements else None,
        rows=matched.rows,
        possible=tuple(row for row, _ in matched.possible),
        terms_known=matched.terms_known,
        account_required=matched.account_required,
        feeds=policy.feeds,
    )


def describe(row: Row) -> str:
    """Say what a row asks for, in one sentence."""
    offline = "; its permit may be used offline" if row.offline else ""
    if row.requirement is not Requirement.CONSENT:
        reasons = f" ({', '.join(row.block_reasons)})" if row.requirement is not Requirement.ALLOW else ""
        return f"{row.requirement}{reasons}{offline}"
    asked = _asked(row.conditions)
    extra = f", with {', '.join(asked)}" if asked else ""
    return f"consent: an owner's or admin's {row.toggle} grant that names category, feature and purpose{extra}{offline}"


def describe_feeds(feeds: FeedBound) -> str:
    """Say when consent sources are too far behind."""
    hours = feeds.max_age // timedelta(hours=1)
    behind = f"a consent source last reported more than {hours} hours ago"
    return f"{behind}, or one of {', '.join(feeds.required)} never did" if feeds.required else behind


def feeds_to_dict(feeds: FeedBound) -> dict[str, Any]:
    """Return the bound as a policy's file has it."""
    return {"max_age_hours": feeds.max_age // timedelta(hours=1), "required": list(feeds.required)}


def scope(row: Row) -> str:
    """Say where a row applies beyond category, purpose and ownership; empty when everywhere."""
    parts = [
        f"{name} {', '.join(values)}"
        for name, values in (
            ("features", row.features),
            ("regions", row.regions),
            ("segments", row.segments),
            ("terms", row.terms),
        )
        if values is not None
    ]
    return "; ".join(parts)


def cite(citation: Citation) -> str:
    """Return a citation in one line: authority, section, quote, source."""
    section = f" {citation.section}" if citation.section else ""
    return f"{citation.authority}{section}: “{citation.quote}” ({citation.source})"


def _asked(asked: Conditions) -> list[str]:
    texts = [
        (asked.notice, "the hash of a notice whose terms were in force"),
        (asked.evidence, "the consent form on record"),
        (asked.withdrawal_channel, "a way to withdraw"),
        (asked.unbundled, "no bundling with the service"),
        (bool(asked.instruments), "as instrument " + " or ".join(asked.instruments)),
        (asked.expiry, "an end date"),
    ]
    return [text for wanted, text in texts if wanted]


def _row_lines(row: Row) -> Iterator[str]:
    rules = f", rules {', '.join(map(str, row.rules))}" if row.rules else ""
    where = scope(row)
    yield f"  - {row.id} ({row.status}{rules}): {describe(row)}" + (f" [{where}]" if where else "")
    if row.note:
        yield f"      {row.note}"
    for citation in row.citations:
        yield f"      {cite(citation)}"


def _row_dict(row: Row) -> dict[str, Any]:
    return {
        "id": row.id,
        "requirement": row.requirement.value,
        "status": row.status,
        "rules": list(row.rules),
        "text": describe(row),
        "scope": scope(row),
        "note": row.note,
        "citations": [citation.to_dict() for citation in row.citations],
    }
