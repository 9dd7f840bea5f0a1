"""The DAG in the README parses, and the cluster policy lets it in."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CHECK = "\nfrom gate.airflow.policy import dag_policy\ndag_policy(train_summaries())\nprint('accepted')\n"


@pytest.mark.airflow
def test_the_readmes_dag_is_accepted(tmp_path: Path) -> None:
    [code] = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    path = tmp_path / "readme_dag.py"
    path.write_text(code + CHECK, "utf-8")
    environ = {**os.environ, "AIRFLOW_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, str(path)], env=environ, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["accepted"], done.stderr
