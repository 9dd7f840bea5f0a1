"""What an account's page says is what a decision would say, at any instant and any state of the ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import pytest

from gate.domain.consent import Appointment
from gate.domain.decision import AccountFacts, AccountGroup, DatasetFacts, Facts, RowGroup, Use
from gate.domain.words import Category, Ownership, Purpose, Reason, Role, Toggle, Verdict
from gate.errors import InputError
from gate.ledger import state
from gate.ledger.browsing import backwards, names
from gate.policy.evaluate import evaluate
from gate.service.account_history import (
    PAGE,
    History,
    account_history,
    account_name,
    account_ref,
    list_accounts,
    record_for_customer,
)
from gate.service.account_standing import square
from gate.service.account_uses import data_uses
from gate.service.consents import account_view, record_appointments
from gate.service.core import Service
from gate.service.deciding import decide
from gate.service.tagging import tag_dataset
from gate.service.worker import redeem
from support.world import ASKING, TRAIN, USE, Clock, add_account, chat_file, event, new_service, say


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(tmp_path: Path, clock: Clock) -> Iterator[Service]:
    with new_service(tmp_path / "home", clock) as opened:
        add_account(opened, "acme")
        yield opened


def states(history: History) -> dict[str, str]:
    return {one.toggle.value: one.state for one in history.toggles}


def facts_of(service: Service, account_id: str) -> AccountFacts:
    with service.ledger.read() as reader:
        return state.account_facts(reader, account_id)


SAID = (
    [],
    [event("acme")],
    [event("acme", features=["*"], purposes=["train", "tune"])],
    [event("acme"), event("acme", "withdraw", effective_at="2023-10-01T00:00:00Z")],
    [event("acme"), event("acme", "withdraw", categories=["audio"], effective_at="2023-10-01T00:00:00Z")],
    [event("acme"), event("acme", "refuse", toggle="enable_feature", effective_at="2023-10-01T00:00:00Z")],
    [event("acme", expires_at="2023-12-01T00:00:00Z")],
    [event("acme", effective_at="2024-06-01T00:00:00Z")],
    [event("acme", principal={"id": "mallory", "role": "admin"})],
    [event("acme", toggle="enable_feature", purposes=["infer"], categories=["chat", "phi"])],
    [event("acme", ownership=["third_party", "first_party"], categories=["chat", "education_record"])],
    [event("acme", notice={"terms_version": "2023-03"})],
)


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize(
    "profile", [{}, {"region": "IL", "segment": "education"}, {"segment": "healthcare"}, {"terms_version": "1999"}]
)
def test_every_square_says_what_a_decision_would(service: Service, said: list, profile: dict[str, str]) -> None:  # type: ignore[type-arg]
    add_account(service, "acme", **profile)
    say(service, *said)
    history = account_history(service, "acme")
    facts = facts_of(service, "acme")
    with service.ledger.read() as reader:
        policy = service.policy(reader)
    squares = 0
    for sheet in history.sheets:
        for line in sheet.lines:
            for feature, purpose in product(line.features, line.purposes):
                for category, shown in zip(sheet.categories, line.squares, strict=True):
                    data = DatasetFacts(
                        "one",
                        frozenset({category.value}),
                        groups=(AccountGroup(facts, {None: 1}),),
                        rows=(RowGroup((0,), 1),),
                        total_rows=1,
                    )
                    use = Use(purpose, feature, None, line.ownership)
                    decision = evaluate(policy, Facts((data,)), use, history.at)
                    assert shown.allows is (decision.verdict is Verdict.ALLOW)
                    blocking = {r for f in decision.findings if f.verdict is Verdict.BLOCK for r in f.reasons}
                    assert set(shown.reasons) == blocking
                    squares += 1
    assert squares >= 25


def test_a_square_that_needs_no_consent_says_so(service: Service) -> None:
    with service.ledger.read() as reader:
        policy = service.policy(reader)
    facts, at = facts_of(service, "acme"), service.clock()
    use = Use(Purpose.TRAIN, "call_quality", None, Ownership.FIRST_PARTY)
    assert square(policy, Category.TELEMETRY, facts, use, at).word == "free"
    vendor = Use(Purpose.TRAIN, "meeting_summary", None, Ownership.THIRD_PARTY)
    assert square(policy, Category.CHAT, facts, vendor, at).word == "denied"
    assert square(policy, Category.CHAT, facts, Use(Purpose.TRAIN, "x", None, Ownership.FIRST_PARTY), at).reasons == (
        Reason.NO_CONSENT,
    )


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([], "never"),
        ([event("acme")], "on"),
        ([event("acme", "refuse", toggle="share_for_training")], "off"),
        ([event("acme"), event("acme", "withdraw", effective_at="2023-10-01T00:00:00Z")], "off"),
        ([event("acme", "withdraw")], "off"),
        ([event("acme", principal={"id": "mallory", "role": "admin"})], "off"),
        (
            [
                event("acme", categories=["chat", "audio"]),
                event("acme", "withdraw", categories=["audio"], effective_at="2023-10-01T00:00:00Z"),
            ],
            "mixed",
        ),
    ],
)
def test_toggles_in_a_word(service: Service, said: list, expected: str) -> None:  # type: ignore[type-arg]
    say(service, *said)
    assert states(account_history(service, "acme"))["share_for_training"] == expected


def test_neither_toggle_speaks_for_the_other(service: Service) -> None:
    say(service, event("acme", toggle="enable_feature", purposes=["infer"]))
    assert states(account_history(service, "acme")) == {"enable_feature": "on", "share_for_training": "never"}
    say(service, event("acme", "withdraw", effective_at="2023-10-01T00:00:00Z"))  # of both
    assert states(account_history(service, "acme")) == {"enable_feature": "off", "share_for_training": "off"}


def test_as_of_and_known_at_agree_with_the_plain_view(service: Service) -> None:
    say(service, event("acme"))
    before = service.ledger_size()
    say(service, event("acme", "withdraw", effective_at="2023-10-01T00:00:00Z"))
    moments = [
        None,
        datetime(2023, 8, 1, tzinfo=UTC),
        datetime(2023, 9, 15, tzinfo=UTC),
        datetime(2023, 11, 1, tzinfo=UTC),
    ]
    for as_of, known_at in product(moments, [None, 0, before, before + 1]):
        view = account_view(service, "acme", as_of=as_of, known_at=known_at)
        history = account_history(service, "acme", as_of=as_of, known_at=known_at)
        assert {one.recorded.index for one in history.events} == {one["index"] for one in view["events"]}
        assert history.profile.region == view["profile"]["region"]
    words = {
        (as_of, known_at): states(account_history(service, "acme", as_of=as_of, known_at=known_at))[
            "share_for_training"
        ]
        for as_of, known_at in product(moments, [before, None])
    }
    assert [words[as_of, before] for as_of in moments] == ["on", "off", "on", "on"]
    # Knowing of the withdrawal, it ends consent from the moment it applies, not before.
    assert words[moments[3], None] == "off"
    assert words[moments[2], None] == "on"


def test_before_any_policy_nothing_is_judged(service: Service) -> None:
    history = account_history(service, "acme", known_at=0)
    assert (history.policy, history.toggles, history.sheets, history.admins) == (None, (), (), ())
    with pytest.raises(InputError, match="never held"):
        account_history(service, "acme", known_at=service.ledger_size() + 1)
    with pytest.raises(InputError, match="does not know"):
        account_history(service, "nobody")


def test_admins_then(service: Service) -> None:
    gone = Appointment("acme", "admin@acme", "remove", Role.ADMIN, datetime(2023, 6, 1, tzinfo=UTC))
    new = Appointment("acme", "zoe", "appoint", Role.OWNER, datetime(2023, 6, 1, tzinfo=UTC))
    size = service.ledger_size()
    record_appointments(service, [gone, new], via="import")

    def people(**when: object) -> list[str]:
        return [one.person_id for one in account_history(service, "acme", **when).admins]  # type: ignore[arg-type]

    assert people() == ["zoe"]
    assert people(as_of=datetime(2023, 5, 31, tzinfo=UTC)) == ["admin@acme"]
    assert people(known_at=size) == ["admin@acme"]
    assert people(as_of=datetime(2022, 1, 1, tzinfo=UTC)) == []


def test_a_grant_tells_whether_it_has_effect(service: Service) -> None:
    say(service, event("acme"), event("acme", "withdraw", categories=["chat"], effective_at="2023-10-01T00:00:00Z"))
    say(service, event("acme", categories=["audio"], effective_at="2023-09-02T00:00:00Z"))
    shown = {one.recorded.event.categories: one for one in account_history(service, "acme").events[1:]}
    assert shown[Category.AUDIO,].counts is True
    assert (shown[Category.CHAT,].counts, shown[Category.CHAT,].reasons) == (False, (Reason.CONSENT_WITHDRAWN,))


def test_many_features_are_summed_up(service: Service) -> None:
    say(service, event("acme", features=[f"feature_{number}" for number in range(500)]))
    history = account_history(service, "acme")
    training = next(sheet for sheet in history.sheets if sheet.toggle is Toggle.SHARE_FOR_TRAINING)
    assert training.more_features == 492
    assert states(history)["share_for_training"] == "on"


def test_accounts_are_listed_by_name_in_pages(service: Service) -> None:
    wanted = sorted(
        [f"acct-{number:03}" for number in range(2 * PAGE + 5)] + ["acme", "Zeta", "ärger", "日本", '"quoted'],
        key=lambda name: json.dumps(name, ensure_ascii=False),
    )
    with service.ledger.write() as tx:
        tx.commit_refs("account", wanted)
        tx.commit_ref("person", "acct-nobody")
    seen: list[str] = []
    page = list_accounts(service)
    assert (page.total, page.before) == (len(wanted), None)
    sizes = []
    while True:
        seen += [one.name for one in page.accounts]
        sizes.append(len(page.accounts))
        if page.after is None:
            break
        page = list_accounts(service, after=page.after)
    assert (seen, sizes) == (wanted, [PAGE, PAGE, len(wanted) - 2 * PAGE])
    assert page.before is not None
    back = list_accounts(service, before=page.before)
    assert [one.name for one in back.accounts] == wanted[PAGE : 2 * PAGE]
    first = list_accounts(service, before=back.before)
    assert [one.name for one in first.accounts] == wanted[:PAGE]
    assert (first.before is None, first.after is not None) == (True, True)
    assert [one.name for one in list_accounts(service, prefix="acct-01").accounts] == [f"acct-01{n}" for n in range(10)]
    assert [one.name for one in list_accounts(service, prefix='"').accounts] == ['"quoted']
    assert list_accounts(service, prefix="acct-nobody").accounts == ()
    assert list_accounts(service, prefix="%").accounts == ()


def test_erased_accounts_have_no_name(service: Service) -> None:
    ref = account_ref(service, "acme")
    assert ref is not None
    assert account_name(service, ref) == "acme"
    with service.ledger.write() as tx:
        tx.append("erasure", "1", {"account_refs": [ref]}, recorded_at=service.now(tx), by="service:test", via="cli")
        tx.erase([ref])
        person = tx.commit_ref("person", "somebody")
    listed = list_accounts(service)
    assert (listed.accounts, listed.total, listed.erased) == ((), 0, 1)
    assert account_name(service, ref) is None
    assert account_name(service, person) is None  # no account


def test_an_event_sent_twice_stands_once(service: Service) -> None:
    said = event("acme", effective_at="2023-12-01T00:00:00Z")
    index, new = record_for_customer(service, said, by="airflow|rita")
    assert new
    size = service.ledger_size()
    assert record_for_customer(service, said, by="airflow|rita") == (index, False)
    assert service.ledger_size() == size
    with service.ledger.read() as reader:
        entry = reader.entry(index)
        assert (entry.via, entry.by) == ("ui", "person:" + str(reader.ref("person", "airflow|rita")))


def test_where_the_data_went(service: Service, tmp_path: Path) -> None:
    say(service, event("acme"))
    add_account(service, "other")
    data = chat_file(tmp_path, ["acme"])
    tag_dataset(service, data, ["chat"], by="service:airflow", via="airflow")
    outcome = decide(service, [data], USE, ASKING)
    ref, other = account_ref(service, "acme"), account_ref(service, "other")
    assert ref
    assert other
    assert data_uses(service, ref, lambda dag: True).uses == ()  # allowed, but nothing started
    size = service.ledger_size()
    redeem(service, TRAIN, [data], USE, by="service:airflow")
    [use] = data_uses(service, ref, lambda dag: True).uses
    assert (use.run, use.use.model, use.decision, use.observed) == (TRAIN, "ms-1", outcome.index, False)
    assert use.datasets[0][0].endswith("chat.jsonl")
    assert data_uses(service, other, lambda dag: True).uses == ()
    assert data_uses(service, ref, lambda dag: dag != TRAIN.dag_id).uses == ()
    assert data_uses(service, ref, lambda dag: True, known_at=size).uses == ()
    assert data_uses(service, ref, lambda dag: True, as_of=datetime(2023, 1, 1, tzinfo=UTC)).uses == ()


def test_entries_backwards_and_names_after_an_erased_one(service: Service) -> None:
    with service.ledger.read() as reader:
        forth = [entry.idx for entry in reader.entries("model")]
        assert [entry.idx for entry in backwards(reader, "model")] == forth[::-1]
        assert [entry.idx for entry in backwards(reader, "model", forth[-1])] == forth[-2::-1]
        assert [name for _, name in names(reader, "account", after="0" * 64, limit=5)] == ["acme"]
