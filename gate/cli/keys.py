"""`gate keys`: the signing key, the public keys that are pinned, rotation and revocation; keys of witnesses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gate.cli.acts import propose_act
from gate.cli.output import JSON, say, say_json, table

if TYPE_CHECKING:
    from collections.abc import Mapping

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Show, rotate and revoke keys.")

OptionalReason = Annotated[str, typer.Option("--reason", help="Why; needed where two people act.")]


@app.command()
def show(as_json: bool = JSON) -> None:
    """Show the public keys permits and checkpoints are verified with, and the state of every key there ever was."""
    from gate.permits.keys import public_key_to_text
    from gate.service.core import open_service
    from gate.service.keyring import keyring, statements

    with open_service() as service:
        signing = service.key.key_id
        pinned = {key.key_id: public_key_to_text(key) for key in service.pinned_keys}
        with service.ledger.read() as reader:
            ring, said = [key.to_dict() for key in keyring(reader)], statements(reader)
    if as_json:
        say_json({"signing": signing, "pinned": pinned, "keys": ring, "statements": said})
        return
    rows = [
        [key["public_key"], key["state"], "pinned" if key["key_id"] in pinned else "", key["key_id"]] for key in ring
    ]
    table(["public key", "state", "", "key id"], rows)


@app.command()
def rotate(reason: OptionalReason = "", as_json: bool = JSON) -> None:
    """Make a new signing key; the old one vouches for it and goes on verifying. With GATE_URL set: propose it."""
    _act("key_rotation", {}, reason, as_json)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="See gate keys show.")],
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Since when it may be in other hands; default now.")
    ] = None,
    reason: OptionalReason = "",
    as_json: bool = JSON,
) -> None:
    """Revoke a key: nothing it signed counts any more. A new signing key is made if it was that one."""
    _act("key_revocation", {"key_id": key_id} if since is None else {"key_id": key_id, "since": since}, reason, as_json)


@app.command("create-witness")
def create_witness(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A new file; only you may read it.")],
    as_json: bool = JSON,
) -> None:
    """Make a key for a witness, who cosigns checkpoints of somebody else's ledger: see gate ledger cosign."""
    from gate.permits.keys import create_key, public_key_to_text

    key = create_key(path)
    text = public_key_to_text(key.public_key)
    if as_json:
        say_json({"file": str(path), "key_id": key.key_id, "public_key": text})
    else:
        say(text)


def _act(act: str, params: Mapping[str, Any], reason: str, as_json: bool) -> None:
    from gate.api.people import has_service

    if has_service():
        propose_act(act, params, reason, as_json, "gate acts approve")
        return
    from gate.service.actors import local_actor
    from gate.service.acts import act_alone
    from gate.service.core import open_service

    with open_service() as service:
        done = act_alone(service, act, params, reason, by=local_actor())
        signing = service.key.public_key
    from gate.permits.keys import public_key_to_text

    if as_json:
        say_json({"index": done.idx, **done.body, "signing": signing.key_id})
        return
    say(f"ledger entry {done.idx}; the signing key is now {public_key_to_text(signing)}")
    if act == "key_revocation":
        say("pin it wherever the revoked one was pinned")
