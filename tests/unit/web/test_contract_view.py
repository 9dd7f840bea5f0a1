"""Pages show what data contracts came to: those first that need somebody, counts only, everything escaped."""

from datetime import UTC, datetime

import pytest

from gate.domain.contract import ContractOutcome, Outcome, RuleOutcome, Severity
from gate.domain.dataset import dataset
from gate.domain.decision import wanted_use
from gate.domain.run import TaskRun
from gate.scan.digest import measure
from gate.service.anchors import recording
from gate.service.core import Service
from gate.service.deciding import decide
from gate.service.outcome import Asking
from gate.service.tagging import dataset_key
from gate.web.contract import contract_counts, marked_rules
from support.world import chat_file

NOW = datetime(2026, 11, 30, tzinfo=UTC)
HOSTILE = '<script>alert(1)</script>"'


def rule(name: str, outcome: Outcome, severity: Severity = Severity.ERROR, **more) -> RuleOutcome:
    fields = {"values": 1200, "empty": 0, "unexpected": 0, "error": ""} | more
    return RuleOutcome("chat", name, f"It is {name}.", severity, "format", f"column_{name}", outcome, **fields)


RULES = (
    rule("fine", Outcome.PASSED),
    rule("warned", Outcome.FAILED, Severity.WARNING, empty=400),
    rule("broken", Outcome.FAILED, unexpected=7),
    rule("unknown", Outcome.ERRORED, values=0, error="KeyError"),
)


def outcome(*rules: RuleOutcome, note: str = "") -> ContractOutcome:
    return ContractOutcome(("chat",), rules, 1200, NOW, "sha256:" + "ab" * 32, "1.24.1", note)


def test_what_needs_somebody_comes_first() -> None:
    found = [(one.rule.rule, one.mark) for one in marked_rules(outcome(*RULES))]
    assert found == [("unknown", "open"), ("broken", "bad"), ("warned", "warn"), ("fine", "good")]
    assert contract_counts(outcome(*RULES)) == [("open", "errored", 1), ("bad", "failed", 2), ("good", "passed", 1)]
    assert contract_counts(outcome(RULES[0])) == [("good", "passed", 1)]


def shown(service: Service, visits, folder, contract: dict | None) -> str:
    """Record a tag that holds a contract, decide, and return the decision's page."""
    one = chat_file(folder, ["aurora"])
    version, _ = measure(dataset(one.uri, "account_id"))
    body = {
        "dataset": {"namespace": one.namespace, "name": one.name},
        "version": version.to_dict(),
        "statements": [["chat", "declared"]],
        "evidence": [],
        "contradictions": [],
        "unreadable": 0,
        "run": None,
    } | ({"contract": contract} if contract else {})
    with recording(service) as tx:
        subject = f"{dataset_key(one)}/{version.digest}/x"
        tx.append("tag", subject, body, recorded_at=service.now(), by="service:airflow", via="airflow")
    use = wanted_use("train", feature="meeting_summary", model="ms-1")
    index = decide(service, [one], use, Asking(TaskRun("d", "r", "g"), ("t",), "service:airflow", "airflow")).index
    answer = visits("admin").get(f"/ui/decisions/{index}")
    assert answer.status_code == 200
    return answer.text


def test_a_page_shows_the_rules_of_a_tag(service: Service, visits, tmp_path) -> None:
    html = shown(service, visits, tmp_path, outcome(*RULES, rule(HOSTILE, Outcome.PASSED)).to_dict())
    assert "Data contracts:" in html
    assert '<span class="badge open">1 errored</span>' in html
    assert '<span class="badge bad">2 failed</span>' in html
    assert "could not be checked: KeyError" in html
    assert "only a warning" in html
    assert "1,200" in html
    assert html.index("It is unknown.") < html.index("It is broken.") < html.index("It is fine.")
    assert "<details open>" in html
    assert HOSTILE not in html
    assert " style=" not in html


def test_what_passed_is_folded(service: Service, visits, tmp_path) -> None:
    html = shown(service, visits, tmp_path, outcome(RULES[0]).to_dict())
    assert '<span class="badge good">1 passed</span>' in html
    assert "<details open>" not in html


def test_nothing_to_check_says_why(service: Service, visits, tmp_path) -> None:
    html = shown(service, visits, tmp_path, outcome(note="its files are no tables").to_dict())
    assert "nothing to check, its files are no tables." in html


@pytest.mark.parametrize("contract", [None, {}])
def test_tags_of_before_say_nothing(service: Service, visits, tmp_path, contract: dict | None) -> None:
    assert "Data contracts" not in shown(service, visits, tmp_path, contract)
