"""Which engine looks at the data of a task: DuckDB in the worker, or the Spark of an Airflow connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import BaseHook

from gate.errors import InputError

if TYPE_CHECKING:
    from gate.scan.spark.cluster import Spark

Engine = Literal["duckdb", "spark"]
_CONF = "conf"  # in the connection's extra: Spark's settings


def checked_engine(engine: str, spark_conn_id: str | None, where: str) -> Engine:
    """Return the engine a DAG's author names.

    Raises:
        InputError: there is none of that name, or a connection for another one.
    """
    if engine == "spark":
        return "spark"
    if engine != "duckdb":
        raise InputError(f"{engine!r} is no engine", where=where, hint="duckdb or spark")
    if spark_conn_id is not None:
        raise InputError("is for engine='spark'", where=f"{where.rpartition('.')[0]}.spark_conn_id")
    return "duckdb"


def open_engine(engine: Engine, spark_conn_id: str | None) -> Spark | None:
    """Return the Spark to count on, `None` for DuckDB; without a connection `GATE_SPARK` says which.

    A connection is one of Airflow's types `spark` (host such as `spark://master` or `yarn`, port) or `spark_connect`
    (host, port, login as user, password as token); its extra may hold `conf`, Spark's settings.

    Raises:
        InputError: no such connection, or it names no Spark.
    """
    from gate.scan.spark.cluster import Spark, accounts_hashed, engine_named

    if engine == "duckdb" or spark_conn_id is None:
        return engine_named(engine)
    connection = BaseHook.get_connection(spark_conn_id)
    conf = connection.extra_dejson.get(_CONF) or {}
    if not isinstance(conf, dict):
        raise InputError("must hold names and values", where=f"{spark_conn_id}.extra.{_CONF}")
    settings = {str(name): str(value) for name, value in conf.items()}
    return Spark(_master(connection), settings, accounts_hashed())


def _master(connection: Any) -> str:
    host: str = connection.host or ""
    if connection.conn_type == "spark_connect" and not host.startswith("sc://"):
        host = f"sc://{host}"
    address = f"{host}:{connection.port}" if connection.port else host
    if not host.startswith("sc://"):
        return address
    secured = "true" if connection.extra_dejson.get("use_ssl") else None
    known = {"user_id": connection.login, "token": connection.password, "use_ssl": secured}
    words = "".join(f";{name}={value}" for name, value in known.items() if value)
    return f"{address}/{words}" if words else address
