"""Reads a dataset row by row: slow and plain, to check the fast counting against."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gate.domain.dataset import Dataset
from gate.scan.engine import engine, reading
from gate.scan.readers import FILE
from gate.scan.tables import open_source


def row_accounts(dataset: Dataset) -> Iterator[tuple[tuple[str | None, ...], str | None]]:
    """Yield the accounts each row names (none for a null or empty list) and its own category, if rows have one.

    Raises:
        DatasetError: the dataset cannot be read.
    """
    with engine() as con, reading(dataset):
        source = open_source(dataset, con)
        rows: list[dict[str, Any]] = con.to_pyarrow(source.table).to_pylist()
    constant = dataset.account.value if dataset.account.kind == "constant" else None
    for row in rows:
        by_path = {name: values[int(row[FILE])] for name, values in source.of_path.items()}
        everything = {**row, **by_path}
        account = everything[source.account] if source.account else constant
        accounts = tuple(account) if isinstance(account, list) else (account,)
        yield accounts, everything[source.category] if source.category else None
