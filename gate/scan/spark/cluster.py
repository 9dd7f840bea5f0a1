"""Which Spark counts: how it is named, a session of our own on it, and its failures in our words without the data."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gate.domain.dataset import Dataset
from gate.domain.switches import word_of
from gate.errors import CannotDecide, DatasetError, InputError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ENGINES = ("duckdb", "spark")
SETTING, ACCOUNTS = "GATE_SPARK", "GATE_SPARK_ACCOUNTS"
_CONNECT = "sc://"
_MASTER = re.compile(r"local(-cluster)?\[[\d*,]+\]|local|yarn|(spark|k8s|sc)://\S+")
# What a cluster may be set to that would make Spark pass over data, or take two columns for one.
_OURS = {
    "spark.sql.caseSensitive": "true",
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
}
_UNREADABLE = re.compile(r"\[(FAILED_READ_FILE|CANNOT_READ_FILE|PATH_NOT_FOUND|PARQUET|FAILED_TO_READ)")
_NO_PACKAGE = re.compile(r"No module named '(gate|duckdb|ibis|pyarrow|fsspec)")


@dataclass(frozen=True, slots=True)
class Spark:
    """A Spark to count on.

    Attributes:
        master: `spark://host:7077`, `local[4]`, `local-cluster[2,1,1024]`, `yarn`, `k8s://…` or, for Spark Connect,
            `sc://host:15002`; empty: what spark-submit or spark-defaults.conf says.
        conf: Spark's own settings, for an application that is started here.
        hashed: executors are told who passes by keyed hashes of account ids, under a key of one job only.
    """

    master: str = ""
    conf: Mapping[str, str] = field(default_factory=dict)
    hashed: bool = False

    def __post_init__(self) -> None:
        """Check the master's form."""
        if self.master and not _MASTER.fullmatch(self.master):  # it may hold a token: not quoted
            raise InputError("is no master of Spark", where=SETTING, hint="like spark://host:7077 or sc://host:15002")


def engine_named(name: str | None, master: str | None = None, environ: Mapping[str, str] = os.environ) -> Spark | None:
    """Return the Spark that an engine's name means; `None` for DuckDB.

    Args:
        name: `duckdb` or `spark`; nothing: `duckdb`.
        master: which Spark; nothing: what `GATE_SPARK` says, else what spark-submit says.
        environ: where settings are.

    Raises:
        InputError: an unknown engine or master.
    """
    if name not in (None, *ENGINES):
        raise InputError(f"{name!r} is no engine", where="engine", hint=" or ".join(ENGINES))
    if name != "spark":
        return None
    return Spark(master if master is not None else environ.get(SETTING, ""), hashed=accounts_hashed(environ))


def accounts_hashed(environ: Mapping[str, str] = os.environ) -> bool:
    """Return what `GATE_SPARK_ACCOUNTS` says: `plain` (the default) or `hashed`, for a cluster that others share.

    Raises:
        InputError: it says something else.
    """
    return word_of(environ, ACCOUNTS, ("plain", "hashed")) == "hashed"


@contextmanager
def session(spark: Spark) -> Iterator[SparkSession]:
    """Give a session of our own, whose settings nobody else's work sees.

    An application that runs in this process already is used; one that is started here stays until the process ends,
    for the next dataset.

    Raises:
        CannotDecide: PySpark or Java is missing, or the cluster cannot be reached.
        InputError: another application runs in this process.
    """
    try:
        with warnings.catch_warnings():  # of its own imports, about pandas 3
            warnings.simplefilter("ignore")
            from pyspark.sql import SparkSession
    except ImportError:
        hint = 'pip install "airflow-provider-consent-gate[spark]"'
        raise CannotDecide("PySpark is not installed", where="engine", hint=hint) from None
    connect = spark.master.startswith(_CONNECT)
    with _starting():
        own = SparkSession.builder.remote(spark.master).create() if connect else _application(spark).newSession()
        for name, value in _OURS.items():
            own.conf.set(name, value)
    try:
        yield own
    finally:
        if connect:
            own.stop()


def _application(spark: Spark) -> SparkSession:
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    running = SparkContext._active_spark_context
    if running is not None and spark.master and running.master != spark.master:
        raise InputError(
            "another Spark runs in this process already", where=SETTING, hint="stop it, or name the same master"
        )
    builder = SparkSession.builder.appName("consent-gate")
    if spark.master:
        builder = builder.master(spark.master)
    settings = {"spark.ui.enabled": "false", **spark.conf}
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate() if running is None else SparkSession(running)


@contextmanager
def _starting() -> Iterator[None]:
    errors: tuple[type[Exception], ...] = (*failures(), OSError)
    try:
        yield
    except errors:
        raise CannotDecide(
            "Spark cannot be started or reached",
            where="engine",
            hint="check its address and Java, or use DuckDB",
        ) from None


@contextmanager
def computing(dataset: Dataset) -> Iterator[None]:
    """Turn Spark's failures into ours, without its words, which may quote a value.

    Raises:
        DatasetError: a file cannot be read.
        CannotDecide: the cluster failed.
    """
    try:
        yield
    except failures() as error:
        said = str(error)
        if _NO_PACKAGE.search(said):
            hint = "install this version of airflow-provider-consent-gate on the executors, or use DuckDB"
            raise CannotDecide("Spark's executors lack our package", where=dataset.uri, hint=hint) from None
        if _UNREADABLE.search(said):
            raise DatasetError(
                "cannot be read by Spark: it is truncated, damaged, of a kind it does not read, or not there",
                where=dataset.uri,
                hint="repair it, let the executors reach it, or use DuckDB",
            ) from None
        raise CannotDecide("Spark failed", where=dataset.uri, hint="see its log, or use DuckDB") from None


def failures() -> tuple[type[Exception], ...]:
    """Return the exceptions by which Spark fails, over Connect or not."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    found: list[type[Exception]] = [PySparkException, Py4JError, ConnectionError]
    if "grpc" in sys.modules:  # what Spark Connect is spoken over
        found.append(sys.modules["grpc"].RpcError)
    return tuple(found)


def refused(what: str, where: str, hint: str = "use DuckDB, or rename it") -> DatasetError:
    """Return the error for data that Spark would not surely read as DuckDB does."""
    return DatasetError(f"{what}, which Spark would not read as it is", where=where, hint=hint)


def collected(frame: Any) -> Any:
    """Return a frame as an Arrow table whose text is surely UTF-8.

    Raises:
        DatasetError: it is not.
    """
    import pyarrow as pa

    with warnings.catch_warnings():  # of PySpark, about pandas 3, which this does not use
        warnings.simplefilter("ignore")
        found = frame.toArrow()
    try:
        found.validate(full=True)
    except pa.ArrowInvalid:
        raise DatasetError("holds text that is not UTF-8", hint="repair the file or write it again") from None
    return found
