"""`gate dataset anonymity` and `declassify`: measure a table's k-anonymity; propose that a version is anonymous."""

from __future__ import annotations

import hashlib
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gate.cli.acts import Reason, propose_act
from gate.cli.output import JSON, say, say_json, table
from gate.domain.anonymity import K_FLOOR
from gate.domain.words import Method
from gate.errors import CheckFailed, InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gate.domain.anonymity import Anonymity
    from gate.domain.dataset import Dataset

Uri = Annotated[str, typer.Argument(metavar="URI", help="A URI or path of a file, folder or glob.")]
Size = Annotated[int, typer.Option("--k", min=K_FLOOR, help="Rows that must be alike, at the least.")]
Columns = list[str] | None
QuasiIdentifiers = Annotated[
    Columns, typer.Option("--quasi-identifier", metavar="COLUMN", help="Repeat for more. Default: all but sensitive.")
]
SensitiveColumns = Annotated[
    Columns, typer.Option("--sensitive", metavar="COLUMN", help="Tells something, but finds nobody; repeat for more.")
]


def anonymity(
    uri: Uri,
    k: Size = K_FLOOR,
    quasi_identifier: QuasiIdentifiers = None,
    sensitive: SensitiveColumns = None,
    as_json: bool = JSON,
) -> None:
    """Measure how many rows are alike in all quasi-identifiers. Exit code 1 if they are fewer than --k."""
    found = _measured(uri, quasi_identifier, sensitive)
    lacking = list(found.shortcomings(k))
    if as_json:
        say_json({**found.to_dict(), "k": k, "shortcomings": lacking})
    else:
        _show(found, k, lacking)
    if lacking:
        raise typer.Exit(CheckFailed.exit_code)


def declassify(
    uri: Uri,
    remove: Annotated[list[str], typer.Option("--remove", help="A category it bears no more; repeat for more.")],
    until: Annotated[str, typer.Option("--until", metavar="TIME", help="When this ends; at most a year ahead.")],
    reason: Reason,
    method: Annotated[str, typer.Option("--method", help=", ".join(Method) + ".")],
    k: Annotated[int | None, typer.Option("--k", min=K_FLOOR, help=f"Rows alike, at the least; {K_FLOOR}.")] = None,
    quasi_identifier: QuasiIdentifiers = None,
    sensitive: SensitiveColumns = None,
    document: Annotated[Path | None, typer.Option("--document", help="A file: who vouches for it, and why.")] = None,
    reference: Annotated[str | None, typer.Option("--reference", help="Where the document can be found.")] = None,
    account: Annotated[str | None, typer.Option("--account", help="Account locator, as it was tagged.")] = None,
    as_json: bool = JSON,
) -> None:
    """Propose that this very version is aggregated and anonymous. Another person who logs in must approve it.

    k_anonymity is measured here, of the same bytes as the digest; the other methods need --document and --reference.
    """
    from gate.api.people import People

    if method not in set(Method):
        raise InputError("is not a method", where="--method", hint="one of: " + ", ".join(Method))
    is_measured = method == Method.K_ANONYMITY
    measuring = {"--k": k, "--quasi-identifier": quasi_identifier, "--sensitive": sensitive}
    vouching = {"--document": document, "--reference": reference, "--account": account}
    _refuse(method, vouching if is_measured else measuring)
    with People("declassification"):  # before anything large is read
        if is_measured:
            evidence = _measured_evidence(uri, k or K_FLOOR, quasi_identifier, sensitive)
            digest = evidence["digest"]
        else:
            evidence = _document_evidence(document, reference)
            digest = _digest(uri, account)
    params = {"uri": _named(uri).uri, "digest": digest, "removes": remove, "expires_at": until, "method": method}
    propose_act("declassification", {**params, "evidence": evidence}, reason, as_json, "gate acts approve")
    if is_measured and not as_json:
        say(f"once they have measured the same:\n  {_command(uri, evidence)}")


def _measured(uri: str, quasi_identifiers: Columns, sensitive: Columns) -> Anonymity:
    from gate.scan.anonymity import measure_anonymity

    return measure_anonymity(_named(uri), quasi_identifiers or (), sensitive or ())


def _measured_evidence(uri: str, k: int, quasi_identifiers: Columns, sensitive: Columns) -> dict[str, Any]:
    found = _measured(uri, quasi_identifiers, sensitive)
    if problem := next(found.shortcomings(k), None):
        raise CheckFailed(problem, where=uri, hint="make the data coarser, or leave rows out")
    return {**found.to_dict(), "k": k}


def _document_evidence(document: Path | None, reference: str | None) -> dict[str, Any]:
    if document is None or reference is None:
        raise InputError("needs a document and where it can be found", where="--method", hint="--document, --reference")
    try:
        with document.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(document)) from None
    return {"document_sha256": f"sha256:{sha256}", "reference": reference}


def _refuse(method: str, options: Mapping[str, object]) -> None:
    for name, value in options.items():
        if value is not None and value != []:
            raise InputError(f"is not for {method}", where=name, hint="see docs/declassification.md")


def _digest(uri: str, account: str | None) -> str:
    from gate.scan.digest import measure

    return measure(_named(uri, account))[0].digest


def _named(uri: str, account: str | None = None) -> Dataset:
    from gate.cli.dataset import named  # which registers the commands here

    return named(uri, account, None)


def _command(uri: str, evidence: Mapping[str, Any]) -> str:
    """Return the command that repeats a measurement."""
    words = ["gate", "dataset", "anonymity", uri, "--k", str(evidence["k"])]
    for name in evidence["quasi_identifiers"]:
        words += ["--quasi-identifier", name]
    for one in evidence["sensitive"]:
        words += ["--sensitive", one["column"]]
    return shlex.join(words)


def _show(found: Anonymity, k: int, lacking: list[str]) -> None:
    say(f"{found.digest}\n  quasi-identifiers: {', '.join(found.quasi_identifiers)}")
    say(f"  {found.rows:,} rows, groups: {found.groups:,}, k = {found.k_measured:,} ({k} asked)")
    if found.sensitive:
        rows = [
            [one.column, "number" if one.number else "other", one.distinct, one.rarest, one.diversity]
            for one in found.sensitive
        ]
        table(["sensitive", "kind", "values", "rows of the rarest", "values in a group"], rows)
    for problem in lacking:
        say(f"  not anonymous: {problem}")
