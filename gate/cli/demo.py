"""`gate demo`: run the example DAGs in a real Airflow and show what was blocked, and why."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gate.cli.output import JSON, say, say_json, table
from gate.errors import CheckFailed, InputError

if TYPE_CHECKING:
    from gate.demo.airflow import Airflow
    from gate.demo.home import Home
    from gate.demo.runs import Run
    from gate.service.core import Service

app = typer.Typer(add_completion=False, help="Run the example DAGs in a real Airflow and show what was blocked.")

_NEEDED = ("apache-airflow", "apache-airflow-providers-openlineage", "av", "pandas", "scikit-learn")


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="Stop Airflow when the runs have ended.")] = False,
    home: Annotated[Path, typer.Option("--home", help="The demo's folder; a second demo reuses it.")] = Path(
        "demo-home"
    ),
    port: Annotated[int | None, typer.Option("--port", help="Of Airflow's UI; default: a free one.")] = None,
    as_json: bool = JSON,
) -> None:
    """Make a small data lake, start Airflow, run the example DAGs, and show what was blocked and why.

    Airflow stays up until Ctrl-C unless --once is given. Exit 0 when every run ended as it should, else 1.
    """
    from gate.demo.airflow import running_airflow
    from gate.demo.home import new_home
    from gate.demo.lineage import places

    _check_installed()
    signal.signal(signal.SIGTERM, _leave)
    began = time.monotonic()
    place = new_home(home)
    with running_airflow(place, port) as airflow:
        _tell(f"starting Airflow in {place.path} (log: {place.log.name})", began)
        runs, problems = _play(place, airflow, began)
        with suppress(KeyboardInterrupt):
            if as_json:
                told = {"events_path": str(place.events), "lineage": places(place, airflow.url)}
                say_json({"runs": [run.to_dict() for run in runs], **told})
            else:
                _show(place, airflow, runs)
            for problem in problems:
                _tell(f"NOT AS EXPECTED: {problem}", began)
            if not once:
                _tell(f"Airflow stays up at {airflow.url}; Ctrl-C stops it", began)
                airflow.wait_until_stopped()
        _tell("stopping Airflow", began)
    raise typer.Exit(CheckFailed.exit_code if problems else 0)


def _play(home: Home, airflow: Airflow, began: float) -> tuple[list[Run], list[str]]:
    from gate.demo import runs as demo_runs
    from gate.demo.lake import make_lake
    from gate.demo.seed import record_history
    from gate.service.core import open_service

    make_lake(home.lake)
    with open_service(home.settings) as service:
        record_history(service)
        _tell("made the lake and recorded eight accounts' consent histories", began)
        airflow.wait_until_healthy()
        airflow.wait_for_dags(demo_runs.EXPECTED)
        _tell("Airflow is healthy and found the DAGs", began)
        ended = demo_runs.run_all(airflow, demo_runs.TOGETHER)
        _tell(f"{len(ended)} runs have ended; the last one begins", began)
        ended |= demo_runs.run_all(airflow, demo_runs.LAST)
        runs = [demo_runs.collect(service, airflow, dag_id, *end) for dag_id, end in ended.items()]
        _tell("every run has ended; deciding again, account by account", began)
        problems = [problem for run in runs for problem in demo_runs.surprises(run)]
        problems += [problem for run in runs for problem in demo_runs.disagreements(service, run)]
        problems += _late_events(service, home, runs)
    return runs, problems


def _late_events(service: Service, home: Home, runs: list[Run]) -> list[str]:
    from gate.demo.lineage import waits
    from gate.demo.runs import EVENT_SECONDS, missing_events

    deadline = time.monotonic() + EVENT_SECONDS
    while True:
        missing, late = missing_events(home, runs), waits(service)
        if not (missing or late) or time.monotonic() >= deadline:
            break
        time.sleep(0.5)
    problems = [f"no OpenLineage event tells the end of {job}" for job in sorted(missing)]
    return problems + (["events still wait for the lineage store"] if late else [])


def _show(home: Home, airflow: Airflow, runs: list[Run]) -> None:
    from gate.demo.lineage import command, places
    from gate.web.tabs import decisions_path

    columns = ("run", "verdict", "training task", "accounts, rows blocked", "why")
    table(columns, [_row(run) for run in runs])
    say("\nWhere to look:")
    say(f"  every decision: {airflow.url}{decisions_path()}")
    say(f"  every run: {airflow.url}/dags")
    say(f"  users: {_listed(airflow.passwords)}")
    say(f"  OpenLineage events: {home.events}")
    say(f"  the record: {command(home, 'ledger', 'verify')}")
    lineage = places(home, airflow.url)
    say("\nWhat the model that was trained is made of, and what a customer who withdrew concerns:")
    for place in lineage.values():
        say(f"  {place}")
    say("\nWhat was blocked, why, and what to do next (log in as any of the users):")
    for run in runs:
        if run.tab:
            say(f"  {run.tab}")


def _row(run: Run) -> tuple[object, ...]:
    return run.dag_id, run.verdict, run.train_state, f"{run.accounts_blocked}, {run.rows_blocked}", run.why


def _listed(users: Mapping[str, str]) -> str:
    return ", ".join(f"{user} / {password}" for user, password in users.items())


def _check_installed() -> None:
    for name in _NEEDED:
        try:
            version(name)
        except PackageNotFoundError:
            raise InputError(
                f"the demo needs {name}, which is not installed",
                hint="make install, or pip install 'airflow-provider-consent-gate[airflow,demo,media]'",
            ) from None


def _tell(text: str, began: float) -> None:
    sys.stderr.write(f"[{time.monotonic() - began:5.1f} s] {text}\n")
    sys.stderr.flush()


def _leave(*_: object) -> None:
    # Ends like Ctrl-C, so that Airflow is stopped on the way out.
    raise KeyboardInterrupt
