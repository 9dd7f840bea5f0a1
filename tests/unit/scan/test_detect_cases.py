"""Labelled files come out as a careful person would label them: generated ones, and real ones where they are."""

import csv
from pathlib import Path

import pytest

from gate.scan.detect.detecting import detect_path
from support.detection_cases import all_cases, write

pytest.importorskip("av")
pytest.importorskip("numpy")

REAL = Path(__file__).parents[4] / "shared" / "cases"
NEVER_NONE = {"audio", "video", "phi", "education_record"}


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    written = write(all_cases(), tmp_path_factory.mktemp("cases"))
    return [(one.name, one.labels, one.also, set(detect_path(str(path)).categories)) for path, one in written.items()]


@pytest.fixture(scope="module")
def real():
    if not (REAL / "manifest.csv").is_file():
        pytest.skip(f"no labelled files at {REAL}")
    found = []
    with (REAL / "manifest.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            also = tuple(frozenset(one.split("|")) for one in row["also_acceptable"].split(";") if one)
            said = set(detect_path(str(REAL / row["path"])).categories)
            found.append((row["path"], frozenset(row["labels"].split("|")), also, said))
    return found


def judge(cases, strict, lenient):
    wrong = [(name, sorted(labels), sorted(said)) for name, labels, _, said in cases if said != labels]
    worse = [(name, sorted(labels), sorted(said)) for name, labels, also, said in cases if said not in (labels, *also)]
    assert len(wrong) <= (1 - strict) * len(cases), wrong
    assert len(worse) <= (1 - lenient) * len(cases), worse
    missed = [
        name for name, labels, also, said in cases if said == {"none"} and labels & NEVER_NONE and said not in also
    ]
    assert missed == []
    nothing = [(name, said) for name, labels, also, said in cases if labels == {"none"} and said not in (labels, *also)]
    assert len(nothing) <= 0.04 * sum(labels == {"none"} for _, labels, _, _ in cases), nothing


def test_generated_cases(generated):
    assert len(generated) >= 150
    judge(generated, 0.95, 0.98)


def test_real_cases(real):
    judge(real, 0.95, 0.98)


def test_cases_are_the_same_each_time():
    first, again = all_cases(), all_cases()
    assert [one.name for one in first] == [one.name for one in again]
    assert len({one.name for one in first}) == len(first)
    texts = [  # containers bear serial numbers of their own
        (a.content, b.content)
        for a, b in zip(first, again, strict=True)
        if not a.name.startswith(("audio/", "video/", "packed/"))
    ]
    assert all(a == b for a, b in texts)
