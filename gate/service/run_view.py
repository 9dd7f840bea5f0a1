"""What the ledger knows of a DAG run or of one of its tasks: decisions, permits, refusals, answers, in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from gate.domain.run import TaskRun
from gate.ledger.store import Entry, Reader
from gate.service.answers import DECIDING
from gate.service.decisions import permit_subject, run_prefix

Role = Literal["run", "gate", "training", "tag", "other"]
RECENT = 5_000  # ledger entries back from its end that are looked through where no subject leads to a run


@dataclass(frozen=True, slots=True)
class Asked:
    """What a page asks for: a run, or one task instance of it; map index -1 is a task that is not mapped."""

    dag_id: str
    run_id: str
    task_id: str | None = None
    map_index: int = -1


@dataclass(frozen=True, slots=True)
class Event:
    """One ledger entry of a run, in few words.

    Attributes:
        what: the answer of a review, the verdict of a decision, else empty.
        person: reference of the person who answered, if one did.
    """

    index: int
    kind: str
    recorded_at: datetime
    task_id: str
    map_index: int
    try_number: int
    what: str = ""
    reasons: tuple[str, ...] = ()
    person: str | None = None


@dataclass(frozen=True, slots=True)
class RunView:
    """What is known.

    Attributes:
        role: what the task is to us; `run` when no task was asked for.
        decision: the decision to show; `None` when there is none, or it is about a DAG the caller may not see.
        others: the newest decisions of the run's other gate tasks and map indices.
        newer: a later decision of the same gate task.
        refusal, redemption: the newest of the training tasks in question, whichever came last is what counts.
        permits: of the decision.
        tags: what the task recorded.
        history: everything of the run, oldest first.
        hidden: there is one, about a DAG the caller may not see.
        answer: the newest answer of a reviewer to the decision's gate task.
        parked: Airflow says that the decision's gate task waits for an answer right now.
    """

    asked: Asked
    role: Role
    decision: Entry | None
    others: tuple[Entry, ...] = ()
    newer: Entry | None = None
    refusal: Entry | None = None
    redemption: Entry | None = None
    permits: tuple[Entry, ...] = ()
    tags: tuple[Entry, ...] = ()
    history: tuple[Event, ...] = ()
    hidden: bool = False
    answer: Entry | None = None
    parked: bool = False

    @property
    def waits(self) -> bool:
        """Whether the gate asks a reviewer: Airflow says so, or somebody answered before and it blocked once more."""
        newest, mine = self.answer, self.decision
        if mine is None or self.newer is not None:
            return False
        asked_again = newest is not None and newest.idx < mine.idx and newest.body["answer"] in DECIDING
        return self.parked or asked_again

    @property
    def ended(self) -> str:
        """The answer that ended the review of this decision; empty when there is none."""
        newest, mine = self.answer, self.decision
        last = newest is not None and mine is not None and newest.idx > mine.idx
        return (
            str(newest.body["answer"]) if last and newest is not None and newest.body["answer"] not in DECIDING else ""
        )


def gate_task(task_id: str) -> str:
    """Return the task a decision belongs to: decisions about subsets and reviews have a suffix."""
    return task_id.partition("#")[0]


def read_map_index(text: str) -> int:
    """Read a map index as Airflow writes it into our tab's address: for a task that is not mapped, a placeholder."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else -1


def find_run(reader: Reader, asked: Asked, sees: Callable[[str], bool]) -> RunView:
    """Find what the ledger knows of a run, or of one of its tasks.

    Args:
        sees: whether the caller may see a DAG; a decision of another DAG may be what a training task rests on.
    """
    decisions = list(reader.entries("decision", subject_prefix=run_prefix(asked.dag_id, asked.run_id)))
    refusals = list(reader.entries("refusal", subject_prefix=run_prefix(asked.dag_id, asked.run_id)))
    reviews = list(reader.entries("review", subject_prefix=run_prefix(asked.dag_id, asked.run_id)))
    mine = [entry for entry in decisions if _is_of(entry, asked)]
    turned_away = [entry for entry in refusals if _is_of(entry, asked)]
    redeemed = _redemptions(reader, asked, decisions)
    started = [entry for entry in redeemed if _is_of(entry, asked)]
    tags = () if asked.task_id is None else tuple(_tags(reader, asked, decisions))
    role = _role(asked, decisions, mine, bool(started or turned_away), bool(tags))
    refusal, redemption = _newest(turned_away), _newest(started)
    if role == "gate" and mine:
        trained = [entry for entry in redeemed if entry.body["decision"] == mine[-1].idx]
        redemption = _newest(trained)
        refusal = _newest(
            [e for e in refusals if e.idx > mine[-1].idx and e.body["run"]["task_id"] in _consumers(mine)]
        )
    shown = _shown(reader, asked, role, decisions, mine, redemption if role == "training" else None, refusal)
    hidden = shown is not None and not sees(shown.body["run"]["dag_id"])
    shown = None if hidden else shown
    permits = () if shown is None else tuple(permit_entries(reader, shown))
    return RunView(
        asked,
        role,
        shown,
        others=tuple(_others(decisions, shown)),
        refusal=refusal,
        redemption=redemption,
        permits=permits,
        tags=tags,
        history=_history([*decisions, *refusals, *reviews, *redeemed, *_exposures(reader, permits)]),
        hidden=hidden,
        answer=_newest([entry for entry in reviews if shown is not None and _same_task(entry, shown)]),
    )


def find_decision(reader: Reader, entry: Entry) -> RunView:
    """Find what belongs to one decision."""
    run = entry.body["run"]
    asked = Asked(run["dag_id"], run["run_id"], gate_task(run["task_id"]), run["map_index"])
    prefix = run_prefix(asked.dag_id, asked.run_id)
    decisions = list(reader.entries("decision", subject_prefix=prefix))
    refusals = list(reader.entries("refusal", subject_prefix=prefix))
    reviews = list(reader.entries("review", subject_prefix=prefix))
    permits = tuple(permit_entries(reader, entry))
    redeemed = _redemptions(reader, asked, decisions)
    newer = _newest([other for other in decisions if other.idx > entry.idx and _same_task(other, entry)])
    until = newer.idx if newer else reader.size
    consumers = set(entry.body["consumers"])
    after = [e for e in refusals if entry.idx < e.idx < until and e.body["run"]["task_id"] in consumers]
    return RunView(
        asked,
        "gate",
        entry,
        others=tuple(other for other in _others(decisions, entry) if not _same_task(other, entry)),
        newer=newer,
        refusal=_newest(after),
        redemption=_newest([one for one in redeemed if one.body["decision"] == entry.idx]),
        permits=permits,
        history=_history([*decisions, *refusals, *reviews, *redeemed, *_exposures(reader, permits)]),
        answer=_newest([one for one in reviews if _same_task(one, entry)]),
    )


def permit_entries(reader: Reader, decision: Entry) -> Iterator[Entry]:
    """Yield the permits that rest on a decision."""
    body = decision.body
    run = TaskRun.from_dict(body["run"])
    subjects = [permit_subject(run.dag_id, run.run_id, t, decision_index=decision.idx) for t in body["consumers"]]
    subjects += [
        permit_subject(dag_id, run.run_id, task_id, gate_dag_id=run.dag_id, decision_index=decision.idx)
        for dag_id, task_id in body.get("elsewhere", ())
    ]
    yield from filter(None, (reader.find("permit", subject) for subject in subjects))


def _newest(entries: Sequence[Entry]) -> Entry | None:
    return max(entries, key=lambda entry: entry.idx, default=None)


def _is_of(entry: Entry, asked: Asked) -> bool:
    run = entry.body["run"]
    if (run["dag_id"], run["run_id"]) != (asked.dag_id, asked.run_id):
        return False
    return asked.task_id is None or (gate_task(run["task_id"]), run["map_index"]) == (asked.task_id, asked.map_index)


def _same_task(one: Entry, other: Entry) -> bool:
    return _task_key(one) == _task_key(other)


def _task_key(entry: Entry) -> tuple[str, int]:
    run = entry.body["run"]
    return gate_task(run["task_id"]), run["map_index"]


def _consumers(decisions: Sequence[Entry]) -> set[str]:
    return {task for entry in decisions for task in entry.body["consumers"]}


def _role(asked: Asked, decisions: Sequence[Entry], mine: Sequence[Entry], trains: bool, tagged: bool) -> Role:
    if asked.task_id is None:
        return "run"
    if mine:
        return "gate"
    if trains or asked.task_id in _consumers(decisions):
        return "training"
    return "tag" if tagged else "other"


def _shown(
    reader: Reader,
    asked: Asked,
    role: Role,
    decisions: Sequence[Entry],
    mine: Sequence[Entry],
    redemption: Entry | None,
    refusal: Entry | None,
) -> Entry | None:
    """Return the decision a page is about: for a training task the one its permit rests on."""
    if role in ("run", "gate"):
        return _newest(mine)
    if role == "training":
        last = _newest([entry for entry in (redemption, refusal) if entry is not None])
        if last is not None and isinstance(last.body.get("decision"), int):
            return reader.entry(last.body["decision"])
        gates = [entry for entry in decisions if asked.task_id in entry.body["consumers"]]
        return _newest(gates) or _newest(decisions)
    if role == "tag":
        return None
    return _newest(decisions)


def _others(decisions: Sequence[Entry], shown: Entry | None) -> list[Entry]:
    newest = {_task_key(entry): entry for entry in decisions}
    if shown is not None:
        newest.pop(_task_key(shown), None)
    return sorted(newest.values(), key=lambda entry: -entry.idx)


def _redemptions(reader: Reader, asked: Asked, decisions: Sequence[Entry]) -> list[Entry]:
    """Return what was redeemed on the run's own permits; without any, on another run's that triggered this one."""
    permits = [permit for decision in decisions for permit in permit_entries(reader, decision)]
    if permits or decisions:
        found = [e for p in permits for e in reader.entries("redemption", subject_prefix=f"{p.body['permit_id']}/")]
        return sorted(found, key=lambda entry: entry.idx)
    recent = reader.entries("redemption", start=max(0, reader.size - RECENT))
    run = (asked.dag_id, asked.run_id)
    return [entry for entry in recent if (entry.body["run"]["dag_id"], entry.body["run"]["run_id"]) == run]


def _exposures(reader: Reader, permits: Iterable[Entry]) -> list[Entry]:
    return [e for p in permits for e in reader.entries("exposure", subject_prefix=f"{p.body['permit_id']}/")]


def _tags(reader: Reader, asked: Asked, decisions: Sequence[Entry]) -> list[Entry]:
    """Return the tags a task recorded: among those the run's decisions rest on, else among recent ones."""
    named = {index for entry in decisions for dataset in entry.body["datasets"] for index in dataset["tags"]}
    rested_on = [reader.entry(index) for index in sorted(named)]
    mine = [entry for entry in rested_on if entry.kind == "tag" and _tagged_by(entry, asked)]
    if mine or decisions:
        return mine
    recent = reader.entries("tag", start=max(0, reader.size - RECENT))
    return [entry for entry in recent if _tagged_by(entry, asked)]


def _tagged_by(entry: Entry, asked: Asked) -> bool:
    return bool(entry.body.get("run")) and _is_of(entry, asked)


def _history(entries: Iterable[Entry]) -> tuple[Event, ...]:
    return tuple(_event(entry) for entry in sorted(entries, key=lambda entry: entry.idx))


def _event(entry: Entry) -> Event:
    body: dict[str, Any] = entry.body
    run = body["run"]
    what, reasons, person = "", tuple(filter(None, [body.get("reason")])), None
    if entry.kind == "decision":
        what, reasons = body["decision"]["verdict"], tuple(body["decision"]["reasons"])
    elif entry.kind == "review":
        what, person = str(body["answer"]), body.get("responder") or entry.by
    return Event(
        entry.idx,
        entry.kind,
        entry.recorded_at,
        run["task_id"],
        run["map_index"],
        run["try_number"],
        what,
        reasons,
        person,
    )
