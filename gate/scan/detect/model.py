"""What detection speaks of: evidence, answers, and what readers found in a file, as frozen values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gate.domain.words import Category


@dataclass(frozen=True, slots=True)
class Evidence:
    """One reason to believe that a category is there.

    Attributes:
        category: the category.
        signal: which signal spoke; a name from `schemas/categories`, a recogniser or a format.
        where: file, member, table, column, key or bytes; never a value of the data.
        weight: how sure this alone makes us, from 0 to 1.
        columns: names of the columns it rests on, so that an owner can drop them; none for what is no table.
    """

    category: str
    signal: str
    where: str
    weight: float
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Detection:
    """What one path bears.

    Attributes:
        path: as it was asked for.
        categories: `none` alone when examined and nothing of these; `unclassified` when a person must look.
        evidence: heaviest first.
        format: what the bytes are, `+` between layers: `gzip+csv`.
        rows: rows, records or messages, when counted to the end.
        elapsed_s: seconds it took.
        question: what a person must answer when `unclassified`.
        notes: what was not looked at, and why.
        readable: whether the path could be opened at all.
    """

    path: str
    categories: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    format: str
    rows: int | None
    elapsed_s: float
    question: str | None = None
    notes: tuple[str, ...] = ()
    readable: bool = True

    @property
    def unclassified(self) -> bool:
        """Whether a person must look."""
        return Category.UNCLASSIFIED.value in self.categories

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields; `question` and `notes` only when there are any."""
        answer: dict[str, Any] = {
            "path": self.path,
            "categories": list(self.categories),
            "evidence": [
                {"category": one.category, "signal": one.signal, "where": one.where, "weight": round(one.weight, 3)}
                for one in self.evidence
            ],
            "format": self.format,
            "rows": self.rows,
            "elapsed_s": round(self.elapsed_s, 4),
        }
        if self.question:
            answer["question"] = self.question
        if self.notes:
            answer["notes"] = list(self.notes)
        return answer


@dataclass(frozen=True, slots=True)
class Column:
    """A sample of one column, or of one field of many objects.

    Attributes:
        name: as written; the path of a nested field, parts joined by dots.
        values: those that are not null, as text; bytes stay bytes.
        listed: each row holds a list, and `values` are its items.
    """

    name: str
    values: tuple[str | bytes, ...]
    listed: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A sample of rows, or of objects that stand at one place of a document.

    Attributes:
        where: place within the file; empty for the file's own rows.
        columns: at most `trees.COLUMNS`.
        keys: every field's path in lower case, those of objects and lists within too.
        rows: how many were sampled.
    """

    where: str
    columns: tuple[Column, ...]
    keys: frozenset[str]
    rows: int


@dataclass(slots=True)
class Content:
    """What a reader found in a file.

    Attributes:
        format: what the bytes are.
        rows: when all of them were counted.
        tables: samples of rows and objects.
        lines: of text that is no table, at most `textual.LINES`.
        facts: what the format itself states, as (fact, where): `sound track`, `dicom`.
        understood: whether enough was looked at to say that there is nothing.
        notes: what was not looked at.
    """

    format: str
    rows: int | None = None
    tables: Sequence[Table] = ()
    lines: Sequence[str] = ()
    facts: Sequence[tuple[str, str]] = ()
    understood: bool = True
    notes: list[str] = field(default_factory=list)
