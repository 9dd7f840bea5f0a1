"""How commands speak: one JSON object or text on stdout, errors and progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from gate.errors import GateError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress, TaskID

    from gate.scan.progress import Listener
    from gate.scan.progress import Progress as Scanned

JSON = typer.Option(False, "--json", help="Print one JSON object instead of text.")


def say(text: str) -> None:
    """Print text to stdout."""
    sys.stdout.write(text + "\n")


def say_json(value: Any) -> None:
    """Print one JSON value to stdout."""
    say(json.dumps(value, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def complain(error: GateError, *, as_json: bool) -> None:
    """Print one of our errors: JSON on stdout when asked for, text on stderr always."""
    if as_json:
        say_json(error.to_dict())
    where = f"{error.where}: " if error.where else ""
    sys.stderr.write(f"gate: {where}{error.message}\n")
    if error.hint:
        sys.stderr.write(f"      {error.hint}\n")


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows as a table as wide as the terminal; plain tab-separated lines into a pipe."""
    if not sys.stdout.isatty():
        for row in [columns, *rows]:
            say("\t".join("" if cell is None else str(cell) for cell in row))
        return
    from rich.console import Console
    from rich.table import Table

    grid = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        grid.add_row(*("" if cell is None else str(cell) for cell in row))
    Console().print(grid)


@contextmanager
def progress_bar(title: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on stderr when that is a terminal; yields a function that takes the number done so far."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _done: None
        return
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done: progress.update(task, completed=done)


@contextmanager
def scan_bars() -> Iterator[None]:
    """Show on stderr, when that is a terminal, how far looking at data has come: one bar for each thing done."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from gate.scan.progress import told

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bars, told(_on(bars)):
        yield


def _on(bars: Progress) -> Listener:
    shown: dict[tuple[str, int], TaskID] = {}

    def show(now: Scanned) -> None:
        key = (now.doing, now.total)
        if key not in shown:
            shown[key] = bars.add_task(now.doing, total=now.total, rate="")
        spent = next(task.elapsed for task in bars.tasks if task.id == shown[key])
        bars.update(shown[key], completed=now.done, rate=now.rate(spent or 0.0))

    return show
