"""One decision as people read it: what was asked of which data, what its datasets are, what it rests on."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gate.domain.contract import ContractOutcome
from gate.domain.dataset import DatasetVersion
from gate.domain.decision import Citation, Coverage, Decision, Finding
from gate.domain.instants import parse_instant
from gate.domain.words import Verdict
from gate.ledger.state import model_record
from gate.ledger.store import Entry, Reader
from gate.service.declassifying import told
from gate.service.tags import contract_of

_AUTHORITIES = ("terms", "law", "blog", "spokesperson", "press", "default")  # what is quoted first


@dataclass(frozen=True, slots=True)
class Cell:
    """Dataset × category × policy row: who has what it asks for.

    Attributes:
        row: policy row id; `None` when none applied or the matter is the dataset itself.
        citations: the clause to quote first.
        with_, without: accounts that have it and that lack it; `rows_…` likewise.
    """

    dataset: str
    category: str
    requirement: str | None
    row: str | None
    blocks: bool
    reasons: tuple[str, ...]
    accounts_with: int
    accounts_without: int
    rows_with: int
    rows_without: int
    citations: tuple[Citation, ...]

    @property
    def share(self) -> float:
        """Part of the rows that pass, 0 to 1."""
        total = self.rows_with + self.rows_without
        return self.rows_with / total if total else float(not self.blocks)


@dataclass(frozen=True, slots=True)
class TagView:
    """One tag of a dataset version; `contract` is what the data contracts of its categories came to, if checked."""

    index: int
    recorded_at: datetime
    by: str
    task: str
    statements: tuple[tuple[str, str], ...]
    evidence: tuple[tuple[str, str, int], ...]
    columns: tuple[tuple[str, str], ...]
    contradictions: tuple[str, ...]
    unreadable: int
    questions: tuple[str, ...]
    answers: tuple[str, ...]
    made_from: tuple[str, ...]
    contract: ContractOutcome | None


@dataclass(frozen=True, slots=True)
class DatasetView:
    """A dataset version a decision is about.

    Attributes:
        declassified: ledger indices of what declassified it, each with its method and evidence in words.
    """

    version: DatasetVersion
    categories: tuple[tuple[str, tuple[str, ...]], ...]
    notes: tuple[str, ...]
    tags: tuple[TagView, ...]
    declassified: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class ModelView:
    """Who the registry says owns the model: when it was decided, and whether that was said anew since."""

    model_id: str
    index: int | None
    newer: bool


def cells(decision: Decision) -> tuple[Cell, ...]:
    """Return the decision's findings with both sides of each, those that block first, the most rows first."""
    sides: dict[tuple[str, str, str | None], dict[bool, list[Finding]]] = {}
    for finding in decision.findings:
        key = (finding.dataset, finding.category, finding.row)
        blocks = finding.verdict is Verdict.BLOCK
        sides.setdefault(key, {True: [], False: []})[blocks].append(finding)
    covered = {(one.dataset, one.category): one for one in decision.coverage}
    found = [_cell(both, covered.get(key[:2])) for key, both in sides.items()]
    return tuple(sorted(found, key=lambda one: (not one.blocks, -one.rows_without, one.dataset, one.category)))


def _cell(both: Mapping[bool, list[Finding]], total: Coverage | None) -> Cell:
    lacking, passing = both[True], both[False]
    first = (lacking or passing)[0]
    rows = sum(finding.rows for finding in lacking)
    accounts = sum(finding.accounts for finding in lacking)
    citations = {citation: None for finding in (*lacking, *passing) for citation in finding.citations}
    return Cell(
        first.dataset,
        first.category,
        first.requirement and first.requirement.value,
        first.row,
        bool(lacking),
        tuple(sorted({reason.value for finding in (lacking or passing) for reason in finding.reasons})),
        sum(finding.accounts for finding in passing),
        accounts,
        min(sum(finding.rows for finding in passing), total.rows - rows if total else 1 << 62),
        rows,
        tuple(sorted(citations, key=_place)),
    )


def _place(citation: Citation) -> int:
    return _AUTHORITIES.index(citation.authority) if citation.authority in _AUTHORITIES else len(_AUTHORITIES)


def datasets(reader: Reader, entry: Entry) -> tuple[DatasetView, ...]:
    """Return the dataset versions of a decision with their tags."""
    return tuple(_dataset(reader, recorded) for recorded in entry.body["datasets"])


def _dataset(reader: Reader, recorded: Mapping[str, Any]) -> DatasetView:
    sources: dict[str, list[str]] = {category: [] for category in recorded["categories"]}
    for category, source in recorded["sources"]:
        sources.setdefault(category, []).append(source)
    said = [reader.entry(index) for index in recorded["tags"]]
    return DatasetView(
        DatasetVersion.from_dict(recorded["version"]),
        tuple((category, tuple(found)) for category, found in sources.items()),
        tuple(recorded["notes"]),
        tuple(read_tag(one) for one in said if one.kind == "tag"),
        tuple((one.idx, told(one.body)) for one in said if one.kind == "declassification"),
    )


def read_tag(entry: Entry) -> TagView:
    """Return what a tag says."""
    body, run = entry.body, entry.body.get("run")
    return TagView(
        entry.idx,
        entry.recorded_at,
        entry.by,
        f"{run['dag_id']}.{run['task_id']}" if run else "",
        tuple((category, source) for category, source in body["statements"]),
        tuple((category, signal, files) for category, signal, files in body["evidence"]),
        tuple((category, column) for category, column in body.get("columns", ())),
        tuple(body["contradictions"]),
        body["unreadable"],
        tuple(body.get("questions", ())),
        tuple(body.get("answers", ())),
        tuple(source["name"] for source in body.get("made_from", ())),
        contract_of(entry),
    )


def model(reader: Reader, entry: Entry) -> ModelView | None:
    """Return the registration of the model that a decision's use names."""
    model_id = entry.body["decision"]["use"]["model"]
    if not model_id:
        return None
    then = model_record(reader, model_id, entry.body["checkpoint"]["size"])
    now = model_record(reader, model_id)
    return ModelView(
        model_id, then.index if then else None, now is not None and (then is None or now.index != then.index)
    )


def changed_since(reader: Reader, entry: Entry) -> tuple[str, ...]:
    """Say what was recorded since a decision that may change its answer, accounts' consents aside."""
    size = entry.body["checkpoint"]["size"]
    found = []
    active = reader.latest("policy_activation")
    if active is not None and active.idx >= size:
        found.append("the policy")
    named = model(reader, entry)
    if named is not None and named.newer:
        found.append("who owns the model")
    if any(_tagged_since(reader, recorded, size) for recorded in entry.body["datasets"]):
        found.append("the tags of the data")
    return tuple(found)


def _tagged_since(reader: Reader, recorded: Mapping[str, Any], size: int) -> bool:
    from gate.service.tags import dataset_key

    key = dataset_key(DatasetVersion.from_dict(recorded["version"]).dataset)
    kinds = ("tag", "declassification")
    return any(True for kind in kinds for _ in reader.entries(kind, subject_prefix=f"{key}/", start=size))


def permit_ends(permit: Entry) -> datetime | None:
    """Return when a permit ends, from its own words; `None` when they cannot be read."""
    ends = _permit_fields(permit).get("expires_at")
    return parse_instant(ends) if isinstance(ends, str) else None


def permit_names(permit: Entry) -> str:
    """Return the task a permit is for, as `DAG.TASK`."""
    said = _permit_fields(permit)
    return f"{said.get('dag_id')}.{said.get('task_id')}"


def _permit_fields(permit: Entry) -> dict[str, Any]:
    """Read a permit's payload without checking who signed it: for showing, never for letting anything through."""
    try:
        said: dict[str, Any] = json.loads(base64.b64decode(permit.body["envelope"]["payload"]))
    except (KeyError, ValueError, TypeError):
        return {}
    return said
