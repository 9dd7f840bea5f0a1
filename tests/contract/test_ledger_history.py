"""What the ledger says of accounts, models, policy: now, as of an instant, as known at a ledger size."""

from __future__ import annotations

from pathlib import Path

import pytest

from gate.domain.consent import UNKNOWN_PROFILE, Profile
from gate.domain.decision import AccountFacts
from gate.domain.words import Authority, Ownership, Purpose
from gate.errors import TamperingFound
from gate.ledger import records, state
from gate.ledger.store import Transaction
from support.ledgers import COMMON, NOW, appointment, at, consent, fresh, sqlite_url

LIVE = {**COMMON, "via": "cli"}


def authorities(tx: Transaction, account: str = "acme", known_at: int | None = None) -> list[Authority]:
    return [event.authority for event in state.consent_events(tx, account, known_at=known_at)]


def test_an_event_comes_back_exactly(ledger_url: str) -> None:
    events = [
        consent(
            expires_at="2024-12-31T23:59:59.5Z",
            ownership=["first_party", "third_party"],
            features="*",
            instrument="contract",
            channel="letter",
            jurisdiction="DE",
            bundled_with_service=True,
            principal={"id": "ada", "role": "owner", "evidence": "passport seen"},
        ),
        consent(action="withdraw", toggle=None, categories=None, features=None, purposes=None, notice=None),
    ]
    with fresh(ledger_url) as ledger, ledger.write() as tx:
        records.record_consents(tx, events, **COMMON)
        assert [recorded.event for recorded in state.consent_events(tx, "acme")] == events
        assert [recorded.index for recorded in state.consent_events(tx, "acme")] == [0, 1]
        assert state.consent_events(tx, "acme")[0].recorded_at == NOW


def test_no_personal_value_stands_in_the_bytes(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger, ledger.write() as tx:
        records.record_appointments(tx, [appointment()], **COMMON)
        records.record_consents(tx, [consent(principal={"id": "ada", "role": "owner", "evidence": "seen"})], **COMMON)
        records.record_profile(tx, "acme", Profile("US"), **COMMON)
        records.record_model(tx, "ms-1", Ownership.FIRST_PARTY, ["*"], "contract 12", **COMMON)
        everything = b"".join(entry.payload + entry.subject.encode() for entry in tx.entries())
    for value in ("acme", "ada", "seen", "form 1", "admin console", "contract 12"):
        assert f'"{value}"'.encode() not in everything


def test_authority_follows_the_appointments(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger, ledger.write() as tx:
        records.record_consents(tx, [consent()], **COMMON)
        assert authorities(tx) == [Authority.NOT_ADMIN], "an appointment recorded later lends nothing"
        records.record_appointments(tx, [appointment("other")], **COMMON)
        records.record_consents(tx, [consent(evidence="form 2")], **COMMON)
        assert authorities(tx) == [Authority.WRONG_ACCOUNT] * 2
        records.record_appointments(tx, [appointment()], **COMMON)
        records.record_consents(tx, [consent(evidence="form 3")], **COMMON)
        assert authorities(tx)[2] is Authority.ADMIN
        removal = appointment(action="remove", since="2024-01-01")
        records.record_appointments(tx, [removal], **COMMON)
        assert authorities(tx)[2] is not Authority.ADMIN, "a late removal still counts"
        assert authorities(tx, known_at=tx.size - 1)[2] is Authority.ADMIN


def test_a_live_grant_needs_authority_when_it_is_recorded_too(ledger_url: str) -> None:
    appointments = [appointment(), appointment(action="remove", since="2024-05-01")]
    with fresh(ledger_url) as ledger, ledger.write() as tx:
        records.record_appointments(tx, appointments, **COMMON)
        records.record_consents(tx, [consent()], **COMMON)
        records.record_consents(tx, [consent(evidence="form 2")], **LIVE)
        assert authorities(tx) == [Authority.ADMIN, Authority.NOT_ADMIN]


def test_events_as_of_an_instant_and_as_known(ledger_url: str) -> None:
    grant, withdrawal = consent(), consent(action="withdraw", effective_at="2024-03-01T00:00:00Z")
    with fresh(ledger_url) as ledger, ledger.write() as tx:
        records.record_consents(tx, [withdrawal], **COMMON)
        records.record_consents(tx, [grant], **COMMON)

        def seen(**when: object) -> list[str]:
            return [e.event.action.value for e in state.consent_events(tx, "acme", **when)]  # type: ignore[arg-type]

        assert seen() == ["withdraw", "grant"]
        assert seen(effective_at=at("2024-02-01")) == ["grant"]
        assert seen(effective_at=at("2024-03-01")) == ["withdraw", "grant"]
        assert seen(known_at=1) == ["withdraw"]
        assert seen(effective_at=at("2024-02-01"), known_at=1) == []
        assert seen(known_at=0) == []


def test_profiles_change_and_change_back(ledger_url: str) -> None:
    one, other = Profile("US", "none", "2023-08-07"), Profile("US", "education", "2023-08-07")
    with fresh(ledger_url) as ledger, ledger.write() as tx:
        assert state.profile(tx, "acme") == UNKNOWN_PROFILE
        added = [records.record_profile(tx, "acme", p, **COMMON)[1] for p in (one, one, other, one, one)]
        assert added == [True, False, True, True, False]
        assert state.profile(tx, "acme") == one
        assert [state.profile(tx, "acme", size) for size in range(4)] == [UNKNOWN_PROFILE, one, other, one]
        for _ in range(12):
            records.record_profile(tx, "acme", other, **COMMON)
            records.record_profile(tx, "acme", one, **COMMON)
        assert state.profile(tx, "acme") == one
        assert state.profile(tx, "bolt") == UNKNOWN_PROFILE


def test_models_are_looked_up_by_their_exact_name(ledger_url: str) -> None:
    def register(tx: Transaction, name: str, ownership: Ownership, *features: str) -> bool:
        return records.record_model(tx, name, ownership, features, "card", **COMMON)[1]

    with fresh(ledger_url) as ledger, ledger.write() as tx:
        assert register(tx, "org/m", Ownership.FIRST_PARTY, "b", "a")
        assert register(tx, "org", Ownership.THIRD_PARTY, "*")
        assert not register(tx, "org/m", Ownership.FIRST_PARTY, "a", "b", "a")
        found = state.model_record(tx, "org/m")
        assert found == state.ModelRecord("org/m", Ownership.FIRST_PARTY, ("a", "b"), "card", 0)
        assert register(tx, "org/m", Ownership.CUSTOMER_OWNED, "a")
        newest, before = state.model_record(tx, "org/m"), state.model_record(tx, "org/m", known_at=2)
        assert newest is not None
        assert newest.ownership is Ownership.CUSTOMER_OWNED
        assert before == found
        assert state.model_record(tx, "or") is None


def test_appointments_with_their_people(ledger_url: str) -> None:
    said = [
        appointment(),
        appointment("bolt"),
        appointment(person="bob"),
        appointment(action="remove", since="2024-02-01"),
    ]
    with fresh(ledger_url) as ledger, ledger.write() as tx:
        records.record_appointments(tx, said, **COMMON)
        assert [new for _, new in records.record_appointments(tx, said, **COMMON)] == [False] * 4
        mine = [a.at_index(index) for index, a in enumerate(said) if a.account_id == "acme"]
        assert list(state.appointments(tx, "acme")) == mine
        assert list(state.appointments(tx, "acme", known_at=3)) == mine[:2]
        assert state.appointments(tx, "nobody") == ()


def test_an_erased_grant_does_not_count_but_an_erased_withdrawal_does(ledger_url: str) -> None:
    withdrawal = consent(action="withdraw", effective_at="2024-03-01T00:00:00Z")
    with fresh(ledger_url) as ledger, ledger.write() as tx:
        records.record_appointments(tx, [appointment()], **COMMON)
        records.record_consents(tx, [consent(), withdrawal], **COMMON)
        assert authorities(tx) == [Authority.ADMIN] * 2
        person = str(tx.ref("person", "ada"))
        tx.erase([person])
        assert authorities(tx) == [Authority.NOT_ADMIN, Authority.ADMIN]
        events = state.consent_events(tx, "acme")
        assert {e.event.principal.id for e in events} == {f"erased-{person[:12]}"}
        assert {a.person_id for a in state.appointments(tx, "acme")} == {f"erased-{person[:12]}"}


def test_a_grant_whose_form_was_erased_does_not_count(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger, ledger.write() as tx:
        records.record_appointments(tx, [appointment()], **COMMON)
        records.record_consents(tx, [consent(), consent(evidence="form 2")], **COMMON)
        tx.erase([str(tx.ref("text", "form 1"))])
        assert authorities(tx) == [Authority.NOT_ADMIN, Authority.ADMIN]
        assert state.consent_events(tx, "acme")[0].event.evidence is None


def test_an_erased_account_is_unknown(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger, ledger.write() as tx:
        records.record_profile(tx, "acme", Profile("US"), **COMMON)
        records.record_consents(tx, [consent()], **COMMON)
        assert state.account_facts(tx, "acme").profile == Profile("US")
        tx.erase([str(tx.ref("account", "acme"))])
        assert state.account_facts(tx, "acme") == AccountFacts()


def test_touched_names_what_a_stretch_is_about(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger, ledger.write() as tx:
        records.record_consents(tx, [consent()], **COMMON)
        start = tx.size
        nothing = state.touched_since(tx, start, tx.size)
        assert nothing == state.Touched(frozenset(), frozenset(), False, frozenset(), frozenset(), False, False)
        records.record_consents(tx, [consent("bolt")], **COMMON)
        records.record_appointments(tx, [appointment("dune", "bob")], **COMMON)
        records.record_profile(tx, "echo", Profile("US"), **COMMON)
        records.record_model(tx, "ms-1", Ownership.FIRST_PARTY, ["*"], "card", **COMMON)
        tx.append("tag", "sha256:d1/v1/x", {}, **COMMON)
        tx.append("declassification", "sha256:d2/v1", {}, **COMMON)
        tx.append("erasure", "e", {"account_refs": ["r1"]}, **COMMON)
        tx.append("decision", "d", {"policy": 1}, **COMMON)
        touched = state.touched_since(tx, start)
        refs = {str(tx.ref("account", name)) for name in ("bolt", "dune", "echo")}
        assert touched.accounts == refs | {"r1"}
        assert touched.persons == {tx.ref("person", "bob")}
        assert touched.models == {"ms-1"}
        assert touched.datasets == {"sha256:d1", "sha256:d2"}
        assert (touched.policy, touched.keys, touched.mode) == (False, False, False)
        for kind in ("policy_activation", "key", "mode"):
            tx.append(kind, "x", {}, **COMMON)
        touched = state.touched_since(tx, tx.size - 3)
        assert (touched.policy, touched.keys, touched.mode) == (True, True, True)
        assert not state.touched_since(tx, start, tx.size - 3).policy


def test_policy_and_tags(ledger_url: str) -> None:
    with fresh(ledger_url) as ledger, ledger.write() as tx:
        assert state.active_policy(tx) is None
        for number, name in enumerate(("a", "b", "a")):
            tx.append("policy_activation", f"{name}@{number}", {"name": name}, **COMMON)
        assert state.active_policy(tx) == {"name": "a"}
        assert state.active_policy(tx, known_at=2) == {"name": "b"}
        tags = [tx.append("tag", subject, {}, **COMMON)[0] for subject in ("k1/a", "k2/a", "k1/b")]
        assert state.tags(tx, "k1") == (tags[0], tags[2])
        assert state.tags(tx, "k1", known_at=5) == (tags[0],)
        assert state.tags(tx, "k") == ()


@pytest.mark.parametrize("body", [{}, {"principal": {"person_ref": "p", "role": "king"}}, {"principal": "x"}])
def test_a_consent_entry_that_holds_none_is_tampering(tmp_path: Path, body: dict[str, object]) -> None:
    with fresh(sqlite_url(tmp_path / "l.db")) as ledger, ledger.write() as tx:
        tx.append("consent", "s", {"account_ref": tx.commit_ref("account", "acme"), **body}, **COMMON)
        with pytest.raises(TamperingFound, match="entry 0"):
            state.consent_events(tx, "acme")


def test_order_in_a_list_means_nothing_for_what_is_recorded(ledger_url: str) -> None:
    purposes = [Purpose.TUNE.value, Purpose.TRAIN.value]
    with fresh(ledger_url) as ledger, ledger.write() as tx:
        one = consent(purposes=purposes, categories=["video", "audio"])
        same = consent(purposes=purposes[::-1], categories=["audio", "video", "audio"])
        assert [new for _, new in records.record_consents(tx, [one, same], **COMMON)] == [True, False]


def test_facts_of_an_account_are_its_profile_and_events_at_every_size(ledger_url: str) -> None:
    """What is read at once is what is read one by one; an admin of another account only is one of that."""
    with fresh(ledger_url) as ledger, ledger.write() as tx:
        records.record_consents(tx, [consent(), consent("bolt")], **COMMON)
        records.record_appointments(tx, [appointment("other")], **COMMON)
        records.record_profile(tx, "acme", Profile("US"), **COMMON)
        records.record_consents(tx, [consent(evidence="form 2")], **COMMON)
        records.record_appointments(tx, [appointment(), appointment("bolt", "bob")], **COMMON)
        records.record_consents(tx, [consent(evidence="form 3"), consent("bolt", "withdraw")], **COMMON)
        records.record_profile(tx, "acme", Profile("EU"), **COMMON)
        records.record_appointments(tx, [appointment(action="remove", since="2024-01-01")], **COMMON)
        answers = set()
        for account in ("acme", "bolt", "other", "nobody"):
            for size in (None, *range(tx.size + 1)):
                facts = state.account_facts(tx, account, size)
                assert facts.profile == state.profile(tx, account, size)
                assert facts.events == state.consent_events(tx, account, None, size)
                answers |= {event.authority for event in facts.events}
        assert answers == set(Authority)
