"""The two operators a data engineer adds to a DAG: tag a dataset, and gate what wants to use it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import BaseOperator

from gate.airflow.context import WORKER, airflow_errors, lineage_run, rendered, task_run
from gate.airflow.guard import guard_of
from gate.airflow.hook import DEFAULT_CONNECTION, open_gate
from gate.airflow.links import DecisionLink
from gate.domain.dataset import Dataset
from gate.domain.decision import WantedUse
from gate.errors import InputError
from gate.service.outcome import parse_consumer

if TYPE_CHECKING:
    from gate.service.outcome import Outcome
    from gate.service.tagging import Tagged

OnBlock = Literal["fail", "subset"]


class TagDatasetOperator(BaseOperator):
    """Record which categories a dataset version bears: what you declare, and what its bytes show.

    Args:
        dataset: see `gate.airflow.dataset`; its URI may hold Jinja.
        declare: category words you vouch for: audio, video, chat, telemetry, education_record, phi, or none.
        gate_conn_id: Airflow connection of the gate.

    The task's XCom names the version and its categories. A declaration that the bytes contradict is recorded, and
    blocks at the gate.
    """

    ui_color = "#e5eef7"

    def __init__(
        self, *, dataset: Dataset, declare: Collection[str], gate_conn_id: str = DEFAULT_CONNECTION, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.dataset = dataset
        self.declare = sorted(declare)
        self.gate_conn_id = gate_conn_id
        self._tagged: Tagged | None = None

    def execute(self, context: Any) -> dict[str, Any]:
        """Measure, look, record."""
        from gate.service.tagging import tag_dataset

        (dataset,) = rendered(self, [self.dataset], context)
        with airflow_errors(), open_gate(self.gate_conn_id) as service:
            run = task_run(context)
            self._tagged = tag_dataset(service, dataset, self.declare, by=WORKER, via="airflow", run=run)
        for note in self._tagged.notes:
            self.log.warning("%s", note)
        self.log.info("%s bears %s", dataset.name, ", ".join(sorted(self._tagged.categories)) or "nothing known")
        return {"digest": self._tagged.version.digest, "categories": sorted(self._tagged.categories)}

    def get_openlineage_facets_on_start(self) -> Any:
        """Name the dataset."""
        from gate.airflow.lineage import declared_inputs

        return declared_inputs([self.dataset])

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:  # noqa: ARG002
        """Name the version and its categories."""
        from gate.airflow.lineage import tag_lineage

        return tag_lineage(self._tagged) if self._tagged else self.get_openlineage_facets_on_start()

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> Any:
        """Name what is known of the dataset."""
        return self.get_openlineage_facets_on_complete(task_instance)


class ConsentGateOperator(BaseOperator):
    """Block the run unless every row of the datasets may be put to the use, and say why.

    Args:
        datasets: what the run will read; URIs may hold Jinja.
        use: what for; see `gate.airflow.use`. Who owns the model is looked up in the model registry.
        on_block: `fail` (default), or `subset`: where missing consent is all that blocks, write the consented rows
            as a new dataset version and permit only that.
        subset_to: URI of a local folder for subsets; default: `subsets` in the gate's home.
        permits: `DAG:TASK` of training tasks in DAGs that this one's assets trigger; each gets a permit, good for one
            run that Airflow says was triggered by this one.
        gate_conn_id: Airflow connection of the gate.

    A pass issues one permit per training task downstream that declares the same use. A block fails the task without
    retries; being unable to decide fails it with retries; neither trains.
    """

    ui_color = "#f4e3c8"
    operator_extra_links = (DecisionLink(),)

    def __init__(
        self,
        *,
        datasets: Sequence[Dataset],
        use: WantedUse,
        on_block: OnBlock = "fail",
        subset_to: str | None = None,
        permits: Sequence[str] = (),
        gate_conn_id: str = DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not datasets:
            raise InputError("a gate must name the datasets it is for", where=f"{self.task_id}.datasets")
        if on_block not in ("fail", "subset"):
            raise InputError(f"{on_block!r} is not known", where=f"{self.task_id}.on_block", hint="fail or subset")
        self.datasets = list(datasets)
        self.use = use
        self.on_block = on_block
        self.subset_to = subset_to
        self.permits = tuple(permits)
        self._elsewhere = tuple(parse_consumer(text) for text in permits)
        self.gate_conn_id = gate_conn_id
        self._outcome: Outcome | None = None
        self._whole: Outcome | None = None

    def execute(self, context: Any) -> Mapping[str, Any]:
        """Decide, record, then pass or fail."""
        from gate.errors import Blocked
        from gate.service.deciding import decide
        from gate.service.message import explain_block
        from gate.service.outcome import Asking
        from gate.service.subsetting import decide_on_subset

        asking = Asking(task_run(context), self._consumers(), WORKER, "airflow", lineage_run(context), self._elsewhere)
        datasets = rendered(self, self.datasets, context)
        with airflow_errors(), open_gate(self.gate_conn_id) as service:
            self._outcome = decide(service, datasets, self.use, asking)
            if not self._outcome.passes and self.on_block == "subset" and self._outcome.decision.subset_possible:
                self.log.info("blocked as a whole; writing the consented subset")
                self._whole = self._outcome
                self._outcome = decide_on_subset(service, self._whole, self.use, asking, self.subset_to)
            if not self._outcome.passes:
                raise Blocked(explain_block(self._outcome.decision))
        return self._passed(self._outcome)

    def _passed(self, outcome: Outcome) -> dict[str, Any]:
        """Say loudly when the run goes on for another reason than consent."""
        from gate.service.message import explain_block

        if outcome.observed:
            self.log.warning(
                "NOT ENFORCED, the mode is observe: enforced, this would be\n%s", explain_block(outcome.decision)
            )
        elif outcome.mode == "observe":
            self.log.warning("allowed, but the mode is observe: no permit is issued, the model will be unpermitted")
        if outcome.override is not None:
            self.log.warning(
                "BREAK-GLASS, ledger entry %s, lifts\n%s", outcome.override, explain_block(outcome.decision)
            )
        return {
            "decision": outcome.index,
            "verdict": outcome.record["decision"]["verdict"],
            "mode": outcome.mode,
            "override": outcome.override,
            "permits": dict(outcome.permits),
        }

    def _consumers(self) -> tuple[str, ...]:
        """Find the training tasks downstream that ask for this very use."""
        relatives = self.get_flat_relatives(upstream=False)
        guards = {task.task_id: guard_of(task) for task in relatives}
        matching = (task_id for task_id, guard in guards.items() if guard is not None and guard.use == self.use)
        return tuple(sorted(matching))

    def get_openlineage_facets_on_start(self) -> Any:
        """Name the datasets the gate is about."""
        from gate.airflow.lineage import declared_inputs

        return declared_inputs(self.datasets)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:  # noqa: ARG002
        """Carry the decision and the coverage of every dataset."""
        from gate.airflow.lineage import decision_lineage

        return decision_lineage(self._outcome, self._whole) if self._outcome else self.get_openlineage_facets_on_start()

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> Any:
        """Carry the decision also when it blocked."""
        return self.get_openlineage_facets_on_complete(task_instance)
