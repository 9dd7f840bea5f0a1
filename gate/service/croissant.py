"""A dataset version as MLCommons Croissant 1.1 metadata, with what the gate decided about its use."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from gate.domain.dataset import Dataset, DatasetVersion
from gate.domain.instants import format_instant
from gate.domain.words import Verdict
from gate.ledger.reading import Entry, Reader
from gate.scan.digest import Manifest, measure
from gate.service.consent_records import OURS
from gate.service.core import Service
from gate.service.tags import Tagged, dataset_key, read_tags

CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
NO_LICENSE = "none: every use is decided by itself, see usageInfo"
NOT_RECORDED = "not recorded"

CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "odrl": "http://www.w3.org/ns/odrl/2/",
    "gate": OURS,
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
}
_TYPES = {
    ".jsonl": "application/jsonlines",
    ".ndjson": "application/jsonlines",
    ".parquet": "application/vnd.apache.parquet",
    ".dcm": "application/dicom",
}


def croissant(
    service: Service,
    dataset: Dataset,
    *,
    title: str | None = None,
    creator: str | None = None,
    license_: str | None = None,
    files: bool = False,
) -> dict[str, Any]:
    """Describe the dataset as its bytes are now.

    Args:
        dataset: where it is and how its rows name their accounts; of an account's own locator nothing is told.
        title: default: the last part of its address.
        creator: an organization; default: said to be not recorded.
        license_: a URL or text; default: none, every use is decided by itself.
        files: list every file with its SHA-256. Left out unless asked for: paths may name accounts.

    Returns:
        A JSON-LD document whose context is inline.

    Raises:
        DatasetError: missing, empty, unreadable, or changing while it is read.
    """
    version, manifest = measure(dataset)
    with service.ledger.read() as reader:
        now = service.now(reader)
        tagged, number, since = read_tags(reader, version, now), *_place(reader, version)
        usage = [*_categories(tagged), *_decisions(reader, version)]
        known = {"gate:ledgerOrigin": reader.origin, "gate:ledgerSize": reader.size}
    name = title or PurePosixPath(dataset.name).name or dataset.name
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "@id": f"urn:{version.digest}",
        "conformsTo": CONFORMS_TO,
        "name": name,
        "description": f"{version.files} files, {version.size} bytes; bears {_listed(tagged)}.",
        "url": dataset.uri,
        "license": license_ or NO_LICENSE,
        "creator": {"@type": "Organization", "name": creator or NOT_RECORDED},
        "datePublished": since or format_instant(now),
        "version": f"{number}.0.0+{version.digest.replace(':', '.')}",
        "isLiveDataset": False,
        "distribution": _distribution(dataset, version, manifest, listed=files),
        "usageInfo": usage,
        "gate:digest": version.digest,
        "gate:openLineage": {"gate:namespace": dataset.namespace, "gate:name": dataset.name},
        **({"gate:subsetOf": tagged.version.subset_of} if tagged.version.subset_of else {}),
        **known,
    }


def _listed(tagged: Tagged) -> str:
    return ", ".join(sorted(tagged.categories)) or "categories that nobody recorded"


def _place(reader: Reader, version: DatasetVersion) -> tuple[int, str | None]:
    """Return which version of the dataset this is, counting those on record, and when it was recorded first."""
    seen: dict[str, str] = {}
    for entry in reader.entries("tag", subject_prefix=f"{dataset_key(version.dataset)}/"):
        seen.setdefault(entry.body["version"]["digest"], format_instant(entry.recorded_at))
    known = version.digest in seen
    return (list(seen).index(version.digest) if known else len(seen)) + 1, seen.get(version.digest)


def _distribution(
    dataset: Dataset, version: DatasetVersion, manifest: Manifest, *, listed: bool
) -> list[dict[str, Any]]:
    """List the one file, or the folder and what kinds of files it holds; each file only when asked for."""
    if len(manifest.entries) == 1 and not listed:
        [only] = manifest.entries
        return [_file("data", dataset.uri, _type(only.path), only.size, only.sha256)]
    folder = _file("data", dataset.uri, "application/x-directory", version.size, version.digest.rpartition(":")[2])
    folder["description"] = "The hash is that of the canonical list of path, size and SHA-256 of every file."
    if listed:
        inner = [_file(one.path, one.path, _type(one.path), one.size, one.sha256) for one in manifest.entries]
        return [folder, *({**one, "containedIn": {"@id": "data"}} for one in inner)]
    kinds = sorted({PurePosixPath(one.path).suffix for one in manifest.entries})
    return [folder, *(_set(kind) for kind in kinds)]


def _file(name: str, place: str, kind: str, size: int, sha256: str) -> dict[str, Any]:
    said = {"name": name, "contentUrl": place, "contentSize": f"{size} B", "encodingFormat": kind, "sha256": sha256}
    return {"@type": "cr:FileObject", "@id": name, **said}


def _set(suffix: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"files{suffix}",
        "name": f"files{suffix}",
        "containedIn": {"@id": "data"},
        "encodingFormat": _type(f"x{suffix}"),
        "includes": f"**/*{suffix}",
    }


def _type(path: str) -> str:
    suffix = PurePosixPath(path).suffix.lower()
    return _TYPES.get(suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream"


def _categories(tagged: Tagged) -> Iterator[dict[str, Any]]:
    """Yield one defined term per category, with how it is known."""
    for category in sorted(tagged.categories):
        known = sorted({source for word, source in tagged.sources if word == category})
        yield {
            "@type": "DefinedTerm",
            "@id": f"gate:category/{category}",
            "name": f"data category: {category}",
            "termCode": str(category),
            "inDefinedTermSet": f"{OURS}category",
            "gate:knownBy": known,
        }


def _decisions(reader: Reader, version: DatasetVersion) -> list[dict[str, Any]]:
    """Return the newest decision of each use that somebody asked for; how many there were is told."""
    newest: dict[tuple[object, ...], tuple[Entry, int]] = {}
    for entry in reader.entries("decision"):
        if any(_is(version, item["version"]) for item in entry.body["datasets"]):
            use = entry.body["decision"]["use"]
            asked = tuple(use.get(name) for name in ("purpose", "feature", "model", "ownership"))
            newest[asked] = (entry, newest[asked][1] + 1 if asked in newest else 1)
    ordered = sorted(newest.values(), key=lambda one: one[0].idx)
    return [_decision(entry, version.dataset.name, times) for entry, times in ordered]


def _is(version: DatasetVersion, recorded: Mapping[str, Any]) -> bool:
    named = Dataset.from_dict(recorded)
    same = (named.namespace, named.name) == (version.dataset.namespace, version.dataset.name)
    return same and recorded["digest"] == version.digest


def _decision(entry: Entry, name: str, times: int) -> dict[str, Any]:
    body, decision = entry.body, entry.body["decision"]
    use, allowed = decision["use"], decision["verdict"] == Verdict.ALLOW
    blocking = [f for f in decision["findings"] if f["dataset"] == name and f["verdict"] == Verdict.BLOCK]
    rule = {
        "@type": "odrl:Permission" if allowed else "odrl:Prohibition",
        "odrl:action": {"@id": f"gate:purpose/{use['purpose']}", "name": use["purpose"]},
        "odrl:constraint": [
            _constraint(word, use[word]) for word in ("feature", "model", "ownership") if use.get(word)
        ],
    }
    return {
        "@type": ["CreativeWork", "odrl:Set"],
        "name": f"decision {entry.idx}: {decision['verdict']} {use['purpose']}",
        "odrl:permission" if allowed else "odrl:prohibition": rule,
        "gate:verdict": decision["verdict"],
        "gate:reasons": _reasons(blocking),
        "gate:decidedAt": decision["decided_at"],
        "gate:policy": decision["policy"]["name"],
        "gate:policyDigest": decision["policy"]["digest"],
        "gate:policyRows": sorted({f["row"] for f in decision["findings"] if f["dataset"] == name and f["row"]}),
        "gate:observedOnly": body.get("observed", False),
        "gate:overriddenBy": body.get("override"),
        "gate:ledgerEntry": entry.idx,
        "gate:leafHash": entry.leaf_hash.hex(),
        "gate:timesDecided": times,
    }


def _constraint(word: str, value: str) -> dict[str, Any]:
    return {
        "@type": "odrl:Constraint",
        "odrl:leftOperand": {"@id": f"gate:{word}"},
        "odrl:operator": {"@id": "odrl:eq"},
        "odrl:rightOperand": value,
    }


def _reasons(findings: Sequence[Mapping[str, Any]]) -> list[str]:
    return sorted({reason for finding in findings for reason in finding["reasons"]})
