"""The pages about accounts: who may open them, what they leave in the ledger, and what staff may write down."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient

from gate.domain.dataset import dataset
from gate.domain.decision import wanted_use
from gate.domain.words import Verdict
from gate.ledger import state
from gate.ledger.store import Entry
from gate.policy.table import load_policy
from gate.service.account_history import account_ref
from gate.service.consents import record_appointments
from gate.service.core import Service, activate_policy
from gate.service.deciding import preview
from gate.service.tagging import tag_dataset
from gate.web.consent_form import instant_text
from support.world import add_account, event, say
from unit.web.conftest import Visits

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "\u202emoc.live\u202c",
    "{{ 7 * 7 }}",
    "a" * 500,
    "' OR 1=1 --",
)
SCOPES = {"viewer": False, "stranger": False, "auditor": True, "reviewer": True, "recorder": True, "admin": True}


def ref_of(service: Service, account_id: str = "aurora") -> str:
    ref = account_ref(service, account_id)
    assert ref
    return ref


def token(client: TestClient, path: str = "/ui/accounts") -> str:
    found = re.search(r'name="form_token" value="([0-9a-f]{64})"', client.get(path).text)
    assert found
    return found[1]


def send(client: TestClient, path: str, **fields: Any) -> Any:
    return client.post(path, data={"form_token": token(client), **fields})


def views(service: Service) -> list[Entry]:
    with service.ledger.read() as reader:
        return list(reader.entries("access"))


def consents(service: Service, account_id: str = "aurora") -> list[Any]:
    with service.ledger.read() as reader:
        return list(state.consent_events(reader, account_id))


def withdrawal(**changes: Any) -> dict[str, Any]:
    return {
        "action": "withdraw",
        "toggle": "share_for_training",
        "principal.id": "admin@aurora.example",
        "principal.role": "admin",
        "evidence": "ticket 7",
        "effective_at": "2026-01-02T03:04:05",
        **changes,
    }


def grant(account_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "action": "grant",
        "toggle": "share_for_training",
        "categories": ["audio", "chat", "video"],
        "more_features": "meeting_summary, team_chat_compose",
        "purposes": ["train"],
        "ownership": "first_party",
        "principal.id": f"admin@{account_id}.example",
        "principal.role": "admin",
        "evidence": "ticket 8",
        "notice.terms_version": "2023-08-07",
        "notice.text_sha256": "ab" * 32,
        "withdrawal_channel": "admin console",
        "effective_at": "2026-01-02T03:04:05",
        **changes,
    }


@pytest.mark.parametrize(("role", "may"), SCOPES.items())
def test_only_those_who_may_see_accounts_do(service: Service, visits: Visits, role: str, may: bool) -> None:
    client, ref = visits(role), ref_of(service)
    for path in ("/ui/accounts", f"/ui/accounts/{ref}"):
        answer = client.get(path)
        assert answer.status_code == (200 if may else 403), path
        assert ("aurora" in answer.text) is may
    assert bool(views(service)) is may
    found = client.post("/ui/accounts/find", data={"form_token": token(visits("admin")), "q": "aurora"})
    assert found.status_code == (303 if may else 403)
    assert client.post("/ui/accounts/find", data={"form_token": "0" * 64, "q": "aurora"}).status_code == 403


@pytest.mark.parametrize("role", ["viewer", "stranger", "auditor", "reviewer"])
def test_only_recorders_record(service: Service, visits: Visits, role: str) -> None:
    client, ref, size = visits(role), ref_of(service), service.ledger_size()
    key = token(visits("recorder", "rita"))
    size = service.ledger_size()
    for path in ("/ui/accounts/record", f"/ui/accounts/{ref}/record"):
        assert client.get(path).status_code == 403
        assert client.post(path, data={"form_token": key, **withdrawal()}).status_code == 403
    assert service.ledger_size() == size


def test_nobody_unknown_comes_in(service: Service, visits: Visits) -> None:
    ref = ref_of(service)
    for path in ("/ui/accounts", f"/ui/accounts/{ref}", "/ui/accounts/record", f"/ui/accounts/{ref}/record"):
        assert visits().get(path).status_code == 401
    for path in ("/ui/accounts/find", "/ui/accounts/record", f"/ui/accounts/{ref}/record"):
        assert visits().post(path, data=withdrawal()).status_code == 401
    assert views(service) == []


def test_forms_of_others_change_nothing(service: Service, visits: Visits) -> None:
    client, path = visits("recorder", "rita"), f"/ui/accounts/{ref_of(service)}/record"
    before = len(consents(service))
    assert client.post(path, data=withdrawal()).status_code == 403
    assert client.post(path, data={"form_token": "0" * 64, **withdrawal()}).status_code == 403
    sent = {"form_token": token(client), **withdrawal()}
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}):
        assert client.post(path, data=sent, headers=headers).status_code == 403
    assert len(consents(service)) == before


def test_every_view_is_written_down_before_it_is_shown(service: Service, visits: Visits) -> None:
    client, ref = visits("auditor"), ref_of(service)
    client.get("/ui/accounts")
    client.get(f"/ui/accounts/{ref}", params={"known_at": "5"})
    visits("recorder").get(f"/ui/accounts/{ref}/record")
    seen = views(service)
    assert [entry.body["page"] for entry in seen] == ["accounts", "account", "account/record"]
    assert [entry.body["account_ref"] for entry in seen] == [None, ref, ref]
    assert seen[1].body["known_at"] == "5"
    assert all(b"aurora" not in entry.payload for entry in seen)


def test_what_cannot_be_written_down_is_not_shown(service: Service, visits: Visits) -> None:
    client, ref = visits("admin"), ref_of(service)
    key = token(client)
    service.clock = lambda: datetime(2020, 1, 1, tzinfo=UTC)  # before the newest entry: nothing can be recorded
    for path in ("/ui/accounts", f"/ui/accounts/{ref}", f"/ui/accounts/{ref}/record"):
        answer = client.get(path)
        assert answer.status_code == 503
        assert "aurora" not in answer.text
    assert client.post("/ui/accounts/find", data={"form_token": key, "q": "aurora"}).status_code == 503


def test_unknown_accounts_are_not_there(service: Service, visits: Visits) -> None:
    with service.ledger.write() as tx:
        person = tx.commit_ref("person", "admin@aurora.example")
    for ref in ("0" * 64, "x", "aurora", person, "%2e%2e"):
        for path in (f"/ui/accounts/{ref}", f"/ui/accounts/{ref}/record"):
            assert visits("admin").get(path).status_code == 404, ref
    assert visits("admin").get("/ui/accounts", params={"after": "aurora"}).status_code == 404


def test_finding_an_account_keeps_its_name_out_of_addresses(service: Service, visits: Visits) -> None:
    client = visits("auditor")
    exact = send(client, "/ui/accounts/find", q=" aurora ")
    assert (exact.status_code, exact.headers["location"]) == (303, f"/ui/accounts/{ref_of(service)}")
    some = send(client, "/ui/accounts/find", q="gla")
    assert "glacier" in some.text
    assert "aurora" not in some.text
    none = send(client, "/ui/accounts/find", q="Aurora")
    assert "no account whose id begins" in none.text
    assert send(client, "/ui/accounts/find", q="").headers["location"] == "/ui/accounts"
    for path in re.findall(r'href="([^"]+)"', client.get("/ui/accounts").text):
        assert "aurora" not in path


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_only_text(service: Service, visits: Visits, name: str) -> None:
    add_account(service, name)
    say(service, event(name, features=[name], evidence=name, withdrawal_channel=name, channel=name))
    client, ref = visits("recorder", "rita"), ref_of(service, name)
    of = consents(service, name)[0].index
    for path in ("/ui/accounts", f"/ui/accounts/{ref}", f"/ui/accounts/{ref}/record?action=withdraw&of={of}"):
        text = client.get(path).text
        assert html.escape(name, quote=False)[:50] in text.replace("&#34;", '"').replace("&#39;", "'")
        for raw in ("<script>alert", "<img src=x", ">49<"):
            assert raw not in text
    for q in (name, name[:3]):
        assert send(client, "/ui/accounts/find", q=q).status_code in (200, 303)
    wrong = send(client, f"/ui/accounts/{ref}/record", **withdrawal(evidence="", **{"principal.id": name}))
    assert wrong.status_code == 422
    assert "<script>alert" not in wrong.text
    assert "<img src=x" not in wrong.text


def test_what_applied_and_what_was_known(service: Service, visits: Visits) -> None:
    client, path = visits("auditor"), f"/ui/accounts/{ref_of(service, 'delta')}"

    def cards(**query: str) -> str:
        text = client.get(path, params=query).text
        return text[text.index('id="toggles"') : text.index("in detail")]

    given, withdrawn = consents(service, "delta")
    assert "consent withdrawn" in cards()
    assert ">on<" in cards(as_of="2024-01-01T00:00")
    assert ">on<" in cards(known_at=str(withdrawn.index))
    assert "never answered" in cards(known_at=str(given.index))
    assert ">off<" in cards(as_of="2023-01-01")
    assert "No policy was active" in client.get(path, params={"known_at": "0"}).text


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"as_of": "yesterday"}, "is not a date-time"),
        ({"as_of": "1850-01-01"}, "is not plausible"),
        ({"known_at": "many"}, "expected a whole number"),
        ({"known_at": "-1"}, "expected a whole number"),
        ({"known_at": "999999"}, "never held so many"),
        ({"as_of": "<script>alert(1)</script>"}, "is not a date-time"),
    ],
)
def test_wrong_moments_are_told_at_the_field(
    service: Service, visits: Visits, query: dict[str, str], words: str
) -> None:
    answer = visits("auditor").get(f"/ui/accounts/{ref_of(service)}", params=query)
    [name] = query
    assert answer.status_code == 422
    assert re.search(rf'id="{name}-wrong">[^<]*{words}', answer.text)
    assert "<script>alert" not in answer.text


def test_a_withdrawal_is_recorded_and_the_next_decision_blocks(service: Service, visits: Visits, tmp_path: Any) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text('{"account_id": "aurora", "text": "hello"}\n')
    data = dataset(str(path), "account_id")
    tag_dataset(service, data, ["chat"], by="service:airflow", via="airflow")
    wanted = wanted_use("train", feature="meeting_summary", model="ms-1")
    assert preview(service, [data], wanted)[1].verdict is Verdict.ALLOW
    client, ref = visits("recorder", "rita"), ref_of(service)
    shown = client.get(f"/ui/accounts/{ref}").text
    standing = [one for one in consents(service) if one.event.toggle == "share_for_training"]
    address = f"/ui/accounts/{ref}/record?action=withdraw&amp;of={standing[0].index}"
    assert f'href="{address}"' in shown
    form = client.get(html.unescape(address)).text
    sent = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form))
    ticked: dict[str, list[str]] = {}
    for name, value in re.findall(r'name="(\w+)" value="(\w+)" checked', form):
        ticked.setdefault(name, []).append(value)
    assert ticked["features"] == ["meeting_summary", "team_chat_compose"]
    said = {"toggle": "share_for_training", "principal.id": "admin@aurora.example", "principal.role": "admin"}
    answer = client.post(
        f"/ui/accounts/{ref}/record",
        data={
            **sent,
            **ticked,
            **said,
            "evidence": "mail of today",
            "effective_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        },
    )
    assert answer.status_code == 303, answer.text
    assert re.fullmatch(rf"/ui/accounts/{ref}\?recorded=\d+", answer.headers["location"])
    assert "It counts" in client.get(answer.headers["location"]).text
    decision = preview(service, [data], wanted)[1]
    assert decision.verdict is Verdict.BLOCK
    assert "consent_withdrawn" in decision.reasons


def test_a_grant_is_recorded_and_lifts_the_block(service: Service, visits: Visits) -> None:
    client, ref = visits("recorder", "rita"), ref_of(service, "harbor")
    answer = send(client, f"/ui/accounts/{ref}/record", **grant("harbor", evidence_sha256="AB" * 32))
    page = client.get(answer.headers["location"]).text
    assert "It counts" in page
    [recorded] = consents(service, "harbor")
    assert recorded.event.evidence == f"ticket 8 (sha256:{'ab' * 32})"
    assert recorded.event.features == ("meeting_summary", "team_chat_compose")
    with service.ledger.read() as reader:
        entry = reader.entry(recorded.index)
        assert (entry.via, reader.open_ref(entry.by.removeprefix("person:"))) == ("ui", "airflow|rita")


def test_what_lacks_something_tells_what(service: Service, visits: Visits) -> None:
    client, ref = visits("recorder", "rita"), ref_of(service, "harbor")
    answer = send(client, f"/ui/accounts/{ref}/record", **grant("harbor", withdrawal_channel=""))
    page = client.get(answer.headers["location"]).text
    assert "It has no effect at this moment" in page
    assert "no_withdrawal_channel" in page


def test_who_is_no_admin_does_not_count(service: Service, visits: Visits) -> None:
    client, ref = visits("recorder", "rita"), ref_of(service, "harbor")
    answer = send(client, f"/ui/accounts/{ref}/record", **grant("harbor", **{"principal.id": "member@harbor.example"}))
    page = client.get(answer.headers["location"]).text
    assert "It does not count" in page
    assert "admin@harbor.example" in page  # whom to ask
    other = send(client, f"/ui/accounts/{ref}/record", **grant("harbor", **{"principal.id": "admin@delta.example"}))
    assert "admin of another account" in client.get(other.headers["location"]).text


@pytest.mark.parametrize(
    ("policy", "words"), [("zoom-2023-08", "on record, but ends nothing"), ("strict", "blocks until an admin answers")]
)
def test_an_objection_by_no_admin_tells_what_the_policy_makes_of_it(
    service: Service, visits: Visits, policy: str, words: str
) -> None:
    activate_policy(service, load_policy(policy), by="service:test", via="cli")
    client, ref = visits("recorder", "rita"), ref_of(service)
    answer = send(client, f"/ui/accounts/{ref}/record", **withdrawal(**{"principal.id": "member@aurora.example"}))
    assert words in client.get(answer.headers["location"]).text


def test_somebody_who_was_removed_meanwhile_cannot_grant_live(service: Service, visits: Visits) -> None:
    from gate.domain.consent import Appointment
    from gate.domain.words import Role

    gone = Appointment("harbor", "admin@harbor.example", "remove", Role.ADMIN, datetime(2026, 2, 1, tzinfo=UTC))
    record_appointments(service, [gone], via="import")
    client, ref = visits("recorder", "rita"), ref_of(service, "harbor")
    answer = send(client, f"/ui/accounts/{ref}/record", **grant("harbor"))
    assert "It does not count" in client.get(answer.headers["location"]).text


def test_a_form_sent_twice_adds_nothing(service: Service, visits: Visits) -> None:
    client, path = visits("recorder", "rita"), f"/ui/accounts/{ref_of(service)}/record"
    send(client, path, **withdrawal())
    before = consents(service)
    again = send(client, path, **withdrawal())
    assert consents(service) == before
    assert again.headers["location"].endswith("-again")
    assert "on record already" in client.get(again.headers["location"]).text


@pytest.mark.parametrize("said", ["rita", "RITA", " Rita ", "r\u200bita", "ｒｉｔａ"])
def test_nobody_consents_for_the_customer(service: Service, visits: Visits, said: str) -> None:
    before = len(consents(service))
    answer = send(
        visits("recorder", "rita"), f"/ui/accounts/{ref_of(service)}/record", **withdrawal(**{"principal.id": said})
    )
    assert answer.status_code == 422
    assert "This is you" in answer.text
    assert len(consents(service)) == before


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"evidence": " "}, "evidence", "Say where the proof is"),
        ({"principal.id": ""}, "principal.id", "Is missing"),
        ({"principal.role": "boss"}, "principal.role", "is not known"),
        ({"toggle": ""}, "toggle", "must name its toggle"),
        ({"toggle": "everything"}, "toggle", "is not known"),
        ({"categories": ["audio", "smell"]}, "categories", "is not known"),
        ({"purposes": "sell"}, "purposes", "is not known"),
        ({"notice.text_sha256": "abc"}, "notice.text_sha256", "64 hex digits"),
        ({"effective_at": "soon"}, "effective_at", "is not a date-time"),
        ({"effective_at": ""}, "effective_at", "Is missing"),
        ({"expires_at": "2020-01-01T00:00"}, "expires_at", "before it takes effect"),
        ({"evidence_sha256": "abc"}, "evidence_sha256", "64 digits"),
        ({"instrument": "handshake"}, "instrument", "is not known"),
    ],
)
def test_what_is_wrong_is_told_at_its_field_and_nothing_is_lost(
    service: Service, visits: Visits, changes: dict[str, Any], field: str, words: str
) -> None:
    fields = grant("harbor", **{"channel": "by letter", **changes})
    before = len(consents(service, "harbor"))
    answer = send(visits("recorder", "rita"), f"/ui/accounts/{ref_of(service, 'harbor')}/record", **fields)
    assert answer.status_code == 422
    assert words in html.unescape(re.search(rf'id="{re.escape(field)}-wrong">([^<]*)', answer.text)[1])  # type: ignore[index]
    assert 'value="by letter"' in answer.text
    assert 'value="meeting_summary, team_chat_compose"' in answer.text
    assert len(consents(service, "harbor")) == before


def test_an_account_that_is_not_known_yet_is_typed(service: Service, visits: Visits) -> None:
    client = visits("recorder", "rita")
    empty = send(client, "/ui/accounts/record", **withdrawal())
    assert empty.status_code == 422
    assert 'id="account_id-wrong"' in empty.text
    answer = send(client, "/ui/accounts/record", account_id="newcomer", **withdrawal())
    assert answer.headers["location"].startswith(f"/ui/accounts/{ref_of(service, 'newcomer')}?recorded=")
    page = client.get(answer.headers["location"]).text
    assert "names no admin" in page
    assert "newcomer" not in answer.headers["location"]


def test_the_withdrawal_form_asks_for_no_more_than_the_grant_form(service: Service, visits: Visits) -> None:
    client, ref = visits("recorder", "rita"), ref_of(service)

    def needed(action: str) -> set[str]:
        text = client.get(f"/ui/accounts/{ref}/record", params={"action": action}).text
        return set(re.findall(r'name="([^"]+)"[^>]* required', text))

    assert needed("withdraw") == needed("grant") == {"principal.id", "evidence"}


def test_an_account_without_answers_says_what_to_do(service: Service, visits: Visits) -> None:
    text = visits("recorder", "rita").get(f"/ui/accounts/{ref_of(service, 'harbor')}").text
    assert "ever answered" in text
    assert "record the answer" in text
    assert "record the answer" not in visits("auditor").get(f"/ui/accounts/{ref_of(service, 'harbor')}").text


def test_pages_work_without_inline_code(service: Service, visits: Visits) -> None:
    client, ref = visits("recorder", "rita"), ref_of(service)
    for path in ("/ui/accounts", f"/ui/accounts/{ref}", f"/ui/accounts/{ref}/record"):
        text = client.get(path).text
        assert not re.search(r"\sstyle=|\son\w+=|javascript:", text)
        labelled = set(re.findall(r'<label for="([^"]+)"', text))
        assert set(re.findall(r'<(?:input|select|textarea) id="([^"]+)"', text)) <= labelled


def test_times_of_forms_mean_utc() -> None:
    assert instant_text("2024-01-01T10:00") == "2024-01-01T10:00:00+00:00"
    assert instant_text("2024-01-01") == "2024-01-01T00:00:00+00:00"
    assert instant_text("2024-01-01T10:00:00+02:00") == "2024-01-01T10:00:00+02:00"
    assert instant_text("soon") == "soon"
