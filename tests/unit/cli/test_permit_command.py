"""`gate permit verify` and `gate.verify_permit`: what a trainer can check that reaches no service."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import gate
from gate.cli.main import main
from gate.domain.dataset import dataset
from gate.domain.instants import utc_now
from gate.permits import Permit, issue, issue_receipt, public_key_to_text, verify_permit
from gate.scan.digest import measure
from gate.service.deciding import decide
from gate.service.tagging import tag_dataset
from support.permits import NOW, permit, receipt, signing_key
from support.world import ASKING, USE, add_account, chat_file, event, new_service, say

KEY = signing_key()
PINNED = public_key_to_text(KEY.public_key)
HEAVY = [
    "sqlalchemy",
    "alembic",
    "duckdb",
    "ibis",
    "pyarrow",
    "pandas",
    "airflow",
    "openlineage",
    "fsspec",
    "jsonschema",
]
HEAVY += ["httpx", "rich", "typer", "numpy", "fastapi", "pydantic", "yaml", "securesystemslib", "platformdirs"]

Verify = Callable[..., tuple[int, Any]]


def valid(**fields: Any) -> Permit:
    now = utc_now()
    return replace(permit(), issued_at=now - timedelta(minutes=1), expires_at=now + timedelta(hours=1), **fields)


@pytest.fixture
def verify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Verify:
    monkeypatch.chdir(tmp_path)

    def run(content: Any, *words: object, key: str = PINNED) -> tuple[int, Any]:
        Path("permit.json").write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        argv = ["gate", "permit", "verify", "permit.json", "--key", key, *map(str, words), "--json"]
        monkeypatch.setattr(sys, "argv", argv)
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        return code, json.loads(capsys.readouterr().out)

    return run


def test_a_genuine_permit_is_shown(verify: Verify) -> None:
    genuine = valid()
    assert verify(issue(genuine, KEY)) == (0, json.loads(genuine.to_payload()))


def test_it_reads_the_file_that_gate_run_writes(verify: Verify) -> None:
    assert verify({"permit": issue(valid(), KEY), "receipt": None, "redemption": 7})[0] == 0
    assert verify({"permit": None, "receipt": None, "redemption": 7})[0] == 3


BINDINGS = {"--dag": "train_meeting_summary", "--run": permit().run_id, "--task": "train"}


@pytest.mark.parametrize("option", BINDINGS)
def test_a_binding_binds(verify: Verify, option: str) -> None:
    assert verify(issue(valid(), KEY), option, BINDINGS[option])[0] == 0
    code, said = verify(issue(valid(), KEY), option, "other")
    assert (code, said["reason"]) == (3, "permit_mismatch")


def test_a_gate_of_another_dag_must_be_named(verify: Verify) -> None:
    elsewhere = issue(valid(gate_dag_id="gate_meetings"), KEY)
    assert verify(elsewhere, "--gate-dag", "gate_meetings")[0] == 0
    assert verify(elsewhere)[0] == 3
    assert verify(issue(valid(), KEY), "--gate-dag", "gate_meetings")[0] == 3


def test_offline_use_is_for_permits_that_say_so(verify: Verify) -> None:
    assert verify(issue(valid(), KEY), "--offline")[1]["where"] == "permit.offline"
    assert verify(issue(valid(offline=True), KEY), "--offline")[0] == 0


def test_what_is_there_is_hashed_and_compared(verify: Verify, tmp_path: Path) -> None:
    for name in ("meetings", "chat"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "part-0").write_text(name)
    both = tuple(measure(dataset(str(tmp_path / name), "account_id"))[0] for name in ("meetings", "chat"))
    envelope = issue(valid(datasets=both), KEY)
    named = ("--dataset", "meetings", "--dataset", tmp_path / "chat")
    assert verify(envelope, *named)[0] == 0
    assert verify(envelope, *named[:2])[1]["where"] == "permit.datasets"
    (tmp_path / "chat" / "part-1").write_text("more")
    code, said = verify(envelope, *named)
    assert (code, said["where"]) == (3, "permit.datasets")
    assert "other bytes" in said["message"]
    (tmp_path / "meetings" / "part-0").unlink()
    assert verify(envelope, *named)[0] == 4


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", "nonsense", "\ud7ff", '{"permit": 1}', '{"permit": "x"}', issue_receipt(receipt(), KEY)],
    ids=range(8),
)
def test_what_is_no_permit_is_refused(verify: Verify, content: Any) -> None:
    code, said = verify(content)
    assert (code, said["reason"]) == (3, "permit_mismatch")


def test_an_expired_permit_and_a_foreign_key_are_refused(verify: Verify) -> None:
    assert verify(issue(permit(), KEY))[1]["reason"] == "permit_expired"
    other = public_key_to_text(signing_key(b"\1" * 32).public_key)
    assert verify(issue(valid(), KEY), key=other)[1]["reason"] == "permit_mismatch"
    assert verify(issue(valid(), KEY), "--key", other)[0] == 0
    assert verify(issue(valid(), KEY), key="nonsense")[0] == 2


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "valid until "),
        ({"offline": True}, "may be used offline"),
        ({"override": 7}, "by the break-glass of ledger entry 7"),
        ({"gate_dag_id": "gate_meetings"}, f"of {permit().run_id} of gate_meetings"),
    ],
)
def test_marks_are_told_in_words(tmp_path: Path, fields: dict[str, Any], told: str) -> None:
    path = tmp_path / "permit.json"
    path.write_text(json.dumps(issue(valid(**fields), KEY)))
    words = ["permit", "verify", str(path), "--key", PINNED, "--gate-dag", "gate_meetings"]
    words = words if "gate_dag_id" in fields else words[:-2]
    code = "import sys; sys.argv[0] = 'gate'; from gate.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert told in done.stdout


@pytest.mark.parametrize(("category", "wanted"), [("telemetry", 0), ("chat", 3)])
def test_only_data_whose_rows_allow_it_trains_offline(
    tmp_path: Path, verify: Verify, category: str, wanted: int
) -> None:
    with new_service(tmp_path / "home", utc_now) as service:  # type: ignore[arg-type]
        add_account(service, "acme")
        say(service, event("acme"))
        data = chat_file(tmp_path, ["acme"] * 3) if category == "chat" else dataset(str(tmp_path / "t.csv"), "account")
        if category == "telemetry":
            (tmp_path / "t.csv").write_text("account,latency_ms\nacme,12\n", "utf-8")
        tag_dataset(service, data, [category], by="service:airflow", via="airflow")
        outcome = decide(service, [data], USE, ASKING)
        assert outcome.allowed
        key = public_key_to_text(service.pinned_keys[0])
    code, said = verify(outcome.permits["train"], "--offline", "--dataset", data.uri, key=key)
    assert (code, said.get("where")) == (wanted, "permit.offline" if wanted else None)


def test_verifying_needs_none_of_the_heavy_libraries() -> None:
    # The permits are those of the golden files: what a trainer is handed is JSON and a key, nothing else.
    code = f"""
import json, sys
from datetime import datetime, timezone
import gate
before = set(sys.modules)
envelope = json.loads({json.dumps(json.dumps(issue(replace(permit(), offline=True), KEY)))})
from gate.permits import public_key_from_text
now = datetime.fromisoformat({NOW.isoformat()!r})
checked = gate.verify_permit(envelope, [public_key_from_text({PINNED!r})], now=now, task_id="train", offline=True)
loaded = {{name.partition(".")[0] for name in sys.modules}}
print(json.dumps([checked.permit_id, sorted(loaded & set({HEAVY!r})), "gate.permits" in before]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [permit().permit_id, [], False]


def test_the_packages_own_names_are_looked_up_when_asked_for() -> None:
    assert gate.verify_permit is verify_permit
    assert {"verify_permit", "redeemed", "dataset", "use"} <= set(dir(gate))
    assert gate.dataset("/lake") == dataset("/lake")
    with pytest.raises(AttributeError, match="no attribute 'train'"):
        gate.train  # noqa: B018
