"""The demo's runs: what is started, what should come of it, and what did, read from Airflow and from the ledger."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from gate.demo.airflow import Airflow
from gate.demo.home import Home
from gate.demo.places import MODEL, output_folder
from gate.domain.decision import Citation, Decision, WantedUse
from gate.domain.words import Reason, Requirement, Verdict
from gate.service.core import Service
from gate.service.deciding import decision_of_run
from gate.service.differential import differential
from gate.service.outcome import Outcome
from gate.service.redeeming import refusal_of_run
from gate.web.tabs import tab_path

GATE_TASK = "consent_gate"
RUN_SECONDS = 300
EVENT_SECONDS = 20  # Airflow emits after a task has ended, and waits up to 10 s for its transport


@dataclass(frozen=True, slots=True)
class Expected:
    """What should come of a DAG.

    Attributes:
        gate, task: states of the gate and of the task that uses the data.
        reasons: at least these.
        trains: a model is written.
        task_id: the task that uses the data.
    """

    state: str
    gate: str
    task: str
    verdict: Verdict
    reasons: frozenset[Reason] = frozenset()
    trains: bool = False
    task_id: str = "train"


def _blocked(*reasons: Reason) -> Expected:
    return Expected("failed", "failed", "upstream_failed", Verdict.BLOCK, frozenset(reasons))


_TRAINED = Expected("success", "success", "success", Verdict.ALLOW, trains=True)

TOGETHER: Mapping[str, Expected] = {
    "train_meeting_summary": _blocked(
        Reason.NO_CONSENT,
        Reason.CONSENT_REFUSED,
        Reason.CONSENT_WITHDRAWN,
        Reason.CONSENT_EXPIRED,
        Reason.NOT_ADMIN,
        Reason.WRONG_TOGGLE,
        Reason.WRONG_FEATURE,
    ),
    "train_meeting_summary_subset": _TRAINED,
    "train_call_quality": _TRAINED,
    "train_for_vendor": _blocked(Reason.THIRD_PARTY_MODEL),
    "train_outcomes": _blocked(Reason.NO_CONSENT, Reason.WRONG_CATEGORY),
    "train_call_feedback": _blocked(Reason.WRONG_FEATURE),
    "train_visit_forecast": _blocked(Reason.NO_CONSENT),
    "summarise_meetings": Expected("success", "success", "success", Verdict.ALLOW, task_id="summarise"),
}
"""Started at once."""

LAST: Mapping[str, Expected] = {
    # The gate allows, then the customer withdraws: the training task is what refuses.
    "train_after_withdrawal": Expected(
        "failed", "success", "failed", Verdict.BLOCK, frozenset({Reason.CONSENT_WITHDRAWN})
    ),
}
"""Started when nothing else runs, because it changes what accounts consent to."""

EXPECTED: Mapping[str, Expected] = {**TOGETHER, **LAST}


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one DAG run.

    Attributes:
        verdict: of the gate's decision, or `block` when training was refused; empty when nothing was recorded.
        reasons: of the block, or of the training task's refusal.
        why: for people, in one line.
        url: the run in Airflow's UI.
        tab: where a blocked run says what to do next: our tab of the task that was turned away.
        tasks: the state of every task.
    """

    dag_id: str
    run_id: str
    state: str
    gate_state: str | None
    train_state: str | None
    verdict: str
    reasons: tuple[str, ...]
    rows_blocked: int
    accounts_blocked: int
    model_path: str | None
    why: str
    url: str
    tab: str | None
    tasks: Mapping[str, str | None]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-ready fields of `gate demo --json`."""
        shown = self.__slots__[: self.__slots__.index("why")]
        return {name: getattr(self, name) for name in shown} | {"reasons": list(self.reasons)}


def run_all(airflow: Airflow, dags: Collection[str]) -> dict[str, tuple[str, str]]:
    """Start the DAGs together and wait for their ends.

    Returns:
        (run id, state) by DAG id.

    Raises:
        CheckFailed: Airflow ended, or a run did not end in time.
    """
    started = {dag_id: airflow.trigger(dag_id) for dag_id in dags}
    states = airflow.wait_for_runs(started, RUN_SECONDS)
    return {dag_id: (run_id, states[dag_id]) for dag_id, run_id in started.items()}


def collect(service: Service, airflow: Airflow, dag_id: str, run_id: str, state: str) -> Run:
    """Read what came of a run: states from Airflow, everything else from the ledger."""
    tasks = airflow.task_states(dag_id, run_id)
    outcome = decision_of_run(service, dag_id, run_id)
    refusal = refusal_of_run(service, dag_id, run_id)
    model = output_folder(dag_id, run_id, airflow.home.gate) / MODEL
    reasons = set(outcome.reasons) if outcome else set()
    if refusal:
        reasons.add(refusal.body["reason"])
    verdict = _verdict(outcome, refused=refusal is not None)
    turned_away = EXPECTED[dag_id].task_id if refusal else GATE_TASK
    return Run(
        dag_id=dag_id,
        run_id=run_id,
        state=state,
        gate_state=tasks.get(GATE_TASK),
        train_state=tasks.get(EXPECTED[dag_id].task_id),
        verdict=verdict,
        reasons=tuple(sorted(reasons)),
        rows_blocked=outcome.record["rows_blocked"] if outcome else 0,
        accounts_blocked=outcome.record["accounts_blocked"] if outcome else 0,
        model_path=str(model) if model.exists() else None,
        why=_why(outcome.decision if outcome else None, refusal.body["message"] if refusal else None),
        url=airflow.run_url(dag_id, run_id),
        tab=airflow.url + tab_path(dag_id, run_id, turned_away) if verdict == Verdict.BLOCK else None,
        tasks=tasks,
    )


def surprises(run: Run) -> list[str]:
    """Say, one line each, where a run differs from what is expected of it."""
    expected = EXPECTED[run.dag_id]
    pairs = {
        "run": (run.state, expected.state),
        "gate": (run.gate_state, expected.gate),
        expected.task_id: (run.train_state, expected.task),
        "verdict": (run.verdict or None, expected.verdict.value),
        "model": (run.model_path is not None, expected.trains),
    }
    found = [f"{run.dag_id}: {name} is {got}, expected {want}" for name, (got, want) in pairs.items() if got != want]
    missing = sorted(expected.reasons - set(run.reasons))
    if missing:
        found.append(f"{run.dag_id}: reasons lack {', '.join(missing)}")
    return found


def disagreements(service: Service, run: Run) -> list[str]:
    """Decide again about the run's data, account by account and row by row, and say where the answers differ."""
    outcome = decision_of_run(service, run.dag_id, run.run_id)
    if outcome is None:
        return []
    use = outcome.decision.use
    wanted = WantedUse(use.purpose, use.feature, use.model)
    found = differential(service, [version.dataset for version in outcome.versions], wanted)
    return [f"{run.dag_id}: joined and one by one, the answers differ: {difference}" for difference in found]


def missing_events(home: Home, runs: Collection[Run]) -> set[str]:
    """Return the OpenLineage jobs of these runs whose end is not in the event file yet."""
    ended = {run.dag_id for run in runs}
    ended |= {f"{run.dag_id}.{task}" for run in runs for task, state in run.tasks.items() if state in _EMITTING}
    lines = home.events.read_bytes().splitlines(keepends=True) if home.events.exists() else []
    events = [json.loads(line) for line in lines if line.endswith(b"\n")]
    return ended - {event["job"]["name"] for event in events if event.get("eventType") in ("COMPLETE", "FAIL")}


def _verdict(outcome: Outcome | None, *, refused: bool) -> str:
    if refused:
        return Verdict.BLOCK.value
    return outcome.decision.verdict.value if outcome else ""


_EMITTING = ("success", "failed")


def _why(decision: Decision | None, refusal: str | None) -> str:
    if decision is None:
        return "no decision was recorded: see the gate task's log"
    if refusal:
        return f"training refused: {refusal}"
    if decision.verdict is Verdict.BLOCK:
        return ", ".join(decision.reasons)
    finding = decision.findings[0]
    requirement = "no consent needed" if finding.requirement is Requirement.ALLOW else "every account consented"
    return "; ".join([requirement, *(_cite(citation) for citation in finding.citations[:1])])


def _cite(citation: Citation) -> str:
    return " ".join(filter(None, (citation.authority, citation.section, f"({citation.source})")))
