"""What a dataset version inherits: the union of what its sources bear, however far back, less what was declassified.

Worked out anew at each look, from the sources that tags recorded: tagging a source again re-tags all that came of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from gate.domain.canonical import digest
from gate.domain.instants import parse_instant
from gate.domain.words import Category
from gate.ledger.store import Entry, Reader
from gate.service.actors import PERSONAL_VIA
from gate.service.declassifying import declassification_of

MAX_VERSIONS = 10_000  # upstream of one
_TOO_MANY = "What is in its more than {most:,} sources? They were not all looked up."

Node = tuple[str, str, str]  # namespace, name, digest


class Source(NamedTuple):
    """Something a version was made from.

    Attributes:
        digest: of the version that was read; `None`: not known, so every version on record counts.
        columns: (its column, column it went into), where column lineage is known.
    """

    namespace: str
    name: str
    digest: str | None = None
    columns: tuple[tuple[str, str], ...] = ()

    def sort_key(self) -> tuple[object, ...]:
        """Return what puts sources in one order."""
        return (self.namespace, self.name, self.digest or "", self.columns)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "namespace": self.namespace,
            "name": self.name,
            "digest": self.digest,
            "columns": [list(pair) for pair in self.columns],
        }


@dataclass(frozen=True, slots=True)
class Inherited:
    """What comes to a version from elsewhere.

    Attributes:
        categories: words that its sources bear; never `none`.
        removed: categories that a declassification of the version itself takes away.
        own_act: ledger index of that declassification.
        until: when the first of the declassifications ends that it rests on, its own or a source's.
        questions: about sources of which nobody knows what they bear.
        notes: which category comes from where.
    """

    categories: frozenset[str]
    removed: frozenset[Category]
    own_act: int | None
    until: datetime | None
    questions: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Known:
    """One version of the walk; `words` and `until` grow until nothing changes any more."""

    tags: list[Entry]
    sources: list[tuple[Source, list[Node]]]
    act: Entry | None
    words: set[str] = field(default_factory=set)
    until: datetime | None = None
    unknown: bool = False

    @property
    def removes(self) -> frozenset[str]:
        return frozenset(self.act.body["removes"]) if self.act else frozenset()


def sources_in(tags: Iterable[Entry]) -> list[Source]:
    """Return every source that tags of one version name."""
    said = [one for entry in tags for one in entry.body.get("made_from", ())]
    return [
        Source(one["namespace"], one["name"], one["digest"], tuple((a, b) for a, b in one["columns"])) for one in said
    ]


def inherited(reader: Reader, version: Node, sources: Iterable[Source], now: datetime) -> Inherited:
    """Return what the version inherits at `now`; cycles and diamonds are walked once.

    Args:
        sources: of the version itself; those further back are on record.
    """
    record = _Record(reader, now)
    graph, complete = _walk(record, version, list(dict.fromkeys(sources)))
    _settle(graph)
    root = graph[version]
    from_sources = set().union(*(graph[node].words for _, nodes in root.sources for node in nodes))
    questions = [question for source, nodes in root.sources if (question := _question(graph, source, nodes))]
    return Inherited(
        categories=frozenset(from_sources),
        removed=frozenset(Category(word) for word in root.removes),
        own_act=None if root.act is None else root.act.idx,
        until=root.until,
        questions=(*questions, *(() if complete else (_TOO_MANY.format(most=MAX_VERSIONS),))),
        notes=tuple(_notes(graph, root)),
    )


class _Record:
    """The tags on record, by dataset; each dataset is read once."""

    def __init__(self, reader: Reader, now: datetime) -> None:
        self.reader, self.now = reader, now
        self._known: dict[tuple[str, str], dict[str, list[Entry]]] = {}

    def of(self, namespace: str, name: str) -> Mapping[str, list[Entry]]:
        """Return the tags of each version of a dataset, versions in the order in which they were tagged first."""
        if (namespace, name) not in self._known:
            found: dict[str, list[Entry]] = {}
            for entry in self.reader.entries(kind="tag", subject_prefix=f"{digest([namespace, name])}/"):
                found.setdefault(entry.body["version"]["digest"], []).append(entry)
            self._known[namespace, name] = found
        return self._known[namespace, name]

    def known(self, node: Node, sources: list[Source] | None = None) -> _Known:
        """Return what is on record of a version, its sources looked up."""
        tags = self.of(node[0], node[1]).get(node[2], [])
        wanted = sources_in(tags) if sources is None else sources
        act = declassification_of(self.reader, digest([node[0], node[1]]), node[2], self.now)
        found = [(source, self._versions(source, node)) for source in wanted]
        return _Known(tags, [(one, nodes) for one, nodes in found if nodes or one[:2] != node[:2]], act)

    def _versions(self, source: Source, of: Node) -> list[Node]:
        on_record = list(self.of(source.namespace, source.name))
        if source[:2] == of[:2]:  # changed in place: from what was there before
            on_record = on_record[: on_record.index(of[2])] if of[2] in on_record else on_record
        wanted = on_record if source.digest is None else [one for one in on_record if one == source.digest]
        return [(source.namespace, source.name, one) for one in wanted]


def _walk(record: _Record, root: Node, sources: list[Source]) -> tuple[dict[Node, _Known], bool]:
    graph = {root: record.known(root, sources)}
    waiting = [root]
    while waiting:
        for _, nodes in graph[waiting.pop()].sources:
            for node in nodes:
                if len(graph) >= MAX_VERSIONS:
                    return _cut(graph), False
                if node not in graph:
                    graph[node] = record.known(node)
                    waiting.append(node)
    return graph, True


def _cut(graph: dict[Node, _Known]) -> dict[Node, _Known]:
    for known in graph.values():
        known.sources = [(source, [node for node in nodes if node in graph]) for source, nodes in known.sources]
    return graph


def _settle(graph: Mapping[Node, _Known]) -> None:
    """Let words and doubts flow from sources on until nothing changes: the least fixed point, so cycles end."""
    for known in graph.values():
        known.words = _own_words(known)
        known.until = parse_instant(known.act.body["expires_at"]) if known.act else None
        known.unknown = bool(_unanswered(known, _own_questions(known)))
    upstream_first = [*graph.values()][::-1]  # found last: without circles, once through is nearly enough
    changed = True
    while changed:
        changed = False
        for known in upstream_first:
            before = len(known.words), known.until, known.unknown
            for _, nodes in known.sources:
                for node in nodes:
                    known.words |= graph[node].words - known.removes
                    known.until = _sooner(known.until, graph[node])
            asked = [text for source, nodes in known.sources if (text := _question(graph, source, nodes))]
            known.unknown = known.unknown or bool(_unanswered(known, asked))
            changed = changed or before != (len(known.words), known.until, known.unknown)


def _own_words(known: _Known) -> set[str]:
    words = {category for entry in known.tags for category, _ in entry.body["statements"]} - {Category.NONE.value}
    return (words - known.removes) | ({Category.AGGREGATED_ANONYMOUS.value} if known.act else set())


def _sooner(until: datetime | None, source: _Known) -> datetime | None:
    if source.until is None or Category.AGGREGATED_ANONYMOUS.value not in source.words:
        return until
    return source.until if until is None else min(until, source.until)


def _own_questions(known: _Known) -> list[str]:
    return questions_of(known.tags[-1].body) if known.tags else []


def questions_of(tag: Mapping[str, Any]) -> list[str]:
    """Return what a tag asks a person."""
    if "questions" not in tag and tag["unreadable"]:  # recorded before detection asked
        return [f"What is in it? {tag['unreadable']} files could not be looked into."]
    return list(tag.get("questions", ()))


def answers_in(tags: Iterable[Entry]) -> frozenset[str]:
    """Return the questions that people have answered about one version; whoever writes the DAG answers none."""
    by_people = (entry for entry in tags if entry.via in PERSONAL_VIA)
    return frozenset(question for entry in by_people for question in entry.body.get("answers", ()))


def _unanswered(known: _Known, questions: Iterable[str]) -> list[str]:
    answered = answers_in(known.tags)
    return [question for question in questions if question not in answered]


def _question(graph: Mapping[Node, _Known], source: Source, nodes: list[Node]) -> str | None:
    """Return what must be asked about a source: whether it has no tag, or nobody knows what it bears."""
    if not nodes:
        return f"What did it get from {source.name}? That is not tagged."
    if any(graph[node].unknown for node in nodes):
        return f"What did it get from {source.name}? Nobody has said what that bears."
    return None


def _notes(graph: Mapping[Node, _Known], root: _Known) -> Iterable[str]:
    for source, nodes in root.sources:
        words = sorted(set().union(*(graph[node].words for node in nodes)))
        if words:
            pairs = ", ".join(f"{before} → {after}" for before, after in source.columns[:6])
            yield f"inherits {', '.join(words)} from {source.name}{f' (columns {pairs})' if pairs else ''}"
