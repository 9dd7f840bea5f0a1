"""Contracts of datasets in every engine: outcomes in pandas and on Spark are the same; tables are one snapshot."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from gate.domain.contract import ContractOutcome, Outcome
from gate.domain.dataset import Dataset, dataset
from gate.errors import DatasetError
from gate.scan.contracts.checking import check_dataset_contract, check_held_contract
from gate.scan.spark.cluster import Spark
from gate.scan.sql.address import use_logins
from gate.scan.sql.snapshot import snapshot
from gate.service.tagging import tag_dataset
from support.contract_suite import NOW, SECRET, not_passed, outcomes
from support.databases import fresh_database, postgres_server
from support.spark import running
from support.world import new_service

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("great_expectations"),
    pytest.mark.filterwarnings("ignore:.*:ResourceWarning"),
]
SENT = datetime(2026, 11, 29, 9, tzinfo=UTC)
GOOD = {"account_id": "acme", "text": "hello", "sender": "host", "sent_at": SENT, "reply_minutes": 3}
LATE = GOOD | {"sent_at": datetime(2226, 1, 1, tzinfo=UTC)}
NAMELESS = GOOD | {"account_id": None, "reply_minutes": -1}
TYPES = pa.schema(
    [
        ("account_id", pa.string()),
        ("text", pa.string()),
        ("sender", pa.string()),
        ("sent_at", pa.timestamp("us", "UTC")),
        ("reply_minutes", pa.int32()),
    ]
)


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spark]:
    with running("local[2]", tmp_path_factory.mktemp("spark")) as started:
        yield started


def parquet_files(folder: Path, *files: list[dict[str, Any]]) -> Dataset:
    for number, rows in enumerate(files):
        parquet.write_table(pa.Table.from_pylist(rows, TYPES), folder / f"{number}.parquet")
    return dataset(str(folder), "account_id")


def csv_files(folder: Path, *files: list[dict[str, Any]]) -> Dataset:
    for number, rows in enumerate(files):
        lines = [",".join("" if (value := row[name]) is None else str(value) for name in GOOD) for row in rows]
        (folder / f"{number}.csv").write_text("\n".join([",".join(GOOD), *lines, ""]))
    return dataset(str(folder), "account_id")


def json_lines(folder: Path, *files: list[dict[str, Any]]) -> Dataset:
    for number, rows in enumerate(files):
        (folder / f"{number}.jsonl").write_text("\n".join(json.dumps(row, default=str) for row in rows))
    return dataset(str(folder), "account_id")


def json_arrays(folder: Path, *files: list[dict[str, Any]]) -> Dataset:
    for number, rows in enumerate(files):
        (folder / f"{number}.json").write_text(json.dumps(rows, default=str))
    return dataset(str(folder), "account_id")


def both(source: Dataset, spark: Spark, *categories: str) -> ContractOutcome:
    """Return what both engines say: the same."""
    here = check_dataset_contract(source, categories or ["chat"], NOW)
    there = check_dataset_contract(source, categories or ["chat"], NOW, spark=spark)
    assert outcomes(there) == outcomes(here)
    assert replace(there, rules=()) == replace(here, rules=())
    for mine, its in zip(here.rules, there.rules, strict=True):
        if its.values:  # else Spark's schema told all
            assert its == mine
    assert SECRET not in json.dumps([here.to_dict(), there.to_dict()])
    return here


@pytest.mark.parametrize("write", [parquet_files, csv_files, json_lines, json_arrays])
class TestFiles:
    def test_what_holds_passes(self, spark: Spark, tmp_path: Path, write: Any) -> None:
        found = both(write(tmp_path, [GOOD] * 3, [GOOD] * 2), spark)
        assert (found.outcome, found.rows, len(found.rules)) == (Outcome.PASSED, 5, 6)

    def test_what_does_not_hold_in_one_file_fails(self, spark: Spark, tmp_path: Path, write: Any) -> None:
        found = both(write(tmp_path, [GOOD] * 3, [LATE, NAMELESS]), spark)
        assert not_passed(found) == {
            "account": (Outcome.FAILED, 1, 0),
            "sent": (Outcome.FAILED, 0, 1),
            "reply-time": (Outcome.FAILED, 0, 1),
        }


def test_what_does_not_read_as_a_number_is_found_in_any_file(spark: Spark, tmp_path: Path) -> None:
    found = both(csv_files(tmp_path, [GOOD] * 3, [GOOD | {"reply_minutes": SECRET}]), spark)
    assert set(not_passed(found)) == {"reply-time"}


def test_fields_of_other_types_in_other_files(spark: Spark, tmp_path: Path) -> None:
    more = GOOD | {"reply_minutes": 2.5, "text": 7}
    found = both(json_lines(tmp_path, [GOOD], [more], [{"account_id": "acme", "text": "only"}]), spark)
    assert outcomes(found)["reply-time"] is Outcome.PASSED


def test_every_participant_is_an_account(spark: Spark, tmp_path: Path) -> None:
    rows = [{"account_id": ["acme", "zeta"], "text": "hello"}, {"account_id": ["acme", None], "text": "hi"}]
    found = both(json_lines(tmp_path, rows), spark)
    assert not_passed(found) == {"account": (Outcome.FAILED, 1, 0)}


def test_partitions_are_columns(spark: Spark, tmp_path: Path) -> None:
    for number, account in enumerate(["acme", "zeta"]):
        (folder := tmp_path / f"account_id={account}").mkdir()
        rows = pa.Table.from_pylist([GOOD], TYPES).drop_columns(["account_id"])
        parquet.write_table(rows, folder / f"{number}.parquet")
    found = both(dataset(str(tmp_path), "account_id"), spark)
    assert (found.outcome, outcomes(found)["account"]) == (Outcome.PASSED, Outcome.PASSED)


def test_recordings_are_nothing_to_check(spark: Spark, tmp_path: Path) -> None:
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "call.bin").write_bytes(b"\0\1\2")
    source = dataset(str(tmp_path), "path:{account}/*")
    assert both(source, spark, "audio").note == "its files are no tables of one format"


def test_a_damaged_file_is_an_error_there_too(spark: Spark, tmp_path: Path) -> None:
    source = csv_files(tmp_path, [GOOD] * 3)
    (tmp_path / "1.csv").write_text(",".join(GOOD) + f"\nacme,{SECRET}\n")
    for engine in (None, spark):
        with pytest.raises(DatasetError, match="has 2 fields where the header has 5") as raised:
            check_dataset_contract(source, ["chat"], NOW, spark=engine)
        assert SECRET not in str(raised.value)


def test_a_tag_on_spark_holds_the_outcome(spark: Spark, tmp_path: Path) -> None:
    (data := tmp_path / "data").mkdir()
    source = parquet_files(data, [GOOD], [LATE])
    with new_service(tmp_path / "home") as service:
        words = {"by": "service:test", "via": "airflow", "contracts": True}
        tagged = tag_dataset(service, source, ["chat"], spark=spark, **words)
    assert tagged.contract is not None
    assert set(not_passed(tagged.contract)) == {"sent"}


@pytest.fixture(scope="module")
def con() -> Iterator[Any]:
    import psycopg

    with fresh_database(postgres_server()) as url, psycopg.connect(url, autocommit=True) as con:
        login = {"user": con.info.user, "password": con.info.password}
        use_logins(lambda host, port: {key: value for key, value in login.items() if value})
        con.execute(f"ALTER DATABASE {con.info.dbname} SET TimeZone = 'America/New_York'")  # no zone of ours
        yield con
        use_logins(lambda host, port: {})


ODD = 'of "calls": 50%'


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@pytest.mark.postgres
class TestTables:
    def table(self, con: Any, columns: str, schema: str = "public", name: str = "") -> Dataset:
        name = name or f"t_{secrets.token_hex(4)}"
        con.execute(f"CREATE TABLE {quoted(schema)}.{quoted(name)} ({columns})")
        where = f"{con.info.host}:{con.info.port}/{con.info.dbname}"
        return dataset(f"postgres://{where}.{schema}.{name}", "account_id")

    def test_rules_are_asked_where_the_table_is(self, con: Any) -> None:
        columns = "account_id text, text varchar(80), sender text, sent_at timestamptz, reply_minutes smallint"
        source = self.table(con, columns, name=ODD)
        insert = f"INSERT INTO {quoted(ODD)} VALUES (%s, %s, %s, %s, %s)".replace("50%", "50%%")
        con.cursor().executemany(insert, [list(row.values()) for row in [GOOD, GOOD, LATE, NAMELESS]])
        found = check_dataset_contract(source, ["chat"], NOW)
        assert found.rows == 4
        assert not_passed(found) == {
            "account": (Outcome.FAILED, 1, 0),
            "sent": (Outcome.FAILED, 0, 1),
            "reply-time": (Outcome.FAILED, 0, 1),
        }

    def test_a_schema_of_its_own(self, con: Any) -> None:
        con.execute('CREATE SCHEMA "own: schema"')
        source = self.table(con, "account_id text, text text", schema="own: schema")
        con.execute(f"INSERT INTO \"own: schema\".\"{source.name.split('.')[-1]}\" VALUES ('acme', 'hello')")
        assert check_dataset_contract(source, ["chat"], NOW).outcome is Outcome.PASSED

    def test_every_participant_is_an_account(self, con: Any) -> None:
        source = self.table(con, "account_id text[], text text")
        name = source.name.split(".")[-1]
        con.execute(f"INSERT INTO {name} VALUES (ARRAY['acme', 'zeta'], 'hello')")
        assert check_dataset_contract(source, ["chat"], NOW).outcome is Outcome.PASSED
        con.execute(f"INSERT INTO {name} VALUES (ARRAY['acme', ''], 'hello'), (ARRAY[]::text[], 'hi')")
        found = check_dataset_contract(source, ["chat"], NOW)
        assert not_passed(found) == {"account": (Outcome.FAILED, 1, 1)}

    def test_the_snapshot_is_that_of_the_digest(self, con: Any) -> None:
        source = self.table(con, "account_id text, text text")
        name = source.name.split(".")[-1]
        con.execute(f"INSERT INTO {name} VALUES ('acme', 'hello')")
        with snapshot(source) as held:
            con.execute(f"INSERT INTO {name} VALUES (NULL, NULL)")
            con.execute(f"UPDATE {name} SET account_id = ''")
            inside = check_held_contract(held, ["chat"], NOW)
        assert (inside.outcome, inside.rows) == (Outcome.PASSED, 1)
        outside = check_dataset_contract(source, ["chat"], NOW)
        assert (outside.outcome, outside.rows) == (Outcome.FAILED, 2)

    def test_its_tag_holds_the_outcome(self, con: Any, tmp_path: Path) -> None:
        source = self.table(con, "account_id text, text text")
        con.execute(f"INSERT INTO {source.name.split('.')[-1]} VALUES ('acme', 'hello'), (NULL, 'hi')")
        with new_service(tmp_path / "home") as service:
            words = {"by": "service:test", "via": "airflow", "contracts": True}
            tagged = tag_dataset(service, source, ["chat"], **words)
        assert tagged.contract is not None
        assert not_passed(tagged.contract) == {"account": (Outcome.FAILED, 1, 0)}
