"""`gate lineage upstream | downstream | export`: a tree for people, one answer for programs, files whole or not."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from gate.cli.main import main
from gate.lineage.store.database import open_store
from gate.lineage.store.ingest import store_events
from support.lineage_scene import CHAT, MODEL, data, digest, event, observed, scene

Gate = Callable[..., tuple[int, str, str]]


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Gate:
    """Run `gate lineage …` over the scene; returns exit code, stdout, stderr."""
    home = tmp_path / "home"
    monkeypatch.setenv("GATE_HOME", str(home))
    for name in ("GATE_DATABASE_URL", "GATE_LINEAGE_URL", "GATE_URL"):
        monkeypatch.delenv(name, raising=False)
    with open_store(f"sqlite:///{home / 'lineage.db'}") as store:
        store_events(store, observed())

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["gate", "lineage", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as leaving:
            main()
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return int(leaving.value.code or 0), said.out, said.err

    return run


def test_upstream_is_a_tree(gate: Gate) -> None:
    code, out, _ = gate("upstream", "model:ms-1")
    assert code == 0
    assert out == (
        "upstream of model:ms-1: 7 nodes, 7 links, 1 blocked\n"
        "◆ ms-1 (model.joblib) @ dddddddd\n"
        "└─ ▸ part.train · monday complete\n"
        "   ├─ ● telemetry @ bbbbbbbb telemetry\n"
        "   ├─ ⚖ decision 12: allow\n"
        "   │  └─ ▸ part.gate · monday complete\n"
        "   │     └─ ● chat.jsonl @ aaaaaaaa chat  ✗ no_consent\n"
        "   └─ ● chat.jsonl @ cccccccc chat\n"
        "      └─ ▸ part.gate · monday complete  (as above)\n"
    )


def test_downstream_says_what_was_blocked(gate: Gate) -> None:
    _, out, _ = gate("downstream", CHAT, "--as-of", "2026-11-22T10:03:00Z")
    assert "as of 2026-11-22T10:03:00Z" in out
    assert "└─ ⚖ decision 10: block no_consent" in out
    assert "ms-1" not in out
    _, out, _ = gate("downstream", CHAT, "--level", "dataset", "--category", "chat")
    assert "◆ ms-1 (model.joblib)" in out


@pytest.mark.parametrize("direction", ["upstream", "downstream", "both"])
def test_json_is_the_answer(gate: Gate, direction: str) -> None:
    words = ["export", CHAT, "--direction", direction] if direction == "both" else [direction, CHAT]
    answer = json.loads(gate(*words, "--json")[1])
    assert answer["question"]["direction"] == direction
    assert {"question", "roots", "nodes", "edges", "complete"} == set(answer)


def test_files_are_written_whole(gate: Gate, tmp_path: Path) -> None:
    picture = tmp_path / "out.svg"
    code, out, _ = gate("export", "model:ms-1", "--format", "svg", "--output", picture, "--json")
    assert code == 0
    assert json.loads(out) == {"path": str(picture), "format": "svg", "bytes": picture.stat().st_size}
    assert ET.parse(picture).getroot().tag.endswith("svg")
    code, _, err = gate("export", "model:none", "--format", "svg", "--output", picture)
    assert (code, "nothing is known" in err) == (2, True)
    code, _, err = gate("export", "model:ms-1", "--output", tmp_path / "nowhere" / "x.json")
    assert (code, "cannot be written" in err) == (2, True)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["out.svg"]


def test_openlineage_is_the_raw_events_of_its_runs(gate: Gate) -> None:
    wanted = {("part.gate", 3), ("part.gate", 4), ("part.train", 5), ("part.train", 6)}
    for level in ("run", "dataset"):
        direction = ("--direction", "upstream", "--level", level)
        lines = gate("export", "model:ms-1", "--format", "openlineage", *direction)[1].splitlines()
        events = [json.loads(line) for line in lines]
        assert {(one["job"]["name"], int(one["eventTime"][14:16])) for one in events} == wanted
        assert all(one in scene() for one in events)
    early = gate("export", CHAT, "--format", "openlineage", "--as-of", "2026-11-22T10:01:00Z")[1].splitlines()
    assert [json.loads(line)["job"]["name"] for line in early] == ["notes.tag"]


@pytest.mark.parametrize(
    "words",
    [
        ("upstream", "model:none"),
        ("upstream", "model:ms-1", "--as-of", "yesterday"),
        ("upstream", "model:ms-1", "--as-of", "99999"),
        ("upstream", "model:ms-1", "--level", "column"),
        ("upstream", "model:ms-1", "--category", "gossip"),
        ("upstream", "model:ms-1", "--depth", "-1"),
        ("upstream",),
        ("export", "model:ms-1", "--format", "exe"),
        ("export", "model:ms-1", "--format", "svg", "--json"),
        ("export", "model:ms-1", "--direction", "sideways"),
    ],
)
def test_bad_input_is_said_and_leaves_2(gate: Gate, words: tuple[str, ...]) -> None:
    code, _, err = gate(*words)
    assert code == 2
    assert err


def test_names_cannot_steer_the_terminal(gate: Gate, tmp_path: Path) -> None:
    evil = "/lake/\x1b[2J\u202e[red]evil[bold]\nname"
    told = event("bad.job", 50, reads=[data(evil, digest("9"))], writes=[data(MODEL, digest("8"), model="evil")])
    with open_store(f"sqlite:///{tmp_path / 'home' / 'lineage.db'}") as store:
        store_events(store, observed([told]))
    _, out, _ = gate("upstream", "model:evil")
    assert "\x1b" not in out
    assert "[red]evil[bold]\ufffdname" in out
    assert len(out.splitlines()) == 4
