"""The example DAGs parse without heavy imports, and every training task in them is locked."""

import json
import subprocess
import sys

import pytest

from gate.demo.runs import EXPECTED
from gate.resources import shipped

pytestmark = pytest.mark.xdist_group("demo_dags")  # parse the files once

PARSE = """
import importlib.util, json, sys
from airflow.sdk import dag, task
before = set(sys.modules)
from airflow.sdk.definitions._internal.contextmanager import DagContext
DagContext.current_autoregister_module_name = "parsed"  # as Airflow's own parser does
spec = importlib.util.spec_from_file_location("parsed", sys.argv[1])
module = sys.modules["parsed"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
from gate.airflow.guard import guard_of
dags = list(DagContext.autoregistered_dags)
heavy = {"pandas", "numpy", "pyarrow", "duckdb", "ibis", "av", "sklearn", "great_expectations", "sqlalchemy"}
print(json.dumps({
    "dags": [dag.dag_id for dag, _ in dags],
    "doc": all(dag.doc_md for dag, _ in dags),
    "locked": [task.task_id for dag, _ in dags for task in dag.tasks if guard_of(task)],
    "upstream": {task.task_id: sorted(task.upstream_task_ids) for dag, _ in dags for task in dag.tasks},
    "paused": [dag.is_paused_upon_creation for dag, _ in dags],
    "heavy": sorted(heavy & (set(sys.modules) - before)),
}))
"""
MAINTENANCE = {"relay_lineage"}
FILES = sorted(shipped("dags").glob("*.py"))


@pytest.fixture(scope="module")
def parsed(tmp_path_factory):
    home = tmp_path_factory.mktemp("airflow")
    env = {"AIRFLOW_HOME": str(home), "GATE_HOME": str(home / "gate"), "PATH": "/usr/bin:/bin"}
    found = {}
    for file in FILES:
        done = subprocess.run(
            [sys.executable, "-c", PARSE, str(file)], env=env, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr
        found[file.stem] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_there_is_one_per_run_of_the_demo_and_one_that_waits_for_a_person(parsed):
    assert set(parsed) == {*EXPECTED, "train_meeting_summary_review", *MAINTENANCE}


def test_each_file_holds_the_dag_of_its_name_and_explains_it(parsed):
    for stem, found in parsed.items():
        assert found["dags"] == [stem]
        assert found["doc"]


def test_parsing_imports_nothing_heavy(parsed):
    assert {stem: found["heavy"] for stem, found in parsed.items() if found["heavy"]} == {}


def test_training_tasks_are_locked_and_others_are_not(parsed):
    for stem, found in parsed.items():
        expected = [] if stem in {"summarise_meetings", *MAINTENANCE} else ["train"]
        assert found["locked"] == expected


def test_the_gate_is_upstream_of_whatever_reads(parsed):
    for stem, found in parsed.items():
        if stem in MAINTENANCE:
            continue
        reader = "summarise" if stem == "summarise_meetings" else "train"
        above = "admin_withdraws" if stem == "train_after_withdrawal" else "consent_gate"
        assert found["upstream"][reader] == [above]


def test_maintenance_begins_when_somebody_switches_it_on(parsed):
    assert [found["paused"] for stem, found in parsed.items() if stem in MAINTENANCE] == [[True]]
