"""Turns our lineage facets into what Airflow's OpenLineage provider wants; called in its forked child."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from gate.domain.dataset import Dataset, DatasetVersion

if TYPE_CHECKING:
    from gate.airflow.granted import GrantedPermit
    from gate.lineage.facets import Tagging
    from gate.service.outcome import Outcome
    from gate.service.tags import Tagged


def declared_inputs(datasets: Iterable[Dataset]) -> Any:
    """Name datasets before anything is known of them; templated ones are left to the later events."""
    from gate.lineage.facets import read_inputs

    return _lineage(inputs=read_inputs([dataset for dataset in datasets if "{{" not in dataset.uri]))


def tag_lineage(tagged: Tagged) -> Any:
    """Name a tagged version and its categories."""
    from gate.lineage.facets import Tagging, tag_facets

    tagging = Tagging(tagged.sources, tagged.entries)
    return _lineage(inputs=[tag_facets(tagged.version, tagging, contract=tagged.contract)])


def decision_lineage(outcome: Outcome, whole: Outcome | None = None) -> Any:
    """Carry a decision: run facets, and the coverage of every dataset as an input.

    Args:
        outcome: the decision that counts.
        whole: the blocked decision about the whole, when `outcome` is about its consented subset.
    """
    from gate.lineage.facets import DecisionRef, decision_facets, subset_output

    ref = DecisionRef(
        outcome.index,
        outcome.digest,
        outcome.checkpoint,
        permit_ids=outcome.permit_ids,
        mode=outcome.mode,
        override=outcome.override,
    )
    run_facets, inputs = decision_facets(outcome.record["decision"], outcome.versions, ref, taggings(outcome.record))
    if whole is None:
        return _lineage(inputs=inputs, run_facets=run_facets)
    sources = {version.dataset.uri: version for version in whole.versions}
    outputs = [subset_output(version, sources[version.subset_of]) for version in outcome.versions if version.subset_of]
    return _lineage(inputs=inputs, outputs=outputs, run_facets=run_facets)


def training_lineage(granted: GrantedPermit) -> Any:
    """Name what was read under the permit, and the models that came of it."""
    from gate.lineage.training import training_facets

    redeemed = granted.redeemed
    run_facets, inputs, outputs = training_facets(
        redeemed.versions,
        granted.models(),
        use=redeemed.use,
        permit_id=redeemed.permit.permit_id if redeemed.permit else None,
        decision_index=redeemed.decision_index,
        unpermitted=redeemed.observed,
        attestations=[one.index for one in granted.attested],
    )
    return _lineage(inputs=inputs, outputs=outputs, run_facets=run_facets)


def taggings(record: Mapping[str, Any]) -> dict[str, Tagging]:
    """Return what a recorded decision says of its datasets' categories, by `DatasetVersion.key`."""
    from gate.lineage.facets import Tagging

    return {
        DatasetVersion.from_dict(item["version"]).key: Tagging(
            tuple((category, source) for category, source in item["sources"]), tuple(item["tags"])
        )
        for item in record["datasets"]
    }


def _lineage(**parts: Any) -> Any:
    from airflow.providers.openlineage.extractors.base import OperatorLineage

    return OperatorLineage(**parts)
