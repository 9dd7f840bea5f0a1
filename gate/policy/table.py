"""From a YAML file to a `Policy`: schema, cross-checks, and errors that point at the line."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, TypeVar

from gate.domain.canonical import digest
from gate.domain.decision import Citation
from gate.domain.instants import parse_instant
from gate.domain.words import Category, Instrument, Ownership, Purpose, Reason, Requirement, Toggle
from gate.errors import InputError, PolicyError
from gate.policy.document import Document, check_schema, read_document
from gate.policy.document import Path as Place
from gate.policy.rows import AUTHORITIES, Conditions, FeedBound, Kind, Policy, Row, TermsVersion, fold, region_code
from gate.resources import shipped

__all__ = ["Policy", "Row", "load_policy", "parse_policy", "shipped_policies"]

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_WITHOUT_ACCOUNTS = frozenset({Category.NONE, Category.AGGREGATED_ANONYMOUS, Category.UNCLASSIFIED})
_E = TypeVar("_E", bound=StrEnum)


def shipped_policies() -> tuple[str, ...]:
    """Return the names of the policies that come with the package, sorted."""
    return tuple(sorted(path.stem for path in (shipped("schemas") / "policies").glob("*.yaml")))


def load_policy(name_or_path: str | Path) -> Policy:
    """Load a shipped policy by name, or any policy from a file.

    Raises:
        PolicyError: unknown name, unreadable file, or a table that is not valid.
    """
    named = isinstance(name_or_path, str) and _NAME.fullmatch(name_or_path) is not None
    path = Path(name_or_path)
    if named and str(name_or_path) in shipped_policies():
        path = shipped("schemas") / "policies" / f"{name_or_path}.yaml"
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        if named and isinstance(error, FileNotFoundError):
            raise _unknown_policy(str(name_or_path)) from None
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "is not a path"
        raise PolicyError(f"the policy cannot be read: {reason}", where=str(name_or_path)) from None
    return parse_policy(content, str(path.name if path.is_relative_to(shipped("schemas")) else path))


def _unknown_policy(name: str) -> PolicyError:
    return PolicyError(
        f"there is no policy named {name!r}", hint=f"known: {', '.join(shipped_policies())}; or give a file's path"
    )


def parse_policy(text: str | bytes, source: str = "policy") -> Policy:
    """Read a policy table.

    Args:
        text: the YAML document.
        source: its name, for messages.

    Returns:
        The policy; the same object for the same text, so that its caches are shared.

    Raises:
        PolicyError: with file, line and column. An empty list of rows is valid and denies everything.
    """
    return _parse(text, source)


@lru_cache(maxsize=32)
def _parse(text: str | bytes, source: str) -> Policy:
    document = read_document(text, source)
    check_schema(document, _schema())
    return _Reader(document).policy()


@cache
def _schema() -> Mapping[str, Any]:
    schema: dict[str, Any] = json.loads((shipped("schemas") / "policy.schema.json").read_bytes())
    return schema


class _Reader:
    """Builds the values from a document that its JSON Schema has already accepted."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.data = document.data

    def policy(self) -> Policy:
        """Return the policy, after the checks that a JSON Schema cannot express."""
        data = self.data
        self.regions = self._groups("regions", region_code)
        self.segments = self._groups("segments", fold)
        terms = self._terms()
        self.terms = {version.version for version in terms}
        kinds = {name: self._kind(name, raw) for name, raw in data.get("kinds", {}).items()}
        rows = tuple(self._row(i, raw) for i, raw in enumerate(data["rows"]))
        self._check_ids(rows)
        ends = {row.effective_from for row in rows} | {row.effective_until for row in rows if row.effective_until}
        return Policy(
            name=data["name"],
            version=data["version"],
            dated=data.get("dated", ""),
            description=data.get("description", ""),
            digest=digest(data),
            content_owner=data.get("content_owner", "customer"),
            non_admin_withdrawal=data.get("non_admin_withdrawal", "blocks"),
            participant_locator=data.get("participant_locator", False),
            consent_scope=data.get("consent_scope", ""),
            terms_versions=terms,
            regions=self.regions,
            segments=self.segments,
            kinds=kinds,
            rows=rows,
            boundaries=tuple(sorted(ends)),
            table=data,
            source=self.document.source,
            feeds=self._feeds(),
            on_withdrawal=data.get("on_withdrawal", "stop"),
        )

    def _feeds(self) -> FeedBound | None:
        raw = self.data.get("feeds")
        return raw and FeedBound(timedelta(hours=raw["max_age_hours"]), tuple(raw.get("required", ())))

    def _groups(self, field: str, spell: Any) -> dict[str, frozenset[str]]:
        raw = {spell(name): [spell(member) for member in members] for name, members in self.data.get(field, {}).items()}
        if len(raw) != len(self.data.get(field, {})):
            raise self.document.error((field,), f"two groups of {field} have the same name")

        def expand(name: str, above: tuple[str, ...]) -> frozenset[str]:
            if name in above:
                raise self.document.error((field,), f"the group {name} contains itself")
            inner = (expand(member, (*above, name)) for member in raw.get(name, ()))
            return frozenset({name}).union(*inner)

        return {name: expand(name, ()) for name in raw}

    def _terms(self) -> tuple[TermsVersion, ...]:
        versions = [
            TermsVersion(raw["version"], self._instant(raw["from"], ("terms_versions", i, "from")))
            for i, raw in enumerate(self.data.get("terms_versions", []))
        ]
        for field in ("version", "since"):
            if len({getattr(version, field) for version in versions}) != len(versions):
                raise self.document.error(("terms_versions",), f"two terms versions have the same {field}")
        return tuple(sorted(versions, key=lambda version: version.since))

    def _kind(self, name: str, raw: Mapping[str, Any]) -> Kind:
        if name in set(Category):
            raise self.document.error(("kinds", name), f"{name!r} is a category already", key=True)
        categories = tuple(Category(word) for word in raw.get("is", []))
        needs = frozenset(Category(word) for word in raw.get("needs_one_of", []))
        if not categories and not needs:
            raise self.document.error(("kinds", name), "must say `is` or `needs_one_of`", key=True)
        return Kind(name, categories, needs, tuple(raw.get("rules", [])))

    def _row(self, order: int, raw: Mapping[str, Any]) -> Row:
        place: Place = ("rows", order)
        starts = self._instant(raw["effective"]["from"], (*place, "effective", "from"))
        until = raw["effective"].get("until")
        row = Row(
            id=raw["id"],
            order=order,
            categories=_words(Category, raw["categories"]),
            purposes=_words(Purpose, raw["purposes"]),
            ownership=_words(Ownership, raw["ownership"]),
            features=_any(raw.get("features", "any")),
            regions=_any(raw.get("regions", "any")),
            segments=_any(raw.get("segments", "any")),
            terms=_any(raw.get("terms", "any")),
            requirement=Requirement(raw["requirement"]),
            citations=tuple(self._citation(c, (*place, "citations", i)) for i, c in _ranked(raw["citations"])),
            effective_from=starts,
            effective_until=self._instant(until, (*place, "effective", "until")) if until else None,
            status=raw["status"],
            toggle=Toggle(raw["toggle"]) if "toggle" in raw else None,
            conditions=_conditions(raw.get("conditions", {})),
            reason=Reason(raw["reason"]) if "reason" in raw else None,
            account_required=raw.get("account_required", True),
            offline=raw.get("offline", False),
            owner=raw.get("owner", "customer"),
            rules=tuple(raw.get("rules", [])),
            note=raw.get("note", ""),
            feature_set=frozenset(map(fold, raw["features"])) if _any(raw.get("features", "any")) else None,
            region_set=self._expanded(raw.get("regions", "any"), self.regions, region_code),
            segment_set=self._expanded(raw.get("segments", "any"), self.segments, fold),
        )
        self._check_row(row, raw, place)
        return row

    def _expanded(self, raw: Any, groups: Mapping[str, frozenset[str]], spell: Any) -> frozenset[str] | None:
        if raw == "any":
            return None
        return frozenset().union(*(groups.get(spell(word), frozenset({spell(word)})) for word in raw))

    def _check_row(self, row: Row, raw: Mapping[str, Any], place: Place) -> None:
        fail = self.document.error
        consent = row.requirement is Requirement.CONSENT
        if consent and row.toggle is None:
            raise fail(place, f"row {row.id}: a consent row must name its toggle", "add `toggle:`")
        for field in ("toggle", "conditions"):
            if field in raw and not consent:
                raise fail((*place, field), f"row {row.id}: only a consent row has {field}", key=True)
        if row.offline and row.requirement not in (Requirement.ALLOW, Requirement.CONSENT):
            raise fail((*place, "offline"), f"row {row.id}: only an allow or consent row can be offline", key=True)
        if row.reason and row.requirement not in (Requirement.DENY, Requirement.UNDECIDED):
            raise fail((*place, "reason"), f"row {row.id}: only a deny or undecided row has a reason", key=True)
        if row.effective_until is not None and row.effective_until <= row.effective_from:
            raise fail((*place, "effective"), f"row {row.id} ends before it starts", "until must be after from")
        named = row.categories or frozenset()
        if Category.UNCLASSIFIED in named and row.requirement is not Requirement.DENY:
            raise fail((*place, "requirement"), f"row {row.id}: unclassified data can only be denied")
        if not row.account_required and not (named and named <= _WITHOUT_ACCOUNTS):
            message = f"row {row.id}: only none, aggregated_anonymous and unclassified data can do without accounts"
            raise fail((*place, "account_required"), message, key=True)
        self._check_names(row, place)

    def _check_names(self, row: Row, place: Place) -> None:
        fail = self.document.error
        for i, version in enumerate(row.terms or ()):
            if version not in self.terms:
                known = "known: " + ", ".join(sorted(self.terms))
                raise fail((*place, "terms", i), f"row {row.id}: {version!r} is not a terms version", known)
        for i, region in enumerate(row.regions or ()):
            if region_code(region) not in self.regions and not re.fullmatch(r"[A-Z]{2}(-.+)?", region_code(region)):
                hint = "an ISO 3166-1 country code, or a name from `regions:`"
                raise fail((*place, "regions", i), f"row {row.id}: {region!r} is not a region", hint)

    def _check_ids(self, rows: tuple[Row, ...]) -> None:
        first: dict[str, int] = {}
        for row in rows:
            if first.setdefault(row.id, row.order) != row.order:
                raise self.document.error(("rows", row.order, "id"), f"the row id {row.id!r} is used twice")

    def _citation(self, raw: Mapping[str, Any], place: Place) -> Citation:
        sources = self.data.get("sources", {})
        if raw["source"] not in sources:
            known = "known: " + ", ".join(sorted(sources))
            raise self.document.error((*place, "source"), f"{raw['source']!r} is not among the sources", known)
        return Citation(raw["source"], raw["authority"], raw.get("section"), raw["quote"])

    def _instant(self, text: str, place: Place) -> datetime:
        try:
            return parse_instant(f"{text}T00:00:00Z" if _DATE.fullmatch(text) else text)
        except InputError as error:
            raise self.document.error(place, error.message, error.hint) from None


def _any(raw: Any) -> tuple[str, ...] | None:
    return None if raw == "any" else tuple(raw)


def _words(kind: type[_E], raw: Any) -> frozenset[_E] | None:
    return None if raw == "any" else frozenset(kind(word) for word in raw)


def _ranked(citations: list[Any]) -> list[tuple[int, Any]]:
    # The highest authority first: it is the one applied, the others are shown.
    return sorted(enumerate(citations), key=lambda item: AUTHORITIES.index(item[1]["authority"]))


def _conditions(raw: Mapping[str, Any]) -> Conditions:
    instruments = tuple(sorted(Instrument(word) for word in raw.get("instruments", [])))
    return Conditions(**{**raw, "instruments": instruments})
