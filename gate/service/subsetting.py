"""Cut the consented subset of blocked datasets, tag it like its source, and decide about that instead."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gate.domain.decision import WantedUse
from gate.scan.census import look
from gate.scan.spark.cluster import Spark
from gate.scan.subset import write_subset
from gate.service.deciding import decide
from gate.service.decisions import SUBSET, gate_of
from gate.service.facts import scratch
from gate.service.outcome import Asking, Outcome
from gate.service.ports import DecisionService
from gate.service.tagging import tag_dataset


def decide_on_subset(
    service: DecisionService,
    blocked: Outcome,
    wanted: WantedUse,
    asking: Asking,
    folder: str | None = None,
    spark: Spark | None = None,
) -> Outcome:
    """Write the consented rows of every dataset as new versions and decide about those.

    Args:
        service: the embedded service, or a remote one; subsets are cut here in both cases.
        blocked: the decision about the whole; missing consent was all that blocked.
        wanted: the use.
        asking: as for the decision about the whole.
        folder: where subsets go; default `subsets` in the gate's home.
        spark: count and cut there.

    Returns:
        The decision about the subsets; its own record, beside the one that blocked.

    Raises:
        Blocked: something else than missing consent blocks by now.
        DatasetError: the source changed since it was tagged, cannot be read, or nothing of it is consented.
    """
    subsets = []
    with scratch() as name:
        looks = [look(version.dataset, Path(name), spark) for version in blocked.versions]
        who_passes = service.passing(looks, wanted, Path(name))
        for index, (one, path) in enumerate(zip(looks, who_passes, strict=True)):
            source = one.version.dataset
            target = f"{folder or service.settings.subsets_uri}/{blocked.index}/{index}/{source.uri.rpartition('/')[2]}"
            subset = write_subset(source, str(path), {1}, target, expected=one.version, spark=spark).dataset
            tag_dataset(
                service,
                subset,
                (),
                by=asking.by,
                via=asking.via,
                run=gate_of(asking.run),
                source=one.version,
            )
            subsets.append(subset)
    second = replace(asking.run, task_id=asking.run.task_id + SUBSET)
    return decide(service, subsets, wanted, replace(asking, run=second), spark)
