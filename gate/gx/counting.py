"""The metric that counts a batch's rows by account in its own engine: pandas, Spark or SQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from great_expectations.core.metric_domain_types import MetricDomainTypes
from great_expectations.execution_engine import (
    PandasExecutionEngine,
    SparkDFExecutionEngine,
    SqlAlchemyExecutionEngine,
)
from great_expectations.expectations.metrics.metric_provider import metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider
from great_expectations.validator.metric_configuration import MetricConfiguration

from gate.errors import DatasetError
from gate.gx.frames import count_in_pandas, count_in_spark
from gate.gx.sql import count_in_sql

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_BY_ACCOUNT = "gate.rows_by_account"
COLUMNS = "table.columns"  # GX's own metric


class RowsByAccount(TableMetricProvider):
    """An Arrow table with `account` (as the engine holds it) and `n` (rows): what `look_at_counts` reads."""

    metric_name = ROWS_BY_ACCOUNT
    domain_keys = ("batch_id",)
    value_keys = ("column",)

    @metric_value(engine=PandasExecutionEngine)
    def _pandas(cls, execution_engine: Any, metric_domain_kwargs: Any, metric_value_kwargs: Any, **_: Any) -> pa.Table:
        frame = _batch(execution_engine, metric_domain_kwargs)
        return count_in_pandas(frame, _column(metric_value_kwargs, frame.columns))

    @metric_value(engine=SparkDFExecutionEngine)
    def _spark(cls, execution_engine: Any, metric_domain_kwargs: Any, metric_value_kwargs: Any, **_: Any) -> pa.Table:
        frame = _batch(execution_engine, metric_domain_kwargs)
        return count_in_spark(frame, _column(metric_value_kwargs, frame.columns))

    @metric_value(engine=SqlAlchemyExecutionEngine)
    def _sqlalchemy(
        cls, execution_engine: Any, metric_domain_kwargs: Any, metric_value_kwargs: Any, metrics: Any, **_: Any
    ) -> pa.Table:
        column = _column(metric_value_kwargs, metrics[COLUMNS])
        return count_in_sql(execution_engine, _batch(execution_engine, metric_domain_kwargs), column)

    @classmethod
    def _get_evaluation_dependencies(cls, metric: MetricConfiguration, **_: Any) -> dict[str, MetricConfiguration]:
        batch = {"batch_id": metric.metric_domain_kwargs.get("batch_id")}
        return {COLUMNS: MetricConfiguration(COLUMNS, metric_domain_kwargs=batch)}


def _batch(engine: Any, domain: Any) -> Any:
    """Return the batch as its engine knows it."""
    return engine.get_compute_domain(domain, domain_type=MetricDomainTypes.TABLE)[0]


def _column(values: Mapping[str, Any], names: Iterable[Any]) -> str:
    """Return the account column's name; a database may take the name of a column it lacks for a text."""
    column: str = values["column"]
    found = sum(name == column for name in names)
    if found != 1:
        raise DatasetError(
            f"has {'no column' if not found else 'several columns'} {column!r}",
            where="batch",
            hint="name the account column as the batch does",
        )
    return column
