"""`gate lineage impact` and `gate lineage resolve`: what a withdrawal concerns, and what was done about it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gate.cli.output import JSON, say, say_json, table

SHOWN = 50  # rows of a table, unless it is JSON


def impact(
    account: Annotated[str | None, typer.Option("--account", help="An account, or its reference.")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", metavar="URI", help="Or sha256:DIGEST.")] = None,
    consent: Annotated[str | None, typer.Option("--consent", metavar="INDEX", help="Its ledger entry.")] = None,
    policy_row: Annotated[str | None, typer.Option("--policy-row", metavar="ROW", help="A row of the policy.")] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="WHEN", help="RFC 3339 instant, or ledger size.")
    ] = None,
    owed: Annotated[bool, typer.Option("--open", help="List obligations that are not done, overdue first.")] = False,
    as_json: bool = JSON,
) -> None:
    """Show what an account, dataset, consent or policy row concerns, then and now; or the open obligations."""
    from gate.errors import InputError
    from gate.service.core import open_service
    from gate.service.impact import impact as answer
    from gate.service.impact import read_moment, subject_of
    from gate.service.lineage_store import open_lineage
    from gate.service.obligation_outcomes import listed

    asked = {"account": account, "dataset": dataset, "consent": consent, "policy_row": policy_row}
    if owed and any((*asked.values(), as_of)):
        raise InputError("lists everything that is open", where="--open", hint="use it by itself")
    with open_service() as service, open_lineage(service.settings) as store:
        if owed:
            found = listed(service, store)
        else:
            found = answer(service, store, subject_of(**asked), as_of=read_moment(as_of))
    if as_json:
        say_json(found)
    elif owed:
        _say_obligations(found)
    else:
        _say_impact(found)


def resolve(
    obligation: Annotated[str, typer.Argument(metavar="OBLIGATION", help="Its id.")],
    outcome: Annotated[str, typer.Option("--outcome", help="retrained, deleted, no_longer_used or kept.")],
    evidence: Annotated[str | None, typer.Option("--evidence", help="Where the evidence can be looked up.")] = None,
    sha256: Annotated[str | None, typer.Option("--sha256", help="SHA-256 of the evidence.")] = None,
    note: Annotated[str | None, typer.Option("--note", help="A reason; needed to keep something.")] = None,
    as_json: bool = JSON,
) -> None:
    """Record what was done about an obligation; an outcome is never taken back, the newest counts."""
    from gate.service.actors import local_actor
    from gate.service.core import open_service
    from gate.service.lineage_store import open_lineage
    from gate.service.obligation_outcomes import Said, record_outcome

    said = Said(outcome, evidence, sha256, note)
    with open_service() as service, open_lineage(service.settings) as store:
        index, new = record_outcome(service, store, obligation, said, by=local_actor(), via="cli")
    if as_json:
        say_json({"obligation": obligation, "index": index, "new": new})
    else:
        say(f"recorded as ledger entry {index}" if new else f"already on record as ledger entry {index}")


def _say_impact(found: dict[str, Any]) -> None:
    counts = found["counts"]
    say(
        f"{counts['versions']} dataset versions, {counts['decisions']} decisions, {counts['runs']} runs, "
        f"{counts['models']} models"
    )
    say(f"{counts['not_rightly']} decisions that do not hold again; {counts['blocked_now']} that would block now")
    _part("Models", ["model", "name", "version", "trained", "how"], found["models"], _model)
    _part("Decisions", ["entry", "dag", "run", "then", "rightly", "now", "why now"], found["decisions"], _decision)
    _part("Runs", ["dag or job", "run", "task", "started", "entry"], found["runs"], _run)
    _part("Dataset versions", ["name", "version", "categories", "how"], found["versions"], _version)


def _part(title: str, columns: list[str], rows: list[dict[str, Any]], cells: Any) -> None:
    if rows:
        say(f"\n{title}")
        table(columns, [cells(row) for row in rows[:SHOWN]])
    if len(rows) > SHOWN:
        say(f"… {len(rows) - SHOWN} more: --json has them all")


def _model(one: dict[str, Any]) -> list[object]:
    return [one["model"], one["name"], _short(one["version"]), one["trained_at"], one["how"]]


def _decision(one: dict[str, Any]) -> list[object]:
    rightly = {True: "yes", False: "NO", None: "cannot tell"}[one["then"]["rightly"]]
    now = one["now"]
    return [
        one["index"],
        one["dag_id"],
        one["run_id"],
        one["verdict"],
        rightly,
        now["verdict"] or "cannot tell",
        ", ".join(now["reasons"]),
    ]


def _run(one: dict[str, Any]) -> list[object]:
    where, run = one["dag_id"] or one["job"], one["run_id"] or one["lineage_run"]
    return [where, run, one["task_id"], one["started_at"], one["start"]]


def _version(one: dict[str, Any]) -> list[object]:
    return [one["name"], _short(one["version"]), ", ".join(one["categories"]), one["how"]]


def _short(version: str | None) -> str | None:
    return version and version.removeprefix("sha256:")[:12]


def _say_obligations(found: dict[str, Any]) -> None:
    counts = found["counts"]
    say(f"{counts['overdue']} overdue, {counts['open']} open, {counts['kept']} kept")
    rows = [
        [
            one["id"],
            one["state"],
            one["due_at"],
            one["kind"].replace("_", " "),
            one["model"] or (one["artifact"] or ["", ""])[1],
            one["account"] or "(erased)",
            one["owner_name"] or one["owner"],
        ]
        for one in found["obligations"]
    ]
    if rows:
        table(["obligation", "state", "due", "about", "model", "account", "owner"], rows)
