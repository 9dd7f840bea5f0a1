"""What leads to the ledger may not change after Airflow started."""

from __future__ import annotations

import pytest

from gate.errors import PermitRefused

pytest.importorskip("airflow")

from gate.airflow import settled
from gate.airflow.settled import check_settled


@pytest.fixture(autouse=True)
def started_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if Airflow had started just now: other tests of this process had environments of their own."""
    monkeypatch.setattr(settled, "_AT_START", settled._leading_there())


def test_an_environment_as_it_was_is_fine() -> None:
    check_settled("gate_default")


@pytest.mark.parametrize(
    "name",
    [
        "GATE_HOME",
        "GATE_DATABASE_URL",
        "AIRFLOW_CONN_GATE_DEFAULT",
        "AIRFLOW__SECRETS__BACKEND",
        "AIRFLOW__WORKERS__SECRETS_BACKEND_KWARGS",
        "AIRFLOW_HOME",
        "HOME",
        "XDG_DATA_HOME",
    ],
)
def test_whatever_leads_to_another_ledger_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "/a/ledger/of/ones/own")
    with pytest.raises(PermitRefused, match=name) as caught:
        check_settled("gate_default")
    assert "/a/ledger" not in str(caught.value)


def test_taking_a_variable_away_is_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    with pytest.raises(PermitRefused, match="HOME"):
        check_settled("gate_default")


def test_connections_of_others_are_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", "postgres://")
    check_settled("gate_default")
    with pytest.raises(PermitRefused, match="AIRFLOW_CONN_WAREHOUSE"):
        check_settled("warehouse")
