"""Evidence for declassifications: a document somebody vouches with, and tables that are measured."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gate.domain.dataset import Dataset, dataset
from gate.scan.anonymity import measure_anonymity

VOUCHED: dict[str, Any] = {
    "method": "expert_determination",
    "evidence": {"document_sha256": "sha256:" + "ab" * 32, "reference": "opinion 7, by Dr Ada Example"},
}


def table_file(
    folder: Path, rows: Sequence[Sequence[object]], name: str = "calls.csv", header: str = "age,area"
) -> Dataset:
    """Write a table about nobody by name."""
    path = folder / name
    with path.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([header.split(","), *rows])
    return dataset(str(path))


def alike(*sizes: int) -> list[tuple[str, str]]:
    """Return rows of `age` and `area` in groups of these sizes."""
    return [(f"{10 * place}-{10 * place + 9}", "north") for place, size in enumerate(sizes, 2) for _ in range(size)]


def measured(data: Dataset, k: int = 5, **columns: Any) -> dict[str, Any]:
    """Return method and evidence as the command line sends them."""
    return {"method": "k_anonymity", "evidence": {**measure_anonymity(data, **columns).to_dict(), "k": k}}
