"""`gate ledger`: verify the record, take checkpoints, prove single entries."""

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
