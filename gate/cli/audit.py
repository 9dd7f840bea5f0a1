"""`gate audit`: write a bundle that answers an audit, check one offline, find models that nothing attests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gate.cli.output import JSON, say, say_json
from gate.errors import CheckFailed, InputError, TamperingFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gate.permits.keys import PublicKey
    from gate.service.bundle_contents import Scope

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Write and verify audit bundles; find models nothing attests."
)


@app.command()
def export(
    model: Annotated[
        str | None, typer.Option("--model", metavar="MODEL|DIGEST", help="A model id, or one version's sha256:….")
    ] = None,
    run: Annotated[str | None, typer.Option("--run", metavar="DAG/RUN_ID", help="A DAG run.")] = None,
    period: Annotated[
        str | None,
        typer.Option("--period", metavar="FROM/TO", help="Decisions from one instant until before another."),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="The bundle, a new file or one to replace.")
    ] = Path("audit-bundle.zip"),
    opened: Annotated[
        list[str] | None,
        typer.Option("--open", metavar="ACCOUNT", help="Open this account's references; recorded; repeat for more."),
    ] = None,
    cosigned: Annotated[
        list[Path] | None,
        typer.Option("--cosigned", metavar="NOTE_FILE", help="A checkpoint that a witness cosigned; repeat for more."),
    ] = None,
    pdf: Annotated[
        bool | None,
        typer.Option("--pdf/--no-pdf", help="A PDF too, or fail; or none. Default: where it can be made."),
    ] = None,
    as_json: bool = JSON,
) -> None:
    """Write one signed archive: which data of which accounts under which consent trained a model, and who let it.

    It holds ledger entries with proofs, policies, attestations, lineage and a report. Accounts and people are
    references, unless --open names them.
    """
    from gate.service.actors import local_actor
    from gate.service.bundle import export_bundle
    from gate.service.core import open_service

    scope = _scope(model, run, period)
    notes = [_text(file) for file in cosigned or ()]
    with open_service() as service:
        made = export_bundle(service, scope, by=local_actor(), opened=opened or (), cosigned=notes, pdf=pdf)
    _write(out, made.archive)
    manifest = made.manifest
    if as_json:
        say_json({"path": str(out), "bytes": len(made.archive), "manifest": manifest})
        return
    said = manifest["checkpoint"]
    say(f"{out}: {len(made.archive)} bytes, {len(manifest['files'])} files, as of {said['size']} ledger entries")
    for one in manifest["left_out"]:
        say(f"left out: {one['what']} ({one['why']})")


@app.command()
def verify(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="What gate audit export wrote.")],
    key: Annotated[
        list[str], typer.Option("--key", help="A public key of the ledger (see gate keys show); repeat for more.")
    ],
    cosigner: Annotated[
        list[str] | None,
        typer.Option("--cosigner", metavar="NAME=KEY", help="Who must have cosigned a checkpoint; repeat for more."),
    ] = None,
    as_json: bool = JSON,
) -> None:
    """Check a bundle without ledger and network; say what that proved, and what it cannot. Exit 5 if altered."""
    from gate.service.bundle_verify import verify_bundle
    from gate.service.cosigned import parse_cosigners

    found, manifest = verify_bundle(_content(bundle), _keys(key), parse_cosigners(cosigner or ()))
    if as_json:
        about = {name: manifest.get(name) for name in ("scope", "ledger_origin", "checkpoint", "created_at")}
        say_json({"bundle": str(bundle), **about, **found.to_dict()})
    else:
        for one in found.problems:
            say(f"TAMPERED: {one}")
        for one in found.proved:
            say(f"proved: {one}")
        for one in found.not_proved if found.ok else ():
            say(f"not proved: {one}")
        say("nothing in it contradicts" if found.ok else f"{found.contradictions} contradictions: do not rely on it")
    if not found.ok:
        raise typer.Exit(TamperingFound.exit_code)


@app.command()
def reconcile(
    models: Annotated[str, typer.Option("--models", metavar="PATH", help="A folder of models: a path or URI.")],
    as_json: bool = JSON,
) -> None:
    """Hash the files of a folder and list those that no attestation is about. Exit 1 if there are any."""
    from gate.service.bundle_reconcile import reconcile as hold
    from gate.service.core import open_service

    with open_service() as service:
        found = hold(service, models)
    if as_json:
        say_json({"models": models, **found.to_dict()})
    else:
        for path in found.unattested:
            say(f"NOT ATTESTED: {path}")
        for one in found.altered:
            say(f"ALTERED: {one['uri']}, attested as {one['digest']} in entry {one['entry']}")
        for one in found.gone:
            say(f"gone: {one['uri']}, attested in entry {one['entry']}")
        for problem in found.problems:
            say(f"TAMPERED: {problem}")
        unpermitted = sum(bool(one["unpermitted"]) for one in found.attested)
        say(f"{len(found.attested)} files attested ({unpermitted} unpermitted), {len(found.unattested)} not")
    if found.problems:
        raise typer.Exit(TamperingFound.exit_code)
    if found.unattested:
        raise typer.Exit(CheckFailed.exit_code)


def _scope(model: str | None, run: str | None, period: str | None) -> Scope:
    from gate.domain.instants import parse_instant
    from gate.service.bundle_contents import Scope

    pair, span = None, None
    if run is not None:
        dag_id, _, run_id = run.partition("/")
        pair = (dag_id, run_id)
        if not all(pair):
            raise InputError("expected DAG/RUN_ID", where="--run")
    if period is not None:
        first, _, last = period.partition("/")
        span = (parse_instant(first, "--period"), parse_instant(last, "--period"))
    return Scope(model=model, run=pair, period=span)


def _keys(texts: Sequence[str]) -> list[PublicKey]:
    from gate.permits.keys import public_key_from_text

    return [public_key_from_text(text.removeprefix("ed25519:")) for text in texts]


def _content(file: Path) -> bytes:
    """Read a bundle, unless it is larger than any."""
    from gate.service.archive import MOST_BYTES

    most = MOST_BYTES + (MOST_BYTES >> 4)
    try:
        with file.open("rb") as opened:
            content = opened.read(most + 1)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(file)) from None
    if len(content) > most:
        raise InputError(f"is larger than {most >> 20} MiB: no bundle is", where=str(file))
    return content


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", where=str(file)) from None


def _write(file: Path, content: bytes) -> None:
    """Write a file whole or not at all; only its owner may read it."""
    import os

    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
            opened.write(content)
        draft.replace(file)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise InputError(f"cannot be written: {error.strerror}", where=str(file)) from None
