"""A bundle made here verifies on another machine: a fresh environment with the wheel and its core dependencies only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gate.permits import public_key_to_text
from gate.service.archive import pack, unpack
from gate.service.bundle_format import ENTRIES, PDF, REPORT
from support.audited import audited, bundle

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
EXTRAS = ("airflow", "fastapi", "great_expectations", "jinja2", "psycopg", "pyspark", "sklearn", "weasyprint")
Gate = Callable[..., "subprocess.CompletedProcess[str]"]


def run(*words: object, **how: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, **how)  # type: ignore[call-overload,no-any-return]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another machine: what `pip install` of the core gives, in the lock's versions, seen from a folder of its own."""
    folder = tmp_path_factory.mktemp("machine")
    uv, python = Path(sys.executable).with_name("uv"), folder / "venv" / "bin" / "python"
    for step in (
        (
            uv,
            "build",
            "--wheel",
            "--no-build-isolation",
            "--python",
            sys.executable,
            "--out-dir",
            folder / "dist",
            ROOT,
        ),
        (uv, "venv", "--python", sys.executable, folder / "venv"),
    ):
        done = run(*step)
        assert done.returncode == 0, done.stderr
    [wheel] = (folder / "dist").glob("*.whl")
    done = run(uv, "pip", "install", "--python", python, "--constraints", ROOT / "requirements" / "lock.txt", wheel)
    assert done.returncode == 0, done.stderr
    looks = f"import importlib.util as u; print([n for n in {EXTRAS!r} if u.find_spec(n)])"
    assert run(python, "-I", "-c", looks).stdout.strip() == "[]"
    return folder


@pytest.fixture
def gate(machine: Path, tmp_path: Path) -> Gate:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GATE_", "AIRFLOW", "PYTHON"))}

    def call(home: Path, *words: object) -> subprocess.CompletedProcess[str]:
        program = machine / "venv" / "bin" / "gate"
        done = run(program, "audit", *words, cwd=tmp_path, env={**kept, "GATE_HOME": str(home)})
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return call


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, str]:
    """Home, bundle and key of the machine where the ledger is."""
    folder = tmp_path_factory.mktemp("audited")
    with audited(folder) as service:
        archive, key = bundle(service), public_key_to_text(service.key.public_key)
    return folder / "home", archive, key


def test_a_bundle_verifies_with_the_core_alone(gate: Gate, made: tuple[Path, bytes, str], tmp_path: Path) -> None:
    _, archive, key = made
    (tmp_path / "empty").mkdir()
    files = unpack(archive)
    entries = files[ENTRIES]
    for name, content, code in (
        ("whole", archive, 0),
        ("byte", archive.replace(b"meeting_summary", b"meeting_Summary", 1), 5),
        ("entry", pack({**files, ENTRIES: entries[: entries.rindex(b"\n", 0, -1) + 1]}), 5),
        ("cut", archive[:-1], 5),
    ):
        (tmp_path / name).write_bytes(content)
        done = gate(tmp_path / "empty", "verify", name, "--key", key, "--json")
        assert done.returncode == code, (name, done.stderr)
        assert json.loads(done.stdout)["ok"] is (code == 0)
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_bundle_is_written_with_the_core_alone(gate: Gate, made: tuple[Path, bytes, str], tmp_path: Path) -> None:
    home, _, key = made
    done = gate(home, "export", "--model", "ms-1", "--out", "b.zip")
    assert done.returncode == 0, done.stderr
    assert "WeasyPrint 68 or newer is not installed: pip install" in done.stdout
    files = unpack((tmp_path / "b.zip").read_bytes())
    assert REPORT in files
    assert PDF not in files
    assert gate(home, "verify", "b.zip", "--key", key).returncode == 0
    must = gate(home, "export", "--model", "ms-1", "--out", "c.zip", "--pdf")
    assert must.returncode == 2
    assert "airflow-provider-consent-gate[audit]" in must.stderr.replace("\n", " ")
