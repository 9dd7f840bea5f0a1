"""The policy's pages: the table with its clauses, made-up cases answered as the CLI answers them, and comparisons."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gate.cli.main import app as cli
from gate.policy.diff import diff
from gate.policy.table import Policy, load_policy, parse_policy
from gate.service.core import Service, activate_policy
from support.pages import PEOPLE

HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "‮⁦evil", "x" * 500)
AUDIO = {"purpose": "train", "categories": "audio", "ownership": "first_party", "terms": "2023-08-07"}
KNOWN = {**AUDIO, "region": "US", "segment": "none", "feature": "meeting_summary", "at": "2023-09-01T00:00"}
GRANT = {
    **KNOWN,
    "consent": "grant",
    "toggle": "share_for_training",
    "c_categories": "audio",
    "c_features": "meeting_summary",
    "c_purposes": "train",
    "role": "admin",
    "notice_terms": "2023-08-07",
    "notice": "1",
    "evidence": "1",
    "channel": "1",
    "effective": "2023-08-10",
}


def texts(page: str, tag: str = "pre") -> list[str]:
    return [unescape(found) for found in re.findall(rf"<{tag} data-copy[^>]*>(.*?)</{tag}>", page, re.DOTALL)]


@pytest.mark.parametrize("path", ["/ui/policy", "/ui/policy/what-if", "/ui/policy/diff", "/ui/policy/table"])
def test_everybody_who_may_open_pages_may_read_the_policy_and_nobody_else(visits: Any, path: str) -> None:
    assert visits().get(path).status_code == 401
    for role in PEOPLE:
        assert visits(role).get(path).status_code == 200, role


def test_the_table_says_since_when_by_which_entry_and_on_whose_authority(visits: Any, service: Service) -> None:
    page = visits("viewer").get("/ui/policy").text
    policy = load_policy("zoom-2023-08")
    with service.ledger.read() as reader:
        entry = reader.latest("policy_activation")
    assert entry is not None
    assert f'href="/ui/ledger/{entry.idx}"' in page
    assert policy.digest in page
    for row in policy.rows:
        assert f'id="{row.id}"' in page
    assert "will not use audio, video or chat Customer Content to train" in page
    assert page.count('<details class="sheet" open>') == 1
    assert "2023-07-27" in page


def test_rows_that_are_not_in_effect_at_a_date_are_there_and_say_so(visits: Any) -> None:
    page = visits("viewer").get("/ui/policy", params={"at": "2022-01-01"}).text
    assert page.count("not in effect at this time") == len(load_policy("zoom-2023-08").rows)
    assert "No policy was active yet" in page


def test_what_is_no_date_is_told_at_the_field_and_kept(visits: Any) -> None:
    for text in (*(hostile[:100] for hostile in HOSTILE), "yesterday", "1800-01-01"):
        shown = visits("viewer").get("/ui/policy", params={"at": text})
        assert shown.status_code == 422
        assert 'id="f-at-wrong"' in shown.text
        assert "<script>alert" not in shown.text
        assert "<img src=x" not in shown.text


def test_older_policies_can_be_looked_at_and_compared(visits: Any, service: Service) -> None:
    activate_policy(service, load_policy("strict"), by="service:test", via="cli")
    reader = visits("viewer")
    page = reader.get("/ui/policy").text
    assert "<h1>Policy strict" in page
    before = load_policy("zoom-2023-08").digest
    assert f"/ui/policy?version={before.replace(':', '%3A')}" in page
    old = reader.get("/ui/policy", params={"version": before})
    assert "<h1>Policy zoom-2023-08" in old.text
    assert "decisions follow another one now" in old.text
    compared = reader.get("/ui/policy/diff").text  # what was active before, with what is active now
    assert "policy diff zoom-2023-08 strict" in compared


def test_a_policy_that_people_wrote_is_shown_kept_and_downloaded_whole(visits: Any, service: Service) -> None:
    policy = hostile_policy()
    activate_policy(service, policy, by="service:test", via="cli")
    reader = visits("viewer")
    for path in ("/ui/policy", "/ui/policy/diff", "/ui/policy/what-if"):
        page = reader.get(path, params=GRANT if path.endswith("what-if") else {}).text
        assert "<script>alert" not in page, path
        assert "<img src=x" not in page, path
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in reader.get("/ui/policy").text
    table = reader.get("/ui/policy/table", params={"version": policy.digest})
    assert "attachment" in table.headers["Content-Disposition"]
    assert parse_policy(table.content).digest == policy.digest


def hostile_policy() -> Policy:
    table = json.loads(json.dumps(load_policy("zoom-2023-08").table, default=str))
    table |= {"name": "ours", "description": HOSTILE[0], "consent_scope": HOSTILE[1]}
    for row in table["rows"]:
        row["note"] = " ".join(HOSTILE)
        row["citations"][0]["quote"] = HOSTILE[0]
    return parse_policy(json.dumps(table))


def test_no_attachment_that_is_no_policy_opens_by_its_digest(visits: Any, service: Service) -> None:
    with service.ledger.write() as tx:
        digest = tx.attach(b"somebody's evidence", "text/plain")
    for path in ("/ui/policy", "/ui/policy/table", "/ui/policy/what-if"):
        for version in (digest, "../../etc/passwd", "sha256:", *(hostile[:150] for hostile in HOSTILE)):
            shown = visits("admin").get(path, params={"version": version})
            assert shown.status_code == 404, (path, version)
            assert "evidence" not in shown.text
    assert visits("admin").get("/ui/policy/diff", params={"from": digest, "to": "strict"}).status_code == 404


CASES = {
    "nobody was asked": (KNOWN, "block", {"no_consent"}),
    "agreed": (GRANT, "allow", set()),
    "a member agreed": ({**GRANT, "role": "member"}, "block", {"not_admin"}),
    "expired": ({**GRANT, "expires": "2023-08-20"}, "block", {"consent_expired"}),
    "not yet": ({**GRANT, "effective": "2023-10-01"}, "block", {"consent_not_yet_effective"}),
    "withdrew": ({**KNOWN, "consent": "withdraw", "effective": "2023-08-10"}, "block", {"consent_withdrawn"}),
    "refused": ({**KNOWN, "consent": "refuse", "effective": "2023-08-10"}, "block", {"consent_refused"}),
    "other category": ({**GRANT, "c_categories": "chat"}, "block", {"wrong_category"}),
    "other switch": ({**GRANT, "toggle": "enable_feature"}, "block", {"wrong_toggle"}),
    "third party": ({**GRANT, "ownership": "third_party"}, "block", {"policy_denied", "third_party_model"}),
    "unknown terms": ({**GRANT, "terms": ""}, "block", {"terms_unknown"}),
    "telemetry": ({**KNOWN, "categories": "telemetry"}, "allow", set()),
    "nothing known": ({**KNOWN, "categories": ""}, "block", {"unclassified_data"}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_made_up_case_is_answered_as_the_command_line_answers_it(visits: Any, tmp_path: Path, name: str) -> None:
    asked, verdict, reasons = CASES[name]
    fields = {key: value for key, value in asked.items() if value}
    page = visits("viewer").get("/ui/policy/what-if", params=fields)
    assert page.status_code == 200
    line, command = texts(page.text)
    case = json.loads(line)
    assert case["expect"]["verdict"] == verdict
    assert reasons <= set(case["expect"]["reasons"])
    assert ("Allowed." if verdict == "allow" else "Blocked.") in page.text
    (tmp_path / "case.jsonl").write_text(line)
    words = command.replace("case.jsonl", str(tmp_path / "case.jsonl")).split()
    done = CliRunner().invoke(cli, [*words[1:], "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["verdict"], told["reasons"]) == (verdict, case["expect"]["reasons"])
    for row in told["rows"]:
        assert f'id="{row}"' in page.text
    for code in reasons:
        assert f">{code}</code>" in page.text.replace("<wbr>", "")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("purpose", "fun", "is not known"),
        ("ownership", HOSTILE[0], "is not known"),
        ("at", "soon", "is not a date-time"),
        ("toggle", "", "must name its toggle"),
        ("expires", "2023-08-01", "expires before it takes effect"),
        ("effective", HOSTILE[1], "is not a date-time"),
        ("c_purposes", "fun", "is not known"),
        ("role", "king", "is not known"),
        ("instrument", "handshake", "is not known"),
        ("feature", HOSTILE[3], "is longer than"),
        ("consent", "shrug", "is not known"),
    ],
)
def test_what_cannot_be_asked_is_told_at_its_field(visits: Any, field: str, value: str, words: str) -> None:
    shown = visits("viewer").get("/ui/policy/what-if", params={**GRANT, field: value})
    assert shown.status_code == 422
    assert f'id="f-{field}-wrong"' in shown.text
    assert words in shown.text
    assert "<script>alert" not in shown.text
    assert 'value="meeting_summary"' in shown.text  # nothing typed is lost


def test_hostile_words_in_a_case_are_words(visits: Any) -> None:
    for hostile in HOSTILE[:3]:
        fields = dict.fromkeys(("feature", "model", "region", "segment", "c_features"), hostile)
        shown = visits("viewer").get("/ui/policy/what-if", params={**GRANT, **fields})
        assert shown.status_code == 200
        assert "<script>alert" not in shown.text
        assert "<img src=x" not in shown.text


def test_asking_records_nothing(visits: Any, service: Service) -> None:
    size = service.ledger_size()
    for path in ("/ui/policy", "/ui/policy/diff", "/ui/policy/what-if"):
        visits("viewer").get(path, params=GRANT if path.endswith("what-if") else {})
    assert service.ledger_size() == size


def test_every_example_leads_to_an_answer(visits: Any) -> None:
    reader = visits("viewer")
    page = reader.get("/ui/policy/what-if").text
    examples = [unescape(href) for href in re.findall(r'href="(/ui/policy/what-if\?[^"]*purpose[^"]*)"', page)]
    assert len(examples) == 8
    answers = [reader.get(href).text for href in examples]
    assert ["Allowed." in answer for answer in answers] == [False, True, False, False, False, False, False, True]


def test_a_comparison_counts_what_the_command_counts_and_names_its_direction(visits: Any) -> None:
    reader = visits("viewer")
    found = diff(load_policy("zoom-2023-08"), load_policy("strict"))
    there = reader.get("/ui/policy/diff", params={"from": "zoom-2023-08", "to": "strict"}).text
    back = reader.get("/ui/policy/diff", params={"from": "strict", "to": "zoom-2023-08"}).text
    tighter = sum(change.cells for change in found.cells if change.tighter)
    assert re.search(rf'stricter</span><div class="figure">{tighter:,}</div>', there)
    assert re.search(rf'looser</span><div class="figure">{tighter:,}</div>', back)
    for row in (*found.added, *found.removed, *(row for row, _ in found.changed)):
        assert row in there
    same = reader.get("/ui/policy/diff", params={"from": "strict", "to": "strict"}).text
    assert "There is no difference" in same
