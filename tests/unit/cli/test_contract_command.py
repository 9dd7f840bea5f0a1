"""`gate dataset contract` where Great Expectations has nothing to do or is not there; the rest is in test_contracts."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gate.cli.contract import CODES, _found
from gate.cli.main import app
from gate.domain.contract import Outcome, RuleOutcome, Severity
from gate.errors import InputError

run = CliRunner().invoke


def words(path: Path, category: str = "chat") -> list[str]:
    return ["dataset", "contract", str(path), "--category", category]


def test_errored_is_worse_than_failed() -> None:
    assert CODES == {None: 0, Outcome.PASSED: 0, Outcome.FAILED: 1, Outcome.ERRORED: 4}


def test_nothing_to_check_needs_no_great_expectations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "great_expectations", None)  # as if it were not installed
    (tmp_path / "talk.vtt").write_text("WEBVTT\n")
    done = run(app, words(tmp_path / "talk.vtt"))
    assert (done.exit_code, done.stdout) == (0, "nothing to check: its files are no tables of one format\n")
    (tmp_path / "table.csv").write_text("colour\nred\n")
    done = run(app, [*words(tmp_path / "table.csv"), "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["note"] == "no rule of these categories is about its columns"


def test_without_great_expectations_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "great_expectations", None)
    (tmp_path / "chat.csv").write_text("text\nhello\n")
    done = run(app, words(tmp_path / "chat.csv"))
    assert isinstance(done.exception, InputError)
    assert done.exception.hint == 'pip install "airflow-provider-consent-gate[gx]"'


def test_an_unknown_category_is_refused(tmp_path: Path) -> None:
    (tmp_path / "chat.csv").write_text("text\nhello\n")
    done = run(app, words(tmp_path / "chat.csv", "chats"))
    assert isinstance(done.exception, InputError)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"values": 1200}, "1,200 values"),
        ({"values": 1200, "empty": 3}, "3 empty of 1,200"),
        ({"values": 9, "empty": 3, "unexpected": 2, "outcome": Outcome.FAILED}, "2 do not fit, 3 empty of 9"),
        ({}, "the column's type"),
        ({"outcome": Outcome.ERRORED, "error": "KeyError"}, "KeyError"),
        (
            {"values": 9, "empty": 3, "outcome": Outcome.FAILED, "severity": Severity.WARNING},
            "3 empty of 9, only a warning",
        ),
    ],
)
def test_what_was_found_is_told_in_counts(fields: dict, said: str) -> None:
    given = {"severity": Severity.ERROR, "outcome": Outcome.PASSED} | fields
    assert _found(RuleOutcome("chat", "x", "It holds.", kind="type", column="text", **given)) == said
