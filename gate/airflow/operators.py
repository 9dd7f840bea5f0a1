"""The two operators a data engineer adds to a DAG: tag a dataset, and gate what wants to use it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, NoReturn, get_args

from airflow.sdk import BaseNotifier, BaseOperator

from gate.airflow.context import WORKER, airflow_errors, lineage_run, logged_scans, rendered, task_run
from gate.airflow.contracts import contracts_are_checked
from gate.airflow.engines import Engine, checked_engine, open_engine
from gate.airflow.guard import guard_of
from gate.airflow.hook import DEFAULT_CONNECTION, open_gate
from gate.airflow.links import DecisionLink
from gate.airflow.review import Asked, checked_reviewers, is_timeout, park, read_event
from gate.domain.dataset import Dataset
from gate.domain.decision import WantedUse
from gate.errors import Blocked, CannotDecide, InputError
from gate.service.answers import DECIDING, Answer, offered
from gate.service.outcome import parse_consumer

if TYPE_CHECKING:
    from gate.service.outcome import Asking, Outcome
    from gate.service.tags import Tagged

OnBlock = Literal["fail", "review", "subset"]
WEEK = timedelta(days=7)


class TagDatasetOperator(BaseOperator):
    """Record which categories a dataset version bears: what you declare, and what its bytes show.

    Args:
        dataset: see `gate.airflow.dataset`; its URI may hold Jinja.
        declare: category words you vouch for: audio, video, chat, telemetry, education_record, phi, or none.
        made_from: the datasets it was made from, beside those that lineage knows of; URIs may hold Jinja.
        engine: where files are looked into and their contracts checked: `duckdb` (default) in the worker, `spark` on
            executors; the digest is the worker's in both cases. A table of PostgreSQL is looked into where it is.
        spark_conn_id: for `spark`: Airflow connection of the cluster; default: `GATE_SPARK`.
        gate_conn_id: Airflow connection of the gate.

    The task's XCom names the version and its categories: what is declared, what its bytes show, and what its sources
    bear. Where the bytes cannot be told, a person is asked, and until then the gate blocks.
    """

    ui_color = "#e5eef7"

    def __init__(
        self,
        *,
        dataset: Dataset,
        declare: Collection[str],
        made_from: Sequence[Dataset] = (),
        engine: Engine = "duckdb",
        spark_conn_id: str | None = None,
        gate_conn_id: str = DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dataset = dataset
        self.declare = sorted(declare)
        self.made_from = list(made_from)
        self.engine = checked_engine(engine, spark_conn_id, f"{self.task_id}.engine")
        self.spark_conn_id = spark_conn_id
        self.gate_conn_id = gate_conn_id
        self._tagged: Tagged | None = None

    def execute(self, context: Any) -> dict[str, Any]:
        """Measure, look, record."""
        from gate.service.tagging import tag_dataset

        dataset, *sources = rendered(self, [self.dataset, *self.made_from], context)
        uris, run = [source.uri for source in sources], task_run(context)
        with airflow_errors(), logged_scans(self.log), open_gate(self.gate_conn_id) as service:
            self._tagged = tag_dataset(
                service,
                dataset,
                self.declare,
                by=WORKER,
                via="airflow",
                run=run,
                made_from=uris,
                contracts=contracts_are_checked(),
                spark=open_engine(self.engine, self.spark_conn_id),
            )
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
        on_block: `fail` (default); `subset`: where missing consent is all that blocks, write the consented rows as a
            new dataset version and permit only that; or `review`: park the task and ask a person in Airflow, who can
            have it checked again, have the consented subset permitted, or keep it blocked, but never consent.
        reviewers: for `review`: the Airflow users who may answer, ids or `{"id": …, "name": …}`; default: everybody
            whom Airflow lets answer for the DAG.
        review_timeout: for `review`: how long each question stands; after that the task fails.
        notifiers: for `review`: told whenever the gate asks; one that fails changes nothing.
        subset_to: URI of a local folder for subsets; default: `subsets` in the gate's home.
        permits: `DAG:TASK` of training tasks in DAGs that this one's assets trigger; each gets a permit, good for one
            run that Airflow says was triggered by this one.
        engine: what counts the rows and cuts subsets: `duckdb` (default), in the worker, or `spark`; the answer is the
            same.
        spark_conn_id: for `spark`: Airflow connection of the cluster; default: `GATE_SPARK`.
        gate_conn_id: Airflow connection of the gate.

    A pass issues one permit per training task downstream that declares the same use. A block fails the task without
    retries; being unable to decide fails it with retries; neither trains. Only a block is reviewed.
    """

    ui_color = "#f4e3c8"
    operator_extra_links = (DecisionLink(),)

    def __init__(
        self,
        *,
        datasets: Sequence[Dataset],
        use: WantedUse,
        on_block: OnBlock = "fail",
        reviewers: Sequence[str | Mapping[str, str]] | None = None,
        review_timeout: timedelta = WEEK,
        notifiers: BaseNotifier | Sequence[BaseNotifier] = (),
        subset_to: str | None = None,
        permits: Sequence[str] = (),
        engine: Engine = "duckdb",
        spark_conn_id: str | None = None,
        gate_conn_id: str = DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not datasets:
            raise InputError("a gate must name the datasets it is for", where=f"{self.task_id}.datasets")
        if on_block not in get_args(OnBlock):
            hint = ", ".join(get_args(OnBlock))
            raise InputError(f"{on_block!r} is not known", where=f"{self.task_id}.on_block", hint=hint)
        if reviewers is not None and on_block != "review":
            raise InputError("are for on_block='review'", where=f"{self.task_id}.reviewers")
        if review_timeout <= timedelta(0):
            raise InputError("must be longer than nothing", where=f"{self.task_id}.review_timeout")
        self.datasets = list(datasets)
        self.use = use
        self.on_block = on_block
        self.reviewers = () if reviewers is None else checked_reviewers(reviewers, f"{self.task_id}.reviewers")
        self.review_timeout = review_timeout
        self.notifiers = (notifiers,) if isinstance(notifiers, BaseNotifier) else tuple(notifiers)
        self.subset_to = subset_to
        self.permits = tuple(permits)
        self._elsewhere = tuple(parse_consumer(text) for text in permits)
        self.engine = checked_engine(engine, spark_conn_id, f"{self.task_id}.engine")
        self.spark_conn_id = spark_conn_id
        self.gate_conn_id = gate_conn_id
        self._outcome: Outcome | None = None
        self._whole: Outcome | None = None

    def execute(self, context: Any) -> Mapping[str, Any]:
        """Decide, record, then pass, ask a reviewer, or fail."""
        from gate.service.deciding import decide
        from gate.service.message import explain_block
        from gate.service.subsetting import decide_on_subset

        asking, datasets = self._asking(context), rendered(self, self.datasets, context)
        with airflow_errors(), logged_scans(self.log), open_gate(self.gate_conn_id) as service:
            spark = open_engine(self.engine, self.spark_conn_id)
            self._outcome = decide(service, datasets, self.use, asking, spark)
            if not self._outcome.passes and self.on_block == "subset" and self._outcome.decision.subset_possible:
                self.log.info("blocked as a whole; writing the consented subset")
                self._whole = self._outcome
                self._outcome = decide_on_subset(service, self._whole, self.use, asking, self.subset_to, spark)
            if not self._outcome.passes and self.on_block == "review":
                asked = Asked(asking.run, 1, asking.run.task_id, tuple(offered(self._outcome.decision)))
                self._ask(context, asked, self._outcome)
            if not self._outcome.passes:
                raise Blocked(explain_block(self._outcome.decision))
        return self._passed(self._outcome)

    def execute_complete(
        self, context: Any, event: Mapping[str, Any], number: int, about: str, options: Sequence[str]
    ) -> Mapping[str, Any]:
        """Go on after a reviewer's answer, or after nobody's: record it, then decide anew or fail.

        Args:
            context: of the task.
            event: what Airflow says was answered.
            number: of the question, from 1.
            about: the task id under which the blocked decision was recorded.
            options: what was offered.
        """
        asked = Asked(task_run(context), number, about, tuple(Answer(option) for option in options))
        with airflow_errors(), logged_scans(self.log):
            try:
                return self._passed(self._answered(context, event, asked))
            except CannotDecide as error:
                if is_timeout(event):
                    raise
                # A retry would begin anew and lose the reviewer: ask again instead.
                problem = f"the last answer could not be acted on: {error}"
                newest = self._outcome
                self._ask(context, asked.next(newest.task_id if newest else None), newest, problem)

    def _answered(self, context: Any, event: Mapping[str, Any], asked: Asked) -> Outcome:
        from gate.service.message import explain_block
        from gate.service.reviewing import decide_again, decide_subset_again

        with open_gate(self.gate_conn_id) as service:
            blocked = self._outcome = service.recorded_decision(asked.decided)
            if blocked is None:
                raise Blocked("the blocked decision is not in this ledger", hint="clear this task: it decides anew")
            answer = read_event(event, asked, blocked.index, self.reviewers)
            entry = service.record_review(answer, by=WORKER, via="airflow")
            self.log.info("ledger entry %s holds the answer: %s", entry, answer.answer.value)
            if answer.answer in (Answer.KEEP_BLOCKED, Answer.TIMED_OUT):
                why = "nobody answered in time" if answer.responder is None else "the reviewer keeps it blocked"
                raise Blocked(f"{why}\n{explain_block(blocked.decision)}")
            if answer.answer not in DECIDING:
                self._ask(context, asked.next(), blocked, f"the last answer does not count: {answer.answer.value}")
            datasets = rendered(self, self.datasets, context)
            asking, use = self._asking(context), self.use
            spark = open_engine(self.engine, self.spark_conn_id)
            whole = outcome = self._outcome = decide_again(service, datasets, use, asking, asked.round, spark)
            if not whole.passes and answer.answer is Answer.SUBSET and whole.decision.subset_possible:
                outcome = decide_subset_again(service, whole, use, asking, asked.round, self.subset_to, spark)
                self._outcome, self._whole = outcome, whole
            if not outcome.passes:
                self._ask(context, asked.next(outcome.task_id), outcome)
            return outcome

    def _ask(self, context: Any, asked: Asked, blocked: Outcome | None, problem: str | None = None) -> NoReturn:
        for notifier in self.notifiers:
            try:
                notifier(context)
            except Exception as error:  # noqa: BLE001  # anybody's code; the reviewer is asked all the same
                self.log.warning("a notifier failed: %s", type(error).__name__)
        to, timeout = self.reviewers, self.review_timeout
        park(self, context, asked, reviewers=to, timeout=timeout, blocked=blocked, problem=problem)

    def _asking(self, context: Any) -> Asking:
        from gate.service.outcome import Asking

        return Asking(task_run(context), self._consumers(), WORKER, "airflow", lineage_run(context), self._elsewhere)

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
