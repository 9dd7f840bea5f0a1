"""Signals are data: ours follow their schema, others' are checked, and a recogniser plugs in by entry point."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import yaml

from gate.errors import InputError
from gate.resources import shipped
from gate.scan.detect import recognisers
from gate.scan.detect.detecting import detect_path
from gate.scan.detect.model import Evidence
from gate.scan.detect.names import words_of
from gate.scan.detect.signals import check, load_signals
from gate.scan.detect.verdict import combined, weigh

OWN = """
category: telemetry
title: Readings of our ovens
question: Does it hold readings of ovens?
features:
  oven: {names: [oven id], shapes: [identifier]}
signals:
  - id: readings of ovens
    weight: 0.9
    table: {all: [oven], any: [number]}
"""


def test_ours_follow_the_schema():
    files = sorted((shipped("schemas") / "categories").glob("*.yaml"))
    assert [path.stem for path in files] == ["audio", "chat", "education_record", "phi", "telemetry", "video"]
    for path in files:
        document = yaml.safe_load(path.read_text("utf-8"))
        check(document, path)
        assert document["category"] == path.stem
        names = [signal["id"] for signal in document["signals"]]
        assert len(set(names)) == len(names)


def test_a_privacy_engineer_adds_a_signal_without_python(tmp_path):
    (tmp_path / "ovens.yaml").write_text(OWN)
    data = tmp_path / "data.csv"
    data.write_text("oven id,x\n" + "".join(f"o{n},{n}\n" for n in range(9)))
    found = detect_path(str(data), load_signals(tmp_path))
    assert [(one.signal, one.where) for one in found.evidence] == [("readings of ovens", "'oven id', 'x'")]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("weight: 0.9", "weight: 2"), "does not follow"),
        (("[oven]", "[stove]"), "'stove'"),
        (("shapes: [identifier]", "shapes: [roundish]"), "'roundish'"),
        (("category: telemetry", "category: ovens"), "does not follow"),
        (("question: Does it hold readings of ovens?", "question: no"), "does not follow"),
        (("names: [oven id]", "pattern: '('"), "pattern"),
        (("features:", "features: ["), "not YAML"),
    ],
)
def test_mistakes_are_told(tmp_path, change, said):
    (tmp_path / "ovens.yaml").write_text(OWN.replace(*change))
    with pytest.raises(InputError) as error:
        load_signals(tmp_path)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("phrases", "name", "fits"),
    [
        (["student id"], "StudentID", True), (["student id"], "student_id_2", True), (["student"], "students", False),
        (["=id"], "ID", True), (["=id"], "id_student", False), (["patient*"], "patientunitstayid", True),
        (["患者"], "患者ID", True), (["actor.mbox"], "event.actor.mbox", True), (["actor.mbox"], "mbox", False),
        (["prüfung"], "Pruefung", False), (["prüfung"], "PRÜFUNG", True), (["numéro"], "NUMERO", True),
    ],
)  # fmt: skip
def test_names(phrases, name, fits):
    assert words_of(phrases).match(name) is fits


def test_weak_reasons_add_up_and_one_reason_counts_once():
    known = load_signals()
    weak = [Evidence("chat", "a", "x", 0.5), Evidence("chat", "b", "x", 0.5)]
    assert weigh(weak, known).categories == {"chat"}
    assert weigh([weak[0], Evidence("chat", "a", "y", 0.5)], known).categories == set()
    assert weigh(weak[:1], known).doubts[0][0] == "chat"
    assert combined([0.5, 0.5]) == 0.75
    assert combined([1.0, 0.3]) == 1.0


def recognise_ovens(content):
    if content.format == "csv":
        yield Evidence("telemetry", "ovens", "columns", 0.9)


def nonsense(content):
    return ["x"]


@pytest.fixture
def plugged(monkeypatch):
    def plug(name):
        point = EntryPoint("ovens", f"{__name__}:{name}", recognisers.GROUP)
        monkeypatch.setattr(recognisers, "entry_points", lambda group: [point])
        recognisers.installed.cache_clear()

    yield plug
    recognisers.installed.cache_clear()


def test_recognisers_plug_in(plugged, tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    plugged("recognise_ovens")
    assert detect_path(str(tmp_path / "a.csv")).categories == ("telemetry",)


@pytest.mark.parametrize("name", ["nonsense", "absent"])
def test_a_recogniser_that_does_not_work_stops_detection(plugged, tmp_path, name):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    plugged(name)
    with pytest.raises(recognisers.RecogniserError) as error:
        detect_path(str(tmp_path / "a.csv"))
    assert error.value.exit_code == 4


def test_every_module_of_detection_is_small():
    for path in (Path(recognisers.__file__).parent).glob("*.py"):
        assert len(path.read_text("utf-8").splitlines()) < 300, path.name
