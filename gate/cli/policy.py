"""`gate policy`: show, lint, draw, explain, test and compare decision tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gate.cli.output import JSON, say, say_json, table
from gate.policy import DEFAULT_POLICY

if TYPE_CHECKING:
    from datetime import datetime
    from enum import StrEnum

    from gate.policy.lint import LintReport
    from gate.policy.rows import Policy

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Show, check, test and compare policies.")

_HELP = "A shipped policy's name, or a file."

Named = Annotated[str, typer.Argument(metavar="[POLICY]", help=_HELP)]
PolicyOption = Annotated[str, typer.Option("--policy", metavar="NAME|FILE", help=_HELP)]
AtOption = Annotated[str | None, typer.Option("--at", metavar="TIME", help="As of this instant; default now.")]


def _load(name: str) -> Policy:
    from gate.policy.table import load_policy

    return load_policy(name)


def _instant(text: str | None) -> datetime:
    from gate.domain.instants import parse_instant, utc_now

    return utc_now() if text is None else parse_instant(text, "--at")


def _word(kind: type[StrEnum], text: str, option: str) -> Any:
    from gate.errors import InputError

    try:
        return kind(text)
    except ValueError:
        raise InputError(f"{text!r} is not known", where=option, hint="one of: " + ", ".join(kind)) from None


@app.command()
def show(policy: Named = DEFAULT_POLICY, as_json: bool = JSON) -> None:
    """Print a policy: what it is, and its rows."""
    from gate.policy.explain import describe_feeds, scope

    loaded = _load(policy)
    if as_json:
        return say_json({"digest": loaded.digest, "policy": loaded.table})
    say(f"{loaded.name} {loaded.version}" + (f", {loaded.dated}" if loaded.dated else ""))
    say(loaded.description)
    say(f"digest {loaded.digest}")
    say(f"terms  {', '.join(f'{t.version} from {t.since:%Y-%m-%d}' for t in loaded.terms_versions)}")
    say(f"a withdrawal by someone who is not owner or admin: {loaded.non_admin_withdrawal}")
    say(f"a withdrawal while training runs: {loaded.on_withdrawal}")
    if loaded.feeds:
        say(f"stale_feed: {describe_feeds(loaded.feeds)}")
    say("")
    rows = [(row.id, row.requirement, row.toggle or "", row.status, scope(row)) for row in loaded.rows]
    table(("row", "requirement", "toggle", "status", "only for"), rows)
    return None


@app.command()
def lint(
    policies: Annotated[list[str] | None, typer.Argument(metavar="[POLICY]...", help=_HELP)] = None,
    as_json: bool = JSON,
) -> None:
    """Look at every cell for gaps, shadowed rows and contradictions. Without names: all shipped policies."""
    from gate.policy.lint import lint as look
    from gate.policy.table import shipped_policies

    reports = [look(_load(name)) for name in policies or shipped_policies()]
    if as_json:
        say_json([report.to_dict() for report in reports])
    else:
        for report in reports:
            _say_report(report)
    raise typer.Exit(1 if any(report.problems for report in reports) else 0)


def _say_report(report: LintReport) -> None:
    for problem in report.problems:
        cells = f" ({problem.cells} cells)" if problem.cells else ""
        say(f"{report.policy}: {problem.kind}: {problem.message}{cells}")
    if not report.problems:
        say(f"{report.policy}: clean, {report.cells:,} cells")


@app.command()
def matrix(
    policy: Named = DEFAULT_POLICY,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a web page.")] = None,
    at: AtOption = None,
    as_json: bool = JSON,
) -> None:
    """Draw the table: category by purpose, one sheet per model owner."""
    from gate.policy import matrix as draw

    loaded, instant = _load(policy), _instant(at)
    if html is not None:
        _write(html, draw.to_html(loaded, instant))
    if as_json:
        say_json([square.to_dict() for square in draw.matrix(loaded, instant)])
    elif html is not None:
        say(f"written to {html}")
    else:
        from rich.console import Console

        Console().print(draw.to_rich(loaded, instant))


def _write(path: Path, text: str) -> None:
    from gate.errors import InputError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", where=str(path)) from None


@app.command()
def explain(
    category: Annotated[str, typer.Option("--category", help="Like audio.")],
    purpose: Annotated[str, typer.Option("--purpose", help="Like train.")],
    ownership: Annotated[str, typer.Option("--ownership", help="Who owns the model.")] = "first_party",
    feature: Annotated[str | None, typer.Option("--feature", help="Like meeting_summary.")] = None,
    region: Annotated[str | None, typer.Option("--region", help="The account's region, like US.")] = None,
    segment: Annotated[str | None, typer.Option("--segment", help="The account's segment; none for none.")] = None,
    terms: Annotated[str | None, typer.Option("--terms", help="The terms version the account accepted.")] = None,
    at: AtOption = None,
    policy: PolicyOption = DEFAULT_POLICY,
    as_json: bool = JSON,
) -> None:
    """Say what the table asks for one use of one category, and on whose authority."""
    from gate.domain.words import Category, Ownership, Purpose
    from gate.policy.explain import explain as say_why
    from gate.policy.match import Cell

    cell = Cell(
        category=_word(Category, category, "--category"),
        purpose=_word(Purpose, purpose, "--purpose"),
        ownership=_word(Ownership, ownership, "--ownership"),
        feature=feature,
        region=region,
        segment=segment,
        terms=terms,
    )
    explanation = say_why(_load(policy), cell, _instant(at))
    if as_json:
        say_json(explanation.to_dict())
    else:
        say("\n".join(explanation.lines()))


@app.command("test")
def run_cases(
    file: Annotated[Path, typer.Argument(metavar="FILE.jsonl", help="Cases, one JSON object a line.")],
    policy: PolicyOption = DEFAULT_POLICY,
    as_json: bool = JSON,
) -> None:
    """Evaluate the cases of a file without a ledger. Exit 1 if any does not hold. --json: one object per case."""
    from gate.policy import cases

    results = cases.run_cases(_load(policy), file)
    failed = [result for result in results if not result.ok]
    if as_json:
        for result in results:
            say(json.dumps(result.to_dict(), ensure_ascii=False))
        raise typer.Exit(1 if failed else 0)
    for result in failed:
        case, decision = result.case, result.decision
        say(f"FAILED {case.id}")
        say(f"  expected {case.verdict} {', '.join(sorted(case.reasons))}".rstrip())
        say(f"  got      {decision.verdict} {', '.join(result.reasons)}".rstrip())
    say(f"{len(results) - len(failed)} passed, {len(failed)} failed")
    raise typer.Exit(1 if failed else 0)


@app.command()
def activate(
    policy: Annotated[str, typer.Argument(metavar="POLICY", help=_HELP)],
    reason: Annotated[str, typer.Option("--reason", help="Why; needed where two people act.")] = "",
    as_json: bool = JSON,
) -> None:
    """Follow this policy from now on: a dated ledger entry with the whole table. With GATE_URL set: propose it."""
    from gate.api.people import has_service
    from gate.cli.acts import propose_act
    from gate.errors import CheckFailed
    from gate.policy.lint import lint as check
    from gate.service.actors import local_actor
    from gate.service.acts import act_alone
    from gate.service.core import open_service

    loaded = _load(policy)
    if check(loaded).problems:
        raise CheckFailed(f"{loaded.name} has gaps or contradictions", hint=f"gate policy lint {policy}")
    params = {"table": loaded.table}
    if has_service():
        return propose_act("policy_activation", params, reason, as_json, "gate acts approve")
    with open_service() as service:
        index = act_alone(service, "policy_activation", params, reason, by=local_actor()).idx
    if as_json:
        return say_json({"name": loaded.name, "digest": loaded.digest, "index": index})
    say(f"{loaded.name} is active since ledger entry {index}")
    return None


@app.command()
def diff(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help=_HELP)],
    after: Annotated[str, typer.Argument(metavar="AFTER", help=_HELP)],
    as_json: bool = JSON,
) -> None:
    """Show what changes from one policy to another: settings, rows, cells."""
    from gate.policy.diff import diff as compare

    found = compare(_load(before), _load(after))
    if as_json:
        return say_json(found.to_dict())
    say("\n".join(found.lines()) or "no difference")
    return None
