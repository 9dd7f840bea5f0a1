"""The metric that takes a sample of a batch's rows here: pandas, Spark or SQL; what the detection looks into."""

from __future__ import annotations

from typing import Any

from great_expectations.core.metric_domain_types import MetricDomainTypes
from great_expectations.execution_engine import (
    PandasExecutionEngine,
    SparkDFExecutionEngine,
    SqlAlchemyExecutionEngine,
)
from great_expectations.expectations.metrics.metric_provider import metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider

from gate.errors import CannotDecide

SAMPLED_ROWS = "gate.sampled_rows"
SAMPLE = 1000  # rows

Rows = list[dict[str, Any]]


class SampledRows(TableMetricProvider):
    """At most 1,000 rows as dicts: of a pandas frame from all over it, of Spark and SQL those that come first."""

    metric_name = SAMPLED_ROWS
    domain_keys = ("batch_id",)

    @metric_value(engine=PandasExecutionEngine)
    def _pandas(cls, execution_engine: Any, metric_domain_kwargs: Any, **_: Any) -> Rows:
        frame = _batch(execution_engine, metric_domain_kwargs)
        step = max(1, -(-len(frame) // SAMPLE))
        rows: Rows = frame.iloc[::step].to_dict("records")
        return [{str(name): value for name, value in row.items()} for row in rows]

    @metric_value(engine=SparkDFExecutionEngine)
    def _spark(cls, execution_engine: Any, metric_domain_kwargs: Any, **_: Any) -> Rows:
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException

        try:
            rows = _batch(execution_engine, metric_domain_kwargs).limit(SAMPLE).collect()
        except (PySparkException, Py4JError):  # its words may quote a row
            raise CannotDecide("Spark could not read the batch", where="batch", hint="see its log") from None
        return [row.asDict(recursive=True) for row in rows]

    @metric_value(engine=SqlAlchemyExecutionEngine)
    def _sqlalchemy(cls, execution_engine: Any, metric_domain_kwargs: Any, **_: Any) -> Rows:
        import sqlalchemy as sa

        batch = _batch(execution_engine, metric_domain_kwargs)
        query: Any = sa.select(sa.literal_column("*")).select_from(batch).limit(SAMPLE)
        try:
            with execution_engine.get_connection() as connection:
                return [dict(row) for row in connection.execute(query).mappings()]
        except sa.exc.SQLAlchemyError as error:
            said = f"the database could not read the batch: {type(error).__name__}"
            raise CannotDecide(said, where="batch") from None


def _batch(engine: Any, domain: Any) -> Any:
    return engine.get_compute_domain(domain, domain_type=MetricDomainTypes.TABLE)[0]
