"""The same content packed: gzip, bzip2, xz, zstandard, zip and tar, also one in another, and under lying names."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Iterator

from support.detection_cases import Case, case
from support.detection_cases.recordings import encode
from support.detection_cases.words import SAID, at, lines, table


def cases() -> Iterator[Case]:
    chat = table(
        ["conversation_id", "speaker", "text"], [[n // 5, f"p{n % 2}", text] for n, text in enumerate(SAID * 2)]
    ).encode()
    log = lines(f"{at(n)} INFO [main] job - step {n}" for n in range(40)).encode()
    grades = table(["student_id", "course", "grade"], [[f"s{n}", "algebra", "ABC"[n % 3]] for n in range(30)]).encode()
    patients = table(
        ["patient_id", "dob", "diagnosis"], [[f"P{n}", "1980-02-02", "Asthma"] for n in range(30)]
    ).encode()
    sound = encode("wav", audio="pcm_s16le")
    yield case("packed/chat.csv.gz", gzip.compress(chat, mtime=0), "chat")
    yield case("packed/app.log.bz2", bz2.compress(log), "telemetry")
    yield case("packed/grades.csv.xz", lzma.compress(grades), "education_record")
    yield case("packed/patients.csv.zst", _zstd(patients), "phi")
    yield case("packed/archive.bin", gzip.compress(patients, mtime=0), "phi")
    yield case("packed/both.zip", _zip({"a/chat.csv": chat, "b/app.log": log}), "chat|telemetry")
    yield case("packed/sound.zip", _zip({"a.wav": sound, "readme.txt": b"A file of sound.\n"}), "audio")
    yield case("packed/shard.tar", _tar({"0001.wav": sound, "0001.txt": b"one two three\n"}), "audio")
    yield case(
        "packed/all.tar.gz",
        gzip.compress(_tar({"grades.csv": grades, "p/patients.csv": patients}), mtime=0),
        "education_record|phi",
    )
    yield case("packed/nested.zip", _zip({"inner.zip": _zip({"chat.csv.gz": gzip.compress(chat, mtime=0)})}), "chat")
    yield case(
        "packed/code.zip", _zip({"main.py": b"print(1)\n" * 20, "logo.png": b"\x89PNG\r\n\x1a\n" + bytes(60)}), "none"
    )
    yield case("packed/sound.wav.gz", gzip.compress(sound, mtime=0), "audio")
    yield case("packed/cut.csv.gz", gzip.compress(chat, mtime=0)[:-200], "chat")
    yield case("packed/concatenated.gz", gzip.compress(log, mtime=0) + gzip.compress(log, mtime=0), "telemetry")


def _zstd(content: bytes) -> bytes:
    import pyarrow as pa

    return pa.compress(content, codec="zstd", asbytes=True)


def _zip(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(zipfile.ZipInfo(name, (2024, 3, 4, 8, 0, 0)), content)
    return out.getvalue()


def _tar(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as packed:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
    return out.getvalue()
