"""`gate ledger`: verify the record, take, publish and cosign checkpoints, prove entries, copy them, set its time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gate.cli.output import JSON, progress_bar, say, say_json

if TYPE_CHECKING:
    from gate.service.core import Service

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Verify the ledger, take checkpoints, prove entries."
)


@app.command()
def verify(
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", help="A checkpoint kept elsewhere; finds truncation and rewriting.")
    ] = None,
    since: Annotated[
        Path | None,
        typer.Option("--since", help="As --checkpoint, faster: it vouches for the form of what it covers."),
    ] = None,
    cosigner: Annotated[
        list[str] | None,
        typer.Option("--cosigner", metavar="NAME=KEY", help="Who must have cosigned it; repeat for more."),
    ] = None,
    as_json: bool = JSON,
) -> None:
    """Check every entry, hash, root and derived column. Exit 5 when anything was altered."""
    from gate.errors import InputError, TamperingFound
    from gate.service.auditing import verify_ledger
    from gate.service.core import open_service
    from gate.service.cosigned import cosigned_by, parse_cosigners

    if checkpoint is not None and since is not None:
        raise InputError("give one of them", where="--checkpoint, --since")
    file = checkpoint or since
    if cosigner and file is None:
        raise InputError("says who signed a checkpoint, and there is none", where="--cosigner", hint="add --since FILE")
    note = None if file is None else _text_of(file)
    cosigned = cosigned_by(note, parse_cosigners(cosigner or ())) if note else []
    with open_service() as service, progress_bar("verifying") as progress:
        report = verify_ledger(service, note, lambda done, _total: progress(done), since=since is not None)
    if as_json:
        say_json({**report, "cosigned": cosigned})
    else:
        for finding in report["findings"]:
            say(f"TAMPERED: {finding}")
        say(f"{report['entries']} entries, {report['contradictions']} contradictions, root {report['root']}")
        for one in cosigned:
            say(f"{one['name']} cosigned the checkpoint at {one['at']}")
        if report["erased"]:
            say(f"{report['erased']} personal values were erased; the proofs stand without them")
        if note is None:
            say("checked against itself only; --since FILE also finds what was cut off or rewritten as a whole")
    if report["findings"]:
        raise typer.Exit(TamperingFound.exit_code)


@app.command()
def checkpoint(
    out: Annotated[Path | None, typer.Option("--out", help="File to write; default stdout.")] = None,
    at: Annotated[
        int | None, typer.Option("--at", metavar="SIZE", help="Of when the ledger held so many entries.", min=1)
    ] = None,
    entry: Annotated[
        int | None, typer.Option("--entry", metavar="INDEX", help="The first that covers this entry.", min=0)
    ] = None,
    publish: Annotated[
        list[str] | None,
        typer.Option("--publish", metavar="TARGET", help="A folder (path or URI), http(s)://…, or openlineage:"),
    ] = None,
    as_json: bool = JSON,
) -> None:
    """Sign the ledger's size and root as a C2SP note, now or of the past. Keep it where we cannot reach it."""
    from gate.errors import InputError
    from gate.service.core import open_service
    from gate.service.cosigning import write_whole
    from gate.service.publishing import publish_to, sign_checkpoint

    if at is not None and entry is not None:
        raise InputError("give one of them", where="--at, --entry")
    with open_service() as service:
        signed = sign_checkpoint(service, size=at, entry=entry)
        if out is not None:
            write_whole(out, signed.note)
        published = publish_to(service, signed, publish or ())
    if as_json:
        places = [place.to_dict() for place in published]
        say_json({"note": signed.note, "size": signed.size, "root": signed.root.hex(), "published": places})
        return
    for place in published:
        say(f"checkpoint of {signed.size} entries {'was already' if place.known else 'is now'} at {place.place}")
    if out is not None:
        say(f"checkpoint of {signed.size} entries in {out}")
    elif not published:
        say(signed.note.rstrip("\n"))


@app.command()
def cosign(
    note: Annotated[Path, typer.Argument(metavar="NOTE_FILE", help="A checkpoint; gets the witness's line.")],
    key: Annotated[Path, typer.Option("--key", help="The witness's own key; see gate keys create-witness.")],
    name: Annotated[str, typer.Option("--name", help="The witness's name, like witness.example/gate.")],
    ledger_key: Annotated[
        list[str] | None,
        typer.Option("--ledger-key", metavar="KEY", help="A key of the ledger as gate keys show has it; repeat."),
    ] = None,
    proof: Annotated[
        Path | None, typer.Option("--proof", help="What gate ledger prove --consistency OLD NEW --json wrote.")
    ] = None,
    previous: Annotated[
        Path | None, typer.Option("--previous", help="The last note it cosigned, if its memory is elsewhere.")
    ] = None,
    memory: Annotated[
        Path | None, typer.Option("--memory", help="Where the witness remembers; default: beside the key.")
    ] = None,
    as_json: bool = JSON,
) -> None:
    """Sign a checkpoint as a witness, with files only, if it continues the last one it signed. Exit 5 if rewritten.

    Without --ledger-key the keys pinned in GATE_HOME are taken.
    """
    from gate.domain.instants import utc_now
    from gate.permits.keys import load_key, public_key_from_text
    from gate.service import cosigning
    from gate.service.keyring import read_pins
    from gate.service.settings import read_settings

    pinned = [public_key_from_text(text) for text in ledger_key] if ledger_key else read_pins(read_settings())
    remembered = memory or key.with_name(f"{key.name}.seen")
    cosigned = cosigning.cosign(
        cosigning.Witness(name, load_key(key), remembered),
        _text_of(note),
        pinned,
        at=utc_now(),
        previous=None if previous is None else _text_of(previous),
        proof=None if proof is None else cosigning.parse_proof(_text_of(proof), str(proof)),
    )
    cosigning.write_whole(note, cosigned)
    if as_json:
        say_json({"note": cosigned, "file": str(note)})
    else:
        say(f"{name} cosigned {note}")


@app.command()
def prove(
    index: Annotated[int | None, typer.Argument(help="Index of the entry.", min=0)] = None,
    consistency: Annotated[
        tuple[int, int] | None,
        typer.Option("--consistency", metavar="OLD NEW", help="That the first OLD entries are those of NEW."),
    ] = None,
    as_json: bool = JSON,
) -> None:
    """Prove that an entry is in the ledger: its bytes, the inclusion proof and a signed checkpoint.

    Or, for witnesses, that the ledger of one size continues the ledger of a smaller one.
    """
    from gate.errors import InputError
    from gate.service.core import open_service

    if (index is None) == (consistency is None):
        raise InputError("name an entry, or two sizes with --consistency", where="INDEX")
    with open_service() as service:
        proof = _proof(service, index, consistency)
    if as_json:
        say_json(proof)
        return
    if index is not None:
        say(f"entry {index} of {proof['size']}: {proof['kind']}, leaf {proof['leaf_hash']}")
    else:
        say(f"from {proof['old_size']} to {proof['new_size']} entries")
    for node in proof["inclusion" if index is not None else "consistency"]:
        say(f"  {node}")
    say(proof["checkpoint"].rstrip("\n"))


def _proof(service: Service, index: int | None, consistency: tuple[int, int] | None) -> dict[str, Any]:
    from gate.service.proofs import prove_consistency, prove_entry

    if consistency is not None:
        return prove_consistency(service, *consistency)
    return prove_entry(service, index or 0)


def _text_of(file: Path) -> str:
    from gate.errors import InputError

    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", where=str(file)) from None


@app.command()
def copy(
    out: Annotated[Path, typer.Argument(metavar="FILE", help="A new file; only you may read it.")],
    start: Annotated[int, typer.Option("--start", help="Index of the first entry.", min=0)] = 0,
    as_json: bool = JSON,
) -> None:
    """Copy entries with the personal values they mention, for `gate db replay`. Guard the file like the database."""
    from gate.service.core import open_service
    from gate.service.replaying import copy_entries

    with open_service() as service:
        entries = copy_entries(service, start, out)
    if as_json:
        say_json({"entries": entries, "file": str(out)})
    else:
        say(f"{entries} entries in {out}")


@app.command("accept-clock")
def accept_clock(
    reason: Annotated[str, typer.Option("--reason", help="What happened to the clock.")],
    as_json: bool = JSON,
) -> None:
    """Go on from this machine's time after a clock ran ahead: what was recorded ahead of time stays, and so does this.

    Without it, wait until time has caught up with the ledger's newest entry: until then nothing is decided.
    """
    from gate.service.actors import local_actor
    from gate.service.clock import accept_clock as accept
    from gate.service.core import open_service

    with open_service() as service:
        index = accept(service, reason, by=local_actor(), via="cli")
    if as_json:
        say_json({"index": index})
    else:
        say(f"recorded as entry {index}: entries go on from this machine's time")
