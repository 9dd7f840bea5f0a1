"""`gate dags`: what stands in front of every training task in a folder of DAG files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from gate.cli.output import JSON, say, say_json, table

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Report the training tasks of DAG files.")

_REPORT_CODES = (0, 1, 3)
_LOOKS = {
    "gated": ("green", "✔"),
    "guarded": ("cyan", "✔"),
    "exempt": ("yellow", "●"),
    "ungated": ("bold red", "✘"),
}


@app.callback()
def dags() -> None:
    """Report the training tasks of DAG files."""


@app.command()
def coverage(
    dags_folder: Annotated[
        str | None, typer.Option("--dags-folder", help="Folder of DAG files, or one file; default: Airflow's.")
    ] = None,
    as_json: bool = JSON,
) -> None:
    """Report every training task: gated, guarded, ungated, exempt. Exit 3 when any is ungated, 1 when a file is broken.

    Imports the DAG files with the Airflow of this environment; needs neither its database nor a running Airflow.
    """
    report, code = _ask_airflow(dags_folder)
    if as_json:
        say_json(report)
    else:
        _print(report)
    raise typer.Exit(code)


def _ask_airflow(dags_folder: str | None) -> tuple[dict[str, Any], int]:
    """Have the report made in a process of its own: importing Airflow changes the process that does it."""
    from gate.errors import CheckFailed, InputError

    command = [sys.executable, "-m", "gate.airflow.dag_coverage"]
    if dags_folder is not None:
        command += ["--dags-folder", str(Path(dags_folder).absolute())]
    with TemporaryDirectory(prefix="gate-dags-") as scratch:
        done = subprocess.run(  # noqa: S603 (our own interpreter and module)
            command, env=_environment(os.environ, scratch), capture_output=True, text=True, check=False
        )
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise CheckFailed(
            "the DAG files could not be looked at", where="Airflow", hint=done.stderr.strip()[-2000:] or None
        ) from None
    if done.returncode not in _REPORT_CODES:
        raise InputError(answer["message"], where=answer["where"], hint=answer["hint"])
    return answer, done.returncode


def _environment(environ: Mapping[str, str], scratch: str) -> dict[str, str]:
    """Where no Airflow is set up, give it a home that goes away: asking must not leave one behind."""
    if environ.get("AIRFLOW_HOME") or (Path.home() / "airflow").exists():
        return dict(environ)
    return {**environ, "AIRFLOW_HOME": scratch}


def _print(report: Mapping[str, Any]) -> None:
    tasks = sorted(report["tasks"], key=lambda task: list(_LOOKS).index(task["status"]))  # what is wrong comes last
    rows = [[f"{t['dag']}.{t['task']}", t["status"], t["recognised_by"], _remark(t)] for t in tasks]
    columns = ("task", "status", "recognised by", "gate, or what is missing")
    if sys.stdout.isatty():
        _print_in_colour(report, columns, rows)
    else:
        table(columns, rows)
        for line in _details(report):
            say(line)
        say(_summary(report))


def _print_in_colour(report: Mapping[str, Any], columns: tuple[str, ...], rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    rules = report["rules"]
    told = f"{rules['file']} ({rules['rules']} rules, {rules['exemptions']} exemptions)" if rules["file"] else "none"
    console.print(Text(f"\n{report['folder']} · {report['files']} DAG files · training rules: {told}\n", style="dim"))
    if rows:
        grid = Table(*columns, box=None, header_style="bold", pad_edge=False)
        for row in rows:
            style, sign = _LOOKS[row[1]]
            grid.add_row(Text(row[0]), Text(f"{sign} {row[1]}", style=style), Text(row[2]), Text(row[3]))
        console.print(grid)
    for line in _details(report):
        console.print(Text(line, style="" if line.startswith("    ") else "bold red"))
    clean = not report["counts"]["ungated"] and not report["counts"]["import_errors"]
    console.print(Text(f"\n{_summary(report)}", style="bold green" if clean else "bold red"))


def _remark(task: Mapping[str, Any]) -> str:
    if exemption := task["exemption"]:
        return f"by {exemption['by']} until {exemption['until']}: {exemption['why']}"
    return str(task["problem"] or task["gate"])


def _details(report: Mapping[str, Any]) -> Iterator[str]:
    """Say what to add for the ungated tasks, once per file and remedy, and why files do not import."""
    remedies: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for task in report["tasks"]:
        if task["status"] == "ungated" and task["fix"]:
            remedies.setdefault((task["file"], tuple(task["fix"])), []).append(f"{task['dag']}.{task['task']}")
    for (file, lines), tasks in remedies.items():
        yield f"\n{file}: add for {', '.join(tasks)}"
        yield from (f"    {line}" for line in lines)
    for broken in report["import_errors"]:
        yield f"\n{broken['file']} does not import"
        yield f"    {broken['error']}"


def _summary(report: Mapping[str, Any]) -> str:
    counts = dict(report["counts"])
    broken = counts.pop("import_errors")
    tasks = _number(sum(counts.values()), "training task")
    told = f"{tasks}: " + ", ".join(f"{number} {status}" for status, number in counts.items())
    return f"{told} · {_number(broken, 'DAG file error')}" if broken else told


def _number(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
