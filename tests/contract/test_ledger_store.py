"""One behaviour on every database: append, read, references, attachments, outbox, refusals of change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from gate.errors import InputError, LedgerUnavailable
from gate.ledger import database, merkle, records
from gate.ledger.store import NewEntry, create_ledger, open_ledger
from support.ledgers import COMMON, NOW, check, consent, fill, fresh, numbered, opened


def test_a_missing_ledger_is_never_created_silently(ledger_url: str, tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailable, match="gate db upgrade"):
        open_ledger(ledger_url)
    assert not (tmp_path / "ledger").exists()


def test_creating_again_changes_nothing(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger, ledger.write() as tx:
        origin, head = tx.origin, tx.head()
    create_ledger(ledger_url)
    with opened(ledger_url) as ledger, ledger.read() as reader:
        assert reader.origin == origin
        assert reader.head() == head == (0, merkle.EMPTY_ROOT)


def test_two_ledgers_have_two_names(ledger_url: str, tmp_path: Path) -> None:
    with fresh(ledger_url) as ledger, ledger.read() as reader:
        one = reader.origin
    with fresh(f"sqlite:///{tmp_path / 'other.db'}") as ledger, ledger.read() as reader:
        assert reader.origin != one
        assert reader.origin.startswith("consent-gate.ledger/")


@pytest.mark.parametrize(("version", "hint"), [("0000", "gate db upgrade"), ("9999", "newer version")])
def test_another_schema_version_is_refused(ledger_url: str, version: str, hint: str) -> None:
    create_ledger(ledger_url)
    run(ledger_url, f"UPDATE alembic_version SET version_num = '{version}'")
    with pytest.raises(LedgerUnavailable, match=hint):
        open_ledger(ledger_url)


def test_entries_come_back_as_they_were_appended(ledger_url: str) -> None:
    body = {"account_ref": "r1", "effective_at": "2024-01-01T00:00:00Z", "text": "§ 10.4 – naïve"}
    with fresh(ledger_url) as ledger:
        with ledger.write() as tx:
            entry, new = tx.append("consent", "s1", body, account_ref="r1", **COMMON)
            assert new
            assert (tx.size, tx.find("consent", "s1")) == (1, entry)
        with ledger.read() as reader:
            read = reader.entry(0)
    assert read == entry
    assert (read.body, read.recorded_at, read.by, read.via) == (body, NOW, "service:test", "import")
    assert (read.account_ref, read.effective_at) == ("r1", "2024-01-01T00:00:00Z")
    assert read.leaf_hash == merkle.leaf_hash(read.payload)


def test_the_same_kind_and_subject_is_recorded_once(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger:
        with ledger.write() as tx:
            first = tx.append("tag", "s", {"n": 1}, **COMMON)[0]
        with ledger.write() as tx:
            again = tx.append_many([*numbered(0, 2), *numbered(1, 3)])
            assert tx.append("tag", "s", {"n": 2}, **COMMON) == (first, False)
            assert tx.append("mode", "s", {"n": 2}, **COMMON)[1]
            assert tx.size == 5
    assert [new for _, new in again] == [True, True, False, True]
    assert [entry.idx for entry, _ in again] == [1, 2, 2, 3]
    assert check(ledger_url).ok


def test_a_batch_that_adds_nothing_leaves_no_head(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger:
        for _ in range(2):
            with ledger.write() as tx:
                tx.append_many(numbered(0, 3))
                tx.append_many([])
    assert run(ledger_url, "SELECT count(*) FROM tree_head") == 1


def test_columns_may_not_contradict_the_body(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger, ledger.write() as tx:
        with pytest.raises(ValueError, match="account_ref"):
            tx.append("consent", "s", {"account_ref": "a"}, account_ref="b", **COMMON)
        with pytest.raises(ValueError, match="effective_at"):
            tx.append("consent", "s", {}, effective_at="2024-01-01T00:00:00Z", **COMMON)
        with pytest.raises(ValueError, match="gossip"):
            tx.append("gossip", "s", {}, **COMMON)


def test_a_failure_leaves_nothing_behind(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger:
        with ledger.write() as tx:
            tx.append_many(numbered(0, 3))
            before = tx.head()
        with pytest.raises(InputError, match="float"), ledger.write() as tx:  # noqa: PT012  what came before counts
            tx.append_many(numbered(3, 600))
            ref = tx.commit_ref("person", "ada")
            digest = tx.attach(b"x", "text/plain")
            tx.outbox_put("k", "{}")
            tx.append_many([*numbered(600, 602), NewEntry("tag", "f", {"x": 0.5}, **COMMON)])
        with ledger.read() as reader:
            assert reader.head() == before
            assert reader.open_ref(ref) is None
            assert reader.attachment(digest) is None
        assert ledger.pending_outbox(10) == []
    assert check(ledger_url).ok


def test_streaming_selects_in_the_logs_order(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger:
        with ledger.write() as tx:
            for start in range(0, 4200, 700):
                tx.append_many([*numbered(start, start + 350, "tag"), *numbered(start, start + 350, "permit")])
            tx.append("consent", "c", {"account_ref": "r"}, **COMMON)
        with ledger.read() as reader:
            everything = list(reader.entries())
            assert [entry.idx for entry in everything] == list(range(4201))
            for kinds in ("tag", ("permit", "consent"), ("permit", "tag", "tag"), ()):
                wanted = {kinds} if isinstance(kinds, str) else set(kinds)
                assert list(reader.entries(kinds)) == [e for e in everything if e.kind in wanted]
            assert list(reader.entries(start=10, stop=4100)) == everything[10:4100]
            assert list(reader.entries("tag", start=400, stop=900)) == [
                e for e in everything[400:900] if e.kind == "tag"
            ]
            assert [e.subject for e in reader.entries(account_ref="r")] == ["c"]
            assert [e.idx for e in reader.entries("permit", subject="n700")] == [1050]
            assert reader.latest("permit") == everything[4199]
            assert reader.latest("tag", known_at=360) == everything[349]
            assert reader.latest("override") is None


def test_prefixes_are_compared_by_bytes(ledger_url: str) -> None:
    subjects = ["a/1", "a/2", "A/1", "a", "a0", "a/é", "b/1", "a/10"]
    with fresh(ledger_url) as ledger, ledger.write() as tx:
        for subject in subjects:
            tx.append("tag", subject, {}, **COMMON)
        assert [e.subject for e in tx.entries("tag", subject_prefix="a/")] == ["a/1", "a/2", "a/é", "a/10"]
        assert [e.subject for e in tx.entries("tag", subject_prefix="a/", start=1, stop=7)] == ["a/2", "a/é"]
        assert tx.latest("tag", "a/", known_at=2) == tx.entry(1)
        assert tx.latest("tag", "c/") is None


def test_accounts_stream_one_by_one(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger, ledger.write() as tx:
        tx.append_many(
            numbered(0, 1)[0].__class__(
                "consent" if n % 3 else "profile", f"s{n}", {"account_ref": f"r{n % 7}"}, **COMMON
            )
            for n in range(5000)
        )
        tx.append_many(numbered(0, 5))
        seen = list(tx.entries_by_account())
        assert len(seen) == 7
        for entries in seen:
            assert [e.idx for e in entries] == list(range(int(str(entries[0].account_ref)[1:]), 5000, 7))


def test_what_is_not_there_is_said_clearly(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger, ledger.write() as tx:
        tx.append_many(numbered(0, 3))
        for question in (
            lambda: tx.entry(3),
            lambda: tx.root_at(4),
            lambda: tx.root_at(-1),
            lambda: tx.inclusion_proof(2, 2),
            lambda: tx.inclusion_proof(0, 4),
            lambda: tx.consistency_proof(3, 2),
            lambda: tx.consistency_proof(1, 4),
        ):
            with pytest.raises(InputError):
                question()


def test_references_are_stable_salted_and_erasable(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger:
        with ledger.write() as tx:
            ref = tx.commit_ref("person", "ada")
            refs = tx.commit_refs("person", ["ada", "bob", "bob"])
            other = tx.commit_ref("account", "ada")
        with ledger.write() as tx:
            assert tx.commit_refs("person", ["bob", "ada"]) == refs
            assert refs["ada"] == ref != other
            assert tx.ref("person", "ada") == ref
            assert tx.open_refs([ref, refs["bob"], "0" * 64]) == {ref: "ada", refs["bob"]: "bob"}
            assert tx.erase([ref]) == 1
            assert tx.erase([ref]) == 0
        with ledger.read() as reader:
            assert reader.open_ref(ref) is None
            assert reader.ref("person", "ada") is None
            assert reader.open_ref(refs["bob"]) == "bob"
        with ledger.write() as tx:
            assert tx.commit_ref("person", "ada") != ref


def test_many_references_at_once(ledger_url: str) -> None:
    names = [f"account {number}" for number in range(4500)]
    with fresh(ledger_url) as ledger, ledger.write() as tx:
        early = tx.commit_refs("account", names[:2500])
        refs = tx.commit_refs("account", names)
        assert len(set(refs.values())) == 4500
        assert {name: refs[name] for name in early} == early
        assert tx.open_refs(refs.values()) == {ref: name for name, ref in refs.items()}


def test_erasure_keeps_every_proof(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger:
        with ledger.write() as tx:
            fill(tx)
            head, person = tx.head(), str(tx.ref("person", "ada"))
            proof = tx.inclusion_proof(3, tx.size)
        assert check(ledger_url).erased == 0
        with ledger.write() as tx:
            tx.erase([person])
        with ledger.read() as reader:
            assert merkle.verify_inclusion(3, head.size, reader.entry(3).leaf_hash, proof, head.root)
    report = check(ledger_url)
    assert (report.ok, report.root, report.size) == (True, head.root, head.size)
    assert report.erased == 2  # ada's appointment and her consent
    values = run(ledger_url, "SELECT count(*) FROM opening WHERE value LIKE '%ada%'")
    assert values == 0


def test_attachments_are_kept_once_and_may_be_erased(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger, ledger.write() as tx:
        fill(tx)
        digest = tx.attach(b"rows: []\n", "application/yaml")
        assert tx.attachment(digest) == b"rows: []\n"
    assert run(ledger_url, "SELECT count(*) FROM attachment") == 1
    run(ledger_url, "DELETE FROM attachment")
    report = check(ledger_url)
    assert (report.ok, report.erased) == (True, 1)


def test_proofs_hold_across_kept_nodes(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger, ledger.write() as tx:
        for start, stop in ((0, 1), (1, 255), (255, 258), (258, 1100), (1100, 1101)):
            tx.append_many(numbered(start, stop))
        leaves = [entry.leaf_hash for entry in tx.entries()]
        for size in (1, 2, 255, 256, 257, 511, 512, 1024, 1100, 1101):
            root = merkle.subtree_root(leaves[:size])
            assert tx.root_at(size) == root
            for index in {0, size // 2, size - 1}:
                proof = tx.inclusion_proof(index, size)
                assert merkle.verify_inclusion(index, size, leaves[index], proof, root)
            assert merkle.verify_consistency(size, 1101, root, tx.head().root, tx.consistency_proof(size, 1101))
    # 4 blocks of 256, their 2 pairs and 1 whole; nothing below is kept.
    assert run(ledger_url, "SELECT count(*) FROM node") == 7


def test_readers_see_one_state(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger:
        with ledger.write() as tx:
            tx.append_many(numbered(0, 3))
        with ledger.read() as reader:
            with ledger.write() as tx:
                tx.append_many(numbered(3, 9))
                later = tx.commit_ref("person", "eve")
            assert reader.size == 3
            assert len(list(reader.entries())) == 3
            assert reader.open_ref(later) is None
        with ledger.read() as reader:
            assert reader.size == 9


def test_there_is_one_writer(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger, opened(ledger_url, wait=0.2) as other:
        with ledger.write() as tx:
            tx.append_many(numbered(0, 3))
            with pytest.raises(LedgerUnavailable, match=r"locked by another process.*try again"), other.write():
                pytest.fail("two writers at once")
            with other.read() as reader:
                assert reader.size == 0
        with other.write() as tx:
            assert tx.size == 3


def test_the_outbox_gives_failures_later_and_sent_events_never(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger:
        with ledger.write() as tx:
            for key in ("a", "b", "c", "a"):
                tx.outbox_put(key, f'{{"key":"{key}"}}')
        events = ledger.pending_outbox(10)
        assert [(e.key, e.event, e.attempts) for e in events] == [(k, f'{{"key":"{k}"}}', 0) for k in "abc"]
        ledger.mark_failed(events[0].id, "backend said no " * 100)
        assert [(e.key, e.attempts) for e in ledger.pending_outbox(10)] == [("b", 0), ("c", 0), ("a", 1)]
        assert [e.key for e in ledger.pending_outbox(1)] == ["b"]
        ledger.mark_sent([events[0].id, events[1].id])
        assert [e.key for e in ledger.pending_outbox(10)] == ["c"]
        ledger.mark_sent([])
        with ledger.write() as tx:
            tx.outbox_put("a", "{}")
        assert [e.key for e in ledger.pending_outbox(10)] == ["c"]


REFUSED = [
    "UPDATE entry SET payload = payload",
    "UPDATE entry SET kind = 'tag' WHERE idx = 0",
    "DELETE FROM entry",
    "DELETE FROM entry WHERE idx = 2",
    "UPDATE node SET hash = hash",
    "DELETE FROM node",
    "UPDATE tree_head SET root = root",
    "DELETE FROM tree_head",
    "UPDATE opening SET value = '\"eve\"'",
    "UPDATE attachment SET content = content",
]


@pytest.mark.parametrize("statement", REFUSED)
def test_the_database_itself_refuses_changes(ledger_url: str, statement: str) -> None:
    with fresh(ledger_url) as ledger, ledger.write() as tx:
        fill(tx)
        tx.append_many(numbered(0, 300))
    with pytest.raises(DBAPIError, match="append-only"):
        run(ledger_url, statement)
    assert check(ledger_url).ok


@pytest.mark.parametrize("table", ["entry", "node", "tree_head"])
def test_what_slips_past_row_triggers_is_refused_too(ledger_url: str, table: str) -> None:
    with fresh(ledger_url) as ledger, ledger.write() as tx:
        tx.append_many(numbered(0, 300))
    replace, truncate = f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}", f"TRUNCATE {table}"
    with pytest.raises(DBAPIError, match="append-only"):
        run(ledger_url, replace if ledger_url.startswith("sqlite") else truncate)
    assert check(ledger_url).ok


def test_the_migrations_make_the_tables_we_use(ledger_url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from gate.ledger.tables import metadata

    create_ledger(ledger_url)
    engine = database.make_engine(database.parse_url(ledger_url), 1)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_recording_is_idempotent_by_digest(ledger_url: str) -> None:
    events = [consent(), consent(action="withdraw", effective_at="2024-03-01T00:00:00Z")]
    with fresh(ledger_url) as ledger:
        with ledger.write() as tx:
            assert [new for _, new in records.record_consents(tx, events, **COMMON)] == [True, True]
        with ledger.write() as tx:
            again = {**COMMON, "by": "service:other", "via": "cli"}
            assert [new for _, new in records.record_consents(tx, events, **again)] == [False, False]
            assert tx.size == 2


def run(url: str, statement: str) -> Any:
    """Run one statement as somebody with a client and write access would."""
    engine = create_engine(database.parse_url(url))
    try:
        with engine.begin() as connection:
            result = connection.execute(text(statement))
            return result.scalar() if result.returns_rows else None
    finally:
        engine.dispose()
