"""Commands around the ledger itself: watermarks, copies, replays, roles, and a clock that ran ahead."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gate.cli.main import main
from gate.domain.instants import format_instant
from gate.ledger.store import NewEntry, open_ledger

HOUR = timedelta(hours=1)
Gate = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def gate(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Gate:
    """Run a command with --json; returns exit code, JSON, stderr."""
    monkeypatch.setenv("GATE_HOME", str(home))
    for name in ("GATE_DATABASE_URL", "GATE_URL", "GATE_TOKEN", "GATE_CHECKPOINTS"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: object, as_json: bool = True) -> tuple[int, Any, str]:
        monkeypatch.setattr(sys, "argv", ["gate", *map(str, words), *(["--json"] if as_json else [])])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, json.loads(said.out) if as_json else said.out, said.err

    return run


def ago(hours: int) -> str:
    return format_instant((datetime.now(UTC) - hours * HOUR).replace(microsecond=0))


def backup(home: Path, to: Path) -> Path:
    source, target = sqlite3.connect(home / "ledger.db"), sqlite3.connect(to)
    source.backup(target)
    source.close()
    target.close()
    return to


def restore(home: Path, copy: Path) -> None:
    for suffix in ("-wal", "-shm"):
        (home / f"ledger.db{suffix}").unlink(missing_ok=True)
    (home / "ledger.db").write_bytes(copy.read_bytes())


def test_sources_report_and_are_listed(gate: Gate) -> None:
    day, hour = ago(30), ago(1)
    assert gate("consent", "watermark", "crm", day)[1] == {"source": "crm", "watermark": day, "moved": True}
    assert gate("consent", "watermark", "console", hour)[0] == 0
    assert gate("consent", "watermark", "console", day)[1] == {"source": "console", "watermark": hour, "moved": False}
    listed = gate("consent", "feeds")[1]["feeds"]
    assert [(row["source"], row["watermark"], row["stale"]) for row in listed] == [
        ("console", hour, False),
        ("crm", day, True),
    ]
    assert "STALE" in gate("consent", "feeds", as_json=False)[1]
    assert gate("consent", "watermark", "crm", ago(-2))[0] == 2
    assert gate("consent", "watermark", "CRM!", day)[0] == 2
    assert gate("consent", "watermark", "crm", "yesterday")[0] == 2


def test_an_import_brings_its_sources_watermark(gate: Gate, tmp_path: Path) -> None:
    file = tmp_path / "c.jsonl"
    said = {"account_id": "acme", "action": "withdraw", "principal": {"id": "a", "role": "admin"}}
    file.write_text(json.dumps({**said, "effective_at": "2024-01-01T00:00:00Z"}) + "\n")
    assert gate("consent", "import", file, "--source", "crm")[0] == 2
    assert gate("consent", "import", file, "--watermark", ago(1))[0] == 2
    assert gate("consent", "feeds")[1]["feeds"] == []
    hour = ago(1)
    assert gate("consent", "import", file, "--source", "crm", "--watermark", hour)[0] == 0
    assert [row["source"] for row in gate("consent", "feeds")[1]["feeds"]] == ["crm"]
    file.write_text("broken")
    assert gate("consent", "import", file, "--source", "crm", "--watermark", ago(0))[0] == 2
    assert gate("consent", "feeds")[1]["feeds"][0]["watermark"] == hour, "no event, no watermark"


def test_a_restored_database_is_replayed(gate: Gate, home: Path, tmp_path: Path) -> None:
    assert gate("consent", "watermark", "crm", ago(9))[0] == 0
    old = backup(home, tmp_path / "old.db")
    assert gate("consent", "watermark", "crm", ago(1))[0] == 0
    copied = gate("ledger", "copy", tmp_path / "copy.jsonl")[1]
    assert gate("ledger", "copy", tmp_path / "copy.jsonl")[0] == 2
    restore(home, old)
    code, _, said = gate("consent", "watermark", "crm", ago(0))
    assert (code, "gate db replay" in said) == (4, True)
    assert gate("db", "replay", tmp_path / "missing.jsonl")[0] == 2
    assert gate("db", "replay", f"sqlite:///{old}")[0] == 2
    assert gate("db", "replay", tmp_path / "copy.jsonl")[1] == {"replayed": 1}
    assert gate("db", "replay", tmp_path / "copy.jsonl")[0] == 1, "nothing is missing any more"
    verified = gate("ledger", "verify")[1]
    assert (verified["entries"], verified["findings"]) == (copied["entries"], [])
    assert gate("consent", "watermark", "crm", ago(0))[0] == 0


def test_roles_are_printed_as_sql(gate: Gate) -> None:
    script = gate("db", "roles", "--reader", "auditors", as_json=False)[1]
    assert "GRANT SELECT ON entry" in script
    assert "TO auditors, gate_appender, gate_owner" in script
    assert gate("db", "roles")[1]["sql"].startswith("-- PostgreSQL roles")
    assert gate("db", "roles", "--owner", 'x"; DROP')[0] == 2


def test_a_clock_that_ran_ahead(gate: Gate, home: Path) -> None:
    assert gate("consent", "watermark", "crm", ago(1))[0] == 0
    assert gate("ledger", "accept-clock", "--reason", "none")[0] == 1
    ledger = open_ledger(f"sqlite:///{home / 'ledger.db'}")
    with ledger.write() as tx:
        ahead = datetime.now(UTC) + 24 * HOUR
        tx.append_many([NewEntry("tag", "t", {}, ahead, "service:test", "import")])
    ledger.close()
    code, _, said = gate("consent", "watermark", "crm", ago(0))
    assert (code, "behind the ledger" in said) == (4, True)
    code, done, _ = gate("ledger", "accept-clock", "--reason", "the battery")
    assert (code, list(done)) == (0, ["index"])
    assert gate("consent", "watermark", "crm", ago(0))[0] == 0
    assert gate("ledger", "verify")[1]["findings"] == []
