"""Writes the generated parts of the docs (`make docs`); a test fails when they are not current."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import NoReturn

DOCS = Path(__file__).parent
CONCEPTS = DOCS / "concepts.md"
COMMANDS = DOCS / "commands.md"
SERVICE = DOCS / "service.md"
_MARKED = re.compile(r"(<!-- reasons:begin[^\n]*-->\n).*?(<!-- reasons:end -->)", re.DOTALL)
_ENDPOINTS = re.compile(r"(<!-- endpoints:begin[^\n]*-->\n).*?(<!-- endpoints:end -->)", re.DOTALL)


def concepts() -> str:
    """Return docs/concepts.md with the present table of reason codes."""
    from gate.domain.remedies import REMEDIES

    rows = "".join(f"| `{reason.value}` | {remedy.replace('|', '·')} |\n" for reason, remedy in REMEDIES.items())
    table = "\n| reason | what would unblock it |\n|---|---|\n" + rows + "\n"
    return _MARKED.sub(lambda match: match[1] + table + match[2], CONCEPTS.read_text("utf-8"))


def service() -> str:
    """Return docs/service.md with the present table of endpoints, and the scopes each of them takes."""
    from gate.api.app import create_app
    from gate.api.auth import OPEN_PATHS

    document = create_app(_nothing).openapi()
    rows = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            scopes = [f"`{scope}`" for scheme in operation.get("security", []) for scope in next(iter(scheme.values()))]
            needs = " or ".join(scopes) or ("-" if path in OPEN_PATHS else "any")
            rows.append(f"| `{method.upper()} {path}` | {needs} | {operation['description'].splitlines()[0]} |\n")
    table = "\n| | scope | |\n|---|---|---|\n" + "".join(rows) + "\n"
    return _ENDPOINTS.sub(lambda match: match[1] + table + match[2], SERVICE.read_text("utf-8"))


def _nothing() -> NoReturn:
    raise AssertionError("the document needs no service")


def commands() -> str:
    """Return docs/commands.md: the help text of every command, plain and 100 columns wide on every machine."""
    environ = {**os.environ, "COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1", "TYPER_USE_RICH": "0"}
    done = subprocess.run(
        [sys.executable, __file__, "--print-commands"], env=environ, capture_output=True, text=True, check=True
    )
    return done.stdout


def _print_commands() -> None:
    from typer.main import get_command
    from typer.testing import CliRunner

    from gate.cli.main import GROUPS, app

    parts = ["# Commands\n\nWritten by `make docs` from the commands' own help.\n"]
    names: list[list[str]] = [[]]
    for group, (module, _) in GROUPS.items():
        names += [[group], *([group, name] for name in getattr(get_command(import_module(module).app), "commands", {}))]
    for words in names:
        text = CliRunner().invoke(app, [*words, "--help"], prog_name="gate").stdout
        plain = "\n".join(line.rstrip() for line in text.rstrip().splitlines())
        parts.append(f"{'##' if len(words) < 2 else '###'} {' '.join(['gate', *words])}\n\n```text\n{plain}\n```\n")
    sys.stdout.write("\n".join(parts))


if __name__ == "__main__":
    if "--print-commands" in sys.argv:
        _print_commands()
    else:
        CONCEPTS.write_text(concepts(), "utf-8")
        COMMANDS.write_text(commands(), "utf-8")
        SERVICE.write_text(service(), "utf-8")
