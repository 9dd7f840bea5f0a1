"""`gate audit export | verify | reconcile`: exit codes, and that verifying needs neither our database nor our home."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gate.cli.main import main
from gate.permits import public_key_to_text
from gate.service.archive import pack, unpack
from gate.service.bundle_format import MANIFEST, REPORT
from gate.service.ports import Produced
from gate.service.settings import read_settings
from gate.service.worker import measure_model
from support.audited import BLOCKED, audited, bundle
from support.hostile_zips import hostile
from support.permits import signing_key
from support.world import TRAIN, reopen

BLOCKED_IMPORTS = (
    "sqlalchemy",
    "alembic",
    "openlineage",
    "airflow",
    "psycopg",
    "duckdb",
    "ibis",
    "pyarrow",
    "fsspec",
    "httpx",
    "fastapi",
)
OFFLINE = f"""
import sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED_IMPORTS!r}:
            raise ImportError(name + " is not on this machine")

sys.meta_path.insert(0, Nothing())
from gate.cli.main import main
main()
"""


@dataclass
class Made:
    """A home, its bundle, and its key."""

    folder: Path
    bundle: Path
    key: str


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("audited")
    with audited(folder) as service:
        archive = folder / "bundle.zip"
        archive.write_bytes(bundle(service))
        yield Made(folder, archive, public_key_to_text(service.key.public_key))


Gate = Callable[..., tuple[int, str, str]]


@pytest.fixture
def gate(made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Gate:
    monkeypatch.setenv("GATE_HOME", str(made.folder / "home"))
    for name in ("GATE_DATABASE_URL", "GATE_LINEAGE_URL", "GATE_URL"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["gate", "audit", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as leaving:
            main()
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return int(leaving.value.code or 0), said.out, said.err

    return run


def test_a_bundle_is_written_and_verified(gate: Gate, made: Made, tmp_path: Path) -> None:
    file = tmp_path / "b.zip"
    code, out, _ = gate("export", "--model", "ms-1", "--out", file, "--no-pdf", "--json")
    assert code == 0
    said = json.loads(out)
    assert (said["path"], said["bytes"]) == (str(file), file.stat().st_size)
    assert file.stat().st_mode & 0o077 == 0
    code, out, _ = gate("verify", file, "--key", made.key)
    assert code == 0
    assert "proved: all " in out
    assert "not proved: that nothing else concerns this" in out
    assert out.endswith("nothing in it contradicts\n")
    told = json.loads(gate("verify", file, "--key", f"ed25519:{made.key}", "--json")[1])
    assert told["ok"] is True
    assert told["scope"]["model"] == "ms-1"


def test_a_blocked_run_is_exported(gate: Gate, made: Made, tmp_path: Path) -> None:
    file = tmp_path / "b.zip"
    code, out, _ = gate("export", "--run", f"{BLOCKED.dag_id}/{BLOCKED.run_id}", "--out", file, "--no-pdf")
    assert code == 0
    assert "left out: names of accounts and people" in out
    assert gate("verify", file, "--key", made.key)[0] == 0


def test_it_verifies_on_a_machine_that_has_nothing(made: Made, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GATE_")}
    for file, key, wanted in (
        (made.bundle, made.key, 0),
        (made.bundle, public_key_to_text(signing_key(b"\2" * 32).public_key), 5),
    ):
        done = subprocess.run(
            [sys.executable, "-c", OFFLINE, "audit", "verify", str(file), "--key", key, "--json"],
            env={**environ, "GATE_HOME": str(home)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == wanted, done.stderr
        assert json.loads(done.stdout)["ok"] is (wanted == 0)
    assert list(home.iterdir()) == []


def zipped(folder: Path, **how: object) -> Path:
    file = folder / "z.zip"
    with zipfile.ZipFile(file, "w", **how) as opened:  # type: ignore[arg-type]
        opened.writestr("../../evil", b"0" * 50_000_000)
    return file


def malformed(made: Made, folder: Path) -> Iterator[Path]:
    archive = made.bundle.read_bytes()
    files = unpack(archive)
    named = {
        "empty": b"",
        "noise": os.urandom(1000),
        "deep": pack({**files, MANIFEST: b"[" * 200_000}),
        "list": pack({**files, MANIFEST: b"[]"}),
        "only": pack({MANIFEST: b"{}"}),
        "huge": archive.replace(len(files[REPORT]).to_bytes(4, "little"), b"\xff\xff\xff\x7f"),
        "twice": archive[:-22] + archive,
        "altered": archive.replace(b"anything recorded", b"nothing recorded?"),
        "short": archive[: len(archive) // 2],
    }
    for name, content in named.items():
        if content != archive:
            file = folder / name
            file.write_bytes(content)
            yield file
    yield zipped(folder, compression=zipfile.ZIP_DEFLATED)
    yield zipped(folder)


def test_another_form_of_the_archive_is_refused_without_a_trace(gate: Gate, made: Made, tmp_path: Path) -> None:
    archive = made.bundle.read_bytes()
    file = tmp_path / "other.zip"
    for name, other in hostile(unpack(archive), archive):
        file.write_bytes(other)
        code, out, _ = gate("verify", file, "--key", made.key)
        assert (code, out.partition(":")[0]) == (5, "TAMPERED"), name
    assert [one.name for one in tmp_path.iterdir()] == [file.name]


def test_what_is_malformed_is_refused_without_a_trace(gate: Gate, made: Made, tmp_path: Path) -> None:
    for file in malformed(made, tmp_path):
        code, out, _ = gate("verify", file, "--key", made.key)
        assert code == 5, file.name
        assert out.startswith("TAMPERED: "), file.name


@pytest.mark.parametrize(
    "words",
    [
        ("verify", "missing.zip", "--key", "KEY"),
        ("verify", "BUNDLE", "--key", "no key"),
        ("verify", "BUNDLE", "--key", "KEY", "--cosigner", "nobody"),
        ("export",),
        ("export", "--model", "m", "--run", "a/b"),
        ("export", "--run", "a"),
        ("export", "--period", "2024-01-01T00:00:00Z"),
        ("export", "--period", "yesterday/today"),
        ("export", "--model", "unknown"),
        ("export", "--model", "ms-1", "--open", "stranger"),
        ("export", "--model", "ms-1", "--no-pdf", "--out", "no/such/folder/b.zip"),
        ("export", "--model", "ms-1", "--cosigned", "missing.note"),
    ],
    ids=" ".join,
)
def test_bad_input_is_told(
    gate: Gate, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    known = {"BUNDLE": str(made.bundle), "KEY": made.key}
    assert gate(*(known.get(word, word) for word in words))[0] == 2
    assert list(tmp_path.iterdir()) == []


def test_models_without_attestation_are_listed(gate: Gate, made: Made, tmp_path: Path) -> None:
    models = made.folder / "models"
    code, out, _ = gate("reconcile", "--models", models)
    assert (code, out) == (0, "1 files attested (0 unpermitted), 0 not\n")
    stray = models / "sub" / "stray.bin"
    stray.parent.mkdir()
    stray.write_bytes(b"nobody said")
    try:
        code, out, _ = gate("reconcile", "--models", models, "--json")
        said = json.loads(out)
        assert code == 1
        assert said["unattested"] == ["sub/stray.bin"]
        assert [one["path"] for one in said["attested"]] == ["ms-1.bin"]
    finally:
        stray.unlink()
        stray.parent.rmdir()
    copied = tmp_path / "ms-1.bin"
    copied.write_bytes(b"weights")
    assert gate("reconcile", "--models", tmp_path)[0] == 0
    assert gate("reconcile", "--models", copied)[0] == 0
    assert gate("reconcile", "--models", tmp_path / "nothing")[0] == 4


def test_a_folder_is_one_model(made: Made, gate: Gate, tmp_path: Path) -> None:
    shards = tmp_path / "models" / "big"
    shards.mkdir(parents=True)
    for number in range(3):
        (shards / f"{number}.bin").write_bytes(bytes([number]))
    assert gate("reconcile", "--models", shards.parent)[0] == 1
    with reopen(read_settings({"GATE_HOME": str(made.folder / "home")})) as service, service.ledger.read() as reader:
        [redeemed] = reader.entries("redemption")
    with reopen(read_settings({"GATE_HOME": str(made.folder / "home")})) as service:
        service.record_attestation(Produced(redeemed.idx, TRAIN, measure_model(shards)), by="service:airflow")
    for place in (shards, shards.parent):
        code, out, _ = gate("reconcile", "--models", place)
        assert (code, out) == (0, "3 files attested (0 unpermitted), 0 not\n")


def test_an_attested_model_that_is_gone_or_altered_is_told(gate: Gate, made: Made) -> None:
    model = made.folder / "models" / "ms-1.bin"
    other = model.with_name("other.bin")
    model.write_bytes(b"altered")
    try:
        code, out, _ = gate("reconcile", "--models", model.parent)
        assert code == 1
        assert "NOT ATTESTED: ms-1.bin\nALTERED: file://" in out
        model.rename(other)
        code, out, _ = gate("reconcile", "--models", model.parent)
        assert code == 1
        assert f"gone: file://{model}, attested in entry" in out
    finally:
        other.unlink(missing_ok=True)
        model.write_bytes(b"weights")
