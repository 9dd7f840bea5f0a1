"""References that were looked up before the writer's turn stand only as long as nothing was erased."""

from __future__ import annotations

from gate.ledger.references import commit_refs, known_refs
from support.ledgers import fresh

NAMES = [f"acct-{number}" for number in range(5000)]


def test_what_was_known_is_taken_and_the_rest_is_made(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger:
        with ledger.write() as tx:
            before = tx.commit_refs("account", NAMES[:4000])
        with ledger.read() as reader:
            known = known_refs(reader, "account", NAMES)
        assert known.refs == before
        with ledger.write() as tx:
            refs = commit_refs(tx, "account", NAMES, known)
        assert list(refs) != []
        assert {name: refs[name] for name in NAMES[:4000]} == before
        with ledger.read() as reader:
            assert reader.open_refs(refs.values()) == {refs[name]: name for name in NAMES}


def test_what_was_erased_in_between_gets_a_new_reference(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger:
        with ledger.write() as tx:
            before = tx.commit_refs("account", NAMES)
        with ledger.read() as reader:
            known = known_refs(reader, "account", NAMES)
        with ledger.write() as tx:
            assert tx.erase([before[NAMES[7]]]) == 1
        with ledger.write() as tx:
            refs = commit_refs(tx, "account", NAMES, known)
        assert refs[NAMES[7]] != before[NAMES[7]]
        assert {name: ref for name, ref in refs.items() if name != NAMES[7]} == {
            name: ref for name, ref in before.items() if name != NAMES[7]
        }


def test_what_others_made_in_between_is_found(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger:
        with ledger.read() as reader:
            known = known_refs(reader, "account", NAMES[:3])
        with ledger.write() as tx:
            others = tx.commit_refs("account", NAMES[:3])
        with ledger.write() as tx:
            assert commit_refs(tx, "account", NAMES[:3], known) == others


def test_values_of_other_kinds_are_others(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger:
        with ledger.write() as tx:
            account = tx.commit_ref("account", "acme")
        with ledger.read() as reader:
            assert known_refs(reader, "person", ["acme"]).refs == {}
            assert known_refs(reader, "account", ["acme"]).refs == {"acme": account}
