"""What the attacks share: data of accounts that agreed and of one that did not, and training that leaves a mark.

DAG files of `tests/adversarial/dags` import this when they are parsed, the tests that look at the outcome later.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gate.domain.dataset import Dataset, dataset
from gate.domain.decision import wanted_use

if TYPE_CHECKING:
    from airflow.sdk import DAG

    from gate.airflow import ConsentGateOperator
    from gate.service.core import Service

USE = wanted_use("train", feature="meeting_summary", model="ms-1")
RUN = "attack"  # id of every run, so that the permit of one DAG's run is that of a run of the same name in another
AGREED = "acme"  # the account behind GOOD
SILENT = "zeta"  # the account behind BAD, which never said yes
OWNED = (
    "appended",
    "swapped",
    "symlinked",
    "same_mtime",
    "withdrawn_between",
    "ui_cleared_after_withdrawal",
    "killed_then_withdrawn",
    "backfilled",
    "copied",
)
"""Data sets of an account of the same name that agreed: what happens to one touches no other attack."""
WRONG = ("wrong_tenant", "removed_admin", "expiring")
"""Data sets of accounts whose consent is not good (yet): see `seed`."""


_HOME = os.environ.get("GATE_HOME", "/nowhere")  # as it was before any DAG file changed it


def home() -> Path:
    """Return the gate's home, in DAG files."""
    return Path(_HOME)


def data(name: str, folder: Path | None = None) -> Dataset:
    """Name a data set of the lab."""
    return dataset(str((folder or home()) / "lake" / f"{name}.jsonl"), "account_id")


def a_dag(name: str, **kwargs: Any) -> DAG:
    """Return a DAG that runs when it is told to."""
    from airflow.sdk import DAG

    return DAG(name, **{"schedule": None, "start_date": datetime(2024, 1, 1, tzinfo=UTC), **kwargs})


def gate(of: Dataset, **kwargs: Any) -> ConsentGateOperator:
    """Return a consent gate for the lab's use."""
    from gate.airflow import ConsentGateOperator

    return ConsentGateOperator(**{"task_id": "consent_gate", "datasets": [of], "use": USE, **kwargs})


def train(of: Dataset, **kwargs: Any) -> Any:
    """Return a training task, to be called, that leaves a mark."""
    from gate.airflow import training

    @training(**{"reads": [of], "use": USE, "task_id": "train", **kwargs})
    def train(permit: Any, fold: int = 0) -> None:
        leave_mark()

    return train


def mark_command(dag_id: str, task_id: str = "train") -> str:
    """Return a shell command that leaves a mark."""
    return f"touch '{home()}/marks/{dag_id}.{task_id}.shell'"


def leave_mark(note: str | None = None) -> None:
    """Say that training ran here: which task, index, try and run."""
    from airflow.sdk import get_current_context

    ti = get_current_context()["ti"]
    name = f"{ti.dag_id}.{ti.task_id}.{note or ''}{ti.map_index}.{ti.try_number}@{ti.run_id}".replace("/", "_")
    (home() / "marks" / name).touch()


def marks(folder: Path, dag_id: str, task_id: str | None = None) -> list[str]:
    """Return where training of a DAG ran."""
    return sorted(path.name for path in (folder / "marks").glob(f"{dag_id}.{task_id or '*'}.*"))


def seed(folder: Path) -> None:
    """Record models, accounts, consents and tags, and write the data."""
    from gate.domain.consent import Appointment
    from gate.domain.words import Ownership, Role
    from gate.service.consents import record_appointments, record_model
    from gate.service.core import open_service
    from gate.service.settings import read_settings
    from support.world import add_account, event, say

    (folder / "lake").mkdir()
    (folder / "marks").mkdir()
    with open_service(read_settings({"GATE_HOME": str(folder)})) as service:
        record_model(service, USE.model, Ownership.FIRST_PARTY, [USE.feature], "registry", by="eve", via="cli")
        for account in (AGREED, SILENT, *OWNED, *WRONG):
            add_account(service, account)
        say(service, *(event(account) for account in (AGREED, *OWNED)))
        removed = datetime(2023, 8, 1, tzinfo=UTC)
        gone = Appointment("removed_admin", "admin@removed_admin", "remove", Role.ADMIN, removed)
        record_appointments(service, [gone], via="import")
        say(service, event("removed_admin"))
        say(service, event("wrong_tenant", principal={"id": f"admin@{AGREED}", "role": "admin"}))
        owners = {"good": AGREED, "bad": SILENT} | {name: name for name in (*OWNED, *WRONG)}
        for name, account in owners.items():
            add_data(service, name, account, folder)


def add_data(service: Service, name: str, account: str, folder: Path) -> None:
    """Write a data set of an account and tag it."""
    from gate.service.tagging import tag_dataset

    made = data(name, folder)
    lines = (json.dumps({"account_id": account, "text": f"message {number}"}) for number in range(3))
    Path(made.name).write_text("".join(line + "\n" for line in lines), "utf-8")
    tag_dataset(service, made, ["chat"], by="service:airflow", via="airflow")


def withdraw(account: str) -> None:
    """Record, from a task, that an account takes its consent back."""
    from gate.service.core import open_service
    from support.world import event, say

    with open_service() as service:
        say(service, event(account, "withdraw", effective_at=datetime.now(UTC).isoformat()))
