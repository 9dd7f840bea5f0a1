"""The wheel holds what the code needs at run time, and says what it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
USE = """
from pathlib import Path
import gate
from gate.policy.table import load_policy, shipped_policies
from gate.resources import shipped
assert Path(gate.__file__).is_relative_to(Path.cwd()), gate.__file__
assert shipped_policies() == ("strict", "zoom-2023-08")
assert load_policy("strict").rows
assert (shipped("schemas") / "consent-event.schema.json").is_file()
assert (shipped("schemas") / "openlineage").is_dir()
assert (shipped("dags") / "train_meeting_summary.py").is_file()
from gate.web.pages import _environment, _manifest
assert _manifest()["src/page.ts"]
assert _environment().get_template("base.html")
"""


def build(target: str, source: Path, folder: Path, **environ: str) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    subprocess.run(command, cwd=source, env={**os.environ, **environ}, check=True, capture_output=True)
    [built] = [path for path in folder.iterdir() if path.suffix in (".whl", ".gz")]
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the unpacked source archive."""
    folder = tmp_path_factory.mktemp("source")
    archive = build("sdist", ROOT, folder)
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    [unpacked] = [path for path in folder.iterdir() if path.is_dir()]
    return unpacked


def files_of(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def built_pages(manifest: bytes) -> set[str]:
    """Return what a manifest says was built."""
    entries = json.loads(manifest).values()
    return {f"gate/web/static/{name}" for entry in entries for name in (entry["file"], *entry.get("css", ()))}


def test_shipped_files_are_found_in_an_installed_wheel(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", USE], cwd=tmp_path, env=environ, check=True)


def test_metadata_and_entry_points(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        points = archive.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
        metadata = archive.read(next(name for name in names if name.endswith("METADATA"))).decode()
    for group in ("apache_airflow_provider", "airflow.plugins", "airflow.policy", "console_scripts"):
        assert f"[{group}]" in points
    assert "Name: airflow-provider-consent-gate" in metadata
    assert "License-Expression: Apache-2.0" in metadata
    for extra in ("airflow", "gx", "spark", "media", "postgres", "all"):
        assert f"Provides-Extra: {extra}" in metadata
    assert not [name for name in names if name.startswith(("tests", "shared"))]


def test_the_wheel_holds_the_built_pages_and_not_what_they_are_made_of(wheel: Path) -> None:
    names = files_of(wheel)
    with zipfile.ZipFile(wheel) as archive:
        wanted = built_pages(archive.read("gate/web/static/manifest.json"))
    assert len(wanted) >= 4
    assert wanted <= names
    templates = {path.relative_to(ROOT).as_posix() for path in (ROOT / "gate" / "web" / "templates").glob("*.html")}
    assert templates <= names
    assert not [name for name in names if "node_modules" in name or name.startswith("gate/web/assets")]
    assert not [name for name in names if name.endswith((".ts", ".map"))]


def test_the_source_archive_builds_the_same_pages_without_node(wheel: Path, source: Path, tmp_path: Path) -> None:
    assert (source / "gate/web/assets/package-lock.json").is_file()
    assert not (source / "gate/web/assets/node_modules").exists()
    assert built_pages((source / "gate/web/static/manifest.json").read_bytes()) <= {
        path.relative_to(source).as_posix() for path in source.rglob("*")
    }
    again = build("wheel", source, tmp_path, PATH=str(tmp_path))  # nothing there: neither Node nor npm
    assert not (source / "gate/web/assets/node_modules").exists()
    assert files_of(again) == files_of(wheel)


def test_no_file_names_a_registrys_address() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    hosts = ["pypi" + ".org", "pythonhosted" + ".org", "registry.npm" + "js.org", "repo.maven" + ".apache.org"]
    for name in tracked:
        content = (ROOT / name).read_bytes()
        for host in hosts:
            assert host.encode() not in content, f"{name} names {host}"
