"""`gate run`: redeem a permit for a command, run it only while the permission stands, and attest what it produced."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gate.cli.output import JSON
from gate.errors import CannotDecide, InputError

if TYPE_CHECKING:
    from gate.domain.dataset import Dataset
    from gate.service.ports import Redeemed
    from gate.service.session import Session

PERMIT_FILE = "GATE_PERMIT_FILE"
PATIENCE = 5  # checks in a row without an answer; then the command is stopped as if the answer were no

app = typer.Typer(add_completion=False, help="Redeem a permit and run a command with it.")


@app.command(context_settings={"allow_interspersed_args": False})
def run(
    command: Annotated[list[str], typer.Argument(metavar="CMD", help="What trains, with its arguments.")],
    reads: Annotated[
        list[str],
        typer.Option(
            "--reads",
            metavar="URI[#LOCATOR[#COLUMN]]",
            help="A dataset, its account locator and its category column, as the gate named them; repeat for more.",
        ),
    ],
    purpose: Annotated[str, typer.Option("--purpose", help="train, tune, test or improve_product.")],
    feature: Annotated[str | None, typer.Option("--feature", help="The feature it is for.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="The model; its owner is looked up.")] = None,
    dag: Annotated[str | None, typer.Option("--dag", help="Default: AIRFLOW_CTX_DAG_ID.")] = None,
    run_id: Annotated[str | None, typer.Option("--run", help="Default: AIRFLOW_CTX_DAG_RUN_ID.")] = None,
    task: Annotated[str | None, typer.Option("--task", help="Default: AIRFLOW_CTX_TASK_ID.")] = None,
    map_index: Annotated[int | None, typer.Option("--map-index", help="Of a mapped task; default: not mapped.")] = None,
    try_number: Annotated[int | None, typer.Option("--try", help="Default: AIRFLOW_CTX_TRY_NUMBER.")] = None,
    check_every: Annotated[
        float, typer.Option("--check-every", min=0.1, metavar="SECONDS", help="How often to look again.")
    ] = 60,
    grace: Annotated[
        float, typer.Option("--grace", min=0, metavar="SECONDS", help="From asking CMD to stop until it is killed.")
    ] = 30,
    produces: Annotated[
        list[str] | None,
        typer.Option("--produces", metavar="PATH", help="A model CMD writes: it is attested; repeat for more."),
    ] = None,
    as_json: bool = JSON,  # noqa: ARG001  # what we refuse is printed by `main`; all else is what CMD prints
) -> None:
    """Redeem the permit of a training task, then run CMD while the permission stands.

    Exits with the exit code of CMD; 3 when there is no permission (CMD never starts) or when it ends (CMD is stopped),
    4 when nobody can tell. CMD finds permit and receipt in the file that GATE_PERMIT_FILE names. When CMD has ended
    with 0, each model that it produced is attested; 4 when one is not there or cannot be attested.
    """
    from gate.cli.opening import decision_service
    from gate.cli.supervise import supervise
    from gate.domain.decision import wanted_use
    from gate.service.session import begin, run_of_environment

    if shutil.which(command[0]) is None:
        raise InputError("there is no such command", where=command[0])
    datasets = [_named(text) for text in reads]
    wanted = wanted_use(purpose, feature, model)
    who = run_of_environment(
        os.environ, dag_id=dag, run_id=run_id, task_id=task, map_index=map_index, try_number=try_number
    )
    with decision_service() as service:
        session = begin(service, datasets, wanted, who)
        if session.redeemed.observed:
            _warn("the gate only observes: this training has no permit, and its model will be marked unpermitted")
        check = _patient(session)
        with _permit_file(session.redeemed) as path:
            environ = {**os.environ, PERMIT_FILE: str(path)}
            code = supervise(command, environ, check, every=check_every, grace=grace)
        check()  # also for a command that ended before the first look: a withdrawal meanwhile is recorded
        for model_path in produces or () if code == 0 else ():
            attested = session.produced(model_path)
            _warn(f"{model_path} is attested as {attested.model.digest} in ledger entry {attested.index}")
    raise typer.Exit(code)


def _named(text: str) -> Dataset:
    from gate.cli.dataset import named

    uri, _, rest = text.partition("#")
    locator, _, column = rest.partition("#")
    return named(uri, locator or None, column or None)


def _patient(session: Session) -> Callable[[], None]:
    """Return the check, made to bear a service that does not answer for a while."""
    unanswered = 0

    def check() -> None:
        nonlocal unanswered
        try:
            session.check()
        except CannotDecide as error:
            unanswered += 1
            if unanswered >= PATIENCE:
                raise
            _warn(f"cannot tell whether the permission still stands ({unanswered} of {PATIENCE}): {error}")
        else:
            unanswered = 0

    return check


@contextmanager
def _permit_file(redeemed: Redeemed) -> Iterator[Path]:
    """Write what was redeemed where only this user can read it, and remove it at the end."""
    content = {
        "permit": redeemed.envelope,
        "receipt": redeemed.receipt,
        "redemption": redeemed.index,
        "run": redeemed.run.to_dict(),
    }
    with tempfile.TemporaryDirectory(prefix="gate-") as folder:  # mode 0700
        path = Path(folder) / "permit.json"
        path.write_text(json.dumps(content), "utf-8")
        path.chmod(0o600)
        yield path


def _warn(message: str) -> None:
    typer.echo(f"gate: {message}", err=True)
