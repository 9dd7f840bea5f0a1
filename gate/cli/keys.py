"""`gate keys`: the signing key and the public keys that are pinned."""

from __future__ import annotations

import typer

from gate.cli.output import JSON, say, say_json

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Show the signing and pinned keys.")


@app.callback()
def keys() -> None:
    """Show the signing and pinned keys."""


@app.command()
def show(as_json: bool = JSON) -> None:
    """Show the public keys permits and checkpoints are verified with."""
    from gate.permits.keys import public_key_to_text
    from gate.service.core import open_service

    with open_service() as service:
        signing = service.key.key_id
        pinned = {key.key_id: public_key_to_text(key) for key in service.pinned_keys}
    if as_json:
        say_json({"signing": signing, "pinned": pinned})
        return
    for key_id, text in pinned.items():
        say(f"{text}{'  (signing)' if key_id == signing else ''}")
