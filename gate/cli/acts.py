"""`gate acts`: proposals that wait for a second person, and what became of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gate.cli.output import JSON, say, say_json, table

if TYPE_CHECKING:
    from collections.abc import Mapping

app = typer.Typer(no_args_is_help=True, add_completion=False, help="List, approve and withdraw two-person acts.")

Index = Annotated[int, typer.Argument(metavar="INDEX", min=0, help="The proposal, as it was answered or listed.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; the other person and the auditor read it.")]
StateOption = Annotated[str | None, typer.Option("--state", help="open, approved, withdrawn or lapsed.")]


@app.command("list")
def list_(state: StateOption = None, as_json: bool = JSON) -> None:
    """List proposals and what became of them, oldest first."""
    say_acts(found_acts(None, state), as_json)


@app.command()
def approve(index: Index, as_json: bool = JSON) -> None:
    """Approve somebody else's proposal. It takes effect at once."""
    approve_act(index, None, as_json)


@app.command()
def withdraw(index: Index, as_json: bool = JSON) -> None:
    """Take back a proposal of your own, or end an approved break-glass early."""
    from gate.api.people import People

    with People("withdrawing") as people:
        done = people.withdraw(index)
    if as_json:
        say_json(done)
    else:
        say(f"withdrawn, with ledger entry {done['index']}")


def propose_act(act: str, params: Mapping[str, Any], reason: str, as_json: bool, approve_with: str) -> None:
    """Propose through the service and say what must happen next."""
    from gate.api.people import People

    with People(f"the act {act}") as people:
        index = people.propose(act, params, reason)
    if as_json:
        say_json({"proposal": index, "act": act})
        return
    say(f"proposed as ledger entry {index}; within 24 hours another person runs\n  {approve_with} {index}")


def approve_act(index: int, act: str | None, as_json: bool) -> None:
    """Approve through the service and say what took effect."""
    from gate.api.people import People

    with People("an approval") as people:
        effect = people.approve(index, act)
    if as_json:
        say_json({"proposal": index, **effect})
    else:
        say(f"approved: {effect['kind']} is ledger entry {effect['index']}")


def found_acts(act: str | None, state: str | None) -> list[dict[str, Any]]:
    """Return proposals from the service, or where none is named from the ledger here."""
    from gate.api.people import People, has_service

    if has_service():
        with People("listing") as people:
            return people.acts(**{name: value for name, value in (("act", act), ("state", state)) if value})
    from gate.service.acts import proposals
    from gate.service.core import open_service

    with open_service() as service, service.ledger.read() as reader:
        return [one.to_dict() for one in proposals(reader, service.now(reader), act=act, state=state)]


def say_acts(acts: list[dict[str, Any]], as_json: bool) -> None:
    """Print proposals."""
    if as_json:
        say_json({"acts": acts})
        return
    columns = ["index", "act", "state", "proposed by", "approved by", "lapses", "what", "why"]
    rows = [
        [a["index"], a["act"], a["state"], _who(a), a["approved_by"], _lapses(a), _what(a), a["reason"]] for a in acts
    ]
    table(columns, rows)


def _who(act: Mapping[str, Any]) -> str:
    return act["name"] or act["by"] or "erased"


def _lapses(act: Mapping[str, Any]) -> str | None:
    return act["expires_at"] if act["state"] == "open" else None


def _what(act: Mapping[str, Any]) -> str:
    return _said(act["params"])


def _said(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(_within, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {_within(one)}" for name, one in value.items() if one is not None)
    return str(value)


def _within(value: object) -> str:
    return f"({_said(value)})" if isinstance(value, dict) else _said(value)
