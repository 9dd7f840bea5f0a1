"""`gate lineage import`, `relay`, `dead` and `replay` as people meet them."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gate.cli.main import main
from gate.service.core import set_up
from gate.service.settings import read_settings
from support.lineage_backend import Recorder, recording, run_events

Gate = Callable[..., tuple[int, str, str]]
EVENTS = [event for number in range(3) for event in run_events(number)]


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Gate:
    monkeypatch.setenv("GATE_HOME", str(tmp_path / "home"))
    for name in ("GATE_DATABASE_URL", "GATE_LINEAGE_URL", "AIRFLOW__OPENLINEAGE__TRANSPORT", "OPENLINEAGE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["gate", "lineage", *map(str, words)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    with recording() as server:
        monkeypatch.setenv("GATE_LINEAGE_BACKENDS", json.dumps({"b": server.config}))
        yield server


def lines(path: Path, *events: Any) -> Path:
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in events), "utf-8")
    return path


def test_files_are_taken_once(gate: Gate, tmp_path: Path) -> None:
    first = lines(tmp_path / "a.jsonl", *EVENTS[:3], "", EVENTS[3])
    second = tmp_path / "b.json"
    second.write_text(json.dumps(EVENTS, indent=1), "utf-8")
    assert gate("import", first, second)[:2] == (0, "6 new, 4 known\n")
    code, out, _ = gate("import", first, second, "--json")
    said = json.loads(out)
    assert code == 0
    assert {key: said[key] for key in ("new", "known", "bad")} == {"new": 0, "known": 10, "bad": 0}
    assert [one["file"] for one in said["files"]] == [str(first), str(second)]


def test_standard_input_is_a_dash(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(json.dumps(event) + "\n" for event in EVENTS).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    assert gate("import", "-")[:2] == (0, "6 new, 0 known\n")


def test_a_bad_line_keeps_the_file_out_and_is_named(gate: Gate, tmp_path: Path) -> None:
    file = lines(tmp_path / "a.jsonl", EVENTS[0], "{", {"eventTime": "2026-01-01T00:00:00Z"})
    code, _, err = gate("import", file)
    assert code == 2
    assert str(file) in err
    assert "line 2: is not JSON" in err
    assert "line 3: event: names neither" in err
    assert gate("import", lines(tmp_path / "good.jsonl", EVENTS[0]))[1] == "1 new, 0 known\n"
    assert gate("import", file, "--skip-bad")[:2] == (0, "0 new, 1 known, 2 bad lines left out\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [('[{"eventTime": "x"}]', "event 1:"), ("[1", "cannot be read"), ("[3]", "event 1: event: is not a JSON object")],
)
def test_arrays_are_checked_too(gate: Gate, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.json").write_text(text, "utf-8")
    code, _, err = gate("import", tmp_path / "a.json")
    assert code == 2
    assert said in err


def test_a_file_that_is_not_there_is_named(gate: Gate, tmp_path: Path) -> None:
    code, _, err = gate("import", tmp_path / "none.jsonl")
    assert code == 2
    assert "none.jsonl" in err
    assert "Traceback" not in err


def test_what_is_taken_in_is_relayed_and_what_is_refused_can_be_replayed(
    gate: Gate, tmp_path: Path, backend: Recorder
) -> None:
    set_up(read_settings()).close()
    gate("import", lines(tmp_path / "a.jsonl", *EVENTS))
    backend.status = lambda event: 422 if event == EVENTS[2] else 201
    code, out, _ = gate("relay", "--json")
    one = json.loads(out)["backends"]["b"]
    assert (code, one["delivered"], one["dead"], one["behind"], one["next_try"]) == (0, 5, 1, 0, None)
    code, out, _ = gate("dead")
    assert code == 0
    assert "HTTPError (HTTP 422)" in out
    assert [letter["backend"] for letter in json.loads(gate("dead", "--json")[1])["dead"]] == ["b"]
    assert gate("replay")[:2] == (1, "b: 0 delivered, 1 refused again\n")
    backend.status = lambda event: 201
    assert json.loads(gate("replay", "--json")[1]) == {"backends": {"b": {"delivered": 1, "refused": 0}}}
    assert json.loads(gate("dead", "--json")[1]) == {"dead": []}
    backend.status = lambda event: 503
    gate("import", lines(tmp_path / "b.jsonl", run_events(9)[0]))
    code, out, _ = gate("relay")
    assert code == 1
    assert "b: 0 delivered, 0 dead, 1 behind, next try " in out


def test_backends_that_cannot_be_are_bad_input(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_LINEAGE_BACKENDS", '{"b": {"type": "http"}}')
    code, _, err = gate("relay")
    assert code == 2
    assert "GATE_LINEAGE_BACKENDS.b" in err
