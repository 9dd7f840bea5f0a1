"""`gate models attestation` and `gate models verify`: what attests a model, with the ledger and without it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gate.cli.main import main
from gate.permits import PublicKey, public_key_to_text
from gate.service.deciding import decide
from gate.service.ports import Attested
from gate.service.tagging import tag_dataset
from gate.service.worker import attest, redeem
from support.permits import signing_key
from support.world import ASKING, TRAIN, USE, Clock, add_account, chat_file, event, new_service, say

Gate = Callable[..., tuple[int, str]]


@dataclass
class Lab:
    """A model on disk that a ledger attests."""

    model: Path
    attested: Attested
    key: PublicKey


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Gate:
    monkeypatch.setenv("GATE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("GATE_DATABASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["gate", "models", *map(str, words)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        return code, capsys.readouterr().out

    return run


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    model = tmp_path / "ms-1.bin"
    model.write_bytes(b"weights")
    with new_service(tmp_path / "home", Clock()) as service:
        add_account(service, "acme")
        say(service, event("acme"))
        data = chat_file(tmp_path, ["acme"])
        tag_dataset(service, data, ["chat"], by="service:airflow", via="airflow")
        decide(service, [data], USE, ASKING)
        right = redeem(service, TRAIN, [data], USE, by="service:airflow")
        attested = attest(lambda: nullcontext(service), right, model, by="service:airflow")
        [key] = service.pinned_keys
        yield Lab(model, attested, key)


def statement(out: str) -> Any:
    [one] = json.loads(out)["attestations"]
    return one


def test_a_model_shows_what_attests_it(gate: Gate, lab: Lab) -> None:
    code, out = gate("attestation", lab.model, "--json")
    said = statement(out)
    assert (code, said["index"], said["problems"]) == (0, lab.attested.index, [])
    assert (said["signature"], said["file"], said["ledger"]) == (True, True, True)
    assert said["statement"]["subject"][0]["name"] == lab.model.as_uri()
    assert said["envelope"] == lab.attested.envelope
    code, out = gate("attestation", lab.model)
    assert code == 0
    assert "signature, digest and ledger agree" in out
    assert "train_summary.train" in out


def test_a_digest_does_without_the_file(gate: Gate, lab: Lab) -> None:
    lab.model.unlink()
    code, out = gate("attestation", lab.attested.model.digest, "--json")
    assert (code, statement(out)["file"]) == (0, None)


def test_an_altered_model_is_told_from_one_nobody_attested(gate: Gate, lab: Lab, tmp_path: Path) -> None:
    other = tmp_path / "other.bin"
    other.write_bytes(b"weights")  # the same bytes under a name that was never trained
    code, out = gate("attestation", other, "--json")
    assert (code, json.loads(out)["error"]) == (1, "CheckFailed")
    lab.model.write_bytes(b"weighty")
    code, out = gate("attestation", lab.model, "--json")
    assert (code, json.loads(out)["error"]) == (5, "TamperingFound")
    assert gate("attestation", "sha256:" + "0" * 64)[0] == 1
    assert gate("attestation", tmp_path / "missing")[0] == 4


def test_a_signature_of_a_key_that_is_not_pinned_is_told(gate: Gate, lab: Lab, tmp_path: Path) -> None:
    [pins] = [path for path in (tmp_path / "home").rglob("*") if path.is_file() and is_pins(path, lab.key)]
    pins.write_text(public_key_to_text(signing_key(b"\1" * 32).public_key) + "\n", "ascii")
    code, out = gate("attestation", lab.attested.model.digest, "--json")
    said = statement(out)
    assert (code, said["signature"], said["statement"]) == (5, False, {})
    code, out = gate("attestation", lab.attested.model.digest)
    assert (code, "not trusted, and not shown" in out) == (5, True)


def is_pins(path: Path, key: PublicKey) -> bool:
    return path.read_bytes() == (public_key_to_text(key) + "\n").encode()


def test_an_envelope_is_verified_without_ledger_and_network(gate: Gate, lab: Lab, tmp_path: Path) -> None:
    assert gate("attestation", lab.model, "--out", "ms-1.dsse.json")[0] == 0
    (tmp_path / "elsewhere").mkdir()
    lab.model.rename(tmp_path / "elsewhere" / "ms-1.bin")
    script = "import sys; from gate.cli.main import main\ntry: main()\nfinally: sys.stderr.write(' '.join(sys.modules))"
    words = ["verify", "ms-1.dsse.json", "--model", "elsewhere/ms-1.bin", "--key", public_key_to_text(lab.key)]
    environ = {"GATE_HOME": str(tmp_path / "none"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", script, "models", *words, "--json"],
        env=environ, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout)["subject"][0]["digest"] == {"sha256": lab.attested.model.digest[7:]}
    assert not {"sqlalchemy", "duckdb", "airflow", "httpx", "securesystemslib"} & set(done.stderr.split())
    assert not (tmp_path / "none").exists()


def test_offline_every_difference_is_tampering(gate: Gate, lab: Lab, tmp_path: Path) -> None:
    key = public_key_to_text(lab.key)
    text = json.dumps(lab.attested.envelope)
    Path("good.json").write_text(text, "utf-8")
    assert gate("verify", "good.json", "--model", lab.model, "--key", key)[0] == 0
    Path("bad.json").write_text(text.replace('"payload": "e', '"payload": "f'), "utf-8")
    Path("cut.json").write_text(text[:-9], "utf-8")
    for name in ("bad.json", "cut.json"):
        assert gate("verify", name, "--model", lab.model, "--key", key)[0] == 5
    other = public_key_to_text(signing_key(b"\1" * 32).public_key)
    assert gate("verify", "good.json", "--model", lab.model, "--key", other)[0] == 5
    assert gate("verify", "missing.json", "--model", lab.model, "--key", key)[0] == 2
    assert gate("verify", "good.json", "--model", lab.model, "--key", "no key")[0] == 2
    assert gate("verify", "good.json", "--model", tmp_path / "missing", "--key", key)[0] == 4
    lab.model.write_bytes(b"weighty")
    code, out = gate("verify", "good.json", "--model", lab.model, "--key", key, "--json")
    assert (code, json.loads(out)["error"]) == (5, "TamperingFound")
    assert gate("attestation", lab.attested.model.digest, "--out", tmp_path / "no" / "folder.json")[0] == 2
