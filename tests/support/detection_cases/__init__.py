"""Makes labelled files for detection, the same for the same seed: every format, near misses, several languages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Case:
    """A file's name, its bytes and the categories a careful person would give it.

    Attributes:
        also: other sets that would do.
    """

    name: str
    content: bytes
    labels: frozenset[str]
    also: tuple[frozenset[str], ...] = ()


def case(name: str, content: bytes | str, labels: str, also: str = "") -> Case:
    """Name a case; labels are parted by `|`, alternatives by `;`."""
    raw = content.encode() if isinstance(content, str) else content
    others = tuple(frozenset(one.split("|")) for one in also.split(";") if one)
    return Case(name, raw, frozenset(labels.split("|")), others)


def all_cases() -> list[Case]:
    """Make every case."""
    from support.detection_cases import clinical, conversations, nothing, packed, recordings, schools, telemetry

    modules = (clinical, conversations, nothing, packed, recordings, schools, telemetry)
    return [one for module in modules for one in module.cases()]


def write(cases: list[Case], folder: Path) -> dict[Path, Case]:
    """Write the cases' files below `folder`."""
    written = {}
    for one in cases:
        path = folder / one.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(one.content)
        written[path] = one
    return written
