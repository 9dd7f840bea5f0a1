"""Makes columns of a pandas or Spark frame ready to be checked: text that reads as numbers or moments becomes such."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from gate.scan.contracts.suite import Column

Wanted = Mapping[str, Collection[str]]
"""Columns, and the families that rules want to see there: `number`, `moment`."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A frame with nothing but the columns that rules are about, and what they are."""

    frame: Any
    columns: Mapping[str, Column]


def ready_pandas(frame: Any, wanted: Wanted) -> Ready:
    """Return the wanted columns of a pandas frame; those that are not there are left out."""
    import pandas as pd

    found: dict[str, Any] = {}
    columns: dict[str, Column] = {}
    for name, families in wanted.items():
        if list(frame.columns).count(name) == 1:
            found[name], columns[name] = _series(frame[name], families)
    return Ready(pd.DataFrame(found, index=frame.index), columns)


def _series(series: Any, families: Collection[str]) -> tuple[Any, Column]:
    """Return a column as GX can judge it: naive moments in UTC, text as Python's, whole numbers whatever is null."""
    import pandas as pd
    from pandas.api import types

    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(series.cat.categories.dtype)
    dtype = series.dtype
    if types.is_bool_dtype(dtype):
        return series, Column("other")
    if types.is_datetime64_any_dtype(dtype):
        return _naive(series), Column("moment")
    if types.is_integer_dtype(dtype) and str(dtype).lower() != "uint64":  # which holds more than int64
        return series.astype("Int64" if series.hasnans else "int64"), Column("whole")  # GX is fast with the latter
    if types.is_float_dtype(dtype):
        return series.astype("float64"), Column("number")
    return _objects(series.astype(object).where(series.notna(), None), families)


def _objects(series: Any, families: Collection[str]) -> tuple[Any, Column]:
    from datetime import date
    from decimal import Decimal
    from numbers import Integral, Real

    import pandas as pd

    kinds = set(map(type, series.dropna()))
    if kinds <= {str}:
        return _read(series, families)
    if all(kind.__name__ in ("list", "tuple", "ndarray") for kind in kinds):
        return series, Column("list")
    if bool not in kinds and all(issubclass(kind, Integral) for kind in kinds):
        return series, Column("whole")
    if bool not in kinds and all(issubclass(kind, Real | Decimal) for kind in kinds):
        return pd.to_numeric(series).astype("float64"), Column("number")
    if all(issubclass(kind, date) for kind in kinds):  # a datetime is a date, too
        return _naive(pd.to_datetime(series, utc=True, errors="coerce")), Column("moment")
    return series, Column("other")


def _read(series: Any, families: Collection[str]) -> tuple[Any, Column]:
    """Read text as moments or numbers where a rule wants those; what does not read so stays text and will not fit."""
    import pandas as pd

    if "moment" in families:
        moments = pd.to_datetime(series, utc=True, errors="coerce", format="ISO8601")
        if not (odd := moments.isna() & series.notna()).any():
            return _naive(moments), Column("moment")
        mixed = _naive(moments).astype(object).where(~odd, series)
    if "number" in families or "moment" in families:
        numbers = pd.to_numeric(series, errors="coerce", dtype_backend="numpy_nullable")
        if not (odd := numbers.isna() & series.notna()).any():
            return _series(numbers, ())
        if "moment" not in families:
            mixed = numbers.astype(object).where(~odd, series)
        return mixed.where(series.notna(), None), Column("other")
    return series, Column("text")


def _naive(series: Any) -> Any:
    """Return moments in UTC without saying so; in nanoseconds, which GX compares fast, where the years allow it."""
    from pandas.errors import OutOfBoundsDatetime

    if series.dt.tz is not None:
        series = series.dt.tz_convert("UTC").dt.tz_localize(None)
    try:
        return series.dt.as_unit("ns")
    except OutOfBoundsDatetime:
        return series.dt.as_unit("us")


def each_pandas(frame: Any, column: str) -> Any:
    """Return one row per element of lists; an empty list or none at all is one null."""
    return frame[[column]].explode(column, ignore_index=True)


_SPARK = {
    "string": "text",
    "varchar": "text",
    "char": "text",
    "byte": "whole",
    "short": "whole",
    "integer": "whole",
    "long": "whole",
    "float": "number",
    "double": "number",
    "decimal": "number",
    "timestamp": "moment",
    "timestamp_ntz": "moment",
    "date": "moment",
    "array": "list",
}


_A_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_A_WHOLE_NUMBER = "^[+-]?[0-9]{1,18}$"
_ZONELESS = ("string", "timestamp_ntz", "date")


def ready_spark(frame: Any, wanted: Wanted) -> Ready:
    """Return the wanted columns of a Spark frame; those that are not there are left out."""
    names = [name for name in wanted if frame.columns.count(name) == 1]
    kept = frame.select(*(frame[_quoted(name)] for name in names))
    for name in names:
        if "moment" in wanted[name] and kept.schema[name].dataType.typeName() in _ZONELESS:
            read = kept.withColumn(name, _instants(kept[_quoted(name)]))
            if not _lost(kept, read, name):
                kept = read
        if not {"number", "moment"}.isdisjoint(wanted[name]) and kept.schema[name].dataType.typeName() == "string":
            kept = _numbers(kept, name)
    return Ready(kept, {name: _spark_column(kept.schema[name].dataType.typeName()) for name in names})


def _instants(column: Any) -> Any:
    """Read moments; one that does not say its zone is in UTC, whatever the session's zone."""
    from pyspark.sql import functions

    text = column.cast("string")
    zoned = text.rlike("(Z|[+-][0-9]{2}:?[0-9]{2})$")
    day = functions.concat(text, functions.lit("T00:00:00Z"))
    other = functions.concat(text, functions.lit("Z"))
    return functions.try_to_timestamp(
        functions.when(zoned, text).when(text.rlike("^[0-9]{4}-[0-9]{2}-[0-9]{2}$"), day).otherwise(other)
    )


def _numbers(frame: Any, name: str) -> Any:
    """Read a column of text as numbers, unless there is text that reads as none."""
    from pyspark.sql import functions

    column = functions.trim(frame[_quoted(name)])
    odd, broken = frame.agg(
        *(functions.count_if(~column.rlike(pattern)) for pattern in (_A_NUMBER, _A_WHOLE_NUMBER))
    ).first()
    return frame if odd else frame.withColumn(name, column.cast("double" if broken else "bigint"))


def _lost(before: Any, after: Any, name: str) -> bool:
    """Whether reading it as moments made nulls of values."""
    column = _quoted(name)
    return bool(before.where(before[column].isNotNull()).count() != after.where(after[column].isNotNull()).count())


def _spark_column(kind: str) -> Column:
    return Column(_SPARK.get(kind, "other"), zoned=kind == "timestamp")


def each_spark(frame: Any, column: str) -> Any:
    """Return one row per element of lists, as `each_pandas`."""
    from pyspark.sql import functions

    return frame.select(functions.explode_outer(frame[_quoted(column)]).alias(column))


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
