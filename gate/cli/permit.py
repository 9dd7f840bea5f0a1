"""`gate permit`: verify a permit without database or network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from gate.cli.output import JSON, say, say_json

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Verify a permit.")


@app.callback()
def permit() -> None:
    """Verify a permit."""


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="The permit's envelope as JSON.")],
    key: Annotated[list[str], typer.Option("--key", help="A pinned public key (see gate keys show); repeat for more.")],
    as_json: bool = JSON,
) -> None:
    """Check signature, form and time of a permit. Withdrawals since are seen only when it is redeemed."""
    from gate.domain.instants import format_instant
    from gate.errors import InputError
    from gate.permits.envelope import read_envelope
    from gate.permits.keys import public_key_from_text
    from gate.permits.permit import verify_permit
    from gate.service.clock import utc_now

    try:
        envelope = read_envelope(file.read_bytes())
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(file)) from None
    checked = verify_permit(envelope, [public_key_from_text(text) for text in key], now=utc_now())
    if as_json:
        say_json(json.loads(checked.to_payload()))
    else:
        until = format_instant(checked.expires_at)
        say(f"valid until {until} for {checked.dag_id}.{checked.task_id} of {checked.run_id}")
