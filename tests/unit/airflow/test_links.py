"""The button on a gate task leads to its tab, wherever Airflow or the decision service is reached."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.airflow
TAB = "/dags/train%2Fa/runs/manual__1/tasks/gate/mapped/2/plugin/consent-gate-task"


def link() -> str:
    from gate.airflow.links import DecisionLink

    key = SimpleNamespace(dag_id="train/a", run_id="manual__1", map_index=2)
    return DecisionLink().get_link(SimpleNamespace(task_id="gate"), ti_key=key)


@pytest.mark.parametrize(
    ("base", "path"),
    [
        ("", ""),
        ("http://localhost:8080", ""),
        ("https://a.example/airflow", "/airflow"),
        ("https://a.example/x/y/", "/x/y"),
    ],
)
def test_the_tab_is_below_airflows_own_path(monkeypatch: pytest.MonkeyPatch, base: str, path: str) -> None:
    monkeypatch.delenv("GATE_URL", raising=False)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base)
    assert link() == path + TAB


def test_a_decision_service_has_a_page_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_URL", "https://gate.example/")
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://a.example/airflow")
    assert link() == "https://gate.example/ui/run?dag_id=train%2Fa&run_id=manual__1&task_id=gate&map_index=2"
