"""The wheel holds what the code needs at run time, and says what it is."""

from __future__ import annotations

import os
import subprocess
import sys
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
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    [built] = folder.glob("*.whl")
    return built


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


def test_no_file_names_a_registrys_address() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    hosts = ["pypi" + ".org", "pythonhosted" + ".org", "registry.npm" + "js.org", "repo.maven" + ".apache.org"]
    for name in tracked:
        content = (ROOT / name).read_bytes()
        for host in hosts:
            assert host.encode() not in content, f"{name} names {host}"
