"""Eight accounts, eight histories, each with exactly the flaw its name in the table promises."""

from datetime import UTC, datetime

import pytest

from gate.demo import history
from gate.demo.lake import ACCOUNTS
from gate.domain.authority import authority
from gate.domain.consent import parse_consent_event
from gate.domain.words import CONTENT, Action, Authority, Ownership, Purpose, Toggle

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def events_of(account):
    return [event for event in history.consents() if event.account_id == account]


def grants_of(account, toggle=Toggle.SHARE_FOR_TRAINING):
    return [event for event in events_of(account) if event.action is Action.GRANT and event.toggle is toggle]


def authority_of(event, *, live=False):
    appointments = [appointment.at_index(place) for place, appointment in enumerate(history.appointments())]
    return authority(event, index=100, recorded_at=NOW, live=live, appointments=appointments)


def test_every_account_has_a_profile_and_an_admin():
    assert set(history.profiles()) == set(ACCOUNTS)
    assert {appointment.account_id for appointment in history.appointments()} == set(ACCOUNTS)
    for profile in history.profiles().values():
        assert (profile.region, profile.segment, profile.terms_version) == ("US", "none", "2023-08-07")


@pytest.mark.parametrize("event", [*history.consents(), history.renewal(NOW), history.withdrawal("harbor", NOW)])
def test_events_follow_the_schema(event):
    assert parse_consent_event(event.to_dict()) == event


def test_events_are_dated_after_the_terms_and_in_order():
    moments = [event.effective_at for event in history.consents()]
    assert moments == sorted(moments)
    assert datetime(2023, 8, 7, tzinfo=UTC) < moments[0]
    assert moments[-1] < NOW


@pytest.mark.parametrize("event", [e for e in history.consents() if e.action is Action.GRANT])
def test_grants_carry_what_a_valid_one_needs(event):
    assert event.notice.terms_version == "2023-08-07"
    assert len(event.notice.text_sha256) == 64
    assert event.withdrawal_channel
    assert event.evidence
    assert event.ownership == (Ownership.FIRST_PARTY,)


def test_aurora_granted_everything():
    (sharing,) = grants_of("aurora")
    assert set(sharing.categories) == CONTENT
    assert sharing.features == ("meeting_summary", "team_chat_compose")
    assert sharing.purposes == (Purpose.TRAIN,)
    assert sharing.expires_at is None
    (feature,) = grants_of("aurora", Toggle.ENABLE_FEATURE)
    assert Purpose.INFER in feature.purposes


def test_borealis_has_the_feature_only():
    assert {event.toggle for event in events_of("borealis")} == {Toggle.ENABLE_FEATURE}


def test_cascade_refused_and_harbor_never_answered():
    assert [event.action for event in events_of("cascade")] == [Action.REFUSE]
    assert events_of("harbor") == []


def test_delta_withdrew_after_granting():
    grant, withdrawal = events_of("delta")
    assert (grant.action, withdrawal.action) == (Action.GRANT, Action.WITHDRAW)
    assert grant.effective_at < withdrawal.effective_at
    assert withdrawal.categories is None  # everything


def test_ember_expired_in_2025():
    (grant,) = grants_of("ember")
    assert grant.expires_at.year == 2025


def test_only_fjord_lacks_authority():
    found = {event.account_id: authority_of(event) for event in history.consents()}
    assert [account for account, answer in found.items() if answer is not Authority.ADMIN] == ["fjord"]
    assert found["fjord"] is Authority.NOT_ADMIN


def test_glacier_granted_another_feature():
    (grant,) = grants_of("glacier")
    assert grant.features == ("team_chat_compose",)


def test_harbor_may_renew_live():
    assert authority_of(history.renewal(NOW), live=True) is Authority.ADMIN


def test_models_say_who_owns_them_and_why():
    models = {model: ownership for model, ownership, *_ in history.MODELS}
    assert models == {
        "ms-1": Ownership.FIRST_PARTY,
        "cq-1": Ownership.FIRST_PARTY,
        "vendor-llm": Ownership.THIRD_PARTY,
        "outcomes-1": Ownership.FIRST_PARTY,
    }
    assert all(features and evidence for _, _, features, evidence in history.MODELS)
