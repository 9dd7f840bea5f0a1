"""`gate lineage`: deliver what is still in the outbox."""

from __future__ import annotations

import typer

from gate.cli.output import JSON, say, say_json

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Deliver pending lineage events.")


@app.callback()
def lineage() -> None:
    """Deliver pending lineage events."""


@app.command()
def relay(as_json: bool = JSON) -> None:
    """Hand pending decision events to the configured OpenLineage transport. Exit 1 while some remain."""
    from gate.service.core import open_service
    from gate.service.delivery import deliver_outbox

    with open_service() as service:
        delivered = 0
        while accepted := deliver_outbox(service):
            delivered += accepted
        pending = len(service.ledger.pending_outbox(1000))
    if as_json:
        say_json({"delivered": delivered, "pending": pending})
    else:
        say(f"{delivered} delivered, {pending} pending")
    raise typer.Exit(1 if pending else 0)
