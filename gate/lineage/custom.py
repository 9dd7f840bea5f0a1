"""Our three OpenLineage facets as classes; their JSON Schemas stand in `schemas/openlineage/`."""

from __future__ import annotations

from typing import Any

import attr
from openlineage.client.generated.base import DatasetFacet, InputDatasetFacet, RunFacet

from gate import __version__

PRODUCER = f"https://consent-gate.dev/producer/{__version__}"

_SPEC = "https://consent-gate.dev/spec/facets"  # a schema that changed gets another version, never the same one


@attr.define
class GateDecisionRunFacet(RunFacet):  # type: ignore[misc]
    """Run facet `gate_decision`: the answer, and where the ledger holds it. Fields as in its schema."""

    verdict: str
    reasons: list[str]
    policy: dict[str, str]
    use: dict[str, Any]
    ledger: dict[str, Any]
    decided_at: str
    rows_blocked: int
    accounts_blocked: int
    subset_possible: bool
    content_owner: str
    terms_version: str | None
    permits: list[str]
    mode: str = "enforce"
    override: int | None = None

    @staticmethod
    def _get_schema() -> str:
        return f"{_SPEC}/1-0-1/GateDecisionRunFacet.json#/$defs/GateDecisionRunFacet"


@attr.define
class GateDataCategoryDatasetFacet(DatasetFacet):  # type: ignore[misc]
    """Dataset facet `gate_dataCategory`: which categories a version bears, and how we know. Fields as in its schema."""

    digest: str
    categories: list[dict[str, Any]]
    tag_entries: list[int]

    @staticmethod
    def _get_schema() -> str:
        return f"{_SPEC}/1-0-0/GateDataCategoryDatasetFacet.json#/$defs/GateDataCategoryDatasetFacet"


@attr.define
class GateConsentCoverageInputDatasetFacet(InputDatasetFacet):  # type: ignore[misc]
    """Input facet `gate_consentCoverage`: rows and accounts with and without consent. Fields as in its schema."""

    decision_index: int
    coverage: list[dict[str, Any]]

    @staticmethod
    def _get_schema() -> str:
        return f"{_SPEC}/1-0-0/GateConsentCoverageInputDatasetFacet.json#/$defs/GateConsentCoverageInputDatasetFacet"
