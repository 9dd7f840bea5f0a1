"""The threat model names tests that exist, and forgets no attack that is tried in a real Airflow."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "threat-model.md").read_text("utf-8")
REAL_AIRFLOW = "tests/adversarial/test_real_airflow.py"
NAMED = sorted({name.replace("A::", f"{REAL_AIRFLOW}::", 1) for name in re.findall(r"`((?:tests/|A::)[^`]+)`", PAGE)})


def _source(test: str) -> str:
    return (ROOT / test.partition("::")[0]).read_text("utf-8")


@pytest.mark.parametrize("test", NAMED)
def test_every_test_it_names_exists(test: str) -> None:
    source = _source(test)
    for name in filter(None, test.split("::")[1:]):
        assert re.search(rf"^ *(def|class) {name}\b", source, re.MULTILINE), name


def test_it_names_every_attack_that_is_tried() -> None:
    tried = re.findall(r"^    def (test_\w+)", _source(REAL_AIRFLOW).partition("class TestReviewers")[2], re.MULTILINE)
    assert len(tried) > 20
    untold = [name for name in tried if not any(test.endswith(f"::{name}") for test in NAMED)]
    assert untold == []
