"""Builds the facets of decisions and tags: counts and references, never an account or a person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import (
    data_quality_assertions_dataset,
    dataset_type_dataset,
    dataset_version_dataset,
    lineage,
    ownership_dataset,
    tags_dataset,
    tags_run,
    test_run,
)

from gate.domain.contract import ContractOutcome, Severity
from gate.domain.contract import Outcome as RuleState
from gate.domain.dataset import Dataset, DatasetVersion
from gate.domain.words import Category, Verdict
from gate.lineage.custom import (
    PRODUCER,
    GateConsentCoverageInputDatasetFacet,
    GateDataCategoryDatasetFacet,
    GateDecisionRunFacet,
)

TAG_SOURCE = "CONSENT_GATE"

_CATEGORIES = frozenset(category.value for category in Category)
_COUNTS = ("rows", "rows_blocked", "accounts", "accounts_blocked", "rows_unattributed")


@dataclass(frozen=True, slots=True)
class DecisionRef:
    """Where the ledger holds a decision.

    Attributes:
        index, digest: its entry.
        checkpoint: ledger size and root (64 hex digits) the decision rests on.
        origin: the ledger's name; empty when there is only one.
        permit_ids: the permits it issued.
        mode: the mode it was made in.
        override: ledger index of the break-glass that lets a block pass.
    """

    index: int
    digest: str
    checkpoint: tuple[int, str]
    origin: str = ""
    permit_ids: tuple[str, ...] = ()
    mode: str = "enforce"
    override: int | None = None


@dataclass(frozen=True, slots=True)
class Tagging:
    """What the ledger says about the categories of one dataset version.

    Attributes:
        sources: (category, source) pairs.
        entries: ledger indices of the tags.
        signals: (category, signal) pairs of the detection's evidence; no paths, no values from the data.
    """

    sources: tuple[tuple[str, str], ...]
    entries: tuple[int, ...] = ()
    signals: tuple[tuple[str, str], ...] = ()


def decision_facets(
    decision: Mapping[str, Any],
    versions: Sequence[DatasetVersion],
    ref: DecisionRef,
    taggings: Mapping[str, Tagging] | None = None,
) -> tuple[dict[str, Any], list[InputDataset]]:
    """Build what a decision's event and the gate task's `OperatorLineage` carry.

    Args:
        decision: what `Decision.to_dict` returned.
        versions: the dataset versions it is about.
        ref: where it is recorded.
        taggings: by `DatasetVersion.key`; without one a dataset gets standard tags only.

    Returns:
        Run facets by key (`gate_decision`, `test`, `tags`), and one input dataset per version.
    """
    run_facets = {
        "gate_decision": _decision_facet(decision, ref),
        "test": _test_facet(decision),
        "tags": run_tags(
            {"gate.verdict": decision["verdict"], "gate.policy": decision["policy"]["name"]}
            | {f"gate.reason.{reason}": "true" for reason in decision["reasons"]}
            | ({"gate.mode": ref.mode} if ref.mode != "enforce" else {})
            | ({"gate.override": str(ref.override)} if ref.override is not None else {})
        ),
    }
    inputs = [_decided_input(version, decision, ref, (taggings or {}).get(version.key)) for version in versions]
    return run_facets, inputs


def tag_facets(
    version: DatasetVersion, tagging: Tagging, *, column: str | None = None, contract: ContractOutcome | None = None
) -> InputDataset:
    """Build the dataset a tag task read, with its categories: custom and standard facets.

    Args:
        version: what was tagged.
        tagging: what the ledger says of it now.
        column: the category column, when rows differ.
        contract: how its data contracts went, if they were checked.
    """
    facets = dataset_facets(version) | {
        "gate_dataCategory": _category_facet(version, tagging),
        "tags": _category_tags(_by_category(tagging.sources), column or version.dataset.category_column),
    }
    checked = {} if contract is None or not contract.rules else {"dataQualityAssertions": contract_assertions(contract)}
    return InputDataset(version.dataset.namespace, version.dataset.name, facets=facets, inputFacets=checked)


def contract_assertions(outcome: ContractOutcome) -> Any:
    """Build the input facet `dataQualityAssertions` of data contracts; a rule that is errored did not succeed.

    Where an input has such a facet already, the assertions of both belong in one.
    """
    assertions = [
        data_quality_assertions_dataset.Assertion(
            assertion=f"contract.{rule.kind}",
            success=rule.outcome is RuleState.PASSED,
            column=rule.column,
            severity="error" if rule.severity is Severity.ERROR or rule.outcome is RuleState.ERRORED else "warn",
            name=f"{rule.category}/{rule.rule}",
            description=rule.says,
            expected=RuleState.PASSED.value,
            actual=rule.outcome.value,
            params={"values": rule.values, "empty": rule.empty, "unexpected": rule.unexpected},
        )
        for rule in outcome.rules
    ]
    return data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(assertions=assertions, producer=PRODUCER)


def read_inputs(reads: Iterable[Dataset | DatasetVersion]) -> list[InputDataset]:
    """Name what a task reads, with digests where they are known: for a START, before anything is decided."""
    return [InputDataset(identity(read).namespace, identity(read).name, facets=dataset_facets(read)) for read in reads]


def subset_output(subset: DatasetVersion, source: DatasetVersion) -> OutputDataset:
    """Build the consented subset a gate wrote, with its lineage from the whole."""
    facets = dataset_facets(subset) | {
        "lineage": lineage.LineageDatasetFacet(
            inputs=[lineage_input(source.dataset, "INDIRECT", "FILTER", "rows of consenting accounts")],
            producer=PRODUCER,
        )
    }
    return OutputDataset(subset.dataset.namespace, subset.dataset.name, facets=facets)


def _decision_facet(decision: Mapping[str, Any], ref: DecisionRef) -> Any:
    entry = {
        "index": ref.index,
        "digest": ref.digest,
        "checkpoint": {"size": ref.checkpoint[0], "root": ref.checkpoint[1]},
    }
    return _ours(
        GateDecisionRunFacet,
        verdict=decision["verdict"],
        reasons=list(decision["reasons"]),
        policy=dict(decision["policy"]),
        use=dict(decision["use"]),
        ledger=entry | ({"origin": ref.origin} if ref.origin else {}),
        decided_at=decision["decided_at"],
        rows_blocked=_blocked(decision, "rows_blocked"),
        accounts_blocked=_blocked(decision, "accounts_blocked"),
        subset_possible=decision["subset_possible"],
        content_owner=decision["content_owner"],
        terms_version=decision["terms_version"],
        permits=list(ref.permit_ids),
        mode=ref.mode,
        override=ref.override,
    )


def _decided_input(
    version: DatasetVersion, decision: Mapping[str, Any], ref: DecisionRef, tagging: Tagging | None
) -> InputDataset:
    name = version.dataset.name
    findings = [finding for finding in decision["findings"] if finding["dataset"] == name]
    counts = [row for row in decision["coverage"] if row["dataset"] == name]
    decided = {_category(item["category"]): "decided" for item in [*counts, *findings]}
    owner = ownership_dataset.Owner(name=decision["content_owner"], type="CONTENT_OWNER")
    facets = dataset_facets(version) | {
        "ownership": ownership_dataset.OwnershipDatasetFacet(owners=[owner], producer=PRODUCER),
        "tags": _category_tags(decided, None),
    }
    if tagging is not None:
        facets |= tag_facets(version, tagging).facets
    checks = data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(
        assertions=[_assertion(finding, version.dataset) for finding in findings], producer=PRODUCER
    )
    coverage = _ours(
        GateConsentCoverageInputDatasetFacet, decision_index=ref.index, coverage=_coverage(counts, findings)
    )
    return InputDataset(
        version.dataset.namespace,
        name,
        inputFacets={"dataQualityAssertions": checks, "gate_consentCoverage": coverage},
        facets=facets,
    )


def _coverage(counts: Sequence[Mapping[str, Any]], findings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """List each category once, in the order of the decision, with its counts and what the policy said of it."""
    merged: dict[str, dict[str, Any]] = {}
    for item in [*counts, *findings]:
        word = _category(item["category"])
        empty = {"verdict": "allow", "policy_rows": [], "reasons": [], "citations": []}
        merged.setdefault(word, {"category": word, **dict.fromkeys(_COUNTS, 0), **empty})
    for row in counts:
        for name in _COUNTS:
            merged[_category(row["category"])][name] += row[name]
    for finding in findings:
        entry = merged[_category(finding["category"])]
        blocked = finding["verdict"] == Verdict.BLOCK
        entry["verdict"] = "block" if blocked else entry["verdict"]
        entry["reasons"] = sorted({*entry["reasons"], *(finding["reasons"] if blocked else ())})
        entry["policy_rows"] = sorted({*entry["policy_rows"], *filter(None, [finding["row"]])})
        entry["citations"] += [_present(c) for c in finding["citations"] if _present(c) not in entry["citations"]]
    return list(merged.values())


def _assertion(finding: Mapping[str, Any], dataset: Dataset) -> Any:
    blocked = finding["verdict"] == Verdict.BLOCK
    return data_quality_assertions_dataset.Assertion(
        assertion="consent",
        success=not blocked,
        column=dataset.account.value if dataset.account.kind == "column" else None,
        severity="error",
        name=_check_name(finding),
        description=_check_description(finding),
        expected="0 rows blocked",
        actual=f"{finding['rows'] if blocked else 0} rows blocked",
        params=_check_params(finding),
    )


def _test_facet(decision: Mapping[str, Any]) -> Any:
    overall = test_run.TestExecution(
        name="consent_gate",
        status=_status(decision["verdict"]),
        severity="error",
        type="consent",
        description=f"policy {decision['policy']['name']} allows {decision['use']['purpose']} with these datasets",
        expected="allow",
        actual=", ".join([decision["verdict"], *decision["reasons"]]),
    )
    each = [
        test_run.TestExecution(
            name=f"{finding['dataset']}/{_check_name(finding)}",
            status=_status(finding["verdict"]),
            severity="error",
            type="consent",
            description=_check_description(finding),
            params=_check_params(finding),
        )
        for finding in decision["findings"]
    ]
    return test_run.TestRunFacet(tests=[overall, *each], producer=PRODUCER)


def _ours(facet: Any, **fields: Any) -> Any:
    # attrs builds these initialisers at runtime from bases the type checker does not follow.
    return facet(**fields, producer=PRODUCER)


def _check_name(finding: Mapping[str, Any]) -> str:
    return f"{_category(finding['category'])}/{finding['row'] or 'no_row'}"


def _check_description(finding: Mapping[str, Any]) -> str:
    asked = finding["requirement"]
    rule = f"the policy's requirement is {asked}" if asked else "no policy row can be applied"
    return f"{_category(finding['category'])}: {rule}"


def _check_params(finding: Mapping[str, Any]) -> dict[str, Any]:
    return {name: finding[name] for name in ("reasons", "accounts", "rows")}


def _status(verdict: str) -> str:
    return "pass" if verdict == Verdict.ALLOW else "fail"


def _category_facet(version: DatasetVersion, tagging: Tagging) -> Any:
    signals: dict[str, list[str]] = {}
    for category, signal in tagging.signals:
        signals.setdefault(_category(category), []).append(signal)
    categories = [
        {"category": _category(category), "source": source}
        | ({"signals": sorted(set(signals[category]))} if source == "detected" and category in signals else {})
        for category, source in sorted(set(tagging.sources))
    ]
    return _ours(
        GateDataCategoryDatasetFacet, digest=version.digest, categories=categories, tag_entries=list(tagging.entries)
    )


def _by_category(sources: Iterable[tuple[str, str]]) -> dict[str, str]:
    grouped: dict[str, set[str]] = {}
    for category, source in sources:
        grouped.setdefault(_category(category), set()).add(source)
    return {category: ",".join(sorted(words)) for category, words in sorted(grouped.items())}


def _category_tags(values: Mapping[str, str], column: str | None) -> Any:
    fields = [
        tags_dataset.TagsDatasetFacetFields(
            key=f"data_category.{category}", value=value, source=TAG_SOURCE, field=column
        )
        for category, value in sorted(values.items())
    ]
    return tags_dataset.TagsDatasetFacet(tags=fields, producer=PRODUCER)


def run_tags(values: Mapping[str, str | None]) -> Any:
    """Return the run facet `tags`."""
    fields = [tags_run.TagsRunFacetFields(key=key, value=value, source=TAG_SOURCE) for key, value in values.items()]
    return tags_run.TagsRunFacet(tags=fields, producer=PRODUCER)


def lineage_input(dataset: Dataset, kind: str, subtype: str | None, description: str) -> Any:
    """Return one input of a `lineage` facet."""
    how = lineage.LineageTransformation(type=kind, subtype=subtype, description=description)
    return lineage.LineageDatasetInput(
        namespace=dataset.namespace, name=dataset.name, type="DATASET", transformations=[how]
    )


def dataset_facets(read: Dataset | DatasetVersion) -> dict[str, Any]:
    """Return the standard facets of what is read."""
    facets = {"datasetType": dataset_type_dataset.DatasetTypeDatasetFacet(datasetType="FILE", producer=PRODUCER)}
    if isinstance(read, DatasetVersion):
        facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(
            datasetVersion=read.digest, producer=PRODUCER
        )
    return facets


def identity(read: Dataset | DatasetVersion) -> Dataset:
    """Return the dataset of a version, or the dataset itself."""
    return read.dataset if isinstance(read, DatasetVersion) else read


def _category(word: str) -> str:
    # A category column is data: whatever word of it we do not know might name anybody.
    return word if word in _CATEGORIES else Category.UNCLASSIFIED.value


def _blocked(decision: Mapping[str, Any], name: str) -> int:
    most: dict[str, int] = {}
    for row in decision["coverage"]:
        most[row["dataset"]] = max(most.get(row["dataset"], 0), row[name])
    return sum(most.values())


def _present(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
