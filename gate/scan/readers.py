"""Writes the DuckDB query that reads each table format exactly, after checking that its columns can be trusted."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from gate.errors import DatasetError
from gate.scan.engine import file_list, identifier, literal
from gate.scan.formats import Format, Layout
from gate.scan.location import FileRef, filesystem, read_head, unreadable
from gate.scan.sniff import GZIP, unpacked

if TYPE_CHECKING:
    import pyarrow as pa
    from ibis.backends.duckdb import Backend

FILE = "gate_file_index"  # column with the place of the row's file in the layout
_HEADER = 1 << 20  # bytes a CSV header may take
_SHOWN = 20  # column names in an error message
_DELIMITERS = (",", ";", "\t", "|")
_MIXED = "lists accounts in mixed types: {}"
_NOTHING = "nothing but nulls"
_ONE_TYPE = "write every account id as text"

Shapes = Sequence[Sequence[Any]]
"""Rows of `json_shapes`."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The columns a scan needs from the files; `absent`: those it takes from paths; `everything`: all others too."""

    account: str | None
    category: str | None
    absent: frozenset[str] = frozenset()
    everything: bool = False

    @property
    def names(self) -> list[str]:
        """Account and category column, as far as they stand in the files."""
        return [name for name in (self.account, self.category) if name is not None]


def query_of(layout: Layout, wanted: Wanted, con: Backend) -> str:
    """Return the SELECT that reads the layout's files: accounts as text or lists of text, categories as text.

    Raises:
        DatasetError: a column that is not there, accounts of mixed types or of a type that is no identity, files
            whose headers differ, records that are not objects.
    """
    match layout.format:
        case Format.PARQUET:
            return _parquet(layout, wanted, con)
        case Format.CSV:
            return _csv(layout, wanted, con)
        case _:
            return _json(layout, wanted, con)


def require(names: Collection[str], wanted: Iterable[str], where: str) -> None:
    """Make sure that the columns are there.

    Raises:
        DatasetError: one is not.
    """
    for name in wanted:
        if name not in names:
            near = get_close_matches(name, names, n=1, cutoff=0.5)
            shown = ", ".join(sorted(names)[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")
            raise DatasetError(
                f"has no column {name!r}; it has {shown}",
                where=where,
                hint=f"did you mean {near[0]!r}?" if near else "name the account column in the dataset",
            )


def _refuse_both(names: Iterable[str], wanted: Wanted, where: str) -> None:
    if both := sorted(wanted.absent.intersection(names)):
        raise DatasetError(
            f"its column {both[0]!r} stands both in the files and in folder names",
            where=where,
            hint="rename one of them",
        )


# Parquet


def _parquet(layout: Layout, wanted: Wanted, con: Backend) -> str:
    casts = []
    for name, kind in parquet_kinds(layout, wanted, map(parquet_schema, layout.files)).items():
        if kind != "text" and kind != "lists of text":
            sql_type = "VARCHAR[]" if kind.startswith("lists") else "VARCHAR"
            casts.append(f"{identifier(name)}::{sql_type} AS {identifier(name)}")
    replace = f" REPLACE ({', '.join(casts)})" if casts else ""
    by_name = str(len(layout.files) > 1).lower()
    source = f"read_parquet({file_list(layout.files, con)}, hive_partitioning = false, union_by_name = {by_name})"
    return f"SELECT *{replace}, file_index AS {FILE} FROM {source}"  # noqa: S608 quoted by file_list and identifier


def parquet_kinds(layout: Layout, wanted: Wanted, schemas: Iterable[pa.Schema]) -> dict[str, str]:
    """Return of what kind the wanted columns are in all files together; see `account_kind`.

    Args:
        layout: what the files are.
        wanted: the columns.
        schemas: of each file.

    Raises:
        DatasetError: as `query_of`.
    """
    kinds: dict[str, set[str]] = {name: set() for name in wanted.names}
    for file, schema in zip(layout.files, schemas, strict=True):
        require(schema.names, wanted.names, file.path)
        _refuse_both(schema.names, wanted, file.path)
        lowered = [name.lower() for name in schema.names]  # engines take names for equal that differ in case only
        for name in wanted.names:
            if lowered.count(name.lower()) > 1:
                raise DatasetError(f"has two columns {name!r}", where=file.path, hint="rename one of them")
            kinds[name].add(account_kind(schema.field(name).type, name, file.path))
    return {name: _one_kind(found, name, layout, wanted) for name, found in kinds.items()}


def _one_kind(found: set[str], name: str, layout: Layout, wanted: Wanted) -> str:
    if len(found) > 1:
        found.discard(_NOTHING)
    if len(found) > 1:
        raise DatasetError(_MIXED.format(" and ".join(sorted(found))), where=layout.dataset.uri, hint=_ONE_TYPE)
    kind = found.pop()
    if name == wanted.category and kind.startswith("lists"):
        raise DatasetError(f"its category column {name!r} holds lists", where=layout.dataset.uri)
    return kind


def parquet_schema(file: FileRef) -> pa.Schema:
    """Return the Arrow schema in the file's footer.

    Raises:
        DatasetError: truncated or damaged.
    """
    return parquet_footer(file)[1]


def parquet_footer(file: FileRef) -> tuple[int, pa.Schema]:
    """Return how many rows the file's footer says it has, and their Arrow schema.

    Raises:
        DatasetError: truncated or damaged.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        if file.is_local:
            footer = parquet.read_metadata(file.url)
        else:
            fs, path = filesystem(file.url)
            with fs.open(path, "rb") as handle:
                footer = parquet.read_metadata(handle)
        return footer.num_rows, footer.schema.to_arrow_schema()
    except (FileNotFoundError, PermissionError) as error:
        raise unreadable(error, file.path) from None
    except (pa.ArrowException, OSError, ValueError):
        raise DatasetError("is truncated or damaged Parquet", where=file.path, hint="write the file again") from None


def account_kind(kind: pa.DataType, name: str, where: str) -> str:
    """Name the type of an account or category column: text, integers, nothing but nulls, or lists of one of them.

    Raises:
        DatasetError: a type that is no identity, such as a fraction or a date.
    """
    from pyarrow import types

    if types.is_dictionary(kind):
        return account_kind(kind.value_type, name, where)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "text"
    if types.is_null(kind):
        return _NOTHING
    if types.is_integer(kind):
        return "integers"
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        inner = account_kind(kind.value_type, name, where)
        if not inner.startswith("lists"):
            return f"lists of {inner}"
    raise DatasetError(f"its column {name!r} is of type {kind}, which names no account", where=where, hint=_ONE_TYPE)


# CSV


def _csv(layout: Layout, wanted: Wanted, con: Backend) -> str:
    return csv_query(layout.files, *csv_shape(layout, wanted), con)


def csv_shape(layout: Layout, wanted: Wanted) -> tuple[str, tuple[str, ...]]:
    """Return delimiter and column names of all files together.

    Raises:
        DatasetError: as `query_of`.
    """
    delimiter, names = csv_header(layout.files[0])
    for file in layout.files[1:]:
        if csv_header(file) != (delimiter, names):
            raise DatasetError(
                f"its header differs from that of {layout.files[0].path!r}",
                where=file.path,
                hint="give all files of the dataset the same columns in the same order",
            )
    require(names, wanted.names, layout.dataset.uri)
    _refuse_both(names, wanted, layout.dataset.uri)
    return delimiter, names


def csv_query(files: Sequence[FileRef], delimiter: str, names: Sequence[str], con: Backend) -> str:
    """Return the SELECT that reads CSV files strictly, every value as the text it is."""
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
    return (
        f"SELECT *, file_index AS {FILE} FROM read_csv({file_list(files, con)}, columns = {{{columns}}}, "  # noqa: S608
        f"delim = {literal(delimiter)}, auto_detect = false, header = true, quote = '\"', escape = '\"', "
        "strict_mode = true, null_padding = false, ignore_errors = false, allow_quoted_nulls = false, "
        "hive_partitioning = false)"
    )


def csv_header(file: FileRef) -> tuple[str, tuple[str, ...]]:
    """Return delimiter and column names of a CSV file; a column without a name is called `column` and its place.

    The delimiter is the tab for `.tsv`, else the first of `,` `;` tab `|` that stands in the first line.

    Raises:
        DatasetError: no header, not UTF-8, or two columns of one name.
    """
    raw = read_head(file, _HEADER)
    content = unpacked(raw, _HEADER) if raw.startswith(GZIP) else raw
    text = content.decode("utf-8-sig", errors="replace")
    first = text.partition("\n")[0]
    is_tsv = file.path.lower().removesuffix(".gz").endswith(".tsv")
    delimiter = "\t" if is_tsv else next((char for char in _DELIMITERS if char in first), ",")
    try:
        header = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True), [])
    except csv.Error:
        header = []
    if not any(header):
        raise DatasetError("has no header line", where=file.path, hint="begin the file with the column names")
    names = tuple(name or f"column{place}" for place, name in enumerate(header))
    if len({name.lower() for name in names}) < len(names):
        raise DatasetError("has two columns of the same name", where=file.path, hint="rename one of them")
    return delimiter, names


# JSON


def _json(layout: Layout, wanted: Wanted, con: Backend) -> str:
    objects = json_objects(layout.files, layout.format, con)
    kinds = _json_kinds(layout, objects, wanted, con)
    if not wanted.everything:
        return json_query(layout.files, layout.format, kinds, con)
    shape = f"read_json({file_list(layout.files, con)}, format = {_json_shape(layout.format)}, sample_size = -1, "
    described = con.raw_sql(f"DESCRIBE SELECT * FROM {shape} hive_partitioning = false)").fetchall()  # noqa: S608
    return json_query(layout.files, layout.format, {row[0]: row[1] for row in described} | kinds, con)


def json_objects(files: Sequence[FileRef], shape: Format | None, con: Backend) -> str:
    """Return the FROM item that yields each record's own text as `json`."""
    return f"read_json_objects({file_list(files, con)}, format = {_json_shape(shape)}, hive_partitioning = false)"


def json_query(files: Sequence[FileRef], shape: Format | None, kinds: dict[str, str], con: Backend) -> str:
    """Return the SELECT of the fields of `kinds` (SQL type by name) from JSON records."""
    fields = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in kinds.items())
    if not fields:
        return f"SELECT file_index AS {FILE} FROM {json_objects(files, shape, con)}"  # noqa: S608
    return (
        f"SELECT *, file_index AS {FILE} FROM read_json({file_list(files, con)}, "  # noqa: S608
        f"format = {_json_shape(shape)}, columns = {{{fields}}}, hive_partitioning = false)"
    )


def _json_shape(shape: Format | None) -> str:
    return "'array'" if shape is Format.JSON else "'newline_delimited'"


def _json_kinds(layout: Layout, objects: str, wanted: Wanted, con: Backend) -> dict[str, str]:
    """Look at every record once; return the SQL types of account and category."""

    def names() -> list[str]:
        sample = f"SELECT DISTINCT unnest(json_keys(json)) FROM (SELECT json FROM {objects} LIMIT 1000)"  # noqa: S608
        return [key for (key,) in con.raw_sql(sample).fetchall()]

    return json_kinds(layout, wanted, json_shapes(objects, wanted, con), names)


def json_shapes(objects: str, wanted: Wanted, con: Backend) -> Shapes:
    """Return the shapes that records have, each once: what `json_kinds` goes by.

    A shape is the record's own type; for each column the type and those of its elements; and whether it names a field
    twice.
    """
    fields = "".join(
        f", json_type(json, {pointer}), list_sort(list_distinct(json_type(json_extract(json, {pointer}), '$[*]')))"
        for pointer in map(json_pointer, _looked_at(wanted))
    )
    twice = "len(list_distinct(json_keys(json))) < len(json_keys(json))"
    query = f"SELECT DISTINCT json_type(json){fields}, {twice} FROM {objects}"  # noqa: S608
    found: Shapes = con.raw_sql(query).fetchall()
    return found


def json_kinds(layout: Layout, wanted: Wanted, found: Shapes, names: Callable[[], list[str]]) -> dict[str, str]:
    """Return the SQL types of account and category, by the shapes of all records.

    Args:
        layout: what the records are of.
        wanted: the columns.
        found: by `json_shapes`.
        names: returns some fields there are, to tell when one is missing.

    Raises:
        DatasetError: as `query_of`.
    """
    uri = layout.dataset.uri
    if any(row[0] != "OBJECT" for row in found):
        raise DatasetError("holds JSON that is not records", where=uri, hint="write one object per row")
    if any(row[-1] for row in found):  # readers disagree on which of the two counts
        raise DatasetError("holds a record that names a field twice", where=uri, hint="name each field once")
    types = {name: {row[1 + 2 * place] for row in found} - {None} for place, name in enumerate(_looked_at(wanted))}
    missing = [name for name in wanted.names if found and not types[name]]
    if missing:
        require(names(), missing, uri)
    _refuse_both((name for name in wanted.absent if types[name]), wanted, uri)
    kinds = dict.fromkeys(wanted.names, "VARCHAR")
    if wanted.account is not None:
        elements = {kind for row in found for kind in row[2] or ()}
        kinds[wanted.account] = _json_account_type(types[wanted.account], elements, uri)
    return kinds


def _looked_at(wanted: Wanted) -> list[str]:
    return [*wanted.names, *sorted(wanted.absent)]


def _json_account_type(types: set[str], elements: set[str], uri: str) -> str:
    listed = types - {"NULL"} == {"ARRAY"}
    words = {_JSON_WORDS.get(kind, kind) for kind in (elements if listed else types) - {"NULL"}}
    if len(words) > 1:
        raise DatasetError(_MIXED.format(" and ".join(sorted(words))), where=uri, hint=_ONE_TYPE)
    if words - {"text", "integers"}:
        raise DatasetError(f"writes accounts as {words.pop()}, which names no account", where=uri, hint=_ONE_TYPE)
    return "VARCHAR[]" if listed else "VARCHAR"


_JSON_WORDS = {
    "VARCHAR": "text",
    "UBIGINT": "integers",
    "BIGINT": "integers",
    "DOUBLE": "fractions",
    "BOOLEAN": "true or false",
    "ARRAY": "lists",
    "OBJECT": "objects",
}


def json_pointer(name: str) -> str:
    """Return the SQL text that points at a field of a JSON record, whatever its name."""
    return literal("/" + name.replace("~", "~0").replace("/", "~1"))
