"""Roles on a real PostgreSQL: who may read, who may append what, and that nobody changes anything."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from gate.domain.canonical import canonical
from gate.domain.run import Confirmed
from gate.errors import InputError, LedgerUnavailable, LineageUnavailable
from gate.ledger import merkle
from gate.ledger.roles import WORKER_KINDS, roles_sql
from gate.ledger.store import NewEntry, open_ledger
from gate.ledger.writing import KINDS, entry_bytes
from gate.lineage.observed import observe
from gate.lineage.store.graph import events_of
from gate.lineage.store.ingest import store_events
from gate.service.answers import Answer, ReviewAnswer
from gate.service.consents import record_lines
from gate.service.core import open_service, set_up
from gate.service.deciding import decide
from gate.service.imports import read_consent_file
from gate.service.lineage_store import open_lineage, set_up_lineage
from gate.service.reviewing import decide_again
from gate.service.settings import read_settings
from gate.service.tagging import tag_dataset
from gate.service.worker import redeem
from support.databases import fresh_database
from support.ledgers import COMMON, check, numbered
from support.world import ASKING, RUN, START, TRAIN, USE, Clock, add_account, chat_file, event, new_service, say

pytestmark = [pytest.mark.postgres, pytest.mark.xdist_group("postgres_roles")]

ROLES = ("reader", "appender", "owner")
TABLES = ("entry", "node", "tree_head", "opening", "attachment", "outbox", "meta", "answered", "alembic_version")
WORKER = {**COMMON, "by": "service:airflow", "via": "airflow"}


@dataclass
class Setup:
    """A ledger that its tables' owner set up, and a URL per role."""

    admin: str
    home: Path
    urls: dict[str, str]

    def run(self, role: str, statement: str) -> None:
        with psycopg.connect(_plain(self.urls[role]), autocommit=True) as connection:
            connection.execute(statement)


def _plain(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    """A ledger that the tests fill with every kind of entry; none of them is meant."""
    with with_roles(tmp_path_factory.mktemp("home")) as made:
        yield made


@pytest.fixture
def working(tmp_path: Path) -> Iterator[Setup]:
    """A ledger that a service can work with."""
    with with_roles(tmp_path / "home") as made:
        yield made


@contextmanager
def with_roles(home: Path) -> Iterator[Setup]:
    server = os.environ.get("GATE_TEST_POSTGRES_URL")
    if not server:
        if os.environ.get("CI") == "true":
            pytest.fail("GATE_TEST_POSTGRES_URL is not set")
        pytest.skip("GATE_TEST_POSTGRES_URL is not set: the PostgreSQL half of the suite does not run")
    tag = secrets.token_hex(4)
    names = {role: f"gate_{role}_{tag}" for role in ROLES}
    logins = {role: f"login_{role}_{tag}" for role in ROLES}
    with fresh_database(server) as url:
        with new_service(home, url=url) as service:
            add_account(service, "acme")
            say(service, event("acme"))
            set_up_lineage(service.settings)
        with psycopg.connect(_plain(url), autocommit=True) as admin:
            for _ in range(2):  # running the script again is safe
                admin.execute(roles_sql(**names))
            for role in ROLES:
                admin.execute(f"CREATE ROLE {logins[role]} LOGIN PASSWORD 'pw' IN ROLE {names[role]}")
        urls = {
            role: make_url(url).set(username=logins[role], password="pw").render_as_string(hide_password=False)
            for role in ROLES
        }
        yield Setup(url, home, urls)
    with psycopg.connect(server, autocommit=True) as admin:
        for role in (*logins.values(), *names.values()):
            admin.execute(f"DROP ROLE {role}")


def append(url: str, kind: str, subject: str, **common: object) -> None:
    opened = open_ledger(url)
    try:
        with opened.write() as tx:
            tx.append(kind, subject, {"n": subject}, **{**WORKER, **common})
    finally:
        opened.close()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_role_appends_its_kinds_and_no_other(ledger: Setup, kind: str) -> None:
    for role in ROLES:
        allowed = role == "owner" or (role == "appender" and kind in WORKER_KINDS)
        subject = f"{role} {secrets.token_hex(4)}"
        if allowed:
            append(ledger.urls[role], kind, subject)
        else:
            with pytest.raises(LedgerUnavailable, match="may not be written"):
                append(ledger.urls[role], kind, subject)
        opened = open_ledger(ledger.urls["reader"])
        with opened.read() as reader:
            assert (reader.find(kind, subject) is not None) is allowed
        opened.close()


def test_a_worker_appends_no_consent_nor_anything_that_speaks_for_people() -> None:
    people = {"consent", "appointment", "profile", "model", "policy_activation", "key", "mode", "override", "token"}
    people |= {"proposal", "approval", "declassification", "erasure", "feed", "clock", "genesis", "access"}
    people |= {"obligation"}
    assert not WORKER_KINDS & people
    assert WORKER_KINDS | people == KINDS


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE entry SET kind = 'tag'",
        "UPDATE node SET hash = ''",
        "UPDATE tree_head SET root = ''",
        "UPDATE opening SET value = '\"x\"'",
        "UPDATE attachment SET content = ''",
        "UPDATE meta SET value = 'x'",
        "UPDATE alembic_version SET version_num = '0000'",
        "UPDATE outbox SET event = '{}'",
        "UPDATE answered SET status = 200",
        "DELETE FROM entry",
        "DELETE FROM node",
        "DELETE FROM tree_head",
        "DELETE FROM outbox",
        "DELETE FROM meta",
        *(f"TRUNCATE {table} CASCADE" for table in TABLES),
        *(f"DROP TABLE {table} CASCADE" for table in TABLES),
        "ALTER TABLE entry DISABLE TRIGGER ALL",
        "ALTER TABLE entry DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE entry ADD COLUMN more text",
        "ALTER TABLE entry OWNER TO CURRENT_USER",
        "DROP TRIGGER entry_append_only ON entry",
        "DROP POLICY gate_append ON entry",
        "CREATE POLICY mine ON entry FOR INSERT WITH CHECK (true)",
        "CREATE TRIGGER mine BEFORE INSERT ON entry EXECUTE FUNCTION gate_refuse_change()",
        "CREATE OR REPLACE FUNCTION gate_refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "DROP FUNCTION gate_refuse_change CASCADE",
        "CREATE TABLE mine (n int)",
        "CREATE RULE mine AS ON INSERT TO entry DO INSTEAD NOTHING",
        "INSERT INTO meta (key, value) VALUES ('x', 'y')",
        "SET session_replication_role = replica",
        "GRANT INSERT ON entry TO PUBLIC",
    ],
)
def test_nobody_changes_what_is_there(ledger: Setup, change: str) -> None:
    before = check(ledger.admin)
    for role in ROLES:
        try:
            ledger.run(role, change)
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.RaiseException, psycopg.errors.WrongObjectType):
            continue
        # GRANT without any right to grant is a warning, not an error: what counts is that nothing came of it.
        assert change.startswith("GRANT"), f"{role} could {change}"
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ledger.run(
                "reader",
                "INSERT INTO entry SELECT idx + 1000000, 'x', 'x', null, null, payload, leaf_hash FROM entry LIMIT 1",
            )
    after = check(ledger.admin)
    assert (after.ok, after.size, after.root) == (True, before.size, before.root)


@pytest.mark.parametrize("table", ["opening", "attachment"])
def test_only_the_owner_erases(ledger: Setup, table: str) -> None:
    nothing = f"DELETE FROM {table} WHERE false"
    for role in ("reader", "appender"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ledger.run(role, nothing)
    opened = open_ledger(ledger.urls["owner"])
    with opened.write() as tx:
        ref = tx.commit_ref("text", f"to be erased {table}")
        assert tx.erase([ref]) == 1
    opened.close()
    ledger.run("owner", nothing)


def test_the_reader_reads_and_verifies_everything(ledger: Setup) -> None:
    report = check(ledger.urls["reader"])
    assert report.ok
    assert (report.size, report.root) == (check(ledger.admin).size, check(ledger.admin).root)
    opened = open_ledger(ledger.urls["reader"])
    with opened.read() as reader:
        assert reader.ref("account", "acme") is not None
    with pytest.raises(LedgerUnavailable, match="may not be written"):
        opened.remember("k", "d", 200, b"")
    opened.close()


def test_only_the_owner_keeps_answers(ledger: Setup) -> None:
    opened = open_ledger(ledger.urls["owner"])
    assert opened.remember("k", "d", 200, b"x") == opened.answered("k")
    opened.close()
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        ledger.run("appender", "SELECT * FROM answered")


# What a worker could try with the bytes: `kind` is what readers go by, the payload is what they believe.


def raw(url: str, kind: str, new: NewEntry, **columns: object) -> None:
    """Insert one row as a program of a worker's own would."""
    subject, payload = entry_bytes(new)
    opened = open_ledger(url)
    with opened.read() as reader:
        idx = reader.size
    opened.close()
    row: dict[str, object] = {
        "idx": idx,
        "kind": kind,
        "subject": subject,
        "account_ref": new.body.get("account_ref"),
        "effective_at": new.body.get("effective_at"),
        "payload": payload,
        "leaf_hash": merkle.leaf_hash(payload),
        **columns,
    }
    names = ", ".join(row)
    with psycopg.connect(_plain(url)) as connection:
        connection.execute(f"INSERT INTO entry ({names}) VALUES ({', '.join(['%s'] * len(row))})", list(row.values()))
        connection.rollback()


HONEST = NewEntry("tag", "s", {"account_ref": "a" * 64}, **WORKER)


def test_bytes_and_columns_of_a_worker_agree(ledger: Setup) -> None:
    url = ledger.urls["appender"]
    raw(url, "tag", HONEST)
    withdrawn = NewEntry("consent", "s", {"account_ref": "a" * 64}, **WORKER)
    person = NewEntry("tag", "s", {}, **{**WORKER, "by": "person:" + "a" * 64})
    lies = [
        ("tag", withdrawn, {}),  # a consent in the bytes of a tag
        ("consent", withdrawn, {}),
        ("tag", HONEST, {"account_ref": "b" * 64}),
        ("tag", HONEST, {"account_ref": None}),
        ("tag", HONEST, {"subject": "t"}),
        ("tag", HONEST, {"effective_at": "2024-01-01T00:00:00Z"}),
        ("tag", HONEST, {"leaf_hash": b"\0" * 32}),
        ("tag", person, {}),
        *(("tag", NewEntry("tag", "s", {}, **{**WORKER, "via": via}), {}) for via in ("cli", "ui", "api")),
    ]
    for kind, new, columns in lies:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            raw(url, kind, new, **columns)
    for payload in (b"not json", b"\xff", canonical({"kind": "tag"}), b"[]"):
        with pytest.raises(psycopg.Error):
            raw(url, "tag", HONEST, payload=payload, leaf_hash=merkle.leaf_hash(payload))


def test_a_worker_cannot_put_another_account_behind_a_reference(ledger: Setup) -> None:
    opened = open_ledger(ledger.urls["appender"])
    with opened.write() as tx:
        assert tx.commit_ref("account", "seen in the data – “§”\n")
        assert tx.attach(b"list", "application/octet-stream")
    opened.close()
    digest = "sha256('x')"
    for row in (f"('{'a' * 64}', 'account', '\"victim\"', '\\x00', {digest})",):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ledger.run("appender", f"INSERT INTO opening (ref, kind, value, salt, value_digest) VALUES {row}")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        ledger.run(
            "appender", f"INSERT INTO attachment (digest, media_type, content) VALUES ('sha256:{'a' * 64}', 'x', 'y')"
        )


def test_a_worker_cannot_announce_entries_that_are_not_there(ledger: Setup) -> None:
    head = "INSERT INTO tree_head (size, previous, root, frontier) VALUES (999999999, 1, 'x', 'x')"
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        ledger.run("appender", head)


def test_a_worker_decides_and_redeems(working: Setup, tmp_path: Path) -> None:
    """The whole of a worker's part, as the appender, on a ledger somebody else set up."""
    settings = read_settings({"GATE_HOME": str(working.home)}, database_url=working.urls["appender"])
    with open_service(settings, clock=Clock(START)) as service:
        service.confirm = lambda run: Confirmed()
        data = chat_file(tmp_path, ["acme"] * 3)
        tag_dataset(service, data, ["chat"], by="service:airflow", via="airflow")
        outcome = decide(service, [data], USE, ASKING)
        assert outcome.allowed
        assert redeem(service, TRAIN, [data], USE, by="service:airflow").index > outcome.index
        assert not service.ledger.pending_outbox(10)  # its event went into the lineage store, in the same database
        with pytest.raises(LedgerUnavailable, match="may not be written"):
            say(service, event("acme", "withdraw", effective_at="2023-12-01T00:00:00Z"))
        with pytest.raises(LedgerUnavailable, match="may not be written"):
            tag_dataset(service, chat_file(tmp_path, ["acme"], "b.jsonl"), ["chat"], by="eve", via="cli")
    assert check(working.admin).ok


def test_lineage_is_read_by_all_and_written_by_who_decides(working: Setup) -> None:
    said = {"eventTime": "2026-11-22T10:00:00Z", "eventType": "COMPLETE", "run": {"runId": "r1"}}
    for role in ("appender", "owner", "reader"):
        settings = read_settings({"GATE_HOME": str(working.home)}, database_url=working.urls[role])
        with open_lineage(settings) as store:
            if role == "reader":
                with pytest.raises(LineageUnavailable):
                    store_events(store, [observe(said | {"producer": role})])
            else:
                assert store_events(store, [observe(said | {"producer": role})]) == (1, 0)
            with store.read() as connection:
                assert len(list(events_of(connection, ["r1"]))) == 1 + (role != "appender")


def test_a_worker_records_what_a_reviewer_answered(working: Setup, tmp_path: Path) -> None:
    settings = read_settings({"GATE_HOME": str(working.home)}, database_url=working.urls["appender"])
    with open_service(settings, clock=Clock(START)) as service:
        service.confirm_review = lambda answer: None
        data = chat_file(tmp_path, ["acme", "zeta"])
        tag_dataset(service, data, ["chat"], by="service:airflow", via="airflow")
        blocked = decide(service, [data], USE, ASKING)
        options = (Answer.CHECK_AGAIN, Answer.KEEP_BLOCKED)
        answer = ReviewAnswer(RUN, blocked.index, 1, Answer.KEEP_BLOCKED, options, "airflow|ada", START, "a note")
        assert service.record_review(answer, by="service:airflow", via="airflow") > blocked.index
        assert not decide_again(service, [data], USE, ASKING, 1).passes
    assert check(working.admin).ok


def test_the_service_runs_as_the_owner_role(working: Setup) -> None:
    settings = read_settings({"GATE_HOME": str(working.home)}, database_url=working.urls["owner"])
    with set_up(settings, clock=Clock(START)) as service:  # `gate db upgrade` of an up-to-date database
        say(service, event("acme", "refuse", effective_at="2023-12-02T00:00:00Z"))
        with service.ledger.write() as tx:
            tx.append_many(numbered(0, 600))
    assert check(working.admin).ok


def test_the_owner_role_imports_although_it_may_not_copy(working: Setup, tmp_path: Path) -> None:
    """COPY is refused where row level security applies: rows come another way, and the worker's come not at all."""
    file = tmp_path / "consents.jsonl"
    said = [{**event(f"a{number}").to_dict(), "effective_at": f"2024-01-01T00:{number:02}:00Z"} for number in range(50)]
    file.write_text("".join(json.dumps(one) + "\n" for one in said), "utf-8")
    settings = read_settings(database_url=working.urls["owner"], home=working.home)
    with open_service(settings) as service, closing(read_consent_file(file)) as lines:
        assert record_lines(service, lines, by="eve").added == 50
    settings = read_settings(database_url=working.urls["appender"], home=working.home)
    with open_service(settings) as service, closing(read_consent_file(file)) as lines:
        assert record_lines(service, lines, by="service:airflow").added == 0, "all of it is known"
    assert check(working.urls["reader"]).ok


@pytest.mark.parametrize(
    "names", [{"reader": "x y"}, {"owner": 'a"; DROP'}, {"reader": "pg_x"}, {"reader": "gate_owner"}]
)
def test_names_of_roles_are_plain(names: dict[str, str]) -> None:
    with pytest.raises(InputError):
        roles_sql(**names)
