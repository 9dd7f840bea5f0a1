"""`gate accounts`: what is recorded of an account itself."""

from __future__ import annotations

from typing import Annotated

import typer

from gate.cli.output import JSON, say, say_json

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Record and show account profiles.")

Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account.")]


@app.command()
def profile(
    account: Account,
    region: Annotated[str | None, typer.Option("--region", help="Like US, US-CA, DE.")] = None,
    segment: Annotated[str | None, typer.Option("--segment", help="Like education; none for no special one.")] = None,
    terms_version: Annotated[str | None, typer.Option("--terms-version", help="Terms the account accepted.")] = None,
    as_json: bool = JSON,
) -> None:
    """Record region, segment and accepted terms; what is not given stays as it is. Unknown ones may block."""
    from gate.domain.consent import Profile
    from gate.service.actors import local_actor
    from gate.service.consents import record_profile
    from gate.service.core import open_service

    with open_service() as service:
        recorded = record_profile(
            service, account, Profile(region, segment, terms_version), by=local_actor(), via="cli"
        )
    if as_json:
        say_json(recorded.to_dict())
    else:
        say("recorded" if recorded.added else "already on record")


@app.command()
def show(account: Account, as_json: bool = JSON) -> None:
    """Show an account's profile and how much is recorded of it."""
    from gate.service.consents import account_view
    from gate.service.core import open_service

    with open_service() as service:
        view = account_view(service, account)
    if as_json:
        say_json(view)
        return
    known = view["profile"]
    say(f"{account}{'' if view['known'] else ' (not in the ledger)'}")
    for name in ("region", "segment", "terms_version"):
        say(f"  {name}: {known[name] or 'unknown'}")
    say(f"  {len(view['appointments'])} appointments and removals, {len(view['events'])} consent events")
