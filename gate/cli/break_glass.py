"""`gate break-glass`: for one run and a few hours, over what is undecided or broken."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from gate.cli.acts import Index, Reason, StateOption, approve_act, found_acts, propose_act, say_acts
from gate.cli.output import JSON

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Request, approve and list break-glass.")


@app.command()
def request(
    dag_id: Annotated[str, typer.Argument(metavar="DAG", help="The gate's DAG.")],
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The one run it is for.")],
    reason: Reason,
    hours: Annotated[int, typer.Option("--hours", min=1, max=24, help="How long it stands, from now.")] = 4,
    as_json: bool = JSON,
) -> None:
    """Ask to break the glass for one run: over undecided rows, stale feeds and outages, never over deny or consent."""
    from gate.domain.instants import format_instant, utc_now

    # A few seconds less than 24 hours, for the service's clock is not ours.
    until = utc_now() + timedelta(hours=hours) - timedelta(seconds=30)
    params = {"dag_id": dag_id, "run_id": run_id, "expires_at": format_instant(until.replace(microsecond=0))}
    propose_act("break_glass", params, reason, as_json, "gate break-glass approve")


@app.command()
def approve(index: Index, as_json: bool = JSON) -> None:
    """Approve a break-glass that somebody else requested; then run the gate again."""
    approve_act(index, "break_glass", as_json)


@app.command("list")
def list_(state: StateOption = None, as_json: bool = JSON) -> None:
    """List every break-glass that was ever requested, and what became of it."""
    say_acts(found_acts("break_glass", state), as_json)
