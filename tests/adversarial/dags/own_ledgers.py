"""A DAG that brings a ledger of its own, in which everybody agreed, and points gate and lock at it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from airflow.sdk import get_parsing_context, task

from support.attack_lab import SILENT, USE, a_dag, data, gate, home, train

if TYPE_CHECKING:
    from gate.service.core import Service

BAD = data("bad")
OWN = home() / "own"

if get_parsing_context().dag_id == "own_home":  # in its worker only: others may parse this file too
    os.environ["GATE_HOME"] = str(OWN)


def agree(service: Service) -> None:
    """Say yes for everybody."""
    from gate.domain.words import Ownership
    from gate.service.consents import record_model
    from gate.service.tagging import tag_dataset
    from support.world import add_account, event, say

    record_model(service, USE.model, Ownership.FIRST_PARTY, [USE.feature], "registry", by="eve", via="cli")
    add_account(service, SILENT)
    say(service, event(SILENT))
    tag_dataset(service, BAD, ["chat"], by="service:airflow", via="airflow")


@task
def make_home() -> None:
    from gate.service.core import open_service
    from gate.service.settings import read_settings

    with open_service(read_settings({"GATE_HOME": str(OWN)})) as service:
        agree(service)


with a_dag("own_home") as own_home:
    make_home() >> gate(BAD) >> train(BAD)()
