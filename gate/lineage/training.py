"""What a training task's events carry: its permit, what it read, and the models that came of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import (
    dataset_type_dataset,
    dataset_version_dataset,
    lineage,
    tags_dataset,
    test_run,
)

from gate.domain.dataset import Dataset, DatasetVersion
from gate.domain.decision import Use
from gate.lineage.custom import PRODUCER
from gate.lineage.facets import TAG_SOURCE, identity, lineage_input, read_inputs, run_tags


def training_facets(
    reads: Iterable[Dataset | DatasetVersion],
    models: Iterable[DatasetVersion] = (),
    *,
    use: Use,
    permit_id: str | None = None,
    decision_index: int | None = None,
    refused: Sequence[str] = (),
    unpermitted: bool = False,
    attestations: Sequence[int] = (),
) -> tuple[dict[str, Any], list[InputDataset], list[OutputDataset]]:
    """Build what a training task's events carry.

    Args:
        reads: the permitted versions, or plain datasets when training was refused before any was known.
        models: what was produced, once there is anything.
        use: what the permit allows.
        permit_id: the redeemed permit.
        decision_index: the decision it rests on.
        refused: reason codes when training was refused; nothing was read then, and nothing is said to be trained.
        unpermitted: the mode `observe` let it start without a permit; the model says so for ever.
        attestations: ledger indices of what attests the models.

    Returns:
        Run facets by key, inputs, and outputs: each model as a dataset of type `MODEL`.
    """
    reads = list(reads)
    tags = {
        "gate.purpose": use.purpose.value,
        "gate.model": use.model,
        "gate.permit": permit_id,
        "gate.decision": None if decision_index is None else str(decision_index),
        "gate.attestation": ",".join(map(str, attestations)),
        "gate.unpermitted": "true" if unpermitted else None,
    }
    run_facets = {
        "test": test_run.TestRunFacet(tests=[_permit_test(refused, unpermitted=unpermitted)], producer=PRODUCER),
        "tags": run_tags({key: value for key, value in tags.items() if value}),
    }
    inputs = read_inputs(reads)
    outputs = [] if refused else [_model_output(model, reads, use, unpermitted=unpermitted) for model in models]
    return run_facets, inputs, outputs


def _permit_test(refused: Sequence[str], *, unpermitted: bool) -> Any:
    return test_run.TestExecution(
        name="consent_gate.permit",
        status="fail" if refused or unpermitted else "pass",
        severity="error",
        type="permit",
        description="training redeemed a valid permit for exactly these datasets",
        expected="redeemed",
        actual=", ".join(["refused", *sorted(refused)]) if refused else "none" if unpermitted else "redeemed",
    )


def _model_output(
    model: DatasetVersion, reads: Sequence[Dataset | DatasetVersion], use: Use, *, unpermitted: bool
) -> OutputDataset:
    said = ({"gate.model": use.model} if use.model else {}) | ({"gate.unpermitted": "true"} if unpermitted else {})
    tags = [tags_dataset.TagsDatasetFacetFields(key=key, value=value, source=TAG_SOURCE) for key, value in said.items()]
    sources = [lineage_input(identity(read), "DIRECT", None, f"used to {use.purpose.value}") for read in reads]
    facets = {
        "datasetType": dataset_type_dataset.DatasetTypeDatasetFacet(datasetType="MODEL", producer=PRODUCER),
        "version": dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=model.digest, producer=PRODUCER),
        "tags": tags_dataset.TagsDatasetFacet(tags=tags, producer=PRODUCER),
        "lineage": lineage.LineageDatasetFacet(inputs=sources, producer=PRODUCER),
    }
    return OutputDataset(model.dataset.namespace, model.dataset.name, facets=facets)
