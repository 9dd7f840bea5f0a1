"""Batches of Great Expectations in pandas, SQL and Spark, and the accounts in them, for one suite over all engines."""

from __future__ import annotations

import os
import sqlite3
import sys
import warnings
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

from support.world import add_account, event, new_service, say

GX_QUIET = {"GX_ANALYTICS_ENABLED": "false"}
WANTED = {"categories": ["chat"], "purpose": "train", "feature": "meeting_summary", "model": "ms-1"}
AGREED, ALSO_AGREED, SILENT, WITHDREW, LAPSED = "agreed-1", "agreed-2", "silent-3", "withdrew-4", "lapsed-5"
EVERYBODY = (AGREED, ALSO_AGREED, SILENT, WITHDREW, LAPSED)
Accounts = Sequence[Any]
_names = (f"data_{number}" for number in count())

if not hasattr(sys.modules["__main__"], "__file__"):
    # PySpark takes a process without a main file, as xdist's are, for its own doctests, and ends it.
    sys.modules["__main__"].__file__ = __file__


def new_home(folder: Path) -> None:
    """Make a ledger: two accounts agreed, one said nothing, one withdrew, and one agreed for a time that is over."""
    with new_service(folder) as service:
        for account in EVERYBODY:
            add_account(service, account)
        say(service, *(event(account) for account in (AGREED, ALSO_AGREED, WITHDREW)))
        say(service, event(LAPSED, expires_at="2023-12-01T00:00:00Z"))
        say(service, event(WITHDREW, "withdraw", effective_at="2023-10-01T00:00:00Z"))


def gx_context() -> Any:
    """Return a context that lives in memory and calls nobody."""
    os.environ.update(GX_QUIET)
    with warnings.catch_warnings():  # of its own imports: PySpark about pandas 3, Python about sre_constants
        warnings.simplefilter("ignore")
        import great_expectations as gx

        import gate.gx  # noqa: F401 it registers the expectations

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    return context


class PandasBatches:
    """Batches of data frames."""

    lists = True
    mixed: Accounts | None = ("agreed-1", 7)

    def __init__(self, context: Any) -> None:
        asset = context.data_sources.add_pandas(next(_names)).add_dataframe_asset("frame")
        self.definition = asset.add_batch_definition_whole_dataframe("all")

    def batch(self, accounts: Accounts) -> Any:
        import pandas as pd

        return self.of(pd.DataFrame({"account_id": list(accounts), "text": ["hello"] * len(accounts)}))

    def of(self, frame: Any) -> Any:
        return self.definition.get_batch({"dataframe": frame})


class SqliteBatches:
    """Batches of tables in a file; the column has no type, so that it holds what it is given."""

    lists = False
    mixed: Accounts | None = ("agreed-1", 7)

    def __init__(self, context: Any, folder: Path, declared: str = "") -> None:
        self.path, self.declared = folder / "data.db", declared
        self.source = context.data_sources.add_sqlite(next(_names), connection_string=f"sqlite:///{self.path}")

    def batch(self, accounts: Accounts) -> Any:
        name = next(_names)
        with sqlite3.connect(self.path) as database:
            database.execute(f"CREATE TABLE {name} (account_id {self.declared}, text TEXT)")
            database.executemany(f"INSERT INTO {name} VALUES (?, 'hello')", ((account,) for account in accounts))
        database.close()
        return _whole(self.source, name)


class PostgresBatches:
    """Batches of tables in a fresh database."""

    lists = True
    mixed: Accounts | None = None  # a column has one type

    def __init__(self, context: Any, url: str) -> None:
        self.url = url
        driver = url.replace("postgresql://", "postgresql+psycopg://", 1)
        self.source = context.data_sources.add_postgres(next(_names), connection_string=driver)

    def close(self) -> None:
        """End what Great Expectations leaves open until it is collected, in the midst of somebody else's test."""
        self.source.get_engine().dispose()
        self.source.get_execution_engine().close()

    def batch(self, accounts: Accounts, declared: str | None = None) -> Any:
        import psycopg

        name = next(_names)
        kind = declared or ("text[]" if any(isinstance(account, list) for account in accounts) else "text")
        with psycopg.connect(self.url) as database:
            database.execute(f"CREATE TABLE {name} (account_id {kind}, text text)")
            with database.cursor() as cursor:
                cursor.executemany(f"INSERT INTO {name} VALUES (%s, 'hello')", [(account,) for account in accounts])
        return _whole(self.source, name)


class SparkBatches:
    """Batches of Spark's data frames."""

    lists = True
    mixed: Accounts | None = None  # a column has one type

    def __init__(self, context: Any, session: Any) -> None:
        self.session = session
        asset = context.data_sources.add_spark(next(_names)).add_dataframe_asset("frame")
        self.definition = asset.add_batch_definition_whole_dataframe("all")

    def batch(self, accounts: Accounts, declared: str | None = None) -> Any:
        kind = declared or ("array<string>" if any(isinstance(account, list) for account in accounts) else "string")
        rows = [(account, "hello") for account in accounts]
        return self.of(self.session.createDataFrame(rows, f"account_id {kind}, text string"))

    def of(self, frame: Any) -> Any:
        return self.definition.get_batch({"dataframe": frame})


def _whole(source: Any, table: str) -> Any:
    return source.add_table_asset(table, table_name=table).add_batch_definition_whole_table("all").get_batch()


def expect_consent(**changes: Any) -> Any:
    """Return the usual expectation with changes."""
    from gate.gx import ExpectAccountsToHaveConsent

    return ExpectAccountsToHaveConsent(**({"column": "account_id"} | WANTED | changes))


def told(result: Any) -> str:
    """Return everything that a result says, as it is stored."""
    import json

    return json.dumps(result.to_json_dict())
