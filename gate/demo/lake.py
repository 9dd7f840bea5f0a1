"""Makes the demo's data lake: small files in real formats, the same for the same seed. Every name is invented."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ACCOUNTS = ("aurora", "borealis", "cascade", "delta", "ember", "fjord", "glacier", "harbor")
SCHOOLS = ("aurora", "cascade", "glacier")  # accounts with education records
CLINICS = ("aurora", "harbor")  # accounts with health records

_START = datetime(2025, 6, 2, 9, 0, tzinfo=UTC)
_ROOMS = ("planning", "support", "coffee")
_PEOPLE = ("host", "guest-1", "guest-2", "guest-3")
_THINGS = ("report", "invoice", "roadmap", "release", "survey", "contract", "slides", "budget")
_FOLLOW_UP = (
    "please send the {0} before {1}",
    "can you update the {0} by {1}",
    "we decided to ship the {0} on {1}",
    "action for me: finish the {0} until {1}",
)
_SMALL_TALK = (
    "nice weather on {1}, is it not",
    "thanks, the {0} looked lovely",
    "good morning all, how was {1}",
    "i am still drinking my coffee over the {0}",
)
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday")


def make_lake(folder: Path, seed: int = 7) -> list[Path]:
    """Write the whole lake.

    Args:
        folder: made if missing; files of an earlier lake are overwritten.
        seed: of everything random.

    Returns:
        Every file, sorted.
    """
    for number, account in enumerate(ACCOUNTS):
        _recordings(folder / "meetings/recordings" / account, number, seed)
        _transcripts(folder / "meetings/transcripts" / account, account, seed)
    _chat(folder / "meetings/chat/chat.jsonl", ACCOUNTS, seed)
    _chat(folder / "meetings_live/chat.jsonl", ("aurora", "borealis"), seed)
    _chat(folder / "pilot/chat.jsonl", ("aurora",), seed)
    _chat(folder / "renewals/chat.jsonl", ("harbor",), seed)
    _telemetry(folder / "telemetry", seed)
    _feedback(folder / "call_feedback/calls.jsonl", seed)
    _gradebook(folder / "education/gradebook.csv", seed)
    for account in CLINICS:
        _fhir(folder / "phi/fhir" / account / "observations.ndjson", account, seed)
        _hl7(folder / "phi/hl7" / account / "results.hl7", account, seed)
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _dice(*parts: object) -> random.Random:
    return random.Random(":".join(map(str, parts)))  # noqa: S311  test data, not secrets


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _recordings(folder: Path, number: int, seed: int) -> None:
    from gate.demo.sound import talk, write_flac, write_mp4, write_wav

    folder.mkdir(parents=True, exist_ok=True)
    voice, noise = 160 + 35 * number, seed * 1_000 + number * 10
    write_wav(folder / "weekly.wav", talk(voice, 2.0, noise))
    write_flac(folder / "interview.flac", talk(voice + 20, 1.5, noise + 1))
    write_mp4(folder / "town-hall.mp4", talk(voice + 40, 1.5, noise + 2), 1.5, 20 * number + 40)
    write_mp4(folder / "screen-share.mp4", None, 1.5, 20 * number + 60)


def _line(dice: random.Random, follow_up: bool) -> str:
    return dice.choice(_FOLLOW_UP if follow_up else _SMALL_TALK).format(dice.choice(_THINGS), dice.choice(_DAYS))


def _chat(path: Path, accounts: Iterable[str], seed: int) -> None:
    rows = []
    for account in accounts:
        dice = _dice(seed, path.parent.name, account)
        for number in range(40):
            follow_up = number % 2 == 0
            row = {
                "account_id": account,
                "room": dice.choice(_ROOMS),
                "sender": dice.choice(_PEOPLE),
                "sent_at": (_START + timedelta(minutes=7 * number)).isoformat(),
                "text": _line(dice, follow_up),
                "reply_minutes": dice.randint(1, 5) if follow_up else dice.randint(20, 90),
                "follow_up": follow_up,
            }
            rows.append(json.dumps(row))
    _made(path).write_text("\n".join(rows) + "\n", encoding="utf-8")


def _transcripts(folder: Path, account: str, seed: int) -> None:
    dice = _dice(seed, "transcript", account)
    for name in ("weekly", "interview"):
        cues = []
        for number in range(10):
            start, end = 3 * number, 3 * number + 2
            cue = (
                f"00:00:{start:02}.000 --> 00:00:{end:02}.500\n<v {dice.choice(_PEOPLE)}>{_line(dice, number % 2 == 0)}"
            )
            cues.append(f"{number + 1}\n{cue}")
        _made(folder / f"{name}.vtt").write_text("WEBVTT\n\n" + "\n\n".join(cues) + "\n", encoding="utf-8")


def _telemetry(folder: Path, seed: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    for part, accounts in enumerate((ACCOUNTS[:4], ACCOUNTS[4:])):
        rows = [_call(_dice(seed, "telemetry", account, n), account) for account in accounts for n in range(60)]
        pq.write_table(pa.Table.from_pylist(rows), folder / f"part-{part}.parquet")


def _call(dice: random.Random, account: str) -> dict[str, Any]:
    loss, jitter = dice.expovariate(0.5), dice.expovariate(0.08)
    worst = loss / 3 + jitter / 25
    return {
        "account_id": account,
        "packet_loss_pct": round(loss, 2),
        "jitter_ms": round(jitter, 1),
        "rtt_ms": round(dice.uniform(15, 60) + 2 * jitter, 1),
        "bitrate_kbps": dice.randint(300, 2_500),
        "quality": "good" if worst < 0.6 else "fair" if worst < 1.5 else "poor",
    }


def _feedback(path: Path, seed: int) -> None:
    """Write metrics of calls that somebody added a column to: what people typed meanwhile."""
    rows = []
    for account in ACCOUNTS:
        dice = _dice(seed, "feedback", account)
        for number in range(12):
            typed = {"sender": dice.choice(_PEOPLE), "message": _line(dice, number % 2 == 0)}
            rows.append(json.dumps(_call(dice, account) | typed))
    _made(path).write_text("\n".join(rows) + "\n", encoding="utf-8")


def _gradebook(path: Path, seed: int) -> None:
    dice = _dice(seed, "grades")
    with _made(path).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["account_id", "student_id", "course", "attendance_pct", "homework_pct", "grade", "passed"])
        for account in SCHOOLS:
            for number in range(12):
                attendance, homework = dice.randint(40, 100), dice.randint(30, 100)
                score = (attendance + 2 * homework) / 3
                grade = "ABCDF"[min(4, int(max(0, 95 - score) // 12))]
                student = f"{account}-s{number:02}"
                writer.writerow([account, student, "algebra", attendance, homework, grade, str(score >= 60).lower()])


def _fhir(path: Path, account: str, seed: int) -> None:
    dice = _dice(seed, "fhir", account)
    resources: list[dict[str, Any]] = []
    for number in range(12):
        patient = f"{account}-p{number:02}"
        resources.append({"resourceType": "Patient", "id": patient, "birthDate": f"19{dice.randint(40, 99)}-01-01"})
        resources.append(
            {
                "resourceType": "Observation",
                "id": f"{patient}-pulse",
                "status": "final",
                "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4", "display": "Heart rate"}]},
                "subject": {"reference": f"Patient/{patient}"},
                "effectiveDateTime": (_START + timedelta(hours=number)).isoformat(),
                "valueQuantity": {"value": dice.randint(52, 118), "unit": "beats/minute"},
            }
        )
    _made(path).write_text("".join(json.dumps(resource) + "\n" for resource in resources), encoding="utf-8")


def _hl7(path: Path, account: str, seed: int) -> None:
    dice = _dice(seed, "hl7", account)
    messages = []
    for number in range(12):
        sent = (_START + timedelta(hours=number)).strftime("%Y%m%d%H%M%S")
        patient = f"{account}-p{number:02}"
        segments = (
            f"MSH|^~\\&|LAB|{account.upper()}|EHR|{account.upper()}|{sent}||ORU^R01|{number:04}|P|2.5.1",
            f"PID|1||{patient}^^^{account.upper()}||PATIENT^{number:02}",
            f"OBR|1|||2345-7^Glucose^LN|||{sent}",
            f"OBX|1|NM|2345-7^Glucose^LN||{dice.randint(70, 180)}|mg/dL|70-99|N|||F",
        )
        messages.append("\r".join(segments) + "\r")
    _made(path).write_bytes("".join(messages).encode("ascii"))
