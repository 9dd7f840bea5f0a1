"""Runs where ledger and lake are: what came of the runs on standard input, judged as `gate demo` judges them."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

from gate.demo import runs as demo_runs
from gate.demo.lineage import waits
from gate.service.core import open_service

HOME = Path("/lake/gate")
demo_runs.EXPECTED["train_slowly"] = demo_runs.EXPECTED["train_call_quality"]  # the same with a nap

given = json.load(sys.stdin)
tasks = {(run["dag_id"], run["run_id"]): run["tasks"] for run in given}
airflow = SimpleNamespace(
    home=SimpleNamespace(gate=HOME),
    url="",
    run_url=lambda dag_id, run_id: f"{dag_id}/{run_id}",
    task_states=lambda dag_id, run_id: tasks[dag_id, run_id],
)


def tries(bodies):
    """Return DAG, run and try of each entry."""
    return [[body["run"][name] for name in ("dag_id", "run_id", "try_number")] for body in bodies]


with open_service() as service:
    runs = [demo_runs.collect(service, airflow, run["dag_id"], run["run_id"], run["state"]) for run in given]
    problems = [problem for run in runs for problem in demo_runs.surprises(run)]
    problems += [problem for run in runs for problem in demo_runs.disagreements(service, run)]
    with service.ledger.read() as reader:
        decided, redeemed = (tries(entry.body for entry in reader.entries(kind)) for kind in ("decision", "redemption"))
    trained = [path.parent.relative_to(HOME / "models") for path in HOME.glob("models/*/*/model.joblib")]
    report = {
        "runs": {f"{run.dag_id}/{run.run_id}": run.to_dict() for run in runs},
        "problems": problems,
        "decided": decided,
        "redeemed": redeemed,
        "models": sorted(
            str(path.parent.relative_to(HOME / "models")) for path in HOME.glob("models/*/*/model.joblib")
        ),
        "lineage_waits": waits(service),
    }
print(json.dumps(report))
