"""The demo's history lands in its ledger, and its live answers too where a decision service holds that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gate.demo import history
from gate.demo.seed import CONSOLE, record_history, record_now
from gate.errors import GateError
from gate.service.core import Service, set_up
from gate.service.settings import read_settings
from support.served import served


def _consents(service: Service) -> list[tuple[str, str]]:
    with service.ledger.read() as reader:
        return [(entry.via, entry.body["action"]) for entry in reader.entries("consent")]


def test_recording_the_history_again_adds_nothing(tmp_path: Path) -> None:
    with set_up(read_settings({"GATE_HOME": str(tmp_path / "home")})) as service:
        record_history(service)
        before = service.ledger_size()
        record_history(service)
        assert service.ledger_size() == before


class TestTheConsole:
    @pytest.fixture
    def service(self, tmp_path: Path):
        with set_up(read_settings({"GATE_HOME": str(tmp_path / "home")})) as opened:
            record_history(opened)
            yield opened

    def test_it_tells_the_service_what_the_admin_answers_now(self, service: Service, tmp_path: Path) -> None:
        before = _consents(service)
        with served(service) as there:
            file = tmp_path / "console.json"
            file.write_text(json.dumps({"url": there.url, "token": there.token("consent", name="console")}))
            record_now(history.renewal, {CONSOLE: str(file)})
            record_now(lambda now: history.withdrawal("harbor", now), {CONSOLE: str(file)})
        assert _consents(service)[len(before) :] == [("api", "grant"), ("api", "withdraw")]

    def test_a_worker_s_token_is_refused(self, service: Service, tmp_path: Path) -> None:
        before = _consents(service)
        with served(service) as there:
            file = tmp_path / "console.json"
            file.write_text(json.dumps({"url": there.url, "token": there.token()}))
            with pytest.raises(GateError, match="scope"):
                record_now(history.renewal, {CONSOLE: str(file)})
        assert _consents(service) == before
