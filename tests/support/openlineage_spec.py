"""Says what is wrong with an OpenLineage event: core schema, then every facet against its own schema, offline."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable

from gate.resources import shipped

SPEC = Path(__file__).parents[3] / "shared" / "openlineage-spec"
CORE = "https://openlineage.io/spec/2-0-2/OpenLineage.json"

# What Airflow's provider adds without a schema of its own: it names the base facet, so only the base is checked.
AIRFLOW_FACETS = {"airflow", "airflowDagRun", "airflowState", "airflow_mappedTask", "debug", "unknownSourceAttribute"}

_METRICS = "https://openlineage.io/spec/facets/1-0-{}/DataQualityMetricsDatasetFacet.json"


def errors_of(event: dict[str, Any]) -> list[str]:
    """Return one line per fault, empty when the event is valid. Unknown facets are faults.

    Skips the test when the specification is not beside the repository.
    """
    if not SPEC.is_dir():
        pytest.skip(f"the OpenLineage specification is not at {SPEC}")
    kind = "RunEvent" if "run" in event else "DatasetEvent" if "dataset" in event else "JobEvent"
    errors = list(_faults(event, f"{CORE}#/$defs/{kind}", "event"))
    for base, key, facet, where in _facets(event):
        errors += _facet_faults(base, key, facet, where)
    return errors


def _facets(event: dict[str, Any]) -> Iterator[tuple[str, str, Any, str]]:
    """Yield (base, key, facet, where) of every facet."""
    holders = [("RunFacet", event.get("run", {}).get("facets"), "run")]
    holders += [("JobFacet", event.get("job", {}).get("facets"), "job")]
    holders += [("DatasetFacet", event.get("dataset", {}).get("facets"), "dataset")]
    for side, extra in (("inputs", "InputDatasetFacet"), ("outputs", "OutputDatasetFacet")):
        for number, dataset in enumerate(event.get(side) or []):
            where = f"{side}[{number}]"
            holders += [("DatasetFacet", dataset.get("facets"), where)]
            holders += [(extra, dataset.get(side.removesuffix("s") + "Facets"), where)]
    for base, facets, where in holders:
        for key, facet in (facets or {}).items():
            yield base, key, facet, f"{where}.{key}"


def _facet_faults(base: str, key: str, facet: Any, where: str) -> Iterator[str]:
    url = facet.get("_schemaURL", "") if isinstance(facet, dict) else ""
    if key in AIRFLOW_FACETS and url.startswith(CORE):
        yield from _faults(facet, url, where)
        return
    document = _documents().get(url.partition("#")[0])
    if document is None or key not in document.get("properties", {}):
        yield f"{where}: unknown facet, no schema {url!r} describes {key!r}"
        return
    name = url.rpartition("/")[2]
    definition = document["$defs"].get(name)
    bases = [part.get("$ref", "").rpartition("/")[2] for part in (definition or {}).get("allOf", [])]
    if base not in bases:
        yield f"{where}: {url} does not describe a {base}"
        return
    yield from _faults(facet, url, where)


def _faults(value: Any, url: str, where: str) -> Iterator[str]:
    validator = Draft202012Validator(
        {"$ref": url}, registry=_registry(), format_checker=Draft202012Validator.FORMAT_CHECKER
    )
    try:
        for error in validator.iter_errors(value):
            yield f"{where}{error.json_path.removeprefix('$')}: {error.message}"
    except Unresolvable:
        yield f"{where}: there is no schema {url}"


@cache
def _documents() -> dict[str, Any]:
    files = [SPEC / "OpenLineage.json", *sorted((SPEC / "facets").glob("*.json"))]
    files += sorted((shipped("schemas") / "openlineage").glob("*.json"))
    documents = {document["$id"]: document for document in (json.loads(file.read_text()) for file in files)}
    # PROVENANCE.txt: the client emits 1-0-1, which adds captureDate to the 1-0-0 we have.
    later = _METRICS.format(1)
    documents.setdefault(later, {**documents[_METRICS.format(0)], "$id": later})
    return documents


@cache
def _registry() -> Registry[Any]:
    return Registry().with_resources((url, Resource.from_contents(document)) for url, document in _documents().items())
