"""`gate tokens`: make, list and revoke the tokens workers and services show to the decision service."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from gate.cli.output import JSON, say, say_json, table

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Make, list and revoke service tokens.")

Scopes = Annotated[
    list[str],
    typer.Option("--scope", help="read, tag, consent, directory, decide, redeem or lineage; repeat for more."),
]


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who will use it, like gpu-workers.")],
    scope: Scopes,
    days: Annotated[int, typer.Option("--days", min=1, max=366, help="How long it is valid.")] = 90,
    as_json: bool = JSON,
) -> None:
    """Make a token. It is shown once; the ledger keeps only its hash."""
    from gate.service.actors import local_actor
    from gate.service.core import open_service
    from gate.service.tokens import create_token

    with open_service() as service:
        new = create_token(service, name, scope, lifetime=timedelta(days=days), by=local_actor(), via="cli")
        fields = new.token.to_dict(service.clock())
    if as_json:
        say_json({"token": new.text, **fields})
        return
    say(new.text)
    typer.echo(
        f"Keep it now: it is not shown again. Id {fields['token_id']}, valid until {fields['expires_at']}.", err=True
    )


@app.command("list")
def list_(as_json: bool = JSON) -> None:
    """List all tokens, with what became of them."""
    from gate.service.core import open_service
    from gate.service.tokens import list_tokens

    with open_service() as service:
        now = service.clock()
        tokens = [token.to_dict(now) for token in list_tokens(service)]
    if as_json:
        say_json({"tokens": tokens})
        return
    columns = ["id", "name", "state", "scopes", "expires at"]
    table(columns, [[t["token_id"], t["name"], t["state"], ", ".join(t["scopes"]), t["expires_at"]] for t in tokens])


@app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="As `gate tokens list` shows it.")],
    as_json: bool = JSON,
) -> None:
    """End a token now."""
    from gate.service.actors import local_actor
    from gate.service.core import open_service
    from gate.service.tokens import revoke_token

    with open_service() as service:
        token = revoke_token(service, token_id, by=local_actor(), via="cli")
        fields = token.to_dict(service.clock())
    if as_json:
        say_json(fields)
    else:
        say(f"{token.name} ({token.token_id}) is revoked since {fields['revoked_at']}")
