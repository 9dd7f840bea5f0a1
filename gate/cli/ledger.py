"""`gate ledger`: verify the record, take checkpoints, prove single entries, copy them, set its time right."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gate.cli.output import JSON, progress_bar, say, say_json

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Verify the ledger, take checkpoints, prove entries."
)


@app.command()
def verify(
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", help="A checkpoint kept elsewhere; finds truncation and rewriting.")
    ] = None,
    as_json: bool = JSON,
) -> None:
    """Check every entry, hash, root and derived column. Exit 5 when anything was altered."""
    from gate.errors import InputError, TamperingFound
    from gate.service.auditing import verify_ledger
    from gate.service.core import open_service

    try:
        note = checkpoint.read_text("utf-8") if checkpoint else None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", where=str(checkpoint)) from None
    with open_service() as service, progress_bar("verifying") as progress:
        report = verify_ledger(service, note, lambda done, _total: progress(done))
    if as_json:
        say_json(report)
    else:
        for finding in report["findings"]:
            say(f"TAMPERED: {finding}")
        say(f"{report['entries']} entries, {report['contradictions']} contradictions, root {report['root']}")
        if report["erased"]:
            say(f"{report['erased']} personal values were erased; the proofs stand without them")
        if checkpoint is None:
            say("checked against itself only; --checkpoint FILE also finds truncation")
    if report["findings"]:
        raise typer.Exit(TamperingFound.exit_code)


@app.command()
def checkpoint(
    out: Annotated[Path | None, typer.Option("--out", help="File to write; default stdout.")] = None,
    as_json: bool = JSON,
) -> None:
    """Sign the ledger's present size and root as a C2SP note. Keep it where we cannot reach it."""
    from gate.service.auditing import signed_checkpoint
    from gate.service.core import open_service

    with open_service() as service:
        note, size, root = signed_checkpoint(service)
    if out is not None:
        out.write_text(note, "utf-8")
    if as_json:
        say_json({"note": note, "size": size, "root": root})
    elif out is None:
        say(note.rstrip("\n"))
    else:
        say(f"checkpoint of {size} entries in {out}")


@app.command()
def prove(
    index: Annotated[int, typer.Argument(help="Index of the entry.", min=0)],
    as_json: bool = JSON,
) -> None:
    """Prove that an entry is in the ledger: its bytes, the inclusion proof and a signed checkpoint."""
    from gate.service.auditing import prove_entry
    from gate.service.core import open_service

    with open_service() as service:
        proof = prove_entry(service, index)
    if as_json:
        say_json(proof)
        return
    say(f"entry {index} of {proof['size']}: {proof['kind']}, leaf {proof['leaf_hash']}")
    for node in proof["inclusion"]:
        say(f"  {node}")
    say(proof["checkpoint"].rstrip("\n"))


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
