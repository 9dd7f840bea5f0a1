"""Expectations about consent in Spark: one local session, the suite of every engine, and what only Spark can do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.expectation_suite import InEveryEngine, assert_errored
from support.expectations import AGREED, SparkBatches, expect_consent, gx_context, new_home, told

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("great_expectations"),
    pytest.mark.filterwarnings("ignore:.*:ResourceWarning"),
]
NO_SPARK = "Spark does not start (apt-get install openjdk-17-jre-headless): its part of the suite does not run"


@pytest.fixture(scope="module", autouse=True)
def _its_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("home")
    new_home(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("GATE_DATABASE_URL", raising=False)
        patch.setenv("GATE_HOME", str(folder))
        yield


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    folder = tmp_path_factory.mktemp("spark")
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.sql.warehouse.dir", str(folder)).config("spark.sql.shuffle.partitions", "2")
    builder = builder.config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
    try:
        started = builder.getOrCreate()
    except (PySparkException, OSError):
        if os.environ.get("CI") == "true":
            pytest.fail(NO_SPARK)
        pytest.skip(NO_SPARK)
    yield started
    started.stop()


@pytest.fixture(scope="module")
def batches(session: Any) -> SparkBatches:
    return SparkBatches(gx_context(), session)


class TestSpark(InEveryEngine):
    @pytest.mark.parametrize("kind", ["string collate UTF8_LCASE", "array<string collate UTF8_LCASE>"])
    def test_a_collation_hides_no_account(self, batches: SparkBatches, kind: str) -> None:
        rows: list[Any] = [AGREED, AGREED.upper()]
        if kind.startswith("array"):
            rows = [[row] for row in rows]
        result = batches.batch(rows, kind).validate(expect_consent())
        assert not result.success
        assert result.result["details"]["accounts"] == {"passing": 1, "blocked": 1}, told(result)

    @pytest.mark.parametrize("kind", ["map<string,string>", "struct<a:string>"])
    def test_records_name_no_account(self, batches: SparkBatches, kind: str) -> None:
        value = {"a": AGREED} if kind.startswith("map") else (AGREED,)
        assert_errored(batches.batch([value], kind).validate(expect_consent()))

    def test_a_name_with_a_dot_is_a_column(self, batches: SparkBatches) -> None:
        frame = batches.session.createDataFrame([(AGREED,)], "`account.id` string")
        assert batches.of(frame).validate(expect_consent(column="account.id")).success

    def test_a_job_that_fails_is_no_success_and_quotes_no_value(self, batches: SparkBatches, tmp_path: Path) -> None:
        frame = batches.session.createDataFrame([(AGREED, "7")], "account_id string, text string")
        frame = frame.selectExpr("raise_error(account_id) as account_id", "text")
        result = batches.of(frame).validate(expect_consent())
        assert_errored(result)
        assert AGREED not in told(result)
