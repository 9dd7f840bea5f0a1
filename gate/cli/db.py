"""`gate db`: the ledger's database."""

from __future__ import annotations

from typing import Annotated

import typer

from gate.cli.output import JSON, say, say_json

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Create, upgrade, protect and mend the database.")


@app.callback()
def db() -> None:
    """Create, upgrade, protect and mend the database."""


@app.command()
def upgrade(as_json: bool = JSON) -> None:
    """Create the database or bring it to this version; an empty ledger gets its first entries."""
    from gate.service.core import set_up
    from gate.service.lineage_store import set_up_lineage
    from gate.service.settings import read_settings

    settings = read_settings()
    with set_up(settings) as service, service.ledger.read() as reader:
        entries = reader.size
    set_up_lineage(settings)
    if as_json:
        say_json({"home": str(settings.home), "entries": entries})
    else:
        say(f"the ledger is ready: {entries} entries, home {settings.home}")


@app.command()
def roles(
    reader: Annotated[str, typer.Option("--reader", help="May read.")] = "gate_reader",
    appender: Annotated[str, typer.Option("--appender", help="A worker's: may append what workers append.")] = (
        "gate_appender"
    ),
    owner: Annotated[str, typer.Option("--owner", help="The service's: may append everything.")] = "gate_owner",
    as_json: bool = JSON,
) -> None:
    """Print the SQL that makes the PostgreSQL roles; pipe it into psql as whoever owns the tables."""
    from gate.ledger.roles import roles_sql

    script = roles_sql(reader, appender, owner)
    if as_json:
        say_json({"sql": script})
    else:
        say(script.rstrip("\n"))


@app.command()
def replay(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A file of `gate ledger copy`, or a database's URL.")],
    as_json: bool = JSON,
) -> None:
    """Bring back the entries a restored database lacks, up to the last published checkpoint; all of them or none."""
    from gate.service.core import open_service
    from gate.service.replaying import replay_missing

    with open_service() as service:
        added = replay_missing(service, source)
    if as_json:
        say_json({"replayed": added})
    else:
        say(f"{added} entries are back; the ledger holds everything that was published")
