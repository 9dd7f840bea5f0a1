"""Records about single learners: gradebooks, learning systems, answers to exercises; and schools as aggregates."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from xml.sax.saxutils import escape

from support.detection_cases import Case, case
from support.detection_cases.words import NAMES, at, dice, lines, table

_LABEL = "education_record"


def cases() -> Iterator[Case]:
    yield from _gradebooks()
    yield from _systems()
    yield from _languages()
    yield from _near_misses()


def _gradebooks() -> Iterator[Case]:
    r = dice("grades")
    marks = [[f"s{n:03}", r.choice(NAMES), "algebra", r.randint(40, 100), r.choice("ABCDF")] for n in range(25)]
    yield case(
        "education/gradebook.csv", table(["student_id", "student_name", "course", "homework", "grade"], marks), _LABEL
    )
    canvas = [
        [
            r.choice(NAMES),
            1000 + n,
            f"u{n}",
            f"u{n}@example.edu",
            "Sec 1",
            r.randint(0, 10),
            round(r.uniform(50, 100), 2),
        ]
        for n in range(20)
    ]
    yield case(
        "education/canvas.csv",
        table(["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Essay 1 (123)", "Final Score"], canvas),
        _LABEL,
    )
    blackboard = [
        ["Holt", "Mira", f"u{n}", f"{n}", "2024-03-04 10:00:00", "Yes", r.randint(50, 100)] for n in range(20)
    ]
    yield case(
        "education/blackboard.tsv",
        table(
            [
                "Last Name",
                "First Name",
                "Username",
                "Student ID",
                "Last Access",
                "Availability",
                "Exam 1 [Total Pts: 100]",
            ],
            blackboard,
            "\t",
        ).encode("utf-16"),
        _LABEL,
    )
    uci = [
        [
            "GP",
            r.choice("FM"),
            r.randint(15, 19),
            r.randint(1, 4),
            r.randint(0, 3),
            r.randint(0, 20),
            r.randint(0, 20),
            r.randint(0, 20),
            r.randint(0, 20),
        ]
        for _ in range(40)
    ]
    yield case(
        "education/student-mat.csv",
        table(["school", "sex", "age", "studytime", "failures", "absences", "G1", "G2", "G3"], uci, ";"),
        _LABEL,
    )
    perf = [
        [
            r.choice(("female", "male")),
            "group B",
            "some college",
            "standard",
            "none",
            r.randint(30, 100),
            r.randint(30, 100),
            r.randint(30, 100),
        ]
        for _ in range(40)
    ]
    yield case(
        "education/performance.csv",
        table(
            [
                "gender",
                "race/ethnicity",
                "parental level of education",
                "lunch",
                "test preparation course",
                "math score",
                "reading score",
                "writing score",
            ],
            perf,
        ),
        _LABEL,
    )
    yield case(
        "education/gpa.txt",
        "obs gpa tuce psi grade\n"
        + "".join(f"{n} {r.uniform(2, 4):.2f} {r.randint(12, 29)} {n % 2} {r.randint(0, 1)}\n" for n in range(30)),
        _LABEL,
    )
    yield case(
        "education/gradebook.xlsx",
        _xlsx(
            [
                ["Student", "Student ID", "Quiz 1", "Midterm", "Final grade"],
                *[[r.choice(NAMES), f"s{n}", r.randint(0, 10), r.randint(40, 100), r.choice("ABC")] for n in range(15)],
            ]
        ),
        _LABEL,
    )
    yield case(
        "education/transcript.txt",
        "Springfield College\nAcademic Transcript\nStudent Name: Holt, Mira\nStudent ID: 0042\nSemester: Fall 2023\nMATH 101 Algebra A 4.0\nHIST 110 Europe B 3.0\nCumulative GPA: 3.62\nCredits Earned: 31\n",
        _LABEL,
    )
    yield case(
        "education/subjects.csv",
        table(
            ["name", "math", "english", "physics", "history"],
            [[r.choice(NAMES), *(r.randint(40, 100) for _ in range(4))] for _ in range(25)],
        ),
        _LABEL,
    )


def _xlsx(rows: list[list[object]]) -> bytes:
    out = io.BytesIO()
    body = "".join(
        "<row>"
        + "".join(
            f'<c t="inlineStr"><is><t>{escape(str(cell))}</t></is></c>'
            if isinstance(cell, str)
            else f"<c><v>{cell}</v></c>"
            for cell in row
        )
        + "</row>"
        for row in rows
    )
    with zipfile.ZipFile(out, "w") as packed:
        packed.writestr(zipfile.ZipInfo("[Content_Types].xml", (2024, 3, 4, 8, 0, 0)), "<Types/>")
        packed.writestr(zipfile.ZipInfo("xl/workbook.xml", (2024, 3, 4, 8, 0, 0)), "<workbook/>")
        packed.writestr(
            zipfile.ZipInfo("xl/worksheets/sheet1.xml", (2024, 3, 4, 8, 0, 0)),
            f"<worksheet><sheetData>{body}</sheetData></worksheet>",
        )
    return out.getvalue()


def _systems() -> Iterator[Case]:
    r = dice("systems")
    xapi = [
        {
            "actor": {"mbox": f"mailto:u{n}@example.edu", "objectType": "Agent"},
            "verb": {"id": "http://adlnet.gov/expapi/verbs/completed"},
            "object": {"id": f"http://example.edu/quiz/{n}", "definition": {"name": {"en": "Quiz"}}},
            "timestamp": at(n).isoformat(),
        }
        for n in range(12)
    ]
    yield case("education/statements.json", json.dumps(xapi), _LABEL)
    yield case("education/statements.jsonl", lines(xapi), _LABEL)
    caliper = {
        "@context": "http://purl.imsglobal.org/ctx/caliper/v1p2",
        "id": "urn:1",
        "type": "AssessmentEvent",
        "actor": {"id": "https://example.edu/users/5", "type": "Person"},
        "action": "Submitted",
        "object": {"id": "https://example.edu/a/1", "type": "Assessment"},
        "eventTime": str(at(1)),
        "edApp": "https://example.edu",
    }
    yield case("education/caliper.json", json.dumps(caliper), _LABEL)
    edx = [
        {
            "username": "mira",
            "event_type": "problem_check",
            "event_source": "server",
            "time": str(at(n)),
            "page": "x_module",
            "context": {"course_id": "course-v1:Ex+101+2024", "user_id": 5, "org_id": "Ex"},
            "event": {"grade": 1},
        }
        for n in range(9)
    ]
    yield case("education/tracking.log", lines(edx), _LABEL, "education_record|telemetry")
    moodle = [
        [
            f"{at(n):%d/%m/%y, %H:%M}",
            r.choice(NAMES),
            "-",
            "Quiz: Algebra",
            "Quiz",
            "Quiz attempt viewed",
            "The user viewed the attempt",
            "web",
            "10.0.0.1",
        ]
        for n in range(25)
    ]
    yield case(
        "education/moodle.csv",
        table(
            [
                "Time",
                "User full name",
                "Affected user",
                "Event context",
                "Component",
                "Event name",
                "Description",
                "Origin",
                "IP address",
            ],
            moodle,
        ),
        _LABEL,
        "education_record|telemetry",
    )
    oulad = [
        ["AAA", "2013J", 11391 + n, r.choice("MF"), "HE Qualification", "90-100%", 0, 240, "Pass"] for n in range(25)
    ]
    yield case(
        "education/studentInfo.csv",
        table(
            [
                "code_module",
                "code_presentation",
                "id_student",
                "gender",
                "highest_education",
                "imd_band",
                "num_of_prev_attempts",
                "studied_credits",
                "final_result",
            ],
            oulad,
        ),
        _LABEL,
    )
    assist = [
        [33022 + n, 64525 + n % 5, 51424 + n, r.randint(0, 1), "Box and Whisker", r.randint(1, 4)] for n in range(40)
    ]
    yield case(
        "education/skill_builder.csv",
        table(["order_id", "user_id", "problem_id", "correct", "skill_name", "attempt_count"], assist),
        _LABEL,
    )
    submissions = [
        {
            "id": n,
            "assignment_id": 7,
            "user_id": 90 + n,
            "score": 8.5,
            "grade": "8.5",
            "submitted_at": str(at(n)),
            "workflow_state": "graded",
            "attempt": 1,
            "late": False,
        }
        for n in range(9)
    ]
    yield case("education/submissions.json", json.dumps(submissions), _LABEL)
    students = {
        "students": [
            {"student_id": n, "name": name, "major": "math", "gpa": 3.1, "courses": [{"code": "M1", "grade": "A"}]}
            for n, name in enumerate(NAMES)
        ]
    }
    yield case("education/students.json", json.dumps(students), _LABEL)
    xml = (
        "<gradebook>"
        + "".join(
            f'<student id="{n}"><name>{name}</name><course>algebra</course><grade>{60 + n}</grade></student>'
            for n, name in enumerate(NAMES)
        )
        + "</gradebook>"
    )
    yield case("education/gradebook.xml", xml, _LABEL)


def _languages() -> Iterator[Case]:
    r = dice("languages")
    headers = {
        "de": ["Matrikelnummer", "Kurs", "Note", "Fehlzeiten"], "fr": ["numéro étudiant", "matière", "note", "absences"], "es": ["estudiante", "asignatura", "calificación", "asistencia"],
        "pt": ["aluno", "disciplina", "nota", "faltas"], "ja": ["学籍番号", "科目", "点数", "出席"], "zh": ["学号", "课程", "成绩", "考勤"],
    }  # fmt: skip
    for language, header in headers.items():
        rows = [[f"{20240000 + n}", "Algebra", r.randint(1, 100), r.randint(0, 20)] for n in range(25)]
        encoding = {"ja": "shift_jis", "zh": "gb18030", "de": "latin-1"}.get(language, "utf-8")
        yield case(f"education/noten-{language}.csv", table(header, rows, ";").encode(encoding), _LABEL)


def _near_misses() -> Iterator[Case]:
    r = dice("schools")
    yield case(
        "none/schools.csv",
        table(
            ["district", "school", "students", "teachers", "avg_score", "expenditure"],
            [
                [f"D{n}", f"School {n}", r.randint(90, 900), r.randint(5, 60), round(r.uniform(600, 700), 1), 5000 + n]
                for n in range(30)
            ],
        ),
        "none",
    )
    yield case(
        "none/college.csv",
        table(
            ["Apps", "Accept", "Enroll", "Outstate", "Expend", "Grad.Rate"],
            [[r.randint(90, 9000) for _ in range(6)] for _ in range(30)],
        ),
        "none",
    )
    yield case(
        "none/films-score.csv",
        table(
            ["film", "critic score", "box office"],
            [[f"Film {n}", r.randint(10, 100), r.randint(1, 900)] for n in range(30)],
        ),
        "none",
    )
    yield case(
        "none/credit.csv",
        table(
            ["income", "score", "limit", "default"],
            [[r.randint(20, 200), r.randint(300, 850), r.randint(1, 40), r.randint(0, 1)] for _ in range(40)],
        ),
        "none",
    )
