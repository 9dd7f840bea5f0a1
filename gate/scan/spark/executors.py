"""What runs on Spark's executors, one file at a time: the very readers and writers that DuckDB has on one machine."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import gate
from gate.errors import CannotDecide, DatasetError, GateError
from gate.scan.engine import engine, identifier, reading
from gate.scan.formats import Format, Layout
from gate.scan.location import FileRef, changed, filesystem
from gate.scan.passing import Passing
from gate.scan.readers import FILE, Wanted, csv_query, json_objects, json_query, json_shapes
from gate.scan.subset import write_part
from gate.scan.tables import open_layout

if TYPE_CHECKING:
    import pyarrow as pa
    from ibis.backends.duckdb import Backend

MEMORY = "1GB"  # of DuckDB in one task; it spills beyond
PROBLEM, SHAPE, KEPT = "gate_problem", "gate_shape", "gate_kept"
_ERRORS = {one.__name__: one for one in (DatasetError, CannotDecide)}
_TYPES = {  # ours, and Spark's
    "string": "string",
    "list": "array<string>",
    "int64": "bigint",
    "double": "double",
    "bool": "boolean",
    "date": "date",
    "moment": "timestamp_ntz",
    "instant": "timestamp",
    "bytes": "binary",
}

Batches = Iterator["pa.RecordBatch"]
Work = Callable[[FileRef, int], Iterable[Mapping[str, Any]]]
"""Does something with a file and its place; returns columns by name, in one part or more."""


@dataclass(frozen=True, slots=True)
class Task:
    """What `mapInArrow` takes: a function, and its columns in Spark's words."""

    run: Callable[[Batches], Batches]
    columns: str


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read one text file of a dataset, by what holds for all of them.

    Attributes:
        kinds: SQL types of JSON fields by name.
        delimiter, names: of CSV.
    """

    layout: Layout
    wanted: Wanted
    kinds: Mapping[str, str] = field(default_factory=dict)
    delimiter: str = ""
    names: tuple[str, ...] = ()

    @property
    def listed(self) -> bool:
        """Whether rows name their accounts in lists."""
        return self.wanted.account is not None and self.kinds.get(self.wanted.account) == "VARCHAR[]"

    def query(self, file: FileRef, con: Backend) -> str:
        """Return the SELECT that reads one of the files."""
        if self.layout.format is Format.CSV:
            return csv_query([file], self.delimiter, self.names, con)
        return json_query([file], self.layout.format, dict(self.kinds), con)


def shaping(layout: Layout, wanted: Wanted) -> Task:
    """Return the task that tells the shapes of JSON records, as JSON."""

    def shapes(file: FileRef, _: int) -> Iterable[Mapping[str, Any]]:
        with restrained(layout) as con:
            found = json_shapes(json_objects([file], layout.format, con), wanted, con)
        return [{SHAPE: [json.dumps(shape) for shape in found]}]

    return per_file(layout.files, shapes, {SHAPE: "string"})


def counting(how: Reading, account: str, category: str, rows: str) -> Task:
    """Return the task that counts rows by account and category, in columns of these names, and by file."""
    taken = [
        f"{'NULL' if name is None else identifier(name)} AS {alias}"
        for name, alias in ((how.wanted.account, account), (how.wanted.category, category))
    ]

    def count(file: FileRef, place: int) -> Iterable[Mapping[str, Any]]:
        with restrained(how.layout) as con:
            query = f"SELECT {', '.join(taken)}, count(*) AS {rows} FROM ({how.query(file, con)}) GROUP BY ALL"  # noqa: S608 quoted
            found = con.con.sql(query).to_arrow_table()
        return [{name: found[name] for name in found.column_names} | {FILE: [place] * found.num_rows}]

    columns = {account: "list" if how.listed else "string", category: "string", FILE: "int64", rows: "int64"}
    return per_file(how.layout.files, count, columns)


def cutting(layout: Layout, who: Passing, made: Path, *, single: bool) -> Task:
    """Return the task that writes what passes of each file and tells its place and how many rows it kept.

    A file is written aside, beside what is `made`, by a name of the attempt's own, and renamed: two attempts at one
    file write the same, and what a killed one leaves is not in the subset.
    """

    def cut(file: FileRef, place: int) -> Iterable[Mapping[str, Any]]:
        path = made if single else made / file.path
        aside = made.parent / f"attempt-{uuid.uuid4().hex}"
        try:
            aside.mkdir()
            with restrained(layout) as con:
                kept = write_part(open_layout(replace(layout, files=(file,)), con), 0, who, aside / path.name, con)
            if kept:
                path.parent.mkdir(parents=True, exist_ok=True)
                (aside / path.name).replace(path)
            shutil.rmtree(aside)
        except OSError as error:
            hint = "Spark's executors must run as this user and see this folder; or use DuckDB"
            raise CannotDecide(f"cannot be written: {error.strerror}", where=str(made.parent), hint=hint) from None
        return [{FILE: [place], KEPT: [kept]}]

    return per_file(layout.files, cut, {FILE: "int64", KEPT: "int64"})


def _arrow_types() -> dict[str, pa.DataType]:
    import pyarrow as pa

    return {
        "string": pa.string(),
        "list": pa.list_(pa.string()),
        "int64": pa.int64(),
        "double": pa.float64(),
        "bool": pa.bool_(),
        "date": pa.date32(),
        "moment": pa.timestamp("us"),
        "instant": pa.timestamp("us", "UTC"),
        "bytes": pa.binary(),
    }


def raise_problem(problem: str) -> NoReturn:
    """Raise the error that a task told.

    Raises:
        DatasetError, CannotDecide: always.
    """
    told = json.loads(problem)
    kind = _ERRORS.get(told.pop("error"), CannotDecide)
    raise kind(told.pop("message"), **told)


def per_file(files: Sequence[FileRef], work: Work, columns: Mapping[str, str]) -> Task:
    """Return the task that does the work on each file whose place comes in.

    What goes wrong is told, for Spark would try it four times.
    """
    version = gate.__version__  # of this machine; the rest runs on executors

    def run(batches: Batches) -> Batches:
        import pyarrow as pa

        types = _arrow_types()
        schema = pa.schema([(PROBLEM, pa.string()), *((name, types[kind]) for name, kind in columns.items())])

        def told(found: Mapping[str, Any]) -> list[pa.RecordBatch]:
            batches: list[pa.RecordBatch] = pa.table(dict(found), schema=schema).to_batches()
            return batches

        for batch in batches:
            for place in batch.column(0).to_pylist():
                try:
                    _check_version(version)
                    _check_seen(files[place])
                    for found in work(files[place], place):
                        none = [None] * len(next(iter(found.values())))
                        yield from told({PROBLEM: none, **found})
                except GateError as error:
                    yield from told({name: [None] for name in columns} | {PROBLEM: [json.dumps(error.to_dict())]})

    return Task(run, ", ".join(f"{name} {_TYPES[kind]}" for name, kind in {PROBLEM: "string", **columns}.items()))


def _check_version(version: str) -> None:
    if version != gate.__version__:
        raise CannotDecide(
            f"Spark's executors have version {gate.__version__} of the gate, this machine {version}",
            where="engine",
            hint="install the same version, or use DuckDB",
        )


def _check_seen(file: FileRef) -> None:
    """Make sure that this executor sees the file that was listed."""
    try:
        if file.is_local:
            size = Path(file.url).stat().st_size
        else:
            fs, path = filesystem(file.url)
            size = int(fs.info(path)["size"])
    except OSError:
        hint = "let Spark's executors see the same storage as this machine, or use DuckDB"
        raise DatasetError("is not there for Spark's executors", where=file.path, hint=hint) from None
    if size != file.size:
        raise changed(file.path)


@contextmanager
def restrained(layout: Layout) -> Iterator[Backend]:
    """Open DuckDB so that it leaves the executor's other tasks their part of the machine."""
    with engine() as con, reading(layout.dataset):
        con.raw_sql("SET threads = 1")
        con.raw_sql(f"SET memory_limit = '{MEMORY}'")
        yield con
