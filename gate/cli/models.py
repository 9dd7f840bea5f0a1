"""`gate models`: who owns a model, with evidence; a DAG never says."""

from __future__ import annotations

from typing import Annotated

import typer

from gate.cli.output import JSON, say, say_json, table

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Register who owns a model.")


@app.command()
def register(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model id, as DAGs name it.")],
    ownership: Annotated[str, typer.Option("--ownership", help="first_party, third_party or customer_owned.")],
    feature: Annotated[list[str], typer.Option("--feature", help="A feature it serves, or *; repeat for more.")],
    evidence: Annotated[str, typer.Option("--evidence", help="Where the ownership can be looked up.")],
    as_json: bool = JSON,
) -> None:
    """Register who owns a model and what it serves; the newest registration counts."""
    from gate.domain.words import Ownership
    from gate.errors import InputError
    from gate.service.actors import local_actor
    from gate.service.consents import record_model
    from gate.service.core import open_service

    if ownership not in set(Ownership):
        raise InputError(f"{ownership!r} is not known", where="--ownership", hint="one of: " + ", ".join(Ownership))
    with open_service() as service:
        recorded = record_model(service, model, Ownership(ownership), feature, evidence, by=local_actor(), via="cli")
    if as_json:
        say_json(recorded.to_dict())
    else:
        say("recorded" if recorded.added else "already on record")


@app.command()
def show(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="Only this model.")] = None,
    as_json: bool = JSON,
) -> None:
    """Show registered models."""
    from gate.service.consents import registered_models
    from gate.service.core import open_service

    with open_service() as service:
        models = registered_models(service, model)
    if as_json:
        say_json({"models": models})
    else:
        columns = ["model", "ownership", "features", "index"]
        table(columns, [[m["model_id"], m["ownership"], ", ".join(m["features"]), m["index"]] for m in models])
