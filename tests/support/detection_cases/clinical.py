"""Records about single patients in the formats of hospitals and research, and health data that is none."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterator

from support.detection_cases import Case, case
from support.detection_cases.words import DIAGNOSES, DRUGS, ICD, NAMES, at, dice, lines, table


def cases() -> Iterator[Case]:
    yield from _messages()
    yield from _documents()
    yield from _tables()
    yield from _languages()
    yield from _near_misses()


def _hl7(number: int, kind: str = "ORU^R01") -> str:
    return (
        "\r".join(
            (
                f"MSH|^~\\&|LAB|HOSP|EHR|HOSP|20240304||{kind}|{number}|P|2.5",
                f"PID|1||{number:06}^^^HOSP||DOE^{number}||19800202|F",
                "OBX|1|NM|2345-7^Glucose^LN||99|mg/dL",
            )
        )
        + "\r"
    )


def _x12(kind: str) -> str:
    head = "ISA*00*          *00*          *ZZ*SENDERID       *ZZ*RECEIVERID     *030101*1253*U*00501*000000905*1*T*:~"
    return (
        head
        + f"GS*HC*S*R*19991231*0802*1*X*005010~ST*{kind}*0001~NM1*IL*1*DOE*JANE****MI*123456~SE*3*0001~GE*1*1~IEA*1*000000905~"
    )


def _messages() -> Iterator[Case]:
    yield case("phi/adt.hl7", "".join(_hl7(n, "ADT^A01") for n in range(4)), "phi")
    yield case(
        "phi/results.txt", "FHS|^~\\&|A\rBHS|^~\\&|A\r" + "".join(_hl7(n) for n in range(4)) + "BTS|4\rFTS|1\r", "phi"
    )
    yield case("phi/newlines.log", _hl7(1).replace("\r", "\n"), "phi")
    for kind in ("837", "835", "270", "834"):
        yield case(f"phi/{kind}.edi", _x12(kind), "phi")
    yield case("none/order.edi", _x12("850").replace("NM1*IL", "N1*ST"), "none")
    tag = struct.pack
    elements = (
        tag("<HH2sH", 8, 0x16, b"UI", 26)
        + b"1.2.840.10008.5.1.4.1.1.2\0"
        + tag("<HH2sH", 8, 0x20, b"DA", 8)
        + b"20240304"
        + tag("<HH2sH", 8, 0x60, b"CS", 2)
        + b"CT"
        + tag("<HH2sH", 0x10, 0x10, b"PN", 8)
        + b"DOE^JANE"
    )
    yield case("phi/ct.dcm", bytes(128) + b"DICM" + elements, "phi")
    yield case("phi/bare.img", elements + bytes(64), "phi")
    edf = (
        b"0       "
        + b"X F 02-AUG-1951 Jane_Doe".ljust(80)
        + b"Startdate 02-MAR-2002".ljust(80)
        + b"02.03.02"
        + b"10.20.30"
        + b"512     ".ljust(52)
        + bytes(400)
    )
    yield case("phi/eeg.edf", edf, "phi")


def _patient(number: int) -> dict[str, object]:
    return {
        "resourceType": "Patient",
        "id": f"p{number}",
        "name": [{"family": "Doe", "given": ["Jane"]}],
        "birthDate": "1980-02-02",
    }


def _documents() -> Iterator[Case]:
    yield case("phi/patients.ndjson", lines(_patient(n) for n in range(8)), "phi")
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [
            {"resource": _patient(1)},
            {
                "resource": {
                    "resourceType": "Condition",
                    "subject": {"reference": "Patient/p1"},
                    "code": {"text": "Asthma"},
                }
            },
        ],
    }
    yield case("phi/bundle.json", json.dumps(bundle, indent=1), "phi")
    yield case(
        "phi/patient.xml",
        '<Patient xmlns="http://hl7.org/fhir"><id value="1"/><name><family value="Doe"/></name><birthDate value="1980-02-02"/></Patient>',
        "phi",
    )
    ccda = '<?xml version="1.0"?><ClinicalDocument xmlns="urn:hl7-org:v3"><title>Summary</title><recordTarget><patientRole><id extension="99"/><patient><name><given>Jane</given></name><birthTime value="19800202"/></patient></patientRole></recordTarget></ClinicalDocument>'
    yield case("phi/summary.xml", ccda, "phi")
    note = "DISCHARGE SUMMARY\nPatient: Doe, Jane\nMRN: 0099123\nDate of Birth: 02/02/1980\nAdmission Date: 03/04/2024\n\nChief Complaint: chest pain\nHistory of Present Illness: The patient is a 44 year old woman who presents with chest pain.\nPast Medical History: asthma\nMedications: aspirin 81 mg daily\nAssessment and Plan: The patient was admitted to the ward.\n"
    yield case("phi/note.txt", note, "phi")
    bericht = "Entlassungsbrief\nPatient: Doe, Jana\nGeburtsdatum: 02.02.1980\nAufnahmedatum: 04.03.2024\nEntlassungsdatum: 09.03.2024\nDiagnose: Pneumonie\nAnamnese: Die Patientin klagt über Husten.\nBefund: unauffällig\n"
    yield case("phi/brief.txt", bericht, "phi")
    yield case(
        "phi/records.json",
        json.dumps(
            [
                {
                    "patientId": f"P{n}",
                    "dob": "1980-02-02",
                    "encounters": [{"admitted": str(at(n)), "diagnosis": DIAGNOSES[n % 8], "icd10": ICD[n % 10]}],
                }
                for n in range(9)
            ]
        ),
        "phi",
    )
    definition = {
        "resourceType": "StructureDefinition",
        "id": "Patient",
        "url": "http://example.org/Patient",
        "status": "active",
        "kind": "resource",
        "type": "Patient",
        "snapshot": {"element": [{"id": "Patient.name", "path": "Patient.name"}]},
    }
    yield case("none/structure.json", json.dumps(definition), "none")


def _tables() -> Iterator[Case]:
    r = dice("tables")
    yield case(
        "phi/PATIENTS.csv",
        table(
            ["subject_id", "gender", "dob", "dod"],
            [[10000 + n, r.choice("MF"), f"{2060 + n % 40}-03-04 00:00:00", ""] for n in range(30)],
        ),
        "phi",
    )
    yield case(
        "phi/DIAGNOSES_ICD.csv",
        table(
            ["subject_id", "hadm_id", "seq_num", "icd9_code"],
            [
                [10000 + n // 3, 140000 + n // 3, n % 3 + 1, r.choice(("4019", "25000", "486", "5849"))]
                for n in range(40)
            ],
        ),
        "phi",
    )
    synthea = [
        [
            f"{n:08x}-0000-4000-8000-000000000000",
            "1980-02-02",
            "",
            f"999-{n % 90 + 10}-{1000 + n}",
            name.split()[0],
            name.split()[1],
            1200.5 * n,
        ]
        for n, name in enumerate(NAMES * 3)
    ]
    yield case(
        "phi/synthea-patients.csv",
        table(["Id", "BIRTHDATE", "DEATHDATE", "SSN", "FIRST", "LAST", "HEALTHCARE_EXPENSES"], synthea),
        "phi",
    )
    yield case(
        "phi/person.csv",
        table(
            ["person_id", "gender_concept_id", "year_of_birth", "race_concept_id", "person_source_value"],
            [[n, 8507, 1950 + n, 8527, f"x{n}"] for n in range(25)],
            "\t",
        ),
        "phi",
    )
    yield case(
        "phi/meaningless.csv",
        table(
            ["c1", "c2", "c3", "c4"],
            [[100 + n // 4, str(at(n, 9000)), r.choice(ICD), r.choice(DIAGNOSES)] for n in range(40)],
        ),
        "phi",
    )
    yield case(
        "phi/codes.csv",
        table(["a", "b", "c"], [[500 + n, at(n, 90000).date(), r.choice(ICD)] for n in range(40)]),
        "phi",
        "unclassified",
    )
    yield case(
        "phi/vitals.csv",
        table(
            ["patient_id", "charttime", "heart_rate", "sbp", "spo2"],
            [[f"P{n // 6}", at(n), r.randint(55, 110), r.randint(100, 160), r.randint(90, 100)] for n in range(40)],
        ),
        "phi",
    )
    yield case(
        "phi/appointments.csv",
        table(
            ["PatientId", "AppointmentID", "Gender", "ScheduledDay", "Age", "Hipertension", "Diabetes", "No-show"],
            [[29872 + n, 5600 + n, r.choice("MF"), at(n).isoformat(), r.randint(1, 90), 0, 1, "No"] for n in range(30)],
        ),
        "phi",
    )
    yield case(
        "phi/hospital.csv",
        table(
            [
                "Name",
                "Age",
                "Gender",
                "Blood Type",
                "Medical Condition",
                "Date of Admission",
                "Doctor",
                "Hospital",
                "Medication",
            ],
            [
                [
                    r.choice(NAMES),
                    r.randint(20, 90),
                    "F",
                    "A+",
                    r.choice(DIAGNOSES),
                    at(n, 90000).date(),
                    "Dr. Lind",
                    "St. Anna",
                    r.choice(DRUGS),
                ]
                for n in range(30)
            ],
        ),
        "phi",
    )
    notes = [
        [
            n,
            f"The patient is a {40 + n} year old woman who presents with {r.choice(DIAGNOSES).lower()}. Past medical history: none.",
        ]
        for n in range(15)
    ]
    yield case("phi/notes.csv", table(["row", "text"], notes), "phi")
    yield case("phi/prescriptions.parquet", _parquet(), "phi")


def _parquet() -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    out = io.BytesIO()
    data = {
        "subject_id": [n // 3 for n in range(60)],
        "startdate": [at(n) for n in range(60)],
        "drug": [DRUGS[n % 6] for n in range(60)],
        "dose_val_rx": ["5"] * 60,
    }
    parquet.write_table(pa.table(data), out)
    return out.getvalue()


def _languages() -> Iterator[Case]:
    headers = {
        "de": ["Patienten-ID", "Geburtsdatum", "Aufnahmedatum", "Diagnose"], "fr": ["numéro patient", "date de naissance", "date d'admission", "diagnostic"],
        "es": ["id paciente", "fecha de nacimiento", "fecha de ingreso", "diagnóstico"], "pt": ["paciente", "data de nascimento", "data de internação", "diagnóstico"],
        "ja": ["患者ID", "生年月日", "入院日", "診断名"], "zh": ["病历号", "出生日期", "入院日期", "诊断"],
    }  # fmt: skip
    for language, header in headers.items():
        rows = [[f"P{n:05}", f"19{50 + n}-02-02", f"2024-03-{n % 27 + 1:02}", ICD[n % 10]] for n in range(25)]
        yield case(f"phi/kranke-{language}.csv", table(header, rows, ";"), "phi")


def _near_misses() -> Iterator[Case]:
    r = dice("health")
    yield case(
        "none/diabetes.csv",
        table(
            ["Pregnancies", "Glucose", "BloodPressure", "BMI", "Age", "Outcome"],
            [
                [
                    r.randint(0, 9),
                    r.randint(70, 200),
                    r.randint(50, 110),
                    round(r.uniform(18, 45), 1),
                    r.randint(21, 80),
                    r.randint(0, 1),
                ]
                for _ in range(60)
            ],
        ),
        "none",
        "phi",
    )
    yield case(
        "none/heart.csv",
        table(
            ["age", "sex", "cp", "trestbps", "chol", "thalach", "target"],
            [
                [
                    r.randint(30, 75),
                    r.randint(0, 1),
                    r.randint(0, 3),
                    r.randint(95, 180),
                    r.randint(130, 400),
                    r.randint(80, 200),
                    r.randint(0, 1),
                ]
                for _ in range(60)
            ],
        ),
        "none",
        "phi",
    )
    yield case(
        "none/covid.csv",
        table(
            ["country", "date", "confirmed", "deaths", "recovered"],
            [[country, at(n, 86400).date(), n * 13, n, n * 5] for country in ("FR", "IT", "JP") for n in range(20)],
        ),
        "none",
    )
    yield case(
        "none/mortality.csv",
        table(
            ["year", "state", "cause", "deaths", "rate per 100k"],
            [[2000 + n, "Ohio", "Stroke", 900 + n, 40.1] for n in range(20)],
        ),
        "none",
    )
    yield case(
        "none/icd-list.csv",
        table(["code", "title"], list(zip(ICD, DIAGNOSES, strict=False))),
        "none",
        "unclassified;phi",
    )
    yield case(
        "none/drugs.json", json.dumps([{"name": drug, "price": 4.5, "manufacturer": "Acme"} for drug in DRUGS]), "none"
    )
