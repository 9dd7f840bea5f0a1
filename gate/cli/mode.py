"""`gate mode`: enforce, or for a while observe."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gate.cli.acts import Index, Reason, approve_act, propose_act
from gate.cli.output import JSON, say, say_json

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Show, propose and approve the mode.")


@app.command()
def show(as_json: bool = JSON) -> None:
    """Show which mode is in force, and until when."""
    state = _state()
    if as_json:
        say_json(state)
    elif state["mode"] == "observe":
        say(f"observe until {state['until']}: blocks are recorded and do not stop; no permit is issued")
    else:
        say("enforce" + (f", since {state['since']}" if state["since"] else ""))


@app.command()
def propose(
    mode: Annotated[str, typer.Argument(metavar="MODE", help="observe or enforce.")],
    reason: Reason,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="When observe ends; at most 30 days ahead.")
    ] = None,
    as_json: bool = JSON,
) -> None:
    """Propose another mode. Another person who logs in must approve it."""
    params = {"mode": mode} if until is None else {"mode": mode, "until": until}
    propose_act("mode", params, reason, as_json, "gate mode approve")


@app.command()
def approve(index: Index, as_json: bool = JSON) -> None:
    """Approve a change of mode that somebody else proposed."""
    approve_act(index, "mode", as_json)


def _state() -> dict[str, Any]:
    from gate.api.people import People, has_service

    if has_service():
        with People("showing the mode") as people:
            return people.mode()
    from gate.service.core import open_service
    from gate.service.modes import current_mode

    with open_service() as service, service.ledger.read() as reader:
        return current_mode(reader, service.now(reader)).to_dict()
