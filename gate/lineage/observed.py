"""Reads any OpenLineage event, ours or others': what it says of runs, jobs and versions; unknown facets stay raw.

Tolerant where the specification is (no `eventType`, facets nobody knows) and where emitters are known to differ from it
(times without a zone, empty facets); strict about what makes an event one: a time, and something it is about.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from gate.errors import InputError

# What a database's index takes in one entry bounds names, in bytes of UTF-8.
MAX_NAME = 2000  # of a run's id, and of a namespace and a name together
MAX_VERSION = 500
_ENDS = ("COMPLETE", "FAIL", "ABORT")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_BROKEN = re.compile("[\x00\x1f\ud800-\udfff]")  # no database takes the others; the store's keys are joined by 1F
_INDEX = re.compile("[0-9]{1,18}")  # of the ledger
_CATEGORY_TAG = "data_category."
_ORDERED = json.JSONEncoder(sort_keys=True, separators=(",", ":"))  # ASCII: no text can break a database

Named = tuple[str, str]  # namespace and name


class Seen(NamedTuple):
    """One dataset of an event.

    Attributes:
        dataset: its identity.
        version: as the `version` facet says, if it does.
        facts: name → value, such as `type` and `categories`.
        sources: datasets it was made from, by its `lineage` facet.
    """

    dataset: Named
    version: str | None
    facts: Mapping[str, str]
    sources: tuple[Named, ...] = ()


@dataclass(frozen=True, slots=True)
class Observed:
    """What one event says.

    Attributes:
        digest: SHA-256 of the event whose keys are sorted: the same event again is no other event.
        raw: the event as JSON, nothing left out.
        at: its time, in microseconds since 1970.
        run: the run's id; `None` for events about a job or a dataset.
        job: the job, if it is about one.
        facts: name → value, about the run, or about the job or dataset of the other two kinds of events.
        decision: ledger index and facts of the decision it carries, if it does.
        final: it is the run's last word, or about something that does not run.
        permitted_by: ledger index of the decision that let this run train.
        reads, writes: its datasets.
    """

    digest: bytes
    raw: str
    at: int
    run: str | None
    job: Named | None
    facts: Mapping[str, str]
    decision: tuple[str, Mapping[str, str]] | None
    permitted_by: str | None
    final: bool
    reads: tuple[Seen, ...]
    writes: tuple[Seen, ...]


def observe(event: Any, where: str = "event") -> Observed:
    """Read an event.

    Args:
        event: a RunEvent, DatasetEvent or JobEvent, parsed from JSON.
        where: what to call it in an error.

    Raises:
        InputError: it is none of the three, or no database could keep it.
    """
    if not isinstance(event, dict):
        raise InputError("is not a JSON object", where=where)
    try:
        return _observed(event, where)
    except RecursionError:
        raise InputError("is nested too deeply", where=where) from None


def _observed(event: dict[str, Any], where: str) -> Observed:
    at = _instant(event.get("eventTime"), where)
    run, job, dataset = (_subject(event, name, where) for name in ("run", "job", "dataset"))
    if run is None and job is None and dataset is None:
        raise InputError(
            "names neither a run, nor a job, nor a dataset", where=where, hint="is it an OpenLineage event?"
        )
    facets = _part(run, "facets")
    tags = _tags(facets)
    reads, writes = _datasets(event, "inputs", where), _datasets(event, "outputs", where)
    if dataset is not None and run is None and job is None:
        writes = (_seen(dataset, f"{where}.dataset"),)
    ordered = _ORDERED.encode(event)
    return Observed(
        digest=hashlib.sha256(ordered.encode()).digest(),
        raw=ordered,
        at=at,
        run=_run_id(run, f"{where}.run") if run is not None else None,
        job=_named(job, f"{where}.job") if job is not None else None,
        facts=_clean(_run_facts(event, facets, tags)),
        decision=_decision(facets),
        permitted_by=decided if _INDEX.fullmatch(decided := tags.get("gate.decision", "")) else None,
        final=run is None or event.get("eventType") in _ENDS,
        reads=reads,
        writes=writes,
    )


def _instant(value: Any, where: str) -> int:
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise InputError("is not a time", where=f"{where}.eventTime", hint="RFC 3339, with a zone") from None
    return ((found if found.tzinfo else found.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND


def _part(of: Any, name: str) -> dict[str, Any]:
    found = of.get(name) if isinstance(of, dict) else None
    return found if isinstance(found, dict) else {}


def _items(event: Mapping[str, Any], name: str) -> list[Any]:
    found = event.get(name)
    return found if isinstance(found, list) else []


def _subject(event: Mapping[str, Any], name: str, where: str) -> dict[str, Any] | None:
    found = event.get(name)
    if found is not None and not isinstance(found, dict):
        raise InputError("is not a JSON object", where=f"{where}.{name}")
    return found


def _run_id(run: Mapping[str, Any], where: str) -> str:
    return _text({"runId": _text(run, "runId", where).lower()}, "runId", where)  # some letters grow


def _text(of: Mapping[str, Any], name: str, where: str) -> str:
    value: Any = of.get(name)
    if not _storable(value, MAX_NAME):
        raise InputError(f"expected a text of 1 to {MAX_NAME} bytes", where=f"{where}.{name}")
    return str(value)


def _named(of: Any, where: str) -> Named:
    if not isinstance(of, dict):
        raise InputError("is not a JSON object", where=where)
    namespace, name = of.get("namespace"), of.get("name")
    texts = isinstance(namespace, str) and isinstance(name, str)
    if texts and namespace and name and _storable(namespace + name, MAX_NAME):
        return namespace, name
    _text(of, "namespace", where), _text(of, "name", where)  # says which of them it is, if it is one alone
    raise InputError(f"has more than {MAX_NAME} bytes of namespace and name", where=where)


def _datasets(event: Mapping[str, Any], side: str, where: str) -> tuple[Seen, ...]:
    found = event.get(side)
    if found is not None and not isinstance(found, list):
        raise InputError("is not a list", where=f"{where}.{side}")
    return tuple(_seen(item, f"{where}.{side}[{number}]") for number, item in enumerate(found or ()))


def _seen(item: Any, where: str) -> Seen:
    dataset = _named(item, where)
    facets = _part(item, "facets")
    version = _part(facets, "version").get("datasetVersion")
    sources = tuple(_sources(_part(facets, "lineage")))
    known = version if _storable(version, MAX_VERSION) else None
    return Seen(dataset, known, _clean(_dataset_facts(item, facets)), sources)


def _sources(facet: Mapping[str, Any]) -> Iterator[Named]:
    for source in _items(facet, "inputs"):
        if isinstance(source, dict) and source.get("type") == "JOB":
            continue
        with suppress(InputError):  # a facet that is not what we know by its name stays raw, like any other
            yield _named(source, "")


def _storable(value: Any, limit: int) -> bool:
    """Say whether a name is one that every database takes: not empty, not endless, no NUL, no half of a character."""
    if not value or not isinstance(value, str):
        return False
    sound = value.isprintable() or not _BROKEN.search(value)  # what can be printed is sound, and sooner known
    return sound and (len(value) * 4 <= limit or len(value.encode()) <= limit)


def _clean(facts: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name: value if value.isprintable() else _BROKEN.sub("\ufffd", value) for name, value in facts}


def _dataset_facts(item: Mapping[str, Any], facets: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    kind = _part(facets, "datasetType").get("datasetType")
    if isinstance(kind, str):
        yield "type", kind
    if tags := _tags(facets):
        categories = sorted(key.removeprefix(_CATEGORY_TAG) for key in tags if key.startswith(_CATEGORY_TAG))
        if categories:
            yield "categories", " ".join(categories)
        for key in ("gate.model", "gate.unpermitted"):
            if key in tags:
                yield key.removeprefix("gate."), tags[key]
    coverage = _part(_part(item, "inputFacets"), "gate_consentCoverage")
    if index := _index(coverage.get("decision_index")):
        yield f"coverage {index}", json.dumps(coverage.get("coverage"), sort_keys=True)


def _tags(facets: Mapping[str, Any]) -> dict[str, str]:
    found = (tag for tag in _items(_part(facets, "tags"), "tags") if isinstance(tag, dict))
    return {tag["key"]: str(tag.get("value", "true")) for tag in found if isinstance(tag.get("key"), str)}


def _run_facts(
    event: Mapping[str, Any], facets: Mapping[str, Any], tags: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    state = event.get("eventType")
    if isinstance(state, str) and state != "OTHER":  # an OTHER says something of a run, not how far it is
        yield "state", state
    airflow = _part(facets, "airflow") or _part(facets, "airflowDagRun")
    said = {
        "dag_id": _part(airflow, "dag").get("dag_id"),
        "run_id": _part(airflow, "dagRun").get("run_id"),
        "task_id": _part(airflow, "task").get("task_id"),
        "map_index": _part(airflow, "taskInstance").get("map_index"),
        "try_number": _part(airflow, "taskInstance").get("try_number"),
    }
    if said["dag_id"] is not None:
        yield "airflow", json.dumps({name: value for name, value in said.items() if value is not None})
    parent = _part(_part(facets, "parent"), "run").get("runId")
    if isinstance(parent, str) and parent:
        yield "parent", parent.lower()
    for key in ("gate.permit", "gate.purpose", "gate.attestation"):
        if key in tags:
            yield key.removeprefix("gate."), tags[key]


def _decision(facets: Mapping[str, Any]) -> tuple[str, dict[str, str]] | None:
    said = _part(facets, "gate_decision")
    index = _index(_part(said, "ledger").get("index"))
    if index is None:
        return None
    policy, use = _part(said, "policy"), _part(said, "use")
    facts = {
        "verdict": said.get("verdict"),
        "reasons": " ".join(map(str, _items(said, "reasons"))),
        "policy": policy.get("name"),
        "policy_digest": policy.get("digest"),
        "purpose": use.get("purpose"),
        "feature": use.get("feature"),
        "model": use.get("model"),
        "mode": said.get("mode"),
        "digest": _part(said, "ledger").get("digest"),
    }
    return index, _clean((name, str(value)) for name, value in facts.items() if value)


def _index(value: Any) -> str | None:
    is_one = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**18
    return str(value) if is_one else None
