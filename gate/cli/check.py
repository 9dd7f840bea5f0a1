"""`gate check`: what the gate would decide, recording nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from gate.cli.output import JSON, say, say_json, scan_bars

app = typer.Typer(add_completion=False, help="Say what the gate would decide, recording nothing.")


@app.command()
def check(
    uri: Annotated[str, typer.Option("--dataset", help="A URI or path of a file, folder or glob.")],
    purpose: Annotated[str, typer.Option("--purpose", help="train, tune, test, infer, …")],
    account: Annotated[str | None, typer.Option("--account", help="Account locator.")] = None,
    category_column: Annotated[
        str | None, typer.Option("--category-column", help="Column with each row's category.")
    ] = None,
    categories: Annotated[
        list[str] | None, typer.Option("--categories", help="Categories to assume, comma-separated; default: the tags.")
    ] = None,
    feature: Annotated[str | None, typer.Option("--feature", help="The feature it is for.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="The model; its owner is looked up.")] = None,
    policy: Annotated[
        str | None, typer.Option("--policy", help="Policy name or file; default: the active one.")
    ] = None,
    engine: Annotated[str | None, typer.Option("--engine", help="What counts: duckdb (default) or spark.")] = None,
    spark: Annotated[
        str | None, typer.Option("--spark", help="Spark's master; default: GATE_SPARK, else as spark-submit says.")
    ] = None,
    as_json: bool = JSON,
) -> None:
    """Say what the gate would decide. Exit 0 allowed, 3 blocked, 4 cannot decide."""
    from gate.cli.dataset import named
    from gate.domain.decision import wanted_use
    from gate.domain.words import Verdict
    from gate.policy.table import load_policy
    from gate.scan.spark.cluster import engine_named
    from gate.service.core import open_service
    from gate.service.deciding import check as dry_decision
    from gate.service.message import explain_block
    from gate.service.tagging import parse_categories

    words = [word.strip() for text in categories or [] for word in text.split(",") if word.strip()]
    with open_service() as service, scan_bars():
        decision, _ = dry_decision(
            service,
            [named(uri, account, category_column)],
            wanted_use(purpose, feature, model),
            engine_named(engine, spark),
            policy=load_policy(policy) if policy else None,
            claimed=[parse_categories(words) if words else None],
        )
    blocked = decision.verdict is Verdict.BLOCK
    if as_json:
        say_json(
            {
                **decision.to_dict(),
                "rows_blocked": decision.rows_blocked,
                "accounts_blocked": decision.accounts_blocked,
            }
        )
    elif blocked:
        say(explain_block(decision))
    else:
        rows = sorted({finding.row for finding in decision.findings if finding.row})
        say(f"ALLOWED by {decision.policy_name}: {', '.join(rows)}")
    raise typer.Exit(3 if blocked else 0)
