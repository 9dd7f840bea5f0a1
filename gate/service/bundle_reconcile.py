"""Holds the model files of a folder against the attestations on record: which have none, which are gone or altered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from gate.domain.dataset import dataset
from gate.ledger.store import Entry, Reader
from gate.scan.digest import Manifest, ManifestEntry, measure
from gate.service.attesting import KIND, check_attestation
from gate.service.core import Service


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What was found.

    Attributes:
        attested: per file its path, the ledger indices of what attests it, and whether it is unpermitted.
        unattested: paths of files that nothing attests.
        gone: attested models of this folder that are not there any more.
        altered: attested models of this folder in whose place something else is, that nothing attests.
        problems: attestations that contradict the ledger or their signature; they attest nothing.
    """

    attested: tuple[Mapping[str, Any], ...]
    unattested: tuple[str, ...]
    gone: tuple[Mapping[str, Any], ...]
    altered: tuple[Mapping[str, Any], ...]
    problems: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "attested": [dict(one) for one in self.attested],
            "unattested": list(self.unattested),
            "gone": [dict(one) for one in self.gone],
            "altered": [dict(one) for one in self.altered],
            "problems": list(self.problems),
        }


def reconcile(service: Service, models: str) -> Reconciled:
    """Hash every file below a folder once, and find what attests it: the file itself, or a folder it is part of.

    Args:
        models: a path, or any URI that fsspec opens.

    Raises:
        DatasetError: it is missing, empty or unreadable, or changes while it is read.
    """
    place = dataset(models if "://" in models else str(Path(models).absolute()))
    manifest = measure(place)[1]
    digests = _digests(manifest)
    with service.ledger.read() as reader:
        entries, problems = _sound(service, reader, set(digests.values()), place.uri)
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.body["model"]["digest"], []).append(entry)
    attested, unattested = [], []
    for one in manifest.entries:
        mine = [entry for above in (one.path, *_above(one.path)) for entry in found.get(digests.get(above, ""), ())]
        if mine:
            attested.append(_told(one, mine))
        else:
            unattested.append(one.path)
    missing = list(_missing(entries, digests, found, place.uri))
    return Reconciled(
        tuple(attested),
        tuple(unattested),
        tuple(one for one, there in missing if not there),
        tuple(one for one, there in missing if there),
        tuple(problems),
    )


def _digests(manifest: Manifest) -> dict[str, str]:
    """Return the digest each file and each folder would be attested by; the folder itself is `.`."""
    inner: dict[str, list[ManifestEntry]] = {}
    for one in manifest.entries:
        for folder in _above(one.path):
            inner.setdefault(folder, []).append(one)
    found = {folder: _digest(manifest, [_below(one, folder) for one in files]) for folder, files in inner.items()}
    return found | {one.path: _digest(manifest, [_below(one, _parent(one.path))]) for one in manifest.entries}


def _digest(manifest: Manifest, entries: list[ManifestEntry]) -> str:
    return Manifest(manifest.dataset, tuple(sorted(entries, key=lambda one: one.path))).version.digest


def _below(entry: ManifestEntry, folder: str) -> ManifestEntry:
    path = entry.path if folder == "." else entry.path[len(folder) + 1 :]
    return ManifestEntry(path, entry.size, entry.sha256)


def _parent(path: str) -> str:
    return str(PurePosixPath(path).parent)


def _above(path: str) -> list[str]:
    return [str(folder) for folder in PurePosixPath(path).parents]


def _sound(service: Service, reader: Reader, digests: set[str], uri: str) -> tuple[list[Entry], list[str]]:
    """Return the attestations of these digests or places, and what is wrong with those that do not count."""
    entries, problems = [], []
    for entry in reader.entries(KIND):
        model = entry.body["model"]
        if model["digest"] in digests or _relative(model["uri"], uri) is not None:
            wrong = check_attestation(service, reader, entry).problems
            entries += [] if wrong else [entry]
            problems += [f"entry {entry.idx}: {one}" for one in wrong]
    return entries, problems


def _relative(model: str, folder: str) -> str | None:
    """Return where in the folder a model is, if it is."""
    if model == folder:
        return "."
    return model[len(folder.rstrip("/")) + 1 :] if model.startswith(folder.rstrip("/") + "/") else None


def _told(file: ManifestEntry, entries: list[Entry]) -> dict[str, Any]:
    indices = sorted({entry.idx for entry in entries})
    return {
        "path": file.path,
        "entries": indices,
        "digests": sorted({entry.body["model"]["digest"] for entry in entries}),
        "unpermitted": all(entry.body["unpermitted"] for entry in entries),
    }


def _missing(
    entries: list[Entry], digests: Mapping[str, str], found: Mapping[str, list[Entry]], uri: str
) -> list[tuple[dict[str, Any], bool]]:
    """Return what was attested from here last and is not here, and whether something else is in its place."""
    newest = {entry.body["model"]["uri"]: entry for entry in entries}
    missing = []
    for model, entry in newest.items():
        path = _relative(model, uri)
        now = None if path is None else digests.get(path)
        if path is not None and (now is None or now not in found):
            said = {"uri": model, "digest": entry.body["model"]["digest"], "entry": entry.idx}
            missing.append((said, now is not None))
    return missing
