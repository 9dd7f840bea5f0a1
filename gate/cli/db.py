"""`gate db`: the ledger's database."""

from __future__ import annotations

import typer

from gate.cli.output import JSON, say, say_json

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Create or upgrade the ledger's database.")


@app.callback()
def db() -> None:
    """Create or upgrade the ledger's database."""


@app.command()
def upgrade(as_json: bool = JSON) -> None:
    """Create the database or bring it to this version; an empty ledger gets its first entries."""
    from gate.service.core import set_up
    from gate.service.settings import read_settings

    settings = read_settings()
    with set_up(settings) as service, service.ledger.read() as reader:
        entries = reader.size
    if as_json:
        say_json({"home": str(settings.home), "entries": entries})
    else:
        say(f"the ledger is ready: {entries} entries, home {settings.home}")
