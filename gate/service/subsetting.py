"""Cut the consented subset of blocked datasets, tag it like its source, and decide about that instead."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gate.domain.decision import WantedUse
from gate.domain.words import Reason
from gate.errors import Blocked
from gate.policy.evaluate import evaluate
from gate.scan.subset import write_subset
from gate.service.core import Service
from gate.service.deciding import SUBSET, Asking, Outcome, decide
from gate.service.facts import gather, scratch
from gate.service.tagging import tag_dataset


def decide_on_subset(
    service: Service, blocked: Outcome, wanted: WantedUse, asking: Asking, folder: str | None = None
) -> Outcome:
    """Write the consented rows of every dataset as new versions and decide about those.

    Args:
        service: the open service.
        blocked: the decision about the whole; missing consent was all that blocked.
        wanted: the use.
        asking: as for the decision about the whole.
        folder: where subsets go; default `subsets` in the gate's home.

    Returns:
        The decision about the subsets; its own record, beside the one that blocked.

    Raises:
        Blocked: something else than missing consent blocks by now.
        DatasetError: the source changed since it was tagged, cannot be read, or nothing of it is consented.
    """
    sources = [version.dataset for version in blocked.versions]
    subsets = []
    now = service.clock()
    with scratch() as scratch_folder:
        gathered = gather(service, sources, wanted, now=now, folder=Path(scratch_folder))
        decision = evaluate(gathered.policy, gathered.facts, gathered.use, now)
        if not decision.subset_possible and decision.reasons:
            raise Blocked("no consented subset can be cut", reason=Reason(decision.reasons[0]).value)
        for index, tag in enumerate(gathered.tagged):
            passing = {gathered.numbers[index][group] for group in decision.passing[index]}
            source = tag.version.dataset
            target = f"{folder or service.settings.subsets_uri}/{blocked.index}/{index}/{source.uri.rpartition('/')[2]}"
            written = write_subset(source, str(gathered.snapshot.path), passing, target, expected=tag.version)
            subset = written.dataset
            tag_dataset(
                service,
                subset,
                (),
                by=asking.by,
                via=asking.via,
                run=asking.run,
                inherit=tag.categories,
                subset_of=source.uri,
            )
            subsets.append(subset)
    second = replace(asking.run, task_id=asking.run.task_id + SUBSET)
    return decide(service, subsets, wanted, replace(asking, run=second))
