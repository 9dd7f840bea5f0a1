"""Writes the generated parts of the docs (`make docs`); a test fails when they are not current."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

DOCS = Path(__file__).parent
CONCEPTS = DOCS / "concepts.md"
COMMANDS = DOCS / "commands.md"
_MARKED = re.compile(r"(<!-- reasons:begin[^\n]*-->\n).*?(<!-- reasons:end -->)", re.DOTALL)


def concepts() -> str:
    """Return docs/concepts.md with the present table of reason codes."""
    from gate.domain.remedies import REMEDIES

    rows = "".join(f"| `{reason.value}` | {remedy.replace('|', '·')} |\n" for reason, remedy in REMEDIES.items())
    table = "\n| reason | what would unblock it |\n|---|---|\n" + rows + "\n"
    return _MARKED.sub(lambda match: match[1] + table + match[2], CONCEPTS.read_text("utf-8"))


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
