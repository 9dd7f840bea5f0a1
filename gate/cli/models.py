"""`gate models`: who owns a model, with evidence; and what a model was trained on, attested."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gate.cli.output import JSON, say, say_json, table
from gate.errors import CheckFailed, InputError, PermitRefused, TamperingFound

if TYPE_CHECKING:
    from gate.domain.dataset import DatasetVersion
    from gate.ledger.store import Entry, Reader

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Register who owns a model; show what attests one.")


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


@app.command()
def attestation(
    model: Annotated[str, typer.Argument(metavar="MODEL_PATH|DIGEST", help="A model, or its sha256:… digest.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the newest envelope there, as *.dsse.json.")
    ] = None,
    as_json: bool = JSON,
) -> None:
    """Show what attests a model, and whether its signature, the file on disk and the ledger agree.

    Exits with 1 when nothing attests the model, with 5 when the file is not the one that was attested from there, or
    signature or ledger contradict.
    """
    from gate.service.attesting import check_attestation
    from gate.service.core import open_service
    from gate.service.worker import measure_model

    version = None if _DIGEST.fullmatch(model) else measure_model(model)
    with open_service() as service, service.ledger.read() as reader:
        entries = _attesting(reader, model, version)
        found = [check_attestation(service, reader, entry) for entry in entries]
    if out is not None:
        _write(out, found[-1].envelope)
    digest = version.digest if version else model
    if as_json:
        checked = [
            {
                "index": one.index,
                "signature": one.signature,
                "ledger": one.ledger,
                "file": None if version is None else True,
                "problems": list(one.problems),
                "statement": one.statement,
                "envelope": one.envelope,
            }
            for one in found
        ]
        say_json({"model": digest, "attestations": checked})
    else:
        for one in found:
            say(f"ledger entry {one.index}: " + ("; ".join(one.problems) or "signature, digest and ledger agree"))
            say(_told(one.statement) if one.statement else "what it says is not trusted, and not shown")
    if any(one.problems for one in found):
        raise typer.Exit(TamperingFound.exit_code)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="The attestation's envelope as JSON.")],
    model: Annotated[str, typer.Option("--model", metavar="PATH", help="The model: it is hashed.")],
    key: Annotated[list[str], typer.Option("--key", help="A pinned public key (see gate keys show); repeat for more.")],
    as_json: bool = JSON,
) -> None:
    """Check without ledger and network that a model is the attested one. What the ledger says since is not seen."""
    from gate.permits.attestation import check_model, verify_attestation
    from gate.permits.keys import public_key_from_text
    from gate.service.worker import measure_model

    said = verify_attestation(_envelope(file), [public_key_from_text(text) for text in key])
    check_model(said, measure_model(model))
    if as_json:
        say_json(said.to_statement())
    else:
        say(_told(said.to_statement()))


def _attesting(reader: Reader, model: str, version: DatasetVersion | None) -> list[Entry]:
    from gate.service.attesting import attestations_at, attestations_of

    found = attestations_of(reader, model if version is None else version.digest)
    if found:
        return found
    if version is not None and (there := attestations_at(reader, version.dataset.uri)):
        raise TamperingFound(
            f"the file is not the one that was attested from there: {there[-1].body['model']['digest']}",
            where=model,
            hint=f"it is {version.digest}; nothing attests that",
        )
    raise CheckFailed(
        "nothing attests this model", where=model, hint="train it behind a gate; see docs/attestations.md"
    )


def _envelope(file: Path) -> dict[str, Any]:
    from gate.permits.envelope import read_envelope

    try:
        return read_envelope(file.read_bytes())
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(file)) from None
    except PermitRefused as error:
        raise TamperingFound(error.message, where=str(file), hint="take the one the ledger holds") from None


def _write(file: Path, envelope: Mapping[str, Any]) -> None:
    try:
        file.write_text(json.dumps(envelope) + "\n", "utf-8")
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", where=str(file)) from None


def _told(statement: Mapping[str, Any]) -> str:
    [subject], said = statement["subject"], statement["predicate"]
    asked, allowed = said["buildDefinition"]["externalParameters"], said["permission"]
    run, use = asked["run"], asked["use"]
    lines = [
        f"model     {subject['name']}",
        f"digest    sha256:{subject['digest']['sha256']}",
        f"trained   by {run['dag_id']}.{run['task_id']} in {run['run_id']}, attested {said['recorded_at']}",
        f"use       {use['purpose']}, feature {use['feature']}, model {use['model']}, {use['ownership']}",
        f"decision  ledger entry {allowed['decision']['index']}, policy {allowed['policy']['name']}",
        f"permit    {allowed['permit_id'] or 'none: unpermitted'}, redeemed in entry {allowed['redemption']['index']}",
    ]
    data = said["buildDefinition"]["resolvedDependencies"]
    lines += [f"data      {item['uri']} sha256:{item['digest']['sha256']}" for item in data]
    return "\n".join(lines)
