"""Measures how anonymous a table is: its smallest group of rows alike in all quasi-identifiers, exact, by DuckDB."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from gate.domain.anonymity import Anonymity, SensitiveColumn
from gate.domain.dataset import Dataset
from gate.errors import DatasetError, InputError
from gate.scan.copying import at_hand
from gate.scan.engine import engine, identifier, literal, reading
from gate.scan.formats import Format, Layout, detect
from gate.scan.paths import partitions_of_path
from gate.scan.readers import FILE, Wanted, json_objects, json_pointer, parquet_schema, query_of

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

_JSON = (Format.JSON, Format.JSONL)
_TABLE = "gate_table"  # the view with the columns to count by, named c0, c1, …: no name of theirs can be one of ours


def measure_anonymity(
    dataset: Dataset, quasi_identifiers: Collection[str] = (), sensitive: Collection[str] = ()
) -> Anonymity:
    """Measure a version and the smallest group of its rows; both are of the same bytes.

    Every column counts, folder names that are columns too: what is not named sensitive is a quasi-identifier. Null is
    a value. Values are compared as they are written in CSV, as JSON in JSON (absent is null), by type in Parquet.

    Args:
        dataset: a table; how its rows name accounts does not matter here.
        quasi_identifiers: may be left out; if not, every column must be named here or as sensitive.
        sensitive: columns that the groups are not made by.

    Raises:
        DatasetError: missing, unreadable, changed meanwhile, no table, without rows, or without such a column.
        InputError: a column that is named twice or not at all, or no quasi-identifier.
        CannotDecide: not enough memory.
    """
    with at_hand(dataset) as (here, version), engine() as con, reading(here):
        columns = _open(here, con)
        groupers, told = _accounted(columns, quasi_identifiers, sensitive, dataset.uri)
        rows, groups, smallest = _grouped(con, groupers.values())
        if not rows:
            raise DatasetError("holds no rows", where=dataset.uri, hint="there is nothing to measure")
        found = tuple(_sensitive(con, name, place, groupers.values()) for name, place in told.items())
    return Anonymity(version.digest, tuple(groupers), found, rows, groups, smallest)


def _grouped(con: Backend, keys: Collection[str]) -> tuple[int, int, int]:
    """Return how many rows and groups there are, and the rows of the smallest."""
    sizes = f"SELECT count(*) AS n FROM {_TABLE} GROUP BY {', '.join(keys)}"  # noqa: S608 our own names
    rows, groups, smallest = _one(con, f"SELECT sum(n)::BIGINT, count(*), min(n) FROM ({sizes})")  # noqa: S608
    return rows or 0, groups, smallest or 0


def _sensitive(con: Backend, name: str, place: str, keys: Collection[str]) -> SensitiveColumn:
    is_number = f"TRY_CAST({place}::VARCHAR AS DOUBLE) IS NOT NULL"
    values = f"SELECT count(*) AS n, {is_number} AS number FROM {_TABLE} WHERE {place} IS NOT NULL GROUP BY {place}"  # noqa: S608
    distinct, rarest, number = _one(con, f"SELECT count(*), min(n), bool_and(number) FROM ({values})")  # noqa: S608
    group = ", ".join(keys)
    # in two steps, for a count of distinct values within groups does not spill
    seen = f"SELECT DISTINCT {group}, {place} FROM {_TABLE}"  # noqa: S608
    per_group = f"SELECT count(*) AS n FROM ({seen}) GROUP BY {group}"  # noqa: S608
    (diversity,) = _one(con, f"SELECT min(n) FROM ({per_group})")  # noqa: S608
    return SensitiveColumn(name, bool(number), distinct, rarest or 0, diversity)


def _one(con: Backend, query: str) -> tuple[Any, ...]:
    found: tuple[Any, ...] = con.raw_sql(query).fetchone()
    return found


def _accounted(
    columns: Sequence[str], quasi_identifiers: Collection[str], sensitive: Collection[str], uri: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the columns to group by and the sensitive ones, each with its name in the view."""
    for name in (*quasi_identifiers, *sensitive):
        if name not in columns:
            near = get_close_matches(name, columns, n=1, cutoff=0.5)
            raise DatasetError(
                f"has no column {name!r}", where=uri, hint=f"did you mean {near[0]!r}?" if near else None
            )
    if both := sorted(set(quasi_identifiers) & set(sensitive)):
        raise InputError(f"the column {both[0]!r} cannot be both", where="sensitive")
    groupers = set(quasi_identifiers or columns) - set(sensitive)
    if left_over := [name for name in columns if name not in groupers and name not in sensitive]:
        raise InputError(
            f"the column {left_over[0]!r} is neither a quasi-identifier nor sensitive",
            where="quasi_identifiers",
            hint="name every column, or only the sensitive ones: all others are quasi-identifiers",
        )
    if not groupers:
        raise InputError("all columns are sensitive: at least one must be a quasi-identifier", where="sensitive")
    places = {name: f"c{place}" for place, name in enumerate(columns)}
    told = {name: place for name, place in places.items() if name in sensitive}
    return {name: place for name, place in places.items() if name in groupers}, told


def _open(dataset: Dataset, con: Backend) -> list[str]:
    """Make the view and return the names its columns have in the data."""
    layout = detect(dataset)
    if layout.format is None:
        raise DatasetError("is no table, so no groups can be counted", where=dataset.uri, hint="CSV, JSON or Parquet")
    folders = [partitions_of_path(file.path) for file in layout.files]
    keys = sorted({key for found in folders for key in found})
    query = query_of(layout, Wanted(None, None, frozenset(keys)), con)  # checks what can be trusted, whatever it reads
    columns, source = _json(layout, con) if layout.format in _JSON else _typed(layout, query, con)
    for key in keys:
        values = ", ".join("NULL" if (value := found.get(key)) is None else literal(value) for found in folders)
        columns[key] = f"([{values}]::VARCHAR[])[{FILE}::BIGINT + 1]"
    if not columns:
        raise DatasetError("holds no rows with columns", where=dataset.uri, hint="there is nothing to measure")
    places = ", ".join(f"{value} AS c{place}" for place, value in enumerate(columns.values()))
    con.raw_sql(f"CREATE TEMP VIEW {_TABLE} AS SELECT {places} FROM ({source})")  # noqa: S608 quoted
    return list(columns)


def _typed(layout: Layout, query: str, con: Backend) -> tuple[dict[str, str], str]:
    """Return the columns of CSV or Parquet, each with the SQL that reads it, and what to read it from."""
    if layout.format is Format.PARQUET:
        _check_schemas(layout)
    *names, _ = (name for name, *_ in con.raw_sql(f"DESCRIBE {query}").fetchall())  # the last is ours
    if FILE in names:
        raise DatasetError(f"has a column {FILE!r}, which is ours", where=layout.dataset.uri, hint="rename it")
    return {name: identifier(name) for name in names}, query


def _json(layout: Layout, con: Backend) -> tuple[dict[str, str], str]:
    """Return the fields of JSON records in the same way; as JSON, for a guessed type might take two values for one."""
    objects = json_objects(layout.files, layout.format, con)
    names = con.raw_sql(f"SELECT DISTINCT unnest(json_keys(json)) FROM {objects} ORDER BY 1").fetchall()  # noqa: S608
    fields = {name: f"nullif(json_extract(json, {json_pointer(name)})::VARCHAR, 'null')" for (name,) in names}
    return fields, f"SELECT json, file_index AS {FILE} FROM {objects}"  # noqa: S608 quoted


def _check_schemas(layout: Layout) -> None:
    """Refuse what would be read as another value: types that differ between files, names that differ in case only."""
    first = parquet_schema(layout.files[0])
    for file in layout.files:
        schema = parquet_schema(file)
        if schema.types != first.types or schema.names != first.names:
            raise DatasetError(
                f"its columns differ from those of {layout.files[0].path!r}",
                where=file.path,
                hint="give all files of the dataset the same columns and types",
            )
    if len({name.lower() for name in first.names}) < len(first.names):
        raise DatasetError("has two columns of the same name", where=layout.dataset.uri, hint="rename one of them")
