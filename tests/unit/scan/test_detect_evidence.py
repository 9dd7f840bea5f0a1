"""Answers keep their contract, name where they come from, and never quote what is in the data."""

import json

import pytest

from gate.scan.detect.detecting import detect_path
from support.detection_cases.words import SAID, at, lines, table


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def test_the_answer_has_the_fields_of_the_contract(tmp_path):
    path = write(tmp_path / "a.csv", "a,b\n1,2\n3,4\n")
    answer = detect_path(path).to_dict()
    assert set(answer) == {"path", "categories", "evidence", "format", "rows", "elapsed_s"}
    assert (answer["path"], answer["categories"], answer["format"], answer["rows"]) == (path, ["none"], "csv", 2)


def test_evidence_names_columns_and_never_values(tmp_path):
    secret = "Xanthippe-4711"
    rows = [[n, secret, f"please tell {secret} that you can come, {text}"] for n, text in enumerate(SAID)]
    found = detect_path(write(tmp_path / "t.csv", table(["conversation_id", "sender", "message"], rows)))
    assert found.categories == ("chat",)
    assert any("'message'" in one.where for one in found.evidence)
    assert secret not in json.dumps(found.to_dict(), ensure_ascii=False)
    assert all(0 < one.weight <= 1 for one in found.evidence)


def test_chat_in_a_table_called_telemetry_names_its_columns(tmp_path):
    header = ["timestamp", "device_id", "cpu_usage", "sender", "message_text"]
    rows = [[at(n), f"d{n % 3}", n, f"p{n % 2}", text] for n, text in enumerate(SAID * 3)]
    found = detect_path(write(tmp_path / "telemetry.csv", table(header, rows)))
    assert found.categories == ("chat", "telemetry")
    assert any("'message_text'" in one.where for one in found.evidence if one.category == "chat")


@pytest.mark.parametrize("header", [["patient_id", "diagnosis", "dob"], ["student", "grade", "course"]])
def test_names_alone_do_not_decide(tmp_path, header):
    rows = [[round(n * 0.37 + 0.11, 2), "", ""] for n in range(30)]
    assert detect_path(write(tmp_path / "n.csv", table(header, rows))).categories == ("none",)


def test_a_table_without_rows_is_for_a_person(tmp_path):
    found = detect_path(write(tmp_path / "e.csv", "patient_id,diagnosis,admission_date\n"))
    assert found.categories in (("unclassified",), ("phi",))


def test_doubt_is_unclassified_with_a_question(tmp_path):
    found = detect_path(write(tmp_path / "x.bin", bytes(range(256)) * 5 + b"\x80\x81"))
    assert found.categories == ("unclassified",)
    assert found.question.endswith("looked into.")
    assert found.notes
    assert found.readable


@pytest.mark.parametrize(
    ("content", "note"),
    [(b"", "empty"), (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "ole2"), (b"PK\x03\x04xx", "damaged")],
)
def test_what_cannot_be_read_says_so(tmp_path, content, note):
    found = detect_path(write(tmp_path / "f.csv", content))
    assert found.categories == ("unclassified",)
    assert any(note in one for one in found.notes)


def test_a_path_that_is_not_there(tmp_path):
    found = detect_path(str(tmp_path / "nope"))
    assert (found.categories, found.readable, found.format) == (("unclassified",), False, "unreadable")


def test_a_folder_bears_what_its_files_bear(tmp_path):
    (tmp_path / "d").mkdir()
    write(tmp_path / "d" / "app.log", lines(f"{at(n)} INFO [main] step {n}" for n in range(20)))
    write(tmp_path / "d" / "p.ndjson", lines({"resourceType": "Patient", "id": str(n)} for n in range(5)))
    write(tmp_path / "d" / "n.csv", "a,b\n1,2\n2,3\n")
    found = detect_path(str(tmp_path / "d"))
    assert found.categories == ("phi", "telemetry")
    assert any(one.where.startswith("p.ndjson:") for one in found.evidence)


def test_remote_files_are_read_through_fsspec():
    import fsspec

    with fsspec.open("memory://lake/marks.csv", "w") as file:
        file.write(table(["student_id", "course", "grade"], [[f"s{n}", "algebra", "ABC"[n % 3]] for n in range(20)]))
    assert detect_path("memory://lake/marks.csv").categories == ("education_record",)
    assert detect_path("memory://lake").categories == ("education_record",)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
def test_encodings(tmp_path, encoding):
    text = table(["Matrikelnummer", "Prüfung", "Note"], [[2024000 + n, "Fächer", n % 5 + 1] for n in range(20)], ";")
    assert detect_path(write(tmp_path / "n.csv", text.encode(encoding))).categories == ("education_record",)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "\x01", "~"])
def test_delimiters(tmp_path, delimiter):
    text = table(
        ["patient_id", "dob", "diagnosis", "ward"],
        [[f"P{n}", "1980-02-02", "Asthma", "3b"] for n in range(20)],
        delimiter,
    )
    assert detect_path(write(tmp_path / "n.txt", text)).categories == ("phi",)
