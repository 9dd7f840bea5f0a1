"""The demo's folder belongs to one demo at a time, can be used again, and keeps its secrets."""

import json
import stat

import pytest

from gate.demo.airflow import environment
from gate.demo.home import USERS, Home, make_passwords, new_home
from gate.demo.places import lake_uri, output_folder
from gate.errors import InputError


def test_a_new_folder_is_made_for_its_owner_only(tmp_path):
    home = new_home(tmp_path / "not" / "there")
    assert home.path == tmp_path / "not" / "there" / "1"
    assert home.airflow.is_dir()
    assert stat.S_IMODE(home.path.stat().st_mode) == 0o700


def test_every_demo_gets_its_own_and_leaves_the_others_alone(tmp_path):
    first = new_home(tmp_path)
    first.events.write_text("kept")
    (tmp_path / "2").mkdir()
    assert new_home(tmp_path).path.name == "3"
    assert first.events.read_text() == "kept"


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be used"):
        new_home(tmp_path / "file")


def test_passwords_differ_and_are_private(tmp_path):
    home = new_home(tmp_path)
    made = make_passwords(home)
    assert made.keys() == USERS.keys()
    assert len(set(made.values())) == len(USERS)
    assert json.loads(home.passwords.read_text()) == made
    assert stat.S_IMODE(home.passwords.stat().st_mode) == 0o600


def test_nothing_of_another_airflow_leaks_in(tmp_path):
    foreign = {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql://production",
        "AIRFLOW_CONFIG": "/etc/airflow.cfg",
        "AIRFLOW_CONN_GATE_DEFAULT": "consent_gate://production",
        "GATE_DATABASE_URL": "postgresql://production",
        "GATE_HOME": "/srv/gate",
        "OPENLINEAGE_URL": "http://marquez",
        "HOME": "/root",
    }
    made = environment(Home(tmp_path), (1111, 2222, 3333), foreign)
    assert made["HOME"] == "/root"
    assert made["GATE_HOME"] == str(tmp_path / "gate")
    assert made["AIRFLOW_HOME"] == str(tmp_path / "airflow")
    assert not {"AIRFLOW_CONFIG", "GATE_DATABASE_URL"} & made.keys()
    assert made["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].startswith(f"sqlite:///{tmp_path / 'airflow'}")
    assert not [name for name, value in made.items() if "production" in value or "marquez" in value]


def test_airflow_listens_on_this_machine_only_and_away_from_others(tmp_path):
    made = environment(Home(tmp_path), (1111, 2222, 3333), {})
    assert made["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert made["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:1111"
    assert made["AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT"] == "2222"
    assert made["AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT"] == "3333"
    parts = json.loads(made["AIRFLOW__OPENLINEAGE__TRANSPORT"])["transports"]
    assert parts["file"]["log_file_path"] == str(tmp_path / "events.jsonl")
    assert parts["lineage"]["home"] == str(tmp_path / "gate")


def test_the_home_ignores_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("GATE_DATABASE_URL", "postgresql://production")
    settings = Home(tmp_path).settings
    assert settings.embedded
    assert settings.database_url.startswith("sqlite:///")
    assert str(tmp_path) in settings.database_url


def test_the_dags_find_lake_and_output(tmp_path):
    assert lake_uri({"GATE_DEMO_LAKE": "s3://bucket/lake"}) == "s3://bucket/lake"
    assert lake_uri({"GATE_HOME": str(tmp_path)}) == f"file://{tmp_path}/lake"
    folder = output_folder("some_dag", "manual__2026-11-21T20:59:57+00:00/..", tmp_path)
    assert folder.parent == tmp_path / "models/some_dag"
    assert folder.name == "manual__2026-11-21T20_59_57_00_00_.."


def test_two_runs_never_share_an_output(tmp_path):
    first, second = (output_folder("d", f"manual__2026-11-21T20:59:5{n}+00:00", tmp_path) for n in (1, 2))
    assert first != second
