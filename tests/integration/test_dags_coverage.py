"""`gate dags coverage` on planted DAG files: every ungated shape is found, in an environment without a database."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.airflow, pytest.mark.xdist_group("coverage")]

HERE = Path(__file__).parent
RULES = HERE / "coverage_rules.yaml"
GATE = str(Path(sys.executable).with_name("gate"))


def gate(home: Path, *words: str, rules: Path | None = RULES, **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GATE_", "AIRFLOW"))}
    if rules is not None:
        kept["AIRFLOW__CONSENT_GATE__TRAINING_RULES"] = str(rules)
    return subprocess.run(
        [GATE, "dags", "coverage", *words],
        env={
            **kept,
            "HOME": str(home),
            "PYTHONPATH": str(HERE.parent),
            "AIRFLOW__SDK__QUEUE_TO_COORDINATOR": '{"java": "jdk-11"}',
            **environ,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def picked(folder: Path, *names: str) -> Path:
    """Copy some of the planted DAG files into a folder of their own."""
    chosen = folder / "dags"
    chosen.mkdir()
    for name in ("planted.py", *names):
        shutil.copy(HERE / "coverage_dags" / name, chosen)
    return chosen


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    done = gate(tmp_path_factory.mktemp("home"), "--json", "--dags-folder", str(HERE / "coverage_dags"))
    assert done.returncode == 3, done.stderr
    return dict(json.loads(done.stdout))


def tasks(report: dict[str, Any], *prefixes: str) -> dict[str, dict[str, Any]]:
    names = {f"{task['dag']}.{task['task']}": task for task in report["tasks"]}
    found = {name: task for name, task in names.items() if name.startswith(prefixes)}
    assert found
    return found


def test_every_shape_is_reported_four_times(report: dict[str, Any]) -> None:
    kinds = ("gated_", "found_gated_", "ungated_", "found_ungated_")
    dags = {task["dag"] for task in report["tasks"]}
    shapes = [{dag.removeprefix(kind) for dag in dags if dag.startswith(kind)} - {"training"} for kind in kinds]
    assert len(shapes[0]) >= 26
    assert all(others == shapes[0] for others in shapes)


def test_ungated_tasks_of_every_shape_are_found(report: dict[str, Any]) -> None:
    ungated = tasks(report, "ungated_", "found_ungated_", "gate_", "impossible_", "found_impossible_", "found_behind")
    for name, task in ungated.items():
        assert task["status"] == "ungated", name
        assert task["problem"], name


def test_gated_tasks_name_their_gate(report: dict[str, Any]) -> None:
    for name, task in tasks(report, "gated_", "found_gated_").items():
        assert (task["status"], task["gate"]) == ("gated", "consent_gate"), name


def test_it_is_told_what_says_that_a_task_trains(report: dict[str, Any]) -> None:
    found = tasks(report, "gated_training.train", "gated_pod.", "found_gated_pod.")
    assert found["gated_training.train"]["recognised_by"] == "@training"
    assert found["gated_pod.train"]["recognised_by"] == "mark_training"
    assert found["found_gated_pod.train"]["recognised_by"] == "rule 1: tasks train, tags find-me"


def test_an_exemption_tells_by_whom_why_and_until_when(report: dict[str, Any]) -> None:
    found = tasks(report, "exempt")
    assert found["exempt.train"]["status"] == "exempt"
    assert found["exempt.train"]["exemption"] == {
        "by": "eve",
        "why": "moves to the new DAG in spring",
        "until": "2099-01-01T00:00:00Z",
    }
    assert found["exempt_no_longer.train"]["status"] == "ungated"
    assert found["exempt_but_marked.train"]["status"] == "ungated"


def test_declared_gates_are_looked_up_across_dags(report: dict[str, Any]) -> None:
    found = {name: (task["status"], task["problem"]) for name, task in tasks(report, "across_").items()}
    assert found["across_permitted.train"] == ("guarded", None)
    assert found["across_elsewhere.train"][0] == "guarded"
    assert "is not in this folder" in str(found["across_elsewhere.train"][1])
    assert found["across_forgotten.train"] == ("ungated", "the gate features:consent_gate does not permit it")
    assert found["across_other_use.train"] == ("ungated", "the gate features:tuning_gate is for another use")
    assert found["across_no_such_gate.train"] == ("ungated", "there is no consent gate features:gate")
    assert found["across_by_hand.train"][0] == "ungated"


def test_files_that_do_not_import_are_told_with_their_error(report: dict[str, Any]) -> None:
    errors = {broken["file"]: broken["error"] for broken in report["import_errors"]}
    assert errors["broken.py"] == "ModuleNotFoundError: No module named 'no_such_module_anywhere'"
    assert "infer is not a training purpose" in errors["other_purpose.py"]
    assert set(errors) == {"broken.py", "other_purpose.py"}


def test_the_counts_add_up(report: dict[str, Any]) -> None:
    counts = dict(report["counts"])
    assert counts.pop("import_errors") == len(report["import_errors"])
    assert sum(counts.values()) == len(report["tasks"])


def test_when_all_is_gated_the_exit_code_is_0_and_nothing_is_left_behind(tmp_path: Path) -> None:
    done = gate(tmp_path, "--dags-folder", str(picked(tmp_path, "gated.py")))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].endswith(", 0 guarded, 0 ungated, 0 exempt")
    assert [path.name for path in tmp_path.iterdir()] == ["dags"]


def test_a_file_that_does_not_import_is_exit_1_and_an_ungated_task_beside_it_3(tmp_path: Path) -> None:
    folder = picked(tmp_path, "gated.py", "broken.py")
    assert gate(tmp_path, "--dags-folder", str(folder)).returncode == 1
    shutil.copy(HERE / "coverage_dags" / "exempt.py", folder)
    done = gate(tmp_path, "--dags-folder", str(folder))
    assert done.returncode == 3
    assert "broken.py does not import" in done.stdout
    assert "    gate >> train" in done.stdout


def test_what_dag_files_print_stays_out_of_the_report(tmp_path: Path) -> None:
    folder = picked(tmp_path)
    (folder / "noisy.py").write_text("from airflow.sdk import DAG\nprint('{')\nimport os\nos.system('echo hello')\n")
    done = gate(tmp_path, "--json", "--dags-folder", str(folder))
    assert done.returncode == 0
    assert json.loads(done.stdout)["tasks"] == []


def test_bad_input_is_exit_2(tmp_path: Path) -> None:
    missing = gate(tmp_path, "--dags-folder", str(tmp_path / "nowhere"))
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "there is no such DAG folder" in missing.stderr
    rules = tmp_path / "rules.yaml"
    rules.write_text("training: nothing")
    broken = gate(tmp_path, "--json", "--dags-folder", str(HERE / "coverage_dags"), rules=rules)
    assert broken.returncode == 2
    assert json.loads(broken.stdout)["where"].startswith(f"{rules}:1:11")


def test_without_airflow_it_says_so(tmp_path: Path) -> None:
    script = (
        "import importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, package=None: None if name == 'airflow' else find(name, package)\n"
        "from gate.airflow.dag_coverage import main\n"
        "sys.exit(main([]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert json.loads(done.stdout)["message"] == "Apache Airflow is not installed here"
