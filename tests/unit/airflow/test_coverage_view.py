"""The coverage page's data: left on tasks by the cluster policy, kept by Airflow, read back from its database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.xdist_group("coverage_view")]

TESTS = Path(__file__).parents[2]
DAGS = TESTS / "integration" / "coverage_dags"
RULES = TESTS / "integration" / "coverage_rules.yaml"

# Airflow runs no DAG of a file of which one DAG was rejected, so each of these is a file of its own.
HEAD = """
from airflow.sdk import DAG, Asset
from planted import *
from gate.airflow import ConsentGateOperator, training
from support.training_shapes import PodOperator

def gate(task_id, use=USE):
    return ConsentGateOperator(task_id=task_id, datasets=[DATA], use=use)
"""
FILES = {
    "exempt.py": "with DAG('exempt', schedule=None, tags=['find-me']): PodOperator(task_id='train')",
    "features.py": "with DAG('features', schedule=None): gate('consent_gate'), gate('t', TUNE)",
    "across.py": """
for name, gated_by in (("across", "features:consent_gate"), ("elsewhere", "nowhere:consent_gate")):
    with DAG(name, schedule=[Asset("features")]) as dag:
        mark_training(PodOperator(task_id="train"), reads=[DATA], use=USE, gated_by=gated_by)
    globals()[name] = dag
""",
    "documented.py": """
for name, said in (("said_json", '{"owner": "me", "consent_gate": 5}'), ("said_text", "by hand")):
    with DAG(name, schedule=None) as dag:
        gate("consent_gate") >> marked(PodOperator(task_id="train", doc_json=said))
    globals()[name] = dag
""",
}

NOTES = ("[", "[]", '{"consent_gate": 3}', '{"consent_gate": {"status": []}}', '{"consent_gate": {"status": "safe"}}')
STRANGE = [
    None,
    [],
    {"dag": 3},
    {"dag": {"tasks": {}}},
    {"dag": {"tasks": [1, {"__var": 2}, {"__var": {"task_id": 3}}]}},
    *({"dag": {"tasks": [{"__var": {"task_id": "train", "doc_json": note}}]}} for note in NOTES),
]

SCRIPT = """
import json, sys, warnings
warnings.simplefilter("ignore")
from dataclasses import replace
from pathlib import Path
from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.errors import ParseImportError
from airflow.models.serialized_dag import SerializedDagModel as Serialized
from airflow.serialization.serialized_objects import DagSerialization
from airflow.utils.session import create_session
from sqlalchemy import delete, select, update
from gate.airflow.coverage import coverage
from gate.airflow.login import IMPORT_ERRORS
from gate.airflow.notes import read_note
from gate.api.auth import RUNS, Principal

folder, found = Path(sys.argv[1]), {}
hashes = lambda: dict(session.execute(select(Serialized.dag_id, Serialized.dag_hash)).all())
people = {
    "all": Principal("ada", "person", frozenset({RUNS, IMPORT_ERRORS}), "airflow"),
    "no_errors": Principal("bob", "person", frozenset({RUNS}), "airflow"),
    "few": Principal("eve", "person", frozenset({RUNS, IMPORT_ERRORS}), "airflow",
                     sees=lambda dag_id: dag_id in ("gated_pod", "features", "hostile_before")),
}

def parse():
    bag = BundleDagBag(folder, bundle_path=folder, bundle_name="dags", safe_mode=False)
    sync_bag_to_db(bag, "dags", None, session=session)
    session.commit()
    return bag

with create_session(scoped=False) as session:
    session.add(DagBundleModel(name="dags"))
    session.commit()
    (folder / "hostile.py").write_text(
        "from airflow.sdk import DAG\\nfrom planted import *\\nfrom support.training_shapes import PodOperator\\n"
        "with DAG('hostile_before', schedule=None): PodOperator(task_id='nothing')\\n")
    parse()
    before = hashes()
    (folder / "hostile.py").write_text(
        "from airflow.sdk import DAG\\nfrom planted import *\\nfrom support.training_shapes import PodOperator\\n"
        "with DAG('hostile_before', schedule=None): marked(PodOperator(task_id='train'))\\n")
    bag = parse()
    found["same_hashes"] = all(before[d] == h for d, h in hashes().items())
    found["versions"] = len(session.scalars(select(Serialized.dag_id)).all()) - len(hashes())
    notes = {}
    found["said"] = {name: bag.dags[name].get_task("train").doc_json for name in ("said_json", "said_text")}
    for dag in bag.dags.values():
        for task in DagSerialization.to_dict(dag)["dag"]["tasks"]:
            if (note := read_note(task["__var"])) is not None:
                notes[f"{dag.dag_id}.{task['__var']['task_id']}"] = note["status"]
    found["notes"] = notes
    mapped = [task for dag in bag.dags.values() for task in dag.tasks if hasattr(task, "partial_kwargs")]
    found["unmapped"] = len([task.unmap({}) for task in mapped if task.operator_class.__name__ == "PodOperator"])
    rejected = bag.import_errors["ungated.py"]
    session.add(ParseImportError(bundle_name="dags", filename="other_policy.py",
                                 stacktrace="AirflowClusterPolicyViolation: owners must be set"))
    session.add(ParseImportError(bundle_name="dags", filename="no_rules.py",
                                 stacktrace="AirflowClusterPolicyViolation: nothing is accepted: /etc/rules: broken"))
    session.commit()

for name, one in people.items():
    found[name] = coverage(one)

from airflow.api_fastapi.app import create_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from gate.airflow.login import _principal
create_auth_manager()
zoe = {role: SimpleAuthManagerUser(username="zoe", role=role) for role in (None, "VIEWER", "ADMIN")}
roles = {role: _principal(user, False) for role, user in zoe.items()}
found["roles"] = {str(role): sorted(one.scopes & {IMPORT_ERRORS}) for role, one in roles.items()}
found["by_role"] = {str(role): len(coverage(one)["tasks"]) for role, one in roles.items()}

with create_session(scoped=False) as session:
    row = session.scalar(select(Serialized).where(Serialized.dag_id == "gated_pod"))
    for number, strange in enumerate(json.loads(sys.argv[2])):
        values = {"_data": strange, "dag_hash": f"strange {number}"}
        session.execute(update(Serialized).where(Serialized.id == row.id).values(values))
        session.commit()
        found.setdefault("strange", []).append([t for t in coverage(people["all"])["tasks"] if t["dag"] == "gated_pod"])
    session.execute(update(DagModel).where(DagModel.dag_id == "exempt").values(is_stale=True))
    session.commit()
    found["stale"] = [t for t in coverage(people["all"])["tasks"] if t["dag"] == "exempt"]
print("FOUND " + json.dumps(found, default=str))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("airflow")
    folder = home / "dags"
    folder.mkdir()
    for name in ("planted.py", "gated.py", "ungated.py", "broken.py", "other_purpose.py"):
        (folder / name).write_bytes((DAGS / name).read_bytes())
    for name, lines in FILES.items():
        (folder / name).write_text(HEAD + lines)
    environ = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "PYTHONPATH": str(TESTS),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__CONSENT_GATE__TRAINING_RULES": str(RULES),
    }
    subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"], env=environ, check=True, capture_output=True, text=True
    )
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), json.dumps(STRANGE)],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")]
    assert lines, done.stdout[-2000:] + done.stderr[-4000:]
    return dict(json.loads(lines[0].removeprefix("FOUND ")))


def tasks(report: dict[str, Any], dag_id: str) -> list[dict[str, Any]]:
    return [task for task in report["tasks"] if task["dag"] == dag_id]


def test_airflow_keeps_the_note_of_every_shape_also_of_mapped_tasks(found: dict[str, Any]) -> None:
    notes = found["notes"]
    shapes = {name.partition(".")[0].removeprefix("gated_") for name in notes if name.startswith("gated_")}
    assert len(shapes) >= 26
    assert set(notes.values()) == {"gated", "guarded", "exempt"}
    assert found["unmapped"]


def test_what_an_author_wrote_there_stays(found: dict[str, Any]) -> None:
    said = json.loads(found["said"]["said_json"])
    assert (said["owner"], said["consent_gate"]["status"]) == ("me", "gated")
    assert tasks(found["all"], "said_json")
    assert found["said"]["said_text"] == "by hand"
    assert tasks(found["all"], "said_text")[0]["status"] == "gated"


def test_parsing_again_makes_no_new_version_of_any_dag(found: dict[str, Any]) -> None:
    assert found["same_hashes"]
    assert found["versions"] == 0


def test_what_stands_in_front_of_a_task_is_told_as_the_policy_found_it(found: dict[str, Any]) -> None:
    (pod,) = tasks(found["all"], "gated_pod")
    assert (pod["status"], pod["gate"], pod["recognised_by"]) == ("gated", "consent_gate", "mark_training")
    assert (pod["task"], pod["operator"], pod["file"]) == ("train", "PodOperator", "gated.py")
    (exempt,) = tasks(found["all"], "exempt")
    assert exempt["exemption"] == {
        "by": "eve",
        "why": "moves to the new DAG in spring",
        "until": "2099-01-01T00:00:00Z",
    }


def test_a_gate_of_another_dag_is_looked_for(found: dict[str, Any]) -> None:
    (permitted,), (elsewhere,) = (tasks(found["all"], dag) for dag in ("across", "elsewhere"))
    assert (permitted["status"], permitted["problem"]) == ("guarded", None)
    assert "no DAG that Airflow runs has the gate" in elsewhere["problem"]


def test_a_dag_with_gates_that_trains_nothing_shows_too(found: dict[str, Any]) -> None:
    assert {"consent_gate", "t"} in [set(one["gates"]) for one in found["all"]["gates"]]


def test_what_the_policy_rejected_is_told_with_the_lines_to_add(found: dict[str, Any]) -> None:
    errors = {error["file"]: error for error in found["all"]["import_errors"]}
    assert set(errors) == {"ungated.py", "hostile.py", "no_rules.py"}
    (task,) = errors["hostile.py"]["tasks"]
    assert (task["dag"], task["task"], task["status"]) == ("hostile_before", "train", "ungated")
    assert task["fix"][-1] == "gate >> train"
    assert errors["no_rules.py"]["text"] == "nothing is accepted: /etc/rules: broken"
    ungated = [task for task in found["all"]["tasks"] if task["status"] == "ungated"]
    assert found["all"]["counts"]["ungated"] == len(ungated) == 2


def test_nobody_sees_tasks_of_dags_they_may_not_see(found: dict[str, Any]) -> None:
    few = found["few"]
    assert {task["dag"] for task in few["tasks"]} == {"gated_pod", "hostile_before"}
    assert [one["dag"] for one in few["gates"]] == ["features"]
    errors = {error["file"]: error for error in few["import_errors"]}
    assert errors["hostile.py"]["tasks"]
    assert not errors["ungated.py"]["tasks"]
    assert not errors["ungated.py"]["text"]


def test_import_errors_need_what_airflow_asks_for_them(found: dict[str, Any]) -> None:
    report = found["no_errors"]
    assert report["import_errors"] is None
    assert report["counts"]["ungated"] == 0
    assert tasks(report, "gated_pod")


def test_airflow_says_who_sees_import_errors_and_which_dags(found: dict[str, Any]) -> None:
    assert found["roles"] == {"None": [], "VIEWER": ["import_errors"], "ADMIN": ["import_errors"]}
    assert found["by_role"]["None"] == 0
    assert found["by_role"]["VIEWER"] == len(found["all"]["tasks"])


def test_what_is_malformed_says_nothing_and_breaks_nothing(found: dict[str, Any]) -> None:
    assert found["strange"] == [[]] * len(STRANGE)


def test_a_dag_that_airflow_no_longer_runs_is_left_out(found: dict[str, Any]) -> None:
    assert found["stale"] == []
