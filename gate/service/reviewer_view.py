"""Puts together what the reviewer's page shows of a run or a decision; account data only after the look is recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from gate.domain.dataset import DatasetVersion
from gate.domain.decision import Decision, decision_from_dict
from gate.domain.run import TaskRun
from gate.domain.words import Reason, Verdict
from gate.ledger.store import Entry, Reader
from gate.service import decision_view
from gate.service.access import record_access
from gate.service.actors import PERSON
from gate.service.core import Service
from gate.service.headline_view import Headline, headline
from gate.service.lacking_view import LackingAccounts, lacking_accounts
from gate.service.run_view import Asked, RunView, find_decision, find_run, gate_task
from gate.service.steps import Case, Step
from gate.service.unblocking import ACCOUNT_REASONS, steps


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks: which DAGs they may see, whether they may see account names, and how their look is recorded.

    Attributes:
        parked: whether a gate task waits for a reviewer right now.
    """

    sees: Callable[[str], bool]
    named: bool
    actor: str
    parked: Callable[[TaskRun], bool]


@dataclass(frozen=True, slots=True)
class PermitView:
    """A permit of a decision."""

    index: int
    permit_id: str
    task: str
    ends: datetime | None


@dataclass(frozen=True, slots=True)
class Rested:
    """A decision in full: what was asked of which data, who lacks what, what would unblock it."""

    entry: Entry
    decision: Decision
    run: TaskRun
    cells: tuple[decision_view.Cell, ...]
    datasets: tuple[decision_view.DatasetView, ...]
    model: decision_view.ModelView | None
    permits: tuple[PermitView, ...]
    lacking: LackingAccounts
    changed: tuple[str, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """A page.

    Attributes:
        rested: the decision it is about, if there is one.
        tags: what a tag task recorded.
        people: names behind references in the history, for those who may see them.
    """

    view: RunView
    headline: Headline
    rested: Rested | None
    tags: tuple[tuple[str, decision_view.TagView], ...]
    people: dict[str, str]


def show_run(service: Service, asked: Asked, viewer: Viewer, *, everything: bool = False) -> Shown:
    """Show what the ledger knows of a run or of one of its tasks; the caller must be allowed to see its DAG."""
    with service.ledger.read() as reader:
        view = find_run(reader, asked, viewer.sees)
    return _shown(service, view, viewer, everything=everything)


def show_decision(service: Service, index: int, viewer: Viewer, *, everything: bool = False) -> Shown | None:
    """Show one decision; `None` when there is none at this place that the viewer may see."""
    with service.ledger.read() as reader:
        entry = seen_decision(reader, index, viewer.sees)
        if entry is None:
            return None
        view = find_decision(reader, entry)
    return _shown(service, view, viewer, everything=everything)


def seen_decision(reader: Reader, index: int, sees: Callable[[str], bool]) -> Entry | None:
    """Return the decision at a place of the ledger, if the caller may see its DAG."""
    if not 0 <= index < reader.size:
        return None
    entry = reader.entry(index)
    return entry if entry.kind == "decision" and sees(entry.body["run"]["dag_id"]) else None


def lineage_event(service: Service, index: int, sees: Callable[[str], bool]) -> str | None:
    """Return the OpenLineage event of a decision as JSON; `None` when it is not there, or not to be seen."""
    with service.ledger.read() as reader:
        entry = seen_decision(reader, index, sees)
    return None if entry is None else service.ledger.outbox_event(f"decision/{index}")


def _shown(service: Service, view: RunView, viewer: Viewer, *, everything: bool) -> Shown:
    entry = view.decision
    if entry is not None:
        view = replace(view, parked=viewer.parked(_gate_run(entry)))
    if entry is not None and viewer.named and ACCOUNT_REASONS.intersection(entry.body["decision"]["reasons"]):
        record_access(service, by=viewer.actor, what={"page": "decision", "decision": entry.idx})
    with service.ledger.read() as reader:
        rested = None if entry is None else _rested(service, reader, view, entry, viewer, everything)
        decision = rested.decision if rested else None
        versions: tuple[DatasetVersion, ...] = tuple(one.version for one in rested.datasets) if rested else ()
        persons = [event.person.removeprefix(PERSON) for event in view.history if event.person] if viewer.named else []
        return Shown(
            view,
            headline(view, decision, versions),
            rested,
            tuple((tag.body["dataset"]["name"], decision_view.read_tag(tag)) for tag in view.tags),
            reader.open_refs(persons),
        )


def _gate_run(entry: Entry) -> TaskRun:
    """Return the try of the gate task that a decision was made for."""
    return TaskRun.from_dict({**entry.body["run"], "task_id": gate_task(entry.body["run"]["task_id"])})


def _rested(service: Service, reader: Reader, view: RunView, entry: Entry, viewer: Viewer, everything: bool) -> Rested:
    decision = decision_from_dict(entry.body["decision"])
    run = _gate_run(entry)
    lacking = lacking_accounts(service, reader, entry, everything=everything)
    changed = decision_view.changed_since(reader, entry)
    cured = bool(changed) or lacking.all_pass_now
    if any(said.since for one in lacking.shown for said in one.said):
        changed = ("what accounts said", *changed)
    refused = view.refusal
    if refused is not None and view.redemption is not None and view.redemption.idx > refused.idx:
        refused = None
    case = Case(
        decision,
        run,
        tuple(DatasetVersion.from_dict(one["version"]) for one in entry.body["datasets"]),
        tuple(one.concerned(named=viewer.named) for one in lacking.shown),
        entry.body["accounts_blocked"],
        cured and view.newer is None and decision.verdict is Verdict.BLOCK,
        None if refused is None or refused.body.get("observed") else Reason(refused.body["reason"]),
    )
    wanted = decision.verdict is Verdict.BLOCK or case.refusal is not None
    return Rested(
        entry,
        decision,
        run,
        decision_view.cells(decision),
        decision_view.datasets(reader, entry),
        decision_view.model(reader, entry),
        tuple(_permit(permit) for permit in view.permits),
        lacking,
        changed,
        steps(case) if wanted else (),
    )


def _permit(entry: Entry) -> PermitView:
    names = decision_view.permit_names(entry)
    return PermitView(entry.idx, entry.body["permit_id"], names, decision_view.permit_ends(entry))
