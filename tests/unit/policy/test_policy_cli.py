"""`gate policy`: the commands as people run them, and the case files that ship with the tests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gate.cli.policy import app
from gate.errors import GateError, InputError, PolicyError
from gate.policy.table import shipped_policies

CASES = Path(__file__).parents[2] / "policy"
CASE = {
    "id": "one",
    "given": {"categories": ["audio"], "account_id": "acme", "terms_version": "2023-08-07", "segment": None},
    "use": {"purpose": "train", "feature": "meeting_summary", "ownership": "first_party"},
    "at": "2023-09-01T00:00:00Z",
    "expect": {"verdict": "block", "reasons": ["no_consent"]},
}


def run(*args: object) -> tuple[int, str]:
    """Run a command; our own errors pass through as they do to `gate`'s main."""
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    if isinstance(result.exception, GateError):
        raise result.exception
    return result.exit_code, result.stdout


def write(path: Path, *cases: object) -> Path:
    path.write_text("".join((case if isinstance(case, str) else json.dumps(case)) + "\n" for case in cases))
    return path


@pytest.mark.parametrize("name", shipped_policies())
def test_the_cases_hold(name: str) -> None:
    code, out = run("test", CASES / f"{name}.jsonl", "--policy", name)
    assert code == 0, out
    assert out.endswith(" passed, 0 failed\n")


def test_there_are_cases_for_every_rule() -> None:
    ids = [json.loads(line)["id"] for path in CASES.glob("*.jsonl") for line in path.read_text().splitlines()]
    assert len(ids) >= 150
    assert {int(case[1:3]) for case in ids} == set(range(1, 39))


def test_both_verdicts_are_expected_often() -> None:
    lines = (CASES / "zoom-2023-08.jsonl").read_text().splitlines()
    allowed = sum(json.loads(line)["expect"]["verdict"] == "allow" for line in lines)
    assert allowed > len(lines) / 4


def test_a_case_that_does_not_hold_fails_and_is_shown(tmp_path: Path) -> None:
    wrong = {**CASE, "id": "two", "expect": {"verdict": "allow"}}
    missing = {**CASE, "id": "three", "expect": {"verdict": "block", "reasons": ["no_consent", "wrong_feature"]}}
    code, out = run("test", write(tmp_path / "c.jsonl", CASE, wrong, missing))
    assert code == 1
    assert "FAILED two" in out
    assert "FAILED three" in out
    assert "FAILED one" not in out
    assert out.endswith("1 passed, 2 failed\n")


def test_json_is_one_object_per_case(tmp_path: Path) -> None:
    code, out = run("test", write(tmp_path / "c.jsonl", CASE, {**CASE, "id": "two"}), "--json")
    objects = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [found["id"] for found in objects] == ["one", "two"]
    assert set(objects[0]) == {"id", "verdict", "reasons", "rows", "citations", "ok"}
    assert objects[0]["rows"] == ["content-training"]
    assert set(objects[0]["citations"][0]) == {"source", "authority", "section", "quote"}


def change(**fields: object) -> dict[str, object]:
    return {**CASE, **fields}


def given(**fields: object) -> dict[str, object]:
    return {**CASE, "given": {**CASE["given"], **fields}}  # type: ignore[dict-item]


GRANT = {
    "action": "grant",
    "toggle": "share_for_training",
    "principal": {"id": "ada", "role": "admin"},
    "effective_at": "2023-08-15T00:00:00Z",
}


@pytest.mark.parametrize(
    ("case", "where", "words"),
    [
        ("{not json", ":2:2", "not JSON"),
        ('"text"', ":2: case", "object"),
        (change(extra=1), ":2: case", "'extra'"),
        (change(id=None), ":2: id", "missing"),
        (change(use={"purpose": "trian"}), ":2: use.purpose", "trian"),
        (change(use={}), ":2: use.purpose", "missing"),
        (change(at="2023-09-01T00:00:00"), ":2: at", "zone"),
        (change(at=None), ":2: at", "text"),
        (change(expect={"verdict": "maybe"}), ":2: expect.verdict", "maybe"),
        (change(expect={"verdict": "block", "reasons": ["because"]}), ":2: expect.reasons", "because"),
        (given(categories="audio"), ":2: given.categories", "list"),
        (given(categories=[1]), ":2: given.categories", "words"),
        (given(accounts=[]), ":2: given", "both"),
        (given(account_id=None, consents=[GRANT]), ":2: given", "no account"),
        (given(rows_unattributed=-1), ":2: given.rows_unattributed", "negative"),
        (given(rows_unattributed=True), ":2: given.rows_unattributed", "number"),
        (given(segment=7), ":2: given.segment", "text"),
        (given(consents=[{**GRANT, "effective_at": "2023-08-15"}]), ":2: given.consents[0].effective_at", "zone"),
        (given(consents=[{**GRANT, "action": "give"}]), ":2: given.consents[0].action", "give"),
        (given(consents=[{**GRANT, "colour": "red"}]), ":2: given.consents[0].event", "colour"),
        (given(consents=["yes"]), ":2: given.consents[0].event", "object"),
        (change(id="first"), ":2", "twice"),
    ],
)
def test_malformed_cases_name_the_line(tmp_path: Path, case: object, where: str, words: str) -> None:
    path = write(tmp_path / "c.jsonl", {**CASE, "id": "first"}, case)
    with pytest.raises(InputError) as refused:
        run("test", path)
    assert refused.value.where == f"{path}{where}"
    assert words in str(refused.value)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff"])
def test_a_file_without_cases_is_no_success(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError):
        run("test", path)
    with pytest.raises(InputError, match="cannot be read"):
        run("test", tmp_path / "absent.jsonl")


def test_order_of_consents_in_a_case_means_nothing(tmp_path: Path) -> None:
    grants = [
        {**GRANT, "categories": ["audio"], "features": "*", "purposes": ["train"]},
        {**GRANT, "categories": ["audio"], "features": "*", "purposes": ["train"], "evidence": "form"},
    ]
    outcomes = []
    for consents in (grants, grants[::-1]):
        _, out = run("test", write(tmp_path / "c.jsonl", given(consents=consents)), "--json")
        outcomes.append(json.loads(out)["reasons"])
    assert outcomes[0] == outcomes[1]


def test_lint_of_all_shipped_policies_is_clean() -> None:
    code, out = run("lint")
    assert code == 0
    assert out.count("clean") == len(shipped_policies())


def test_lint_fails_on_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("name: p\nversion: '1'\nrows: []\n")
    code, out = run("lint", path, "--json")
    assert code == 1
    assert json.loads(out)[0]["problems"][0]["kind"] == "empty"


def test_show_prints_rows_and_digest() -> None:
    code, out = run("show", "strict")
    assert code == 0
    assert "children-training" in out
    shown = json.loads(run("show", "strict", "--json")[1])
    assert shown["digest"].startswith("sha256:")
    assert shown["policy"]["name"] == "strict"


def test_matrix_in_terminal_and_as_page(tmp_path: Path) -> None:
    code, out = run("matrix")
    assert code == 0
    assert "third_party model" in out
    page = tmp_path / "matrix.html"
    assert run("matrix", "strict", "--html", page)[0] == 0
    assert page.read_text().startswith("<!doctype html>")
    squares = json.loads(run("matrix", "--json", "--at", "2023-09-01T00:00:00Z")[1])
    assert {"category", "purpose", "ownership", "requirement", "rows", "exceptions"} == set(squares[0])
    with pytest.raises(InputError, match="cannot be written"):
        run("matrix", "--html", tmp_path)


def test_explain_answers_and_refuses_unknown_words() -> None:
    use = ("--category", "audio", "--purpose", "train")
    code, out = run("explain", *use, "--ownership", "third_party")
    assert code == 0
    assert "third-party-content" in out
    assert "no consent lifts it" in out
    assert json.loads(run("explain", *use, "--json")[1])["requirement"] == "consent"
    with pytest.raises(InputError, match="vidio"):
        run("explain", "--category", "vidio", "--purpose", "train")


def test_diff_shows_rows_and_cells() -> None:
    code, out = run("diff", "zoom-2023-08", "strict")
    assert code == 0
    assert "row added: phi-training" in out
    assert "cells change" in out
    assert run("diff", "strict", "strict") == (0, "no difference\n")
    assert json.loads(run("diff", "zoom-2023-08", "strict", "--json")[1])["settings"]


def test_unknown_policies_are_named() -> None:
    for args in (("show", "nope"), ("lint", "nope"), ("matrix", "nope"), ("diff", "strict", "nope")):
        with pytest.raises(PolicyError, match="zoom-2023-08"):
            run(*args)


def test_importing_the_commands_and_the_room_stays_light() -> None:
    code = (
        "import sys; import gate.cli.policy; early = 'gate.policy.table' in sys.modules or 'yaml' in sys.modules;"
        "import gate.policy.evaluate, gate.policy.table;"
        "heavy = {'pandas', 'pyarrow', 'duckdb', 'ibis', 'sqlalchemy', 'airflow', 'openlineage', 'jsonschema'};"
        "print(early, sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False []\n"
