"""Tables of a real PostgreSQL, looked at where they are: counted like files, told apart by content, in one snapshot."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from gate.domain.dataset import Dataset, dataset
from gate.domain.words import Category
from gate.errors import CannotDecide, DatasetError, GateError, InputError, PermitRefused
from gate.scan.census import look, take_census
from gate.scan.coverage import account_ids, count_coverage
from gate.scan.detect.examination import examine
from gate.scan.digest import measure
from gate.scan.sql.address import use_logins
from gate.scan.sql.content import table_manifest
from gate.scan.sql.opening import PermittedTable
from gate.scan.sql.sampling import examine_table
from gate.scan.sql.snapshot import snapshot
from gate.service.deciding import decide
from gate.service.session import open_permitted
from gate.service.tagging import tag_dataset
from gate.service.worker import redeem
from support.coverage_cases import EXPECTED, GROUPS, NUMBERED
from support.databases import fresh_database, postgres_server
from support.world import ASKING, TRAIN, USE, add_account, event, new_service, say

pytestmark = pytest.mark.postgres


class Database:
    """A fresh database."""

    def __init__(self, con: Any) -> None:
        self.con = con
        self.host, self.port, self.name = con.info.host, con.info.port, con.info.dbname

    def run(self, text: str, rows: Sequence[Sequence[Any]] = ()) -> None:
        with self.con.cursor() as cursor:
            if rows:
                cursor.executemany(text, rows)
            else:
                cursor.execute(text)

    def dataset(self, table: str, account: str | None = "account_id", **words: Any) -> Dataset:
        return dataset(f"postgres://{self.host}:{self.port}/{self.name}.public.{table}", account, **words)

    def digest(self, table: str) -> str:
        return measure(self.dataset(table))[0].digest


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with fresh_database(postgres_server()) as url:
        import psycopg

        with psycopg.connect(url, autocommit=True) as con:
            login = {"user": con.info.user, "password": con.info.password}
            use_logins(lambda host, port: {key: value for key, value in login.items() if value})
            yield Database(con)
            use_logins(lambda host, port: {})


@pytest.fixture
def table(database: Database) -> Iterator[str]:
    name = f"t_{secrets.token_hex(4)}"
    yield name
    database.run(f'DROP TABLE IF EXISTS "{name}" CASCADE')


def test_a_table_is_counted_like_files(database: Database, table: str, tmp_path: Path) -> None:
    database.run(f"CREATE TABLE {table} (account_id text, category text, n int)")
    database.run(f"INSERT INTO {table} VALUES (%s, %s, %s)", NUMBERED)
    known = {"account_id": list(GROUPS), "group": pa.array(GROUPS.values(), pa.int32())}
    parquet.write_table(pa.table(known), tmp_path / "snapshot.parquet")
    seen = look(database.dataset(table, category_column="category"), tmp_path)
    assert count_coverage(seen.census, str(tmp_path / "snapshot.parquet")) == EXPECTED
    assert account_ids(seen.census) == ["007", "7", "a", "zoe"]
    assert seen.version == measure(seen.version.dataset)[0]
    assert (seen.version.dataset.namespace, seen.version.dataset.name) == (
        f"postgres://{database.host}:{database.port}",
        f"{database.name}.public.{table}",
    )
    for locator, unattributed in (("constant:a", 0), (None, 9)):
        counts = count_coverage(look(database.dataset(table, locator), tmp_path).census, None)
        assert (counts.total_rows, sum(counts.unattributed.values())) == (9, unattributed)


KINDS: dict[str, tuple[str, list[Any], pa.DataType]] = {
    "int2": ("smallint", [7, 0, None], pa.int16()),
    "int8": ("bigint", [2**63 - 1, -7, None], pa.int64()),
    "varchar": ("varchar(9)", ["a", " a", "", "\t ", "A", None], pa.string()),
    "citext": ("citext", ["Acme", "acme", None], pa.string()),
    "domain": ("tenant", ["Acme", "acme", None], pa.string()),
    "unicode": ("text", ["e\u0301", "\u00e9", "\U0001f600", "\x01"], pa.string()),
    "lists": ("text[]", [["a", "b"], ["a"], [], [None], ["a", None], ["a", "a"], None], pa.list_(pa.string())),
    "integers": ("int[]", [[1, 2], [], [None], None], pa.list_(pa.int32())),
}


@pytest.mark.parametrize("kind", KINDS)
def test_accounts_of_any_type(database: Database, table: str, tmp_path: Path, kind: str) -> None:
    database.run("CREATE EXTENSION IF NOT EXISTS citext")
    database.run("DO $$ BEGIN CREATE DOMAIN tenant AS text; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    words, values, arrow = KINDS[kind]
    database.run(f'CREATE TABLE {table} (n int, "account.ID" {words})')
    database.run(f"INSERT INTO {table} VALUES (%s, %s)", list(enumerate(values * 2)))
    parquet.write_table(pa.table({"account.ID": pa.array(values * 2, arrow)}), tmp_path / "t.parquet")
    here = look(database.dataset(table, "account.ID"), tmp_path).census
    there = take_census(dataset(str(tmp_path / "t.parquet"), "account.ID"), tmp_path / "there.parquet")
    assert _rows(here.path) == _rows(there.path)
    assert count_coverage(here, None) == count_coverage(there, None)


def _rows(path: Path) -> Counter[str]:
    return Counter({repr(row["account"]): row["n"] for row in parquet.read_table(path).to_pylist()})


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ("account_id numeric", "of type numeric"),
        ("account_id timestamptz", "of type timestamp"),
        ("account_id boolean", "of type boolean"),
        ("account_id jsonb", "of type jsonb"),
        ("account_id char(5)", "of type character"),
        ("account_id text COLLATE loose", "takes different texts for equal"),
        ("account text", "did you mean 'account'"),
        ("account_id text[] DEFAULT '{{a},{b}}'", "fit no column"),
    ],
)
def test_columns_that_name_no_account(database: Database, table: str, tmp_path: Path, words: str, match: str) -> None:
    database.run(
        "CREATE COLLATION IF NOT EXISTS loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
    )
    database.run(f"CREATE TABLE {table} ({words}, n int)")
    database.run(f"INSERT INTO {table} (n) VALUES (1)")
    with pytest.raises(DatasetError, match=match):
        look(database.dataset(table), tmp_path)


def test_the_digest_is_of_what_is_there_and_not_of_how(database: Database, table: str) -> None:
    rows = [
        ("acme", 1.5, "2024-01-01T00:00:00Z", b"x"),
        ("acme", 1.5, "2024-01-01T00:00:00Z", b"x"),
        (None, None, None, None),
    ]
    database.run(f"CREATE TABLE {table} (account_id text, x float8, at timestamptz, body bytea)")
    insert = f"INSERT INTO {table} VALUES (%s, %s, %s, %s)"
    database.run(insert, rows)
    first = database.digest(table)
    database.run(f"TRUNCATE {table}")
    database.run(insert, rows[::-1])
    database.run(f"CREATE INDEX ON {table} (x)")
    assert database.digest(table) == first
    for setting in (
        "DateStyle = 'German'",
        "TimeZone = 'Asia/Tokyo'",
        "bytea_output = 'escape'",
        "extra_float_digits = -15",
    ):
        database.run(f'ALTER DATABASE "{database.name}" SET {setting}')
    try:
        assert database.digest(table) == first
    finally:
        database.run(f'ALTER DATABASE "{database.name}" RESET ALL')


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE {t} SET account_id = 'other' WHERE n = 1",
        "UPDATE {t} SET account_id = '' WHERE account_id IS NULL",
        "UPDATE {t} SET account_id = b, b = account_id WHERE n = 1",
        "UPDATE {t} SET n = n + 1",
        "DELETE FROM {t} WHERE n = 3",
        "INSERT INTO {t} SELECT * FROM {t} WHERE n = 1",
        "INSERT INTO {t} SELECT * FROM {t}",
        "ALTER TABLE {t} RENAME COLUMN b TO c",
        "ALTER TABLE {t} ALTER n TYPE bigint",
        "ALTER TABLE {t} ADD COLUMN z int",
        "ALTER TABLE {t} DROP COLUMN b",
    ],
)
def test_any_change_is_another_version(database: Database, table: str, change: str) -> None:
    database.run(f"CREATE TABLE {table} (account_id text, b text, n int)")
    database.run(
        f"INSERT INTO {table} VALUES (%s, %s, %s)", [("a", "b,", 1), ("(a", '"', 2), (None, None, 3), (None, None, 3)]
    )
    before = database.digest(table)
    database.run(change.format(t=table))
    assert database.digest(table) != before


def test_its_owner_cannot_say_how_rows_are_written(database: Database, table: str) -> None:
    database.run(f"CREATE TABLE {table} (account_id text)")
    database.run(f"INSERT INTO {table} VALUES ('a')")
    database.run(f"CREATE FUNCTION {table}_f({table}) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'same' $$")
    database.run(f"CREATE CAST ({table} AS text) WITH FUNCTION {table}_f({table})")
    before = database.digest(table)
    database.run(f"UPDATE {table} SET account_id = 'b'")
    assert database.digest(table) != before


def test_one_snapshot_whatever_others_write(database: Database, table: str) -> None:
    database.run(f"CREATE TABLE {table} (account_id text)")
    database.run(f"INSERT INTO {table} VALUES ('a')")
    with snapshot(database.dataset(table)) as now:
        before = table_manifest(now)
        database.run(f"INSERT INTO {table} VALUES ('b')")
        assert table_manifest(now) == before
        assert now.arrow(now.table()).num_rows == 1
    assert measure(database.dataset(table))[1] != before[0]


def test_parts_of_a_table_count(database: Database, table: str, tmp_path: Path) -> None:
    database.run(f"CREATE TABLE {table} (account_id text, n int) PARTITION BY LIST (n)")
    for number in (1, 2):
        database.run(f"CREATE TABLE {table}_{number} PARTITION OF {table} FOR VALUES IN ({number})")
    database.run(f"INSERT INTO {table} VALUES ('a', 1), ('b', 2)")
    assert account_ids(look(database.dataset(table), tmp_path).census) == ["a", "b"]


def test_what_is_no_table_is_refused(database: Database, table: str, tmp_path: Path) -> None:
    database.run(f"CREATE TABLE {table} (account_id text)")
    with pytest.raises(DatasetError, match="holds no rows"):
        count_coverage(look(database.dataset(table), tmp_path).census, None)
    database.run(f"CREATE VIEW {table}_v AS SELECT * FROM {table}")
    for name, match in ((f"{table}_v", "a view"), (f"{table}_x", "does not exist")):
        with pytest.raises(DatasetError, match=match):
            look(database.dataset(name), tmp_path)
    with pytest.raises(DatasetError, match="has no paths"):
        look(database.dataset(table, "path:{account}/*"), tmp_path)
    with pytest.raises(InputError, match="names no table"):
        look(dataset(f"postgres://{database.host}:{database.port}/calls", "account_id"), tmp_path)
    for uri in ("postgres://me:secret@db:5432/a.b.c", "postgresql://db:5432/a.b.c"):
        with pytest.raises(InputError, match="without user and password") as caught:
            dataset(uri, "account_id")
        assert "secret" not in str(caught.value)


def test_rows_that_a_policy_hides_are_an_error(database: Database, table: str, tmp_path: Path) -> None:
    role = f"r_{table}"
    database.run(f"CREATE TABLE {table} (account_id text)")
    database.run(f"INSERT INTO {table} VALUES ('seen'), ('hidden')")
    database.run(f"CREATE ROLE {role} LOGIN")
    database.run(f"GRANT SELECT ON {table} TO {role}")
    database.run(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    database.run(f"CREATE POLICY seen ON {table} USING (account_id = 'seen')")
    use_logins(lambda host, port: {"user": role})
    try:
        with pytest.raises(CannotDecide, match="a policy of the table hides rows"):
            look(database.dataset(table), tmp_path)
    finally:
        use_logins(lambda host, port: {"user": database.con.info.user})
        database.run(f"DROP TABLE {table}")
        database.run(f"DROP ROLE {role}")


def test_a_database_that_is_not_there_is_not_a_change_of_data(database: Database, tmp_path: Path) -> None:
    with pytest.raises(CannotDecide) as caught:
        look(dataset(f"postgres://127.0.0.1:1/{database.name}.public.t", "account_id"), tmp_path)
    assert not isinstance(caught.value, DatasetError)
    use_logins(lambda host, port: {"user": "nobody_here", "password": "secret"})
    try:
        with pytest.raises(CannotDecide, match="cannot be reached") as caught:
            look(database.dataset("t"), tmp_path)
        assert "secret" not in str(caught.value)
        assert "nobody_here" not in str(caught.value)
    finally:
        use_logins(lambda host, port: {"user": database.con.info.user})


def test_detection_finds_in_a_table_what_it_finds_in_a_file(database: Database, table: str, tmp_path: Path) -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    said = [
        ("acme", ("host", "guest")[n % 2], start + timedelta(seconds=n), f"hello, do you see my screen {n}?")
        for n in range(1500)
    ]
    names = ("account_id", "sender", "sent_at", "message")
    database.run(f"CREATE TABLE {table} (account_id text, sender text, sent_at timestamptz, message text)")
    database.run(f"INSERT INTO {table} VALUES (%s, %s, %s, %s)", said)
    parquet.write_table(pa.table(dict(zip(names, zip(*said, strict=True), strict=True))), tmp_path / "t.parquet")
    with snapshot(database.dataset(table)) as now:
        version, seen = examine_table(now)
    assert seen == examine(dataset(str(tmp_path / "t.parquet"), "account_id"))
    assert seen.categories == {Category.CHAT}
    assert version == measure(version.dataset)[0]


def test_a_table_from_tag_to_training(database: Database, table: str, tmp_path: Path) -> None:
    database.run(f"CREATE TABLE {table} (account_id text, sender text, sent_at timestamptz, text text, more jsonb)")
    said = [("acme", "host", "2024-01-01T00:00:00Z", f"hello {n}, do you see my screen?", "{}") for n in range(30)]
    database.run(f"INSERT INTO {table} VALUES (%s, %s, %s, %s, %s)", said)
    source = database.dataset(table)
    with new_service(tmp_path / "home") as service:
        tagged = tag_dataset(service, source, ["chat"], by="service:airflow", via="airflow", contracts=True)
        assert not decide(service, [source], USE, ASKING).allowed
        add_account(service, "acme")
        say(service, event("acme"))
        outcome = decide(service, [source], USE, _asking(2))
        assert outcome.allowed, outcome.decision.reasons
        redeemed = redeem(service, _train(2), [source], USE, by="service:airflow")
        with open_permitted(redeemed, source, tmp_path / "private") as data:
            database.run(f"INSERT INTO {table} VALUES ('stranger', 'x', now(), 'hi')")
            assert data.arrow()["account_id"].to_pylist() == ["acme"] * 30
            assert len(data.pandas()) == 30
            with pytest.raises(DatasetError, match="use arrow"):
                data.paths()
        with pytest.raises(DatasetError, match="not the version that was permitted") as changed:
            PermittedTable(tagged.version, tmp_path).open()
        assert changed.value.reason == "dataset_changed"
        with pytest.raises(PermitRefused) as caught:
            redeem(service, _train(2, again=True), [source], USE, by="service:airflow")
        assert caught.value.reason == "dataset_changed"
        assert not decide(service, [source], USE, _asking(3)).allowed


def _asking(number: int) -> Any:
    return replace(ASKING, run=replace(ASKING.run, run_id=f"manual__{number}"))


def _train(number: int, *, again: bool = False) -> Any:
    return replace(TRAIN, run_id=f"manual__{number}", try_number=2 if again else 1)


def test_no_error_quotes_a_row(database: Database, table: str, tmp_path: Path) -> None:
    database.run(f"CREATE FUNCTION {table}_f(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE '%', $1; END $$")
    database.run(f"CREATE TABLE {table} (account_id text)")
    database.run(f"INSERT INTO {table} VALUES ('secret-account')")
    database.run(f"CREATE MATERIALIZED VIEW {table}_m AS SELECT 'a' AS account_id WITH NO DATA")
    with pytest.raises(GateError) as caught:
        look(database.dataset(f"{table}_m"), tmp_path)
    assert "secret" not in str(caught.value)
    database.run(f"DROP FUNCTION {table}_f")
