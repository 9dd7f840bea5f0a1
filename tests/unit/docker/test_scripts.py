"""What the containers' preparing jobs make: secrets that stay, a certificate that is believed, files for Airflow."""

from __future__ import annotations

import importlib.util
import json
import socket
import ssl
import stat
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType

import pytest
import yaml

DOCKER = Path(__file__).parents[3] / "docker"


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docker_{name}", DOCKER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestSecrets:
    @pytest.fixture
    def made(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("SECRETS", str(tmp_path))
        for folder in ("airflow", "gate", "gate-admin", "marquez", "postgres", "redis", "users", "worker"):
            (tmp_path / folder).mkdir()
        _script("make_secrets").main()
        return tmp_path

    def test_files_are_their_owner_s_alone(self, made: Path) -> None:
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in made.rglob("*") if path.is_file()}
        assert modes.pop("passwords.json") == 0o600  # Airflow opens it for writing
        assert set(modes.values()) == {0o400}

    def test_what_is_there_stays(self, made: Path) -> None:
        before = {path: path.read_text() for path in made.rglob("*") if path.is_file()}
        (made / "airflow" / "jwt-secret").unlink()
        _script("make_secrets").main()
        after = {path: path.read_text() for path in made.rglob("*") if path.is_file()}
        assert after.keys() == before.keys()
        assert [path.name for path in before if before[path] != after[path]] == ["jwt-secret"]

    def test_an_interrupted_start_leaves_no_half_secret(self, made: Path) -> None:
        (made / "redis" / "password").unlink()
        (made / "redis" / ".password.new").write_text("half")
        _script("make_secrets").main()
        assert len((made / "redis" / "password").read_text()) == 43
        assert [path.name for path in (made / "redis").iterdir()] == ["password"]

    def test_both_ends_know_the_same_word(self, made: Path) -> None:
        for folder, role, password in (
            ("airflow", "airflow", "airflow-password"),
            ("gate", "gate", "gate-password"),
            ("gate-admin", "gate_admin", "gate-admin-password"),
        ):
            word = (made / "postgres" / password).read_text()
            assert f"//{role}:{word}@postgres:5432/" in (made / folder / "database-url").read_text()
        people = json.loads((made / "users" / "passwords.json").read_text())
        assert people["gate"] == (made / "gate" / "airflow-password").read_text()

    def test_airflow_knows_these_users(self, made: Path) -> None:
        compose = yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))
        users = compose["services"]["airflow-api"]["environment"]["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"]
        people = json.loads((made / "users" / "passwords.json").read_text())
        assert [user.partition(":")[0] for user in users.split(",")] == list(people)
        assert "gate:VIEWER" in users

    def test_every_role_of_the_database_gets_its_password(self, made: Path) -> None:
        script = (DOCKER / "postgres" / "roles.sql").read_text("utf-8")
        for path in (made / "postgres").iterdir():
            assert f"`cat /secrets/postgres/{path.name}`" in script

    def test_the_fernet_key_is_one(self, made: Path) -> None:
        from cryptography.fernet import Fernet

        Fernet((made / "airflow" / "fernet-key").read_text())


class TestCertificate:
    NOW = datetime(2026, 11, 30, tzinfo=UTC)

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        _script("certificate").main(tmp_path / "tls", ["gate", "localhost"])
        return tmp_path / "tls"

    def test_the_key_is_private(self, folder: Path) -> None:
        assert stat.S_IMODE((folder / "key.pem").stat().st_mode) == 0o600

    def test_it_stays_while_it_lasts(self, folder: Path) -> None:
        before = (folder / "cert.pem").read_bytes()
        _script("certificate").main(folder, ["gate", "localhost"])
        assert (folder / "cert.pem").read_bytes() == before
        assert not _script("certificate").still_good(folder / "cert.pem", datetime.now(UTC) + timedelta(days=310))

    def test_whoever_trusts_it_believes_the_service_and_nobody_else(self, folder: Path) -> None:
        with _https(folder) as port:
            check = _script("healthcheck").answers
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("SSL_CERT_FILE", str(folder / "cert.pem"))
                assert check(f"https://localhost:{port}/") == b'{"scheduler": {"status": "healthy"}}'
                with pytest.raises(OSError, match=r"127\.0\.0\.1"):  # it bears the names it was made for
                    check(f"https://127.0.0.1:{port}/")
            with pytest.raises(OSError, match="verify failed"):
                check(f"https://localhost:{port}/")


class TestHealthcheck:
    def test_a_part_of_airflow_is_as_healthy_as_its_heartbeat(self, tmp_path: Path, monkeypatch) -> None:
        _script("certificate").main(tmp_path, ["localhost"])
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        main = _script("healthcheck").main
        with _https(tmp_path) as port:
            assert main([f"https://localhost:{port}/"]) is True
            assert main([f"https://localhost:{port}/", "scheduler"]) is True
            assert main([f"https://localhost:{port}/", "triggerer"]) is False

    def test_nobody_there_is_unhealthy(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            words = ["python3", str(DOCKER / "healthcheck.py"), f"http://127.0.0.1:{taken.getsockname()[1]}/"]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert done.stderr.startswith("unhealthy: ")

    def test_what_it_does_not_understand_is_unhealthy(self) -> None:
        done = subprocess.run(["python3", DOCKER / "healthcheck.py", "file:///etc/passwd"], check=False)
        assert done.returncode == 1


class TestHandover:
    def test_the_connection_is_one_that_airflow_imports_and_our_hook_reads(self) -> None:
        told = _script("handover").connection("https://gate:8686", "gate_token", ["key one", "key two"])
        fields = told["gate_default"]
        assert (fields["conn_type"], fields["host"]) == ("consent_gate", "https://gate:8686")
        assert json.loads(fields["extra"]) == {"keys": ["key one", "key two"]}

    def test_openlineage_s_client_takes_its_file(self, tmp_path: Path) -> None:
        from openlineage.client.transport.http import HttpConfig

        path = tmp_path / "openlineage.yml"
        _script("handover").write(path, _script("handover").openlineage("https://gate:8686", "gate_token"))
        config = HttpConfig.from_dict(yaml.safe_load(path.read_text())["transport"])
        assert (config.url, config.endpoint) == ("https://gate:8686", "api/v1/lineage")
        assert config.auth.get_bearer() == "Bearer gate_token"
        assert config.ssl_context is not None
        assert config.ssl_context.ca_cert_path == "/trust/ca-bundle.pem"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


class TestEntrypoint:
    def test_files_become_variables_for_the_command_alone(self, tmp_path: Path) -> None:
        (tmp_path / "url").write_text("postgresql://gate:it's $HOME@db/gate")
        environ = {"PATH": "/usr/bin:/bin", "GATE_DATABASE_URL_FILE": str(tmp_path / "url")}
        words = [DOCKER / "entrypoint.sh", "sh", "-c", 'echo "$GATE_DATABASE_URL|${GATE_DATABASE_URL_FILE-gone}"']
        done = subprocess.run(words, env=environ, capture_output=True, text=True, check=True)
        assert done.stdout == "postgresql://gate:it's $HOME@db/gate|gone\n"

    def test_a_file_that_is_missing_starts_nothing(self, tmp_path: Path) -> None:
        environ = {"PATH": "/usr/bin:/bin", "GATE_DATABASE_URL_FILE": str(tmp_path / "none")}
        done = subprocess.run(
            [DOCKER / "entrypoint.sh", "echo", "started"], env=environ, capture_output=True, text=True
        )
        assert done.returncode != 0
        assert done.stdout == ""


class _https:  # noqa: N801  reads as what it is
    """A server on loopback with the certificate of a folder; it says that the scheduler is healthy."""

    def __init__(self, folder: Path) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = b'{"scheduler": {"status": "healthy"}}'
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> int:
        self.thread.start()
        return self.server.server_address[1]

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
