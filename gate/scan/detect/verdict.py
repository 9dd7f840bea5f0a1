"""Weighs evidence: several weak reasons add up, and between sure and nothing a person must look."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gate.domain.words import Category
from gate.scan.detect.model import Evidence
from gate.scan.detect.signals import CategorySignals

_SHOWN = 40  # pieces of evidence in an answer
_EACH = 5  # of one category and signal
_QUESTIONS = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the evidence of one place comes to: categories that are sure, and questions about those that are not."""

    categories: frozenset[str]
    doubts: tuple[tuple[str, str], ...]


def weigh(evidence: Iterable[Evidence], known: Sequence[CategorySignals]) -> Verdict:
    """Combine the evidence of one place: 1 - (1-w1)(1-w2)… over different signals of a category."""
    weights: dict[str, dict[str, float]] = {}
    for one in evidence:
        signals = weights.setdefault(one.category, {})
        signals[one.signal] = max(one.weight, signals.get(one.signal, 0.0))
    limits = {category.category: category for category in known}
    sure, doubts = set(), []
    for category, signals in weights.items():
        confidence = combined(signals.values())
        limit = limits.get(category)
        if confidence >= (limit.high if limit else 0.7):
            sure.add(category)
        elif confidence >= (limit.low if limit else 0.4):
            doubts.append((category, limit.question if limit else f"Does it hold {category}?"))
    return Verdict(frozenset(sure), tuple(doubts))


def combined(weights: Iterable[float]) -> float:
    """Return how sure independent reasons make us together."""
    doubt = 1.0
    for weight in weights:
        doubt *= 1.0 - min(max(weight, 0.0), 1.0)
    return 1.0 - doubt


def answer(sure: Iterable[str], *, unclear: bool) -> tuple[str, ...]:
    """Return the categories to report: `none` only when nothing was found and nothing is unclear."""
    found = set(sure)
    if unclear:
        found.add(Category.UNCLASSIFIED.value)
    return tuple(sorted(found)) or (Category.NONE.value,)


def asked(questions: Iterable[str]) -> str:
    """Return what a person is asked: each question once, three at most."""
    return " ".join(list(dict.fromkeys(questions))[:_QUESTIONS])


def shown(evidence: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """Return the heaviest evidence, a few pieces of each signal."""
    counts: dict[tuple[str, str], int] = {}
    kept: list[Evidence] = []
    for one in sorted(set(evidence), key=lambda one: (-one.weight, one.category, one.signal, one.where)):
        key = (one.category, one.signal)
        counts[key] = counts.get(key, 0) + 1
        if counts[key] <= _EACH and len(kept) < _SHOWN:
            kept.append(one)
    return tuple(kept)
