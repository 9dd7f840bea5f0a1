"""`gate dataset`: detect categories, tag versions, show and export what is recorded of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gate.cli.declassify import anonymity, declassify
from gate.cli.output import JSON, say, say_json, scan_bars, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gate.domain.dataset import Dataset
    from gate.service.retagging import Changed
    from gate.service.tags import Tagged

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Detect categories, tag dataset versions and show their tags."
)

Uri = Annotated[str, typer.Argument(metavar="URI", help="A URI or path of a file, folder or glob.")]
Account = Annotated[
    str | None,
    typer.Option("--account", help="Account locator: COLUMN, path:{account}/*.wav, constant:ACCOUNT."),
]
CategoryColumn = Annotated[str | None, typer.Option("--category-column", help="Column with each row's category.")]


@app.command()
def detect(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Files, folders, globs or URIs.")],
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object per path, each on a line."),
) -> None:
    """Find out from their content which categories files bear, with the evidence. Nothing is recorded."""
    from gate.cli.detect import detect_paths

    code = detect_paths(paths, as_json=as_json)
    if code:
        raise typer.Exit(code)


@app.command()
def tag(
    uri: Uri,
    account: Account = None,
    declare: Annotated[list[str] | None, typer.Option("--declare", help="A category; repeat for more.")] = None,
    category_column: CategoryColumn = None,
    made_from: Annotated[
        list[str] | None, typer.Option("--made-from", metavar="URI", help="A dataset it came of; repeat for more.")
    ] = None,
    resolve: Annotated[
        list[str] | None,
        typer.Option("--resolve", help="Your answer to what detection asks: a category, or none; repeat for more."),
    ] = None,
    as_json: bool = JSON,
) -> None:
    """Record the categories and the account locator of the dataset as its bytes are now."""
    from gate.service.actors import local_actor
    from gate.service.core import open_service
    from gate.service.retagging import changed_decisions
    from gate.service.tagging import tag_dataset

    with open_service() as service:
        with scan_bars():
            tagged = tag_dataset(
                service,
                named(uri, account, category_column),
                declare or [],
                by=local_actor(),
                via="cli",
                made_from=[named(one, None, None).uri for one in made_from or []],
                resolve=resolve or [],
            )
        with service.ledger.read() as reader:
            changed = changed_decisions(reader, tagged.version.dataset, service.now(reader))
    _show(tagged, as_json, changed)


@app.command()
def contract(
    uri: Uri,
    category: Annotated[list[str], typer.Option("--category", help="A category; repeat for more.")],
    account: Account = None,
    rules: Annotated[
        Path | None, typer.Option("--rules", help="Folder of category files; default: those shipped.", exists=True)
    ] = None,
    engine: Annotated[str | None, typer.Option("--engine", help="What reads: duckdb (default) or spark.")] = None,
    spark: Annotated[
        str | None, typer.Option("--spark", help="Spark's master; default: GATE_SPARK, else as spark-submit says.")
    ] = None,
    as_json: bool = JSON,
) -> None:
    """Check what the contracts of these categories ask of the dataset's tables. Nothing is recorded.

    Exit code 0: all passed, or nothing to check; 1: something failed; 4: something could not be checked.
    """
    from gate.cli.contract import check_contract
    from gate.scan.spark.cluster import engine_named

    code = check_contract(named(uri, account, None), category, rules, engine_named(engine, spark), as_json=as_json)
    if code:
        raise typer.Exit(code)


@app.command()
def show(uri: Uri, account: Account = None, category_column: CategoryColumn = None, as_json: bool = JSON) -> None:
    """Show the recorded categories of the dataset as its bytes are now."""
    from gate.scan.digest import measure
    from gate.service.core import open_service
    from gate.service.tags import read_tags

    with scan_bars():
        version = measure(named(uri, account, category_column))[0]
    with open_service() as service, service.ledger.read() as reader:
        tagged = read_tags(reader, version, service.now(reader))
    _show(tagged, as_json)


app.command()(anonymity)
app.command()(declassify)


@app.command()
def export(
    uri: Uri,
    account: Account = None,
    category_column: CategoryColumn = None,
    form: Annotated[str, typer.Option("--format", metavar="croissant", help="MLCommons Croissant 1.1.")] = "croissant",
    title: Annotated[str | None, typer.Option("--title", help="Its name; default: the last part of the URI.")] = None,
    creator: Annotated[str | None, typer.Option("--creator", help="The organization that made it.")] = None,
    license_: Annotated[str | None, typer.Option("--license", help="A URL; default: each use is decided.")] = None,
    files: Annotated[
        bool, typer.Option("--files", help="List every file with its SHA-256; their paths may name accounts.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", help="File to write; default stdout.")] = None,
    as_json: bool = JSON,
) -> None:
    """Describe the dataset as its bytes are now: categories, digest, and what was decided about its use."""
    import json

    from gate.errors import InputError
    from gate.service.core import open_service
    from gate.service.croissant import croissant

    if form != "croissant":
        raise InputError(f"{form[:40]!r} is not known", where="--format", hint="croissant")
    described = named(uri, account, category_column)
    with open_service() as service:
        document = croissant(service, described, title=title, creator=creator, license_=license_, files=files)
    text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
    if out is not None:
        out.write_text(text, "utf-8")
    if as_json:
        say_json({"digest": document["gate:digest"], "file": out and str(out), "croissant": document})
    elif out is None:
        say(text.rstrip("\n"))
    else:
        say(f"{document['gate:digest']} described in {out}")


def named(uri: str, account: str | None, category_column: str | None) -> Dataset:
    """Name a dataset from command-line words; relative paths are taken from the working directory."""
    from gate.domain.dataset import dataset

    return dataset(uri if "://" in uri else str(Path(uri).absolute()), account, category_column=category_column)


def _show(tagged: Tagged, as_json: bool, changed: Sequence[Changed] = ()) -> None:
    if as_json:
        say_json({**tagged.to_dict(), "changed_decisions": [one.to_dict() for one in changed]})
        return
    version = tagged.version
    say(f"{version.dataset.name}\n  {version.digest}, {version.files} files, {version.size:,} bytes")
    table(["category", "source"], tagged.sources)
    for problem in sorted(tagged.problems):
        say(f"  blocks: {problem}")
    for note in tagged.notes:
        say(f"  {'asks' if note in tagged.questions else 'note'}: {note}")
    if tagged.questions:
        say("  answer: gate dataset tag … --resolve CATEGORY, or --resolve none")
    if changed:
        say("decisions that rest on other categories than are on record now:")
        rows = [[one.decision, one.verdict, one.dataset, " ".join(_difference(one))] for one in changed]
        table(["decision", "verdict", "dataset", "now"], rows)


def _difference(changed: Changed) -> list[str]:
    return [*(f"+{word}" for word in changed.added), *(f"-{word}" for word in changed.removed)]
