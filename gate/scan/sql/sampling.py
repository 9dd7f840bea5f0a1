"""Looks into a sample of a table's rows for its tag, in the snapshot that its digest is of."""

from __future__ import annotations

from typing import Any

from gate.domain.dataset import DatasetVersion
from gate.domain.words import Category
from gate.scan.detect.examination import Examination
from gate.scan.detect.rows import detect_rows
from gate.scan.sql.content import table_manifest
from gate.scan.sql.snapshot import SqlSnapshot

SAMPLE = 1000  # rows
_COLUMNS = 100  # named in an answer
_SQL = "SELECT gate_row.* FROM {table} AS gate_row TABLESAMPLE BERNOULLI ({share}) REPEATABLE (0) LIMIT {sample}"


def examine_table(now: SqlSnapshot) -> tuple[DatasetVersion, Examination]:
    """Return a table's version, and what a sample from all over it shows.

    Raises:
        DatasetError, CannotDecide: as `snapshot`.
        RecogniserError: a recogniser of another package does not work.
    """
    manifest, number = table_manifest(now)
    rows = _sample(now, number)
    found = detect_rows(rows)
    telling = [one for one in found.evidence if found.question or one.category in found.categories]
    return manifest.version, Examination(
        categories=frozenset(Category(word) for word in found.categories) - {Category.UNCLASSIFIED, Category.NONE},
        question=found.question,
        evidence=tuple(sorted({(one.category, one.signal, 1) for one in telling})),
        columns=tuple(sorted({(one.category, name) for one in telling for name in one.columns})[:_COLUMNS]),
        unread=0,
    )


def _sample(now: SqlSnapshot, number: int) -> list[dict[str, Any]]:
    """Return about so many rows from all over the table, all of a small one."""
    from psycopg import sql
    from psycopg.rows import dict_row

    share = 100.0 if number <= SAMPLE else min(100.0, 130.0 * SAMPLE / number)
    name = sql.Identifier(now.address.schema, now.address.table)
    query = sql.SQL(_SQL).format(table=name, share=sql.Literal(share), sample=sql.Literal(SAMPLE))
    with now.con.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query).fetchall()
