"""`gate permit`: verify a permit without database or network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gate.cli.output import JSON, say, say_json

if TYPE_CHECKING:
    from gate.domain.dataset import DatasetVersion
    from gate.permits.permit import Permit

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Verify a permit.")


@app.callback()
def permit() -> None:
    """Verify a permit."""


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="The permit's envelope as JSON, or the file of GATE_PERMIT_FILE.")],
    key: Annotated[list[str], typer.Option("--key", help="A pinned public key (see gate keys show); repeat for more.")],
    dag: Annotated[str | None, typer.Option("--dag", help="The DAG it must be for.")] = None,
    run: Annotated[str | None, typer.Option("--run", help="The run whose gate decided.")] = None,
    task: Annotated[str | None, typer.Option("--task", help="The task it must be for.")] = None,
    gate_dag: Annotated[
        str | None, typer.Option("--gate-dag", help="The DAG whose gate decided, when that is another one.")
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option("--dataset", metavar="URI", help="What is about to be read: it is hashed; repeat for all of it."),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Demand that the permit may be used without the service.")
    ] = False,
    as_json: bool = JSON,
) -> None:
    """Check signature, form, time and bindings of a permit. Withdrawals since are seen only when it is redeemed."""
    from gate.domain.instants import utc_now
    from gate.permits.keys import public_key_from_text
    from gate.permits.permit import verify_permit

    envelope, pinned = _envelope(file), [public_key_from_text(text) for text in key]
    bindings: dict[str, Any] = {"dag_id": dag, "run_id": run, "task_id": task, "gate_dag_id": gate_dag}
    bindings["offline"] = offline
    checked = verify_permit(envelope, pinned, now=utc_now(), **bindings)  # before anything large is hashed
    if dataset:
        found = [_version(uri) for uri in dataset]
        checked = verify_permit(envelope, pinned, now=utc_now(), datasets=found, **bindings)
    if as_json:
        say_json(json.loads(checked.to_payload()))
    else:
        say(_told(checked))


def _envelope(file: Path) -> Any:
    from gate.errors import InputError
    from gate.permits.envelope import read_envelope

    try:
        found = read_envelope(file.read_bytes())
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(file)) from None
    return found.get("permit", found)


def _version(uri: str) -> DatasetVersion:
    from gate.cli.dataset import named
    from gate.scan.digest import measure

    return measure(named(uri, None, None))[0]


def _told(permit: Permit) -> str:
    from gate.domain.instants import format_instant

    text = f"valid until {format_instant(permit.expires_at)} for {permit.dag_id}.{permit.task_id} of {permit.run_id}"
    if permit.gate_dag_id is not None:
        text += f" of {permit.gate_dag_id}"
    if permit.offline:
        text += "; may be used offline"
    if permit.override is not None:
        text += f"; by the break-glass of ledger entry {permit.override}"
    return text
