"""`gate tokens` and `gate serve` as operators use them: real processes, real sockets, real certificates."""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from gate.api.client import RemoteService
from gate.cli.main import main
from gate.errors import CannotDecide
from gate.permits.keys import public_key_from_text
from gate.service.settings import read_settings

Gate = Callable[..., tuple[int, str, str]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in os.environ:
        if name.startswith("GATE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GATE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def gate(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Gate:
    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["gate", *words])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@contextmanager
def serving(*options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run `gate serve` on a free port; yield its address and process once it announced itself."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = str(place.getsockname()[1])
    command = [sys.executable, "-c", "from gate.cli.main import main; main()", "serve", "--port", port, "--json"]
    process = subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said, process.communicate()
        yield json.loads(said)["url"], process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def until_ready(url: str, **options: Any) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            if httpx.get(f"{url}/readyz", trust_env=False, **options).status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, "it never became ready"
        time.sleep(0.05)


def test_tokens_are_made_listed_and_revoked(gate: Gate) -> None:
    code, out, _ = gate("tokens", "create", "gpu-workers", "--scope", "decide", "--scope", "redeem", "--json")
    made = json.loads(out)
    assert (code, made["scopes"], made["state"]) == (0, ["decide", "redeem"], "valid")
    [listed] = json.loads(gate("tokens", "list", "--json")[1])["tokens"]
    assert listed == {name: value for name, value in made.items() if name != "token"}
    secret = made["token"].split("_", 2)[2]
    assert secret not in gate("tokens", "list")[1]
    assert "gpu-workers" in gate("tokens", "revoke", made["token_id"])[1]
    [ended] = json.loads(gate("tokens", "list", "--json")[1])["tokens"]
    assert (ended["state"], ended["token_id"]) == ("revoked", made["token_id"])


def test_a_new_token_alone_is_on_stdout(gate: Gate) -> None:
    _, out, err = gate("tokens", "create", "auditor", "--scope", "read", "--days", "7")
    assert out.strip().startswith("gate_")
    assert "\n" not in out.strip()
    assert "not shown again" in err
    assert out.strip() not in err


@pytest.mark.parametrize(
    "words",
    [
        ("create", "worker"),
        ("create", "worker", "--scope", "everything"),
        ("create", "worker", "--scope", "redeem", "--scope", "consent"),
        ("create", "worker", "--scope", "read", "--days", "0"),
        ("create", "worker", "--scope", "read", "--days", "367"),
        ("create", "directory", "--scope", "directory"),
        ("revoke", "0000000000000000"),
    ],
)
def test_tokens_that_are_refused(gate: Gate, words: tuple[str, ...]) -> None:
    assert gate("tokens", *words)[0] == 2


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("--host", "0.0.0.0"), "in the clear"),
        (("--host", "gate.example"), "in the clear"),
        (("--tls-cert", "cert.pem"), "belong together"),
        (("--tls-key", "key.pem"), "belong together"),
        (("--tls-cert", "missing.pem", "--tls-key", "missing.pem"), "not a file"),
        (("--airflow-url", "http://127.0.0.1:1"), "Airflow"),
    ],
)
def test_serving_that_is_refused(gate: Gate, words: tuple[str, ...], hint: str) -> None:
    code, _, err = gate("serve", *words)
    assert code == 2
    assert hint in err


def test_nothing_is_served_without_the_key(gate: Gate, home: Path) -> None:
    gate("db", "upgrade")
    (home / "keys" / "signing.pem").unlink()
    code, _, err = gate("serve")
    assert code == 4
    assert "key" in err


def test_it_serves_until_it_is_told_to_stop_and_finishes_what_runs(gate: Gate, home: Path) -> None:
    token = json.loads(gate("tokens", "create", "auditor", "--scope", "read", "--json")[1])["token"]
    gate("tokens", "create", "sync", "--scope", "directory")
    with serving() as (url, process):
        until_ready(url)
        bearer = {"Authorization": f"Bearer {token}"}
        assert httpx.get(f"{url}/api/v1/whoami", headers=bearer, trust_env=False).json()["name"] == "auditor"
        with httpx.stream("GET", f"{url}/api/v1/ledger", headers=bearer, trust_env=False) as answer:
            process.send_signal(signal.SIGTERM)
            assert "origin" in json.loads(answer.read())
        out, err = process.communicate(timeout=60)
        assert process.returncode in (0, -signal.SIGTERM)
        assert token.split("_", 2)[2] not in out + err
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{url}/healthz", trust_env=False)


def test_several_processes_count_together(gate: Gate) -> None:
    token = json.loads(gate("tokens", "create", "auditor", "--scope", "read", "--json")[1])["token"]
    with serving("--workers", "2") as (url, _):
        until_ready(url)
        bearer = {"Authorization": f"Bearer {token}"}
        for _number in range(12):
            assert httpx.get(f"{url}/api/v1/policy", headers=bearer, trust_env=False).status_code == 200
        text = httpx.get(f"{url}/metrics", headers=bearer, trust_env=False).text
        assert 'gate_requests_total{method="GET",route="/api/v1/policy",status="200"} 12.0' in text
        assert "gate_ledger_entries 4.0" in text


def certificate(folder: Path) -> tuple[Path, Path]:
    """Write a self-signed certificate for 127.0.0.1 with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, SHA256())
    )
    cert, secret = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(made.public_bytes(Encoding.PEM))
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return cert, secret


def test_tls_is_checked_by_the_worker(gate: Gate, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cert, secret = certificate(tmp_path)
    token = json.loads(gate("tokens", "create", "auditor", "--scope", "read", "--json")[1])["token"]
    pinned = [public_key_from_text((home / "keys" / "pinned.txt").read_text())]
    settings = read_settings(home=tmp_path / "worker")
    with serving("--tls-cert", str(cert), "--tls-key", str(secret)) as (url, _):
        assert url.startswith("https://")
        until_ready(url, verify=False)
        for spelled in (url, url.replace("https", "HTTPS")):
            with RemoteService(spelled, token, pinned, settings=settings) as stranger, pytest.raises(CannotDecide):
                stranger.ledger_size()
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        with RemoteService(url, token, pinned, settings=settings) as worker:
            assert worker.ledger_size() == 4
