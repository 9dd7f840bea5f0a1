"""The `gate` command: finds the command group, prints our errors, returns the exit codes of the design."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

GROUPS: dict[str, tuple[str, str]] = {
    "demo": ("gate.cli.demo", "Run the example DAGs in a real Airflow and show what was blocked."),
    "db": ("gate.cli.db", "Create or upgrade the ledger's database."),
    "consent": ("gate.cli.consent", "Record, import and show consent events."),
    "admins": ("gate.cli.admins", "Record and show who may consent for an account."),
    "accounts": ("gate.cli.accounts", "Record and show account profiles."),
    "models": ("gate.cli.models", "Register who owns a model; show what attests one."),
    "policy": ("gate.cli.policy", "Show, check, test and compare policies."),
    "dataset": ("gate.cli.dataset", "Tag dataset versions and show their tags."),
    "check": ("gate.cli.check", "Say what the gate would decide, recording nothing."),
    "permit": ("gate.cli.permit", "Verify a permit."),
    "run": ("gate.cli.run", "Redeem a permit and run a command with it."),
    "ledger": ("gate.cli.ledger", "Verify the ledger, take checkpoints, prove entries."),
    "dags": ("gate.cli.dags", "Report which training tasks of DAG files are gated."),
    "lineage": ("gate.cli.lineage", "Ask what lies upstream and downstream; deliver lineage events."),
    "audit": ("gate.cli.audit", "Write and verify audit bundles; find models nothing attests."),
    "tokens": ("gate.cli.tokens", "Make, list and revoke service tokens."),
    "serve": ("gate.cli.serve", "Run the decision service."),
    "keys": ("gate.cli.keys", "Show, rotate and revoke keys."),
    "mode": ("gate.cli.mode", "Show, propose and approve the mode: enforce or observe."),
    "break-glass": ("gate.cli.break_glass", "Request, approve and list break-glass."),
    "acts": ("gate.cli.acts", "List, approve and withdraw two-person acts."),
}


class LazyGroup(TyperGroup):
    """Lists all command groups without importing any: `gate --help` stays fast."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names, in the order people need them."""
        return list(GROUPS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import the group that was asked for."""
        if cmd_name not in GROUPS:
            return None
        app: typer.Typer = import_module(GROUPS[cmd_name][0]).app
        return typer.main.get_command(app)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the help's command list from the table above."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in GROUPS.items()])


app = typer.Typer(cls=LazyGroup, rich_markup_mode=None, no_args_is_help=True, add_completion=False)


@app.callback()
def gate(
    version: bool = typer.Option(False, "--version", help="Print the version and leave.", is_eager=True),
) -> None:
    """Consent Gate: nothing trains on customer data without recorded admin consent.

    Every command takes --json. Exit codes: 0 done or allowed, 1 a check failed, 2 bad input, 3 blocked,
    4 cannot decide, 5 tampering found.
    """
    if version:
        from gate import __version__
        from gate.cli.output import say

        say(f"gate {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line and exit with its code; our own errors are printed, never traced."""
    from gate.errors import GateError

    try:
        app(standalone_mode=True)
    except GateError as error:
        from gate.cli.output import complain

        ours = sys.argv[: sys.argv.index("--")] if "--" in sys.argv else sys.argv  # beyond it: the words of `gate run`
        complain(error, as_json="--json" in ours)
        sys.exit(error.exit_code)
