"""Training really happens, and a model remembers exactly whose data it has seen."""

import json

import joblib
import pandas as pd
import pytest

from gate.demo import models
from gate.demo.lake import ACCOUNTS, CLINICS, SCHOOLS, make_lake


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lake")
    make_lake(folder)
    return folder


def saved(folder):
    return joblib.load(folder / "model.joblib"), json.loads((folder / "model.json").read_text())


def files(folder, accounts):
    return sorted(path for account in accounts for path in (folder / account).iterdir())


def test_meeting_summary_tells_tasks_from_small_talk(lake, tmp_path):
    chat = pd.read_json(lake / "meetings/chat/chat.jsonl", lines=True)
    recordings = files(lake / "meetings/recordings", ACCOUNTS)
    transcripts = files(lake / "meetings/transcripts", ACCOUNTS)
    summary = models.train_meeting_summary(recordings, chat, transcripts, tmp_path)
    model, written = saved(tmp_path)
    assert written == summary
    assert summary["accounts"] == list(ACCOUNTS)
    assert summary["score"] > 0.9
    verdicts = model["lines"].predict(["please send the slides before friday", "nice weather, is it not"])
    assert list(verdicts) == [True, False]
    assert model["kept_lines"]
    quiet, loud = sorted(model["talking"].cluster_centers_[:, 0])
    assert loud > 5 * quiet


def test_one_account_is_enough_and_no_other_is_named(lake, tmp_path):
    chat = pd.read_json(lake / "pilot/chat.jsonl", lines=True)
    recordings = files(lake / "meetings/recordings", ["aurora"])
    transcripts = files(lake / "meetings/transcripts", ["aurora"])
    summary = models.train_meeting_summary(recordings, chat, transcripts, tmp_path)
    assert summary["accounts"] == ["aurora"]
    assert summary["rows"] == len(chat) + len(recordings) + len(transcripts)


@pytest.mark.parametrize("foreign", ["recordings", "chat", "transcripts"])
def test_a_foreign_account_shows_wherever_it_comes_from(lake, tmp_path, foreign):
    accounts = {name: ["aurora"] for name in ("recordings", "chat", "transcripts")} | {foreign: ["aurora", "delta"]}
    chat = pd.read_json(lake / "meetings/chat/chat.jsonl", lines=True)
    summary = models.train_meeting_summary(
        files(lake / "meetings/recordings", accounts["recordings"]),
        chat[chat["account_id"].isin(accounts["chat"])],
        files(lake / "meetings/transcripts", accounts["transcripts"]),
        tmp_path,
    )
    assert summary["accounts"] == ["aurora", "delta"]


def test_call_quality_learns_from_everybody(lake, tmp_path):
    calls = pd.read_parquet(lake / "telemetry")
    summary = models.train_call_quality(calls, tmp_path)
    model, _ = saved(tmp_path)
    assert summary["accounts"] == list(ACCOUNTS)
    assert summary["score"] > 0.85
    assert list(model.predict([[0.0, 0.0, 20.0, 2_000], [20.0, 90.0, 220.0, 400]])) == ["good", "poor"]


def test_chat_reply(lake, tmp_path):
    summary = models.train_chat_reply(pd.read_json(lake / "renewals/chat.jsonl", lines=True), tmp_path)
    assert summary["accounts"] == ["harbor"]
    assert (tmp_path / "model.joblib").stat().st_size > 0


def test_outcomes(lake, tmp_path):
    grades = pd.read_csv(lake / "education/gradebook.csv")
    fhir, hl7 = files(lake / "phi/fhir", CLINICS), files(lake / "phi/hl7", CLINICS)
    summary = models.train_outcomes(grades, fhir, hl7, tmp_path)
    model, _ = saved(tmp_path)
    assert summary["accounts"] == sorted({*SCHOOLS, *CLINICS})
    assert summary["score"] > 0.8
    assert 70 < model["ranges"]["glucose"][0] < 180


def test_visits_are_counted_without_a_patient(lake, tmp_path):
    table = models.count_visits(files(lake / "phi/fhir", CLINICS), tmp_path / "derived/visits.csv")
    visits = pd.read_csv(table)
    assert list(visits.columns) == ["account_id", "hour", "n"]
    assert set(visits["account_id"]) == set(CLINICS)
    assert visits["n"].sum() == 12 * len(CLINICS)
    assert models.train_visit_forecast(visits, tmp_path)["accounts"] == sorted(CLINICS)


def test_summarise_reads_and_trains_nothing():
    assert models.summarise(["short", "a longer line"]) == "2 lines; the longest: a longer line"
    assert models.summarise([]) == "nothing was said"
