"""A run that is not as it should be is noticed, in every field that matters."""

import json
from dataclasses import replace

import pytest

from gate.demo.home import new_home
from gate.demo.runs import EXPECTED, LAST, TOGETHER, Run, missing_events, surprises
from gate.domain.words import Verdict


def as_expected(dag_id):
    expected = EXPECTED[dag_id]
    return Run(
        dag_id=dag_id,
        run_id="demo",
        state=expected.state,
        gate_state=expected.gate,
        train_state=expected.task,
        verdict=expected.verdict.value,
        reasons=tuple(sorted(reason.value for reason in expected.reasons)),
        rows_blocked=0,
        accounts_blocked=0,
        model_path="/m" if expected.trains else None,
        why="",
        url="",
        tab=None,
        tasks={"tag": "success", "consent_gate": expected.gate, expected.task_id: expected.task},
    )


def write(home, *pairs, tail=""):
    lines = [json.dumps({"eventType": kind, "job": {"name": job}}) + "\n" for kind, job in pairs]
    home.events.write_text("".join(lines) + tail)


@pytest.mark.parametrize("dag_id", EXPECTED)
def test_what_is_expected_is_no_surprise(dag_id):
    assert surprises(as_expected(dag_id)) == []


@pytest.mark.parametrize("dag_id", EXPECTED)
def test_every_other_state_is_one(dag_id):
    run = as_expected(dag_id)
    other = {"success": "failed", "failed": "success", "upstream_failed": "success"}
    assert surprises(replace(run, state=other[run.state]))
    assert surprises(replace(run, gate_state=other[run.gate_state]))
    assert surprises(replace(run, train_state=other[run.train_state]))
    assert surprises(replace(run, verdict=""))
    assert surprises(replace(run, model_path=None if run.model_path else "/m"))


@pytest.mark.parametrize("dag_id", [dag_id for dag_id, expected in EXPECTED.items() if expected.reasons])
def test_a_missing_reason_is_one_and_another_is_none(dag_id):
    run = as_expected(dag_id)
    (found,) = surprises(replace(run, reasons=run.reasons[1:]))
    assert run.reasons[0] in found
    assert surprises(replace(run, reasons=(*run.reasons, "region_rule"))) == []


def test_nothing_blocked_trains():
    for expected in EXPECTED.values():
        assert not (expected.verdict is Verdict.BLOCK and expected.trains)


def test_the_run_that_changes_consent_comes_last():
    assert set(LAST) == {"train_after_withdrawal"}
    assert not set(LAST) & set(TOGETHER)


def test_the_json_has_the_promised_fields_in_order():
    assert list(as_expected("train_outcomes").to_dict()) == [
        "dag_id",
        "run_id",
        "state",
        "gate_state",
        "train_state",
        "verdict",
        "reasons",
        "rows_blocked",
        "accounts_blocked",
        "model_path",
    ]


def test_events_are_waited_for_until_every_task_that_ran_has_its_end(tmp_path):
    home, run = new_home(tmp_path), as_expected("train_outcomes")
    everything = {"train_outcomes", "train_outcomes.tag", "train_outcomes.consent_gate"}
    assert missing_events(home, [run]) == everything
    write(home, ("START", "train_outcomes.tag"), ("COMPLETE", "train_outcomes.tag"), ("START", "train_outcomes"))
    assert missing_events(home, [run]) == everything - {"train_outcomes.tag"}
    write(home, *(("FAIL", job) for job in everything))
    assert missing_events(home, [run]) == set()


def test_half_a_line_is_not_an_event_yet(tmp_path):
    home, run = new_home(tmp_path), as_expected("train_call_quality")
    write(home, ("COMPLETE", "train_call_quality"), tail='{"eventType": "COMPL')
    assert "train_call_quality.train" in missing_events(home, [run])
