"""The digest of a table's content: worked out in the database, whatever order its rows are in, over every value."""

from __future__ import annotations

import hashlib

from gate.domain.canonical import canonical
from gate.domain.dataset import Dataset, DatasetVersion
from gate.errors import DatasetError
from gate.scan.digest import Manifest, ManifestEntry
from gate.scan.sql.snapshot import SqlSnapshot, snapshot

ENTRY = "rows"  # the path of a manifest's one entry: a table has no files
_SCHEME = "gate-table-1"
# Each row's text is hashed; hashes are sorted and hashed by their first two bytes, so that no value grows to 1 GB
# before 2e12 rows; and those hashes are hashed. To change a row and keep the digest takes a collision of SHA-256.
# ROW(…) is of no type of its own, so no cast that the table's owner made can write it.
_DIGEST = """
WITH texts AS (SELECT convert_to(ROW(gate_row.*)::text, 'UTF8') AS body FROM {table} AS gate_row),
hashed AS (SELECT sha256(body) AS hash, octet_length(body) AS size FROM texts),
parts AS (
    SELECT substr(hash, 1, 2) AS part, count(*) AS n, sum(size) AS size,
        sha256(string_agg(hash, ''::bytea ORDER BY hash)) AS hash
    FROM hashed GROUP BY 1
)
SELECT coalesce(sum(n), 0)::bigint, coalesce(sum(size), 0)::bigint,
    encode(sha256(coalesce(string_agg(part || int8send(n) || hash, ''::bytea ORDER BY part), ''::bytea)), 'hex')
FROM parts"""


def measure_table(dataset: Dataset) -> tuple[DatasetVersion, Manifest]:
    """Return the version of a table as it is now, and what it is made of: one entry.

    Raises:
        DatasetError, CannotDecide: as `snapshot`.
    """
    with snapshot(dataset) as now:
        manifest, _ = table_manifest(now)
    return manifest.version, manifest


def table_manifest(now: SqlSnapshot) -> tuple[Manifest, int]:
    """Return what a snapshot of a table is made of, and its number of rows.

    The entry's size is that of all rows as text; its hash covers the columns' names, types and order, and how often
    each row is there. Neither the rows' order nor where the table is counts.
    """
    from psycopg import sql

    name = sql.Identifier(now.address.schema, now.address.table)
    row = now.con.execute(sql.SQL(_DIGEST).format(table=name)).fetchone()
    if row is None:
        raise DatasetError("cannot be read", where=now.dataset.uri)
    rows, size, content = row
    columns = [[name, column.kind] for name, column in now.columns.items()]
    told = canonical([_SCHEME, columns, rows, content])
    entry = ManifestEntry(ENTRY, size, hashlib.sha256(told).hexdigest())
    return Manifest(now.dataset, (entry,)), rows
