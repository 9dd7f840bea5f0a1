"""The docs are true: commands run, generated parts are current, modules have their line, links lead somewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```bash([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
MAKE = re.compile(r"make ([\w-]+)")


def _blocks(page: Path) -> list[tuple[str, str]]:
    return [(match[1].strip(), match[2]) for match in BLOCK.finditer(page.read_text("utf-8"))]


def _environ(folder: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GATE_", "AIRFLOW"))}
    return {**kept, "PATH": path, "GATE_HOME": str(folder / "gate-home")}


def _skip_without(flags: str) -> None:
    """Skip where an extra is left out, as in the environment of the lowest versions."""
    for module in re.findall(r"needs=(\w+)", flags):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed here")


@pytest.mark.parametrize("page", [page for page in PAGES if _blocks(page)], ids=lambda page: page.name)
def test_every_command_runs(page: Path, tmp_path: Path) -> None:
    for flags, script in _blocks(page):
        if "skip" in flags or script.startswith("make "):
            continue
        _skip_without(flags)
        wanted = int(flags.partition("exit=")[2] or 0)
        done = subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=tmp_path,
            env=_environ(tmp_path),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == wanted, f"{script}\n{done.stdout}\n{done.stderr}"


def test_readme_reaches_its_commands_by_line_30() -> None:
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    assert {"make demo", "make test"} <= set(lines[:30])


def test_make_targets_that_docs_name_exist() -> None:
    rules = (ROOT / "Makefile").read_text("utf-8")
    named = {target for page in PAGES for _, script in _blocks(page) for target in MAKE.findall(script)}
    assert named >= {"demo", "test", "check"}
    for target in named:
        assert re.search(rf"^{target}:", rules, re.MULTILINE), target


def test_the_readme_says_what_the_check_answers(tmp_path: Path) -> None:
    [script] = [script for _, script in _blocks(ROOT / "README.md") if "gate check" in script]
    done = subprocess.run(
        ["bash", "-e", "-c", script], cwd=tmp_path, env=_environ(tmp_path), capture_output=True, text=True
    )
    assert "ALLOWED" in done.stdout
    check = next(line for line in script.splitlines() if line.startswith("gate check"))
    again = subprocess.run(["bash", "-c", check], cwd=tmp_path, env=_environ(tmp_path), capture_output=True, text=True)
    assert again.returncode == 3
    assert again.stdout.startswith("BLOCKED")
    assert "consent_withdrawn" in again.stdout


def test_generated_parts_are_current() -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    hint = "run make docs"
    assert generate.CONCEPTS.read_text("utf-8") == generate.concepts(), hint
    assert generate.COMMANDS.read_text("utf-8") == generate.commands(), hint
    assert generate.SERVICE.read_text("utf-8") == generate.service(), hint


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_module_says_what_it_is_for() -> None:
    for module in sorted((ROOT / "gate").rglob("*.py")):
        first = module.read_text("utf-8").splitlines()[:1]
        assert first, f"{module} is empty"
        assert first[0].startswith('"""'), f"{module} does not tell its reason in its first line"


def test_every_package_stands_in_the_table_of_modules() -> None:
    concepts = (ROOT / "docs" / "concepts.md").read_text("utf-8")
    for package in sorted(path.parent.name for path in (ROOT / "gate").glob("*/__init__.py")):
        assert f"`gate.{package}`" in concepts, package


def test_no_module_is_longer_than_a_person_reads() -> None:
    too_long = {
        str(path.relative_to(ROOT)): lines
        for path in (ROOT / "gate").rglob("*.py")
        if (lines := len(path.read_text("utf-8").splitlines())) > 400
    }
    assert not too_long


def test_the_tests_behind_the_invariants_exist() -> None:
    page = (ROOT / "docs" / "invariants.md").read_text("utf-8")
    named = re.findall(r"`(tests/[^`]+)`", page)
    assert len(named) >= 10
    for test in named:
        path, _, names = test.partition("::")
        source = (ROOT / path).read_text("utf-8")
        assert all(f"def {name}(" in source or f"class {name}" in source for name in names.split("::") if name), test


def test_the_tables_of_scale_are_those_the_model_gives() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "benchmarks.scale"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert told.strip() in (ROOT / "docs" / "scale.md").read_text("utf-8")
