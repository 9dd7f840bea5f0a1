"""Counts what a detector got right, per category and as whole sets, and draws where it mistook one for another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

CATEGORIES = ("audio", "video", "chat", "telemetry", "education_record", "phi", "none", "unclassified")
_STRICTLY_NOT_NONE = frozenset({"audio", "video", "phi", "education_record"})


@dataclass(frozen=True, slots=True)
class Answer:
    """One file: what it is, what else would do, what was said, and how long that took by wall and processor."""

    name: str
    labels: frozenset[str]
    also: tuple[frozenset[str], ...]
    said: frozenset[str]
    seconds: float
    why: str = ""
    processor: float = 0.0

    @property
    def exact(self) -> bool:
        return self.said == self.labels

    @property
    def lenient(self) -> bool:
        return self.exact or self.said in self.also


@dataclass(frozen=True, slots=True)
class Score:
    """Shares from 0 to 1 and times in seconds."""

    files: int
    strict: float
    lenient: float
    false_alarms: float
    false_nones: int
    median: float
    p95: float
    processor: float


def score(answers: Sequence[Answer]) -> Score:
    nothing = [one for one in answers if one.labels == {"none"}]
    alarms = [one for one in nothing if not one.lenient]
    missed = [one for one in answers if one.said == {"none"} and one.labels & _STRICTLY_NOT_NONE and not one.lenient]
    times = sorted(one.seconds for one in answers)
    return Score(
        files=len(answers),
        strict=sum(one.exact for one in answers) / len(answers),
        lenient=sum(one.lenient for one in answers) / len(answers),
        false_alarms=len(alarms) / max(1, len(nothing)),
        false_nones=len(missed),
        median=times[len(times) // 2],
        p95=times[int(0.95 * (len(times) - 1))],
        processor=sorted(one.processor for one in answers)[len(answers) // 2],
    )


def per_category(answers: Sequence[Answer]) -> list[tuple[str, int, float, float]]:
    """Return (category, files, precision, recall)."""
    rows = []
    for category in CATEGORIES[:-1]:
        there = sum(category in one.labels for one in answers)
        said = sum(category in one.said for one in answers)
        both = sum(category in one.labels and category in one.said for one in answers)
        rows.append((category, there, both / said if said else 1.0, both / there if there else 1.0))
    return rows


def confusion(answers: Sequence[Answer]) -> Counter[tuple[str, str]]:
    """Count (category there, category said): a category found counts for itself, else for what was said instead."""
    counts: Counter[tuple[str, str]] = Counter()
    for one in answers:
        for label in one.labels:
            wrong = one.said - one.labels
            for said in {label} if label in one.said else wrong or {"unclassified"}:
                counts[label, said] += 1
        for extra in one.said - one.labels if one.labels <= one.said else ():
            counts[next(iter(sorted(one.labels))), extra] += 1
    return counts


def picture(answers: Sequence[Answer], title: str) -> str:
    """Draw the confusion matrix as SVG."""
    counts, cell, left, top = confusion(answers), 62, 150, 92
    width, height = left + cell * len(CATEGORIES) + 20, top + cell * len(CATEGORIES) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="system-ui, sans-serif">',
        f"<title>{title}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="26" font-size="16" fill="#1a1a1a">{title}</text>',
        '<text x="12" y="46" font-size="12" fill="#555">rows: what the files hold; columns: what was found</text>',
    ]
    for at, name in enumerate(CATEGORIES):
        x, y = left + at * cell, top + at * cell
        parts.append(
            f'<text x="{left - 10}" y="{y + 36}" font-size="12" text-anchor="end" fill="#1a1a1a">{name}</text>'
        )
        label = name.replace("_record", "")
        parts.append(
            f'<text x="{x + cell / 2}" y="{top - 10}" font-size="11" text-anchor="middle" fill="#1a1a1a">{label}</text>'
        )
    for row, there in enumerate(CATEGORIES):
        total = sum(counts[there, said] for said in CATEGORIES) or 1
        for column, said in enumerate(CATEGORIES):
            parts += _cell(left + column * cell, top + row * cell, cell, counts[there, said], total, there == said)
    return "\n".join([*parts, "</svg>", ""])


def _cell(x: int, y: int, size: int, count: int, total: int, right: bool) -> list[str]:
    shade = 0.12 + 0.88 * count / total if count else 0.0
    colour = "26,111,176" if right else "190,60,40"
    ink = "#ffffff" if shade > 0.55 else "#1a1a1a"
    side = size - 4
    look = f'rx="4" fill="rgba({colour},{shade:.2f})" stroke="#ddd"'
    box = f'<rect x="{x + 2}" y="{y + 2}" width="{side}" height="{side}" {look}/>'
    place = f'x="{x + size / 2}" y="{y + size / 2 + 5}"'
    words = f'<text {place} font-size="14" text-anchor="middle" fill="{ink}">{count}</text>'
    return [box, words] if count else [box]
