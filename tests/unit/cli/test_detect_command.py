"""`gate dataset detect`: one object per path, a bad path does not stop the others."""

import json

from typer.testing import CliRunner

from gate.cli.main import app

run = CliRunner().invoke


def test_json_is_one_object_per_path(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n3,4\n")
    (tmp_path / "p.ndjson").write_text('{"resourceType": "Patient", "id": "1"}\n')
    done = run(app, ["dataset", "detect", str(tmp_path / "a.csv"), str(tmp_path / "p.ndjson"), "--json"])
    assert done.exit_code == 0
    first, second = map(json.loads, done.stdout.splitlines())
    assert first["categories"] == ["none"]
    assert second["categories"] == ["phi"]


def test_a_bad_path_does_not_stop_the_others(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n3,4\n")
    done = run(app, ["dataset", "detect", str(tmp_path / "nope"), str(tmp_path / "a.csv"), "--json"])
    assert done.exit_code == 4
    first, second = map(json.loads, done.stdout.splitlines())
    assert (first["categories"], first["notes"]) == (["unclassified"], ["does not exist (check the location)"])
    assert second["categories"] == ["none"]


def test_people_see_the_evidence_and_the_question(tmp_path):
    (tmp_path / "p.ndjson").write_text('{"resourceType": "Patient", "id": "1"}\n')
    (tmp_path / "x.bin").write_bytes(bytes(range(256)) * 3)
    done = run(app, ["dataset", "detect", str(tmp_path / "p.ndjson"), str(tmp_path / "x.bin")])
    assert done.exit_code == 0
    assert "phi" in done.stdout
    assert "resource about a patient" in done.stdout
    assert "question:" in done.stdout
