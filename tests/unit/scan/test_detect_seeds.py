"""What fuzzing once broke stays mended; a short round of it goes on in every run."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from support.detection_cases import all_cases
from support.fuzzing import examine, mutate

pytest.importorskip("av")
pytest.importorskip("numpy")

SEEDS = sorted((Path(__file__).parents[2] / "fuzz_seeds").glob("*.bin"))


@pytest.mark.parametrize("seed", SEEDS, ids=lambda path: path.stem)
def test_what_broke_once_ends_in_an_answer(seed: Path) -> None:
    examine(seed.read_bytes(), seed.name)


def test_a_round_of_broken_files() -> None:
    chance, cases = random.Random(11), all_cases()
    for _ in range(300):
        case, other = chance.choice(cases), chance.choice(cases)
        examine(mutate(case.content, other.content, chance), case.name)
