"""Data contracts in Spark and PostgreSQL: the suite of every engine, and what only these can do."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from gate.domain.contract import Outcome
from gate.errors import CannotDecide
from gate.scan.contracts.checking import check_contract
from support.contract_suite import NOW, SECRET, ContractsInEveryEngine, not_passed
from support.databases import fresh_database, postgres_server
from support.expectations import gx_context  # it makes PySpark start in any process

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("great_expectations"),
    pytest.mark.filterwarnings("ignore:.*:ResourceWarning"),
]
NO_SPARK = "Spark does not start (apt-get install openjdk-17-jre-headless): its part of the suite does not run"
Make = Callable[..., Any]
_names = (f"data_{number}" for number in count())


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    gx_context()
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    folder = tmp_path_factory.mktemp("spark")
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.sql.warehouse.dir", str(folder)).config("spark.sql.shuffle.partitions", "2")
    builder = builder.config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
    builder = builder.config("spark.sql.session.timeZone", "America/New_York")  # no zone of ours
    try:
        started = builder.getOrCreate()
    except (PySparkException, OSError):
        if os.environ.get("CI") == "true":
            pytest.fail(NO_SPARK)
        pytest.skip(NO_SPARK)
    yield started
    started.stop()


class TestSpark(ContractsInEveryEngine):
    @pytest.fixture
    def make(self, session: Any) -> Make:
        types = {"text": "string", "integer": "bigint", "timestamp": "timestamp_ntz", "real": "double"}

        def frame(rows: list[dict[str, Any]], kinds: dict[str, str]) -> Any:
            values = [tuple(row[name] for name in kinds) for row in rows]
            return session.createDataFrame(values, ", ".join(f"`{name}` {types[kind]}" for name, kind in kinds.items()))

        return frame

    def test_instants_count_whatever_the_zone_of_the_session(self, session: Any) -> None:
        frame = session.sql("SELECT timestamp '2026-11-30 03:59:59' AS sent_at")  # five hours behind UTC
        assert not not_passed(check_contract(frame, ["chat"], None, NOW))
        frame = session.sql("SELECT timestamp '2026-11-30 04:00:01' AS sent_at")
        assert set(not_passed(check_contract(frame, ["chat"], None, NOW))) == {"sent"}

    @pytest.mark.parametrize("participants", [[], None, ["acme", None], ["acme", ""], ["acme", f" {SECRET}"]])
    def test_every_participant_is_an_account(self, session: Any, participants: Any) -> None:
        frame = session.createDataFrame([(["acme", "zeta"], "hello")], "account_id array<string>, text string")
        assert not not_passed(check_contract(frame, ["chat"], "account_id", NOW))
        frame = session.createDataFrame([(participants, "hello")], "account_id array<string>, text string")
        assert set(not_passed(check_contract(frame, ["chat"], "account_id", NOW))) == {"account"}

    def test_a_rule_that_spark_cannot_compute_is_errored_and_quotes_no_value(self, session: Any) -> None:
        frame = session.createDataFrame([("acme", SECRET)], "account_id string, text string")
        frame = frame.selectExpr("account_id", "if(true, raise_error(text), text) as text")
        try:
            found = check_contract(frame, ["chat"], "account_id", NOW)
        except CannotDecide as error:
            said = str(error)
        else:
            said = json.dumps(found.to_dict())
            assert found.outcome is Outcome.ERRORED
        assert SECRET not in said


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with fresh_database(postgres_server()) as url:
        yield url


@pytest.fixture(scope="module")
def source(database: str) -> Iterator[Any]:
    url = database.replace("postgresql://", "postgresql+psycopg://", 1)
    made = gx_context().data_sources.add_postgres("contracts", connection_string=url)
    yield made
    made.get_engine().dispose()
    made.get_execution_engine().close()


@pytest.mark.postgres
class TestPostgres(ContractsInEveryEngine):
    @pytest.fixture
    def make(self, database: str, source: Any) -> Make:
        return lambda rows, kinds: postgres_table(database, source, rows, kinds)

    def test_instants_count(self, make: Make) -> None:
        def told(moment: str) -> set[str]:
            batch = make([{"sent_at": moment}], {"sent_at": "timestamptz"})
            return set(not_passed(check_contract(batch, ["chat"], None, NOW)))

        assert told("2026-11-30T03:59:59-05:00") == set()
        assert told("2026-11-30T04:00:01-05:00") == {"sent"}

    def test_lists_of_accounts_are_errored(self, make: Make) -> None:
        batch = make([{"account_id": ["acme"]}], {"account_id": "text[]"})
        found = check_contract(batch, ["chat"], "account_id", NOW)
        assert {rule: told[0] for rule, told in not_passed(found).items()} == {"account": Outcome.ERRORED}


def postgres_table(url: str, source: Any, rows: list[dict[str, Any]], kinds: dict[str, str]) -> Any:
    import psycopg

    name = next(_names)
    with psycopg.connect(url) as database, database.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {name} ({', '.join(f'{column} {kind}' for column, kind in kinds.items())})")
        marks = ", ".join(["%s"] * len(kinds))
        cursor.executemany(f"INSERT INTO {name} VALUES ({marks})", [[row[column] for column in kinds] for row in rows])
    return source.add_table_asset(name, table_name=name).add_batch_definition_whole_table("all").get_batch()
