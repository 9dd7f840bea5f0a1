"""The lake is real: every file opens in its own format, holds the accounts it should, and is the same every time."""

import json
import wave

import av
import pyarrow.parquet as pq
import pytest

from gate.demo.lake import ACCOUNTS, CLINICS, SCHOOLS, make_lake
from gate.demo.models import fhir_values, hl7_values, read_sound, spoken_lines


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lake")
    make_lake(folder)
    return folder


def bytes_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def accounts_in(path):
    return {json.loads(line)["account_id"] for line in path.read_text().splitlines()}


def test_the_same_seed_gives_the_same_bytes(lake, tmp_path):
    assert make_lake(tmp_path) == sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert bytes_of(tmp_path) == bytes_of(lake)


def test_another_seed_gives_other_bytes(lake, tmp_path):
    make_lake(tmp_path, seed=8)
    assert bytes_of(tmp_path).keys() == bytes_of(lake).keys()
    assert bytes_of(tmp_path) != bytes_of(lake)


def test_it_is_small(lake):
    assert sum(len(data) for data in bytes_of(lake).values()) < 2_000_000


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("weekly.wav", ["audio"]),
        ("interview.flac", ["audio"]),
        ("town-hall.mp4", ["audio", "video"]),
        ("screen-share.mp4", ["video"]),
    ],
)
def test_recordings_hold_what_their_names_promise(lake, name, kinds):
    for account in ACCOUNTS:
        with av.open(str(lake / "meetings/recordings" / account / name)) as container:
            assert sorted(stream.type for stream in container.streams) == kinds


def test_recordings_sound(lake):
    folder = lake / "meetings/recordings/aurora"
    with wave.open(str(folder / "weekly.wav")) as file:
        assert file.getnframes() == len(read_sound(folder / "weekly.wav"))
    for name in ("weekly.wav", "interview.flac", "town-hall.mp4"):
        sound = read_sound(folder / name)
        assert 0.1 < abs(sound).max() <= 1.0
    assert len(read_sound(folder / "screen-share.mp4")) == 0


def test_accounts_sound_different(lake):
    first, second = (read_sound(lake / "meetings/recordings" / account / "weekly.wav") for account in ACCOUNTS[:2])
    assert not (first == second).all()


@pytest.mark.parametrize(
    ("path", "accounts"),
    [
        ("meetings/chat/chat.jsonl", set(ACCOUNTS)),
        ("meetings_live/chat.jsonl", {"aurora", "borealis"}),
        ("pilot/chat.jsonl", {"aurora"}),
        ("renewals/chat.jsonl", {"harbor"}),
    ],
)
def test_chats_are_of_the_accounts_they_should_be(lake, path, accounts):
    assert accounts_in(lake / path) == accounts


def test_telemetry_covers_everybody_and_every_quality(lake):
    table = pq.read_table(lake / "telemetry")
    assert set(table["account_id"].to_pylist()) == set(ACCOUNTS)
    assert set(table["quality"].to_pylist()) == {"good", "fair", "poor"}


def test_transcripts_are_webvtt(lake):
    for account in ACCOUNTS:
        for path in (lake / "meetings/transcripts" / account).iterdir():
            assert path.read_text().startswith("WEBVTT\n\n")
            assert len(spoken_lines(path)) == 10


def test_regulated_records(lake):
    grades = (lake / "education/gradebook.csv").read_text().splitlines()
    assert {line.split(",")[0] for line in grades[1:]} == set(SCHOOLS)
    for account in CLINICS:
        assert len(fhir_values(lake / "phi/fhir" / account / "observations.ndjson")) == 12
        values = hl7_values(lake / "phi/hl7" / account / "results.hl7")
        assert len(values) == 12
        assert all(70 <= value <= 180 for value in values)
