"""Reports every training task in a folder of DAG files as one JSON object: `python -m gate.airflow.dag_coverage`.

The files are imported by Airflow's own importers without its cluster policies, so that an ungated task shows up instead
of vanishing with its rejected DAG; then the policy's own judgement is applied. Airflow's database is not needed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gate.errors import GateError, InputError

if TYPE_CHECKING:
    from gate.airflow.judging import Finding
    from gate.airflow.recognition import Rules

STATUSES = ("gated", "guarded", "ungated", "exempt")


def cover(folder: str | None) -> dict[str, Any]:
    """Judge the training tasks of all DAG files.

    Args:
        folder: of DAG files, or one file; default: Airflow's.

    Returns:
        JSON-ready fields: `folder`, `files`, `rules`, `tasks`, `import_errors`, `counts`.

    Raises:
        InputError: no Airflow, no such folder, or a rules file that is missing or malformed.
    """
    if importlib.util.find_spec("airflow") is None:
        raise InputError(
            "Apache Airflow is not installed here",
            hint="pip install 'airflow-provider-consent-gate[airflow]', with the Airflow that runs the DAGs",
        )
    from airflow.configuration import conf

    from gate.airflow.policy import rules_file
    from gate.airflow.recognition import read_rules

    path = Path(folder or conf.get("core", "dags_folder")).absolute()
    if not path.exists():
        raise InputError("there is no such DAG folder", where=str(path), hint="name it with --dags-folder")
    rules = read_rules(rules_file())
    findings, errors, files = _read(path, rules)
    counts: Counter[str] = Counter(found.status for _, found in findings)
    return {
        "folder": str(path),
        "files": files,
        "rules": {"file": rules.source or None, "rules": len(rules.training), "exemptions": len(rules.exempt)},
        "tasks": [_to_dict(file, found) for file, found in findings],
        "import_errors": [{"file": file, "error": error} for file, error in errors],
        "counts": {**{status: counts[status] for status in STATUSES}, "import_errors": len(errors)},
    }


def exit_code(report: dict[str, Any]) -> int:
    """Return 3 when any training task is ungated, 1 when a file could not be looked at, else 0."""
    counts = report["counts"]
    return 3 if counts["ungated"] else 1 if counts["import_errors"] else 0


def _read(path: Path, rules: Rules) -> tuple[list[tuple[str, Finding]], list[tuple[str, str]], int]:
    from airflow.configuration import conf
    from airflow.dag_processing.importers import get_importer_registry

    from gate.airflow.judging import gates_of, judge
    from gate.domain.instants import utc_now

    now = utc_now()
    root = path if path.is_dir() else path.parent
    sys.path.append(str(root))  # as Airflow does: DAG files import their neighbours
    registry = get_importer_registry()
    safe_mode = conf.getboolean("core", "dag_discovery_safe_mode")
    files = sorted(registry.list_dag_files(path, safe_mode=safe_mode))
    findings: list[tuple[str, Finding]] = []
    errors: list[tuple[str, str]] = []
    gates: dict[str, Any] = {}
    dag_ids: set[str] = set()
    for file in files:
        importer: Any = registry.get_importer(file)
        result = importer.import_file(file, bundle_path=root, safe_mode=safe_mode)
        name = result.file_path
        errors += [(error.file_path or name, _reason(error)) for error in result.errors]
        for dag in sorted(result.dags, key=lambda found: str(found.dag_id)):
            if problem := _invalid(dag):
                errors.append((name, problem))
            dag_ids.add(dag.dag_id)
            gates |= {f"{dag.dag_id}:{gate.task_id}": gate for gate in gates_of(dag)}
            findings += [(name, found) for found in judge(dag, rules, now)]
    return [(name, _settle(found, gates, dag_ids)) for name, found in findings], errors, len(files)


def _reason(error: Any) -> str:
    """Return the last line of a traceback: what Airflow keeps of an exception's kind stands only there."""
    lines = (error.stacktrace or "").strip().splitlines()
    ends = [line for line in lines if line and not line.startswith((" ", "Traceback"))]
    return str(ends[-1] if ends else error.message)


def _invalid(dag: Any) -> str | None:
    """Say why Airflow would not take a DAG although its file can be imported."""
    from airflow.sdk.exceptions import AirflowException

    try:
        dag.validate()
        dag.check_cycle()
    except (AirflowException, ValueError, TypeError) as error:
        return f"{dag.dag_id}: {type(error).__name__}: {error}"
    return None


def _settle(found: Finding, gates: dict[str, Any], dag_ids: set[str]) -> Finding:
    """Look for the gate that a task of another DAG names; the policy, which sees one DAG at a time, cannot."""
    if found.status != "guarded" or found.gate is None or found.guard is None:
        return found
    consumer = f"{found.dag_id}:{found.task_id}"
    gate = gates.get(found.gate)
    if gate is None:
        if found.gate.partition(":")[0] in dag_ids:
            return replace(found, status="ungated", problem=f"there is no consent gate {found.gate}")
        return replace(found, problem=f"{found.gate} is not in this folder: look there whether it permits {consumer}")
    if gate.use != found.guard.use:
        return replace(found, status="ungated", problem=f"the gate {found.gate} is for another use")
    if consumer not in gate.permits:
        problem = f"the gate {found.gate} does not permit it"
        fix = (f'{gate.task_id} = ConsentGateOperator(..., permits=["{consumer}"])  # in the gate\'s DAG',)
        return replace(found, status="ungated", problem=problem, fix=fix)
    return found


def _to_dict(file: str, found: Finding) -> dict[str, Any]:
    return {
        "dag": found.dag_id,
        "task": found.task_id,
        "status": found.status,
        "recognised_by": found.how,
        "operator": found.operator,
        "gate": found.gate,
        "problem": found.problem,
        "fix": list(found.fix),
        "exemption": found.exemption.to_dict() if found.exemption else None,
        "file": file,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report and return the exit code; errors are a JSON object too."""
    parser = argparse.ArgumentParser(prog="python -m gate.airflow.dag_coverage")
    parser.add_argument("--dags-folder", default=None)
    options = parser.parse_args(arguments)
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # stdout is for the report alone, whatever DAG files and Airflow print
    try:
        report = cover(options.dags_folder)
        code = exit_code(report)
    except GateError as error:
        report, code = error.to_dict(), error.exit_code
    with answer:
        answer.write(json.dumps(report, ensure_ascii=False) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
