"""`gate lineage`: ask what lies upstream and downstream, write the answer for others, deliver events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gate.cli import lineage_delivery, lineage_impact
from gate.cli.output import JSON, say, say_json

if TYPE_CHECKING:
    from gate.lineage.store.database import LineageStore
    from gate.service.lineage_questions import Question

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Ask what lies upstream and downstream; deliver lineage events."
)

Nodes = Annotated[
    list[str],
    typer.Argument(
        metavar="NODE...",
        help="model:NAME; a dataset's URI or name, with @VERSION or @all; sha256:DIGEST or its beginning; run:UUID;"
        " DAG/RUN_ID or DAG/RUN_ID/TASK; job:NAMESPACE/NAME; decision:INDEX.",
    ),
]
AsOf = Annotated[
    str | None,
    typer.Option("--as-of", metavar="WHEN", help="Only what was told until this RFC 3339 instant or ledger index."),
]
Level = Annotated[
    str, typer.Option("--level", metavar="LEVEL", help="run: runs and versions; dataset: jobs and datasets.")
]
Depth = Annotated[int | None, typer.Option("--depth", metavar="LINKS", help="At most so many links away.")]
Category = Annotated[
    str | None,
    typer.Option("--category", help="Only what bears this category, what came of it, and the way from there."),
]


@app.callback()
def lineage() -> None:
    """Ask what lies upstream and downstream; deliver lineage events."""


@app.command()
def upstream(
    nodes: Nodes,
    as_of: AsOf = None,
    level: Level = "run",
    depth: Depth = None,
    category: Category = None,
    as_json: bool = JSON,
) -> None:
    """Show what something was made of: data, runs, and the decisions that permitted it."""
    _show("upstream", nodes, as_of, level, depth, category, as_json=as_json)


@app.command()
def downstream(
    nodes: Nodes,
    as_of: AsOf = None,
    level: Level = "run",
    depth: Depth = None,
    category: Category = None,
    as_json: bool = JSON,
) -> None:
    """Show what came of something: versions, decisions, models."""
    _show("downstream", nodes, as_of, level, depth, category, as_json=as_json)


@app.command()
def export(
    nodes: Nodes,
    form: Annotated[
        str,
        typer.Option(
            "--format", metavar="FORMAT", help="json, dot, mermaid, svg, html, prov (PROV-JSON), openlineage."
        ),
    ] = "json",
    direction: Annotated[
        str, typer.Option("--direction", metavar="WHERE", help="upstream, downstream or both.")
    ] = "both",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to a file; - or nothing: stdout.")
    ] = None,
    as_of: AsOf = None,
    level: Level = "run",
    depth: Depth = None,
    category: Category = None,
    as_json: bool = JSON,
) -> None:
    """Write lineage for others: a picture, a page, W3C PROV, or the raw events of its runs, one a line.

    With --json and a file, say what was written; with --json alone, the format is json.
    """
    from gate.errors import InputError
    from gate.service.lineage_export import written

    to_file = output is not None and str(output) != "-"
    if as_json and not to_file and form != "json":
        raise InputError("stdout cannot be two things", where="--json", hint="name a file with --output")
    with _asked(direction, nodes, as_of, level, depth, category) as (store, question):
        if output is not None and to_file:
            size = _write(output, written(store, question, form))
            told = {"path": str(output), "format": form, "bytes": size}
            say_json(told) if as_json else say(f"{output}: {size} bytes")
        else:
            for part in written(store, question, form):
                say(part.removesuffix("\n"))


def _show(
    direction: str,
    nodes: list[str],
    as_of: str | None,
    level: str,
    depth: int | None,
    category: str | None,
    *,
    as_json: bool,
) -> None:
    from gate.cli.lineage_tree import print_tree
    from gate.service.lineage_questions import ask

    with _asked(direction, nodes, as_of, level, depth, category) as (store, question):
        answer = ask(store, question)
    say_json(answer) if as_json else print_tree(answer)


@contextmanager
def _asked(
    direction: str, nodes: list[str], as_of: str | None, level: str, depth: int | None, category: str | None
) -> Iterator[tuple[LineageStore, Question]]:
    """Open the store and read the question; the ledger is opened only to look up an entry."""
    from gate.service.core import open_service
    from gate.service.lineage_questions import Question, question_at
    from gate.service.lineage_store import open_lineage
    from gate.service.settings import read_settings

    given: dict[str, Any] = {"direction": direction, "level": level, "depth": depth, "category": category}
    question = Question(tuple(nodes), **given)
    if as_of is not None and as_of.isdecimal():
        with open_service() as service:
            question = question_at(question, None, int(as_of), lambda: service)
    else:
        question = question_at(question, as_of, None, open_service)
    with open_lineage(read_settings()) as store:
        yield store, question


def _write(path: Path, parts: Iterator[str]) -> int:
    """Write a file whole or not at all; return its size in bytes."""
    import os
    import tempfile

    from gate.errors import InputError

    try:
        number, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(number, "w", encoding="utf-8") as file:
                file.writelines(parts)
            Path(draft).chmod(0o644)
            Path(draft).replace(path)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise
        return path.stat().st_size
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", where=str(path)) from None


app.command("import")(lineage_delivery.import_)
app.command("relay")(lineage_delivery.relay)
app.command("dead")(lineage_delivery.dead)
app.command("replay")(lineage_delivery.replay)
app.command("impact")(lineage_impact.impact)
app.command("resolve")(lineage_impact.resolve)
