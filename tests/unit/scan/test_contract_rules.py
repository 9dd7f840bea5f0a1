"""Contracts are data: ours follow their schema, others' are checked with clear errors, names bind rules to columns."""

from pathlib import Path

import pytest

from gate.domain.contract import Severity
from gate.errors import InputError
from gate.resources import shipped
from gate.scan.contracts.rules import KINDS, bind, load_contracts
from gate.scan.contracts.suite import suite_digest

HEAD = """
category: telemetry
title: Readings of our ovens
question: Does it hold readings of ovens?
signals: [{id: ovens, weight: 0.9, formats: [oven]}]
contract:
"""
RULE = """
  - id: heat
    says: An oven is not hotter than 500 degrees.
    columns: [oven heat, "=temp"]
    range: {min: 0, max: 500}
    share: 0.9
    severity: warning
"""


def written(folder: Path, rules: str) -> Path:
    (folder / "ovens.yaml").write_text(HEAD + rules)
    return folder


def test_ours_are_sound() -> None:
    contracts = load_contracts(shipped("schemas") / "categories")  # a folder is checked against the schema
    assert set(contracts) == {"audio", "video", "chat", "telemetry", "education_record", "phi"}
    for rules in contracts.values():
        assert [rule.kind for rule in rules].count("account") == 1
        assert all(rule.says.endswith(".") for rule in rules)
    assert {rule.kind for rules in contracts.values() for rule in rules} == set(KINDS)
    assert contracts == load_contracts()


def test_a_privacy_engineer_adds_a_rule_without_python(tmp_path: Path) -> None:
    [rule] = load_contracts(written(tmp_path, RULE))["telemetry"]
    assert (rule.id, rule.kind, rule.severity, rule.share) == ("heat", "range", Severity.WARNING, 0.9)
    assert (rule.least, rule.most) == (0, 500)
    bounds = bind(["telemetry", "chat"], ["OvenHeat", "temp", "temperature", "text"], "account_id", tmp_path)
    assert [bound.key for bound in bounds] == [("telemetry", "heat", "OvenHeat"), ("telemetry", "heat", "temp")]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("range: {min: 0, max: 500}", "", "exactly one of account, filled with columns"),
        ("range: {min: 0, max: 500}", "range: {min: 0}\n    type: number", "exactly one of"),
        ("range: {min: 0, max: 500}", "range: {min: 0, mx: 500}", "'mx' was unexpected"),
        ("range: {min: 0, max: 500}", "range: {}", "should be non-empty"),
        ("range: {min: 0, max: 500}", "range: {min: 501, max: 500}", "'heat' ends before it begins"),
        ("range: {min: 0, max: 500}", "format: '('", "pattern that is none"),
        ("range: {min: 0, max: 500}", "type: roundish", "'roundish' is not one of"),
        ("range: {min: 0, max: 500}", "time: {future: true}", "False was expected"),
        ("range: {min: 0, max: 500}", "type: number", "exactly one of format, range"),  # share goes with those
        ('columns: [oven heat, "=temp"]', "", "exactly one of"),
        ('columns: [oven heat, "=temp"]', "columns: []", "should be non-empty"),
        ("says: An oven is not hotter than 500 degrees.", "", "'says' is a required property"),
        ("severity: warning", "severity: shrug", "'shrug' is not one of"),
        ("severity: warning", "colour: red", "'colour' was unexpected"),
        ("id: heat", "id: Heat!", "does not match"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in RULE
    with pytest.raises(InputError, match=said) as caught:
        load_contracts(written(tmp_path, RULE.replace(old, new)))
    assert caught.value.where == str(tmp_path / "ovens.yaml")


def test_two_rules_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two rules 'heat'"):
        load_contracts(written(tmp_path, RULE + RULE))


def test_accounts_elsewhere_have_no_rule() -> None:
    assert bind(["chat"], ["text"], None) == bind(["chat", "none"], ["text"], None)
    assert all(bound.rule.kind != "account" for bound in bind(["chat"], ["text"], None))
    [account] = [bound for bound in bind(["chat"], ["text"], "tenant") if bound.rule.kind == "account"]
    assert account.column == "tenant"


def test_the_digest_is_of_rules_and_columns(tmp_path: Path) -> None:
    bounds = bind(["chat"], ["text", "sent_at"], "account_id")
    assert suite_digest(bounds) == suite_digest(bind(["chat"], ["text", "sent_at"], "account_id"))
    others = [bind(["chat"], ["text"], "account_id"), bind(["chat"], ["text", "sent_at"], "tenant")]
    assert len({suite_digest(bounds), *map(suite_digest, others)}) == 3
    once = suite_digest(bind(["telemetry"], ["temp"], None, written(tmp_path, RULE)))
    load_contracts.cache_clear()
    again = suite_digest(bind(["telemetry"], ["temp"], None, written(tmp_path, RULE.replace("max: 500", "max: 600"))))
    assert once != again
