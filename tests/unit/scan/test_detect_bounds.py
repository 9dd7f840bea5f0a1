"""Hostile and huge input costs little time and memory, and ends in an answer that says what was not looked at."""

import gzip
import io
import json
import os
import resource
import struct
import time
import zipfile

import pyarrow as pa
import pytest
from pyarrow import parquet

from gate.scan.detect.detecting import detect_path
from support.detection_cases.words import at, lines

SECONDS = 20.0  # generous: the machine may be busy; each takes far less


@pytest.fixture(autouse=True)
def _quick():
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert time.monotonic() - start < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 700_000  # KiB


def test_zip_bomb(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for n in range(12):
            packed.writestr(f"{n}.bin", bytes(12 << 20))
    found = detect_path(str(tmp_path / "bomb.zip"))
    assert found.categories == ("unclassified",)
    assert any("members were looked into" in one or "not known" in one for one in found.notes)


def test_gzip_bomb_in_gzip(tmp_path):
    (tmp_path / "b.gz").write_bytes(gzip.compress(gzip.compress(gzip.compress(bytes(100 << 20), 9), 9), 9))
    assert detect_path(str(tmp_path / "b.gz")).categories == ("unclassified",)


def test_containers_nested_for_ever(tmp_path):
    content = b"a,b\n1,2\n"
    for _ in range(12):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as packed:
            packed.writestr("inner.zip", content)
        content = out.getvalue()
    (tmp_path / "n.zip").write_bytes(content)
    found = detect_path(str(tmp_path / "n.zip"))
    assert found.categories == ("unclassified",)
    assert any("nested too deeply" in one for one in found.notes)


def test_one_line_of_json_of_ten_gigabytes(tmp_path):
    path = tmp_path / "one.json"
    with path.open("wb") as file:
        file.write(b'{"messages": [')
        item = (
            json.dumps({"role": "user", "content": "can you help me, please?"})
            + ","
            + json.dumps({"role": "assistant", "content": "yes"})
            + ","
        )
        file.write(item.encode() * 60_000)
        file.truncate(10 << 30)
    found = detect_path(str(path))
    assert found.categories == ("chat",)
    assert found.rows is None
    assert any("bytes were looked at" in one for one in found.notes)


def test_ten_gigabytes_of_nothing_in_json(tmp_path):
    path = tmp_path / "one.json"
    with path.open("wb") as file:
        file.write(b'["' + b"x" * (6 << 20))
        file.truncate(10 << 30)
    assert detect_path(str(path)).categories == ("unclassified",)


def test_sparse_parquet_of_ten_gigabytes(tmp_path):
    path = tmp_path / "big.parquet"
    small = io.BytesIO()
    table = pa.table(
        {
            "patient_id": [f"P{n}" for n in range(5000)],
            "diagnosis": ["Asthma"] * 5000,
            "visit_date": [at(n) for n in range(5000)],
        }
    )
    parquet.write_table(table, small, row_group_size=500)
    content = small.getvalue()
    footer = struct.unpack("<I", content[-8:-4])[0] + 8
    with path.open("wb") as file:  # the row groups, ten gigabytes of hole, the footer
        file.write(content[:-footer])
        file.seek(10 << 30)
        file.write(content[-footer:])
    found = detect_path(str(path))
    assert found.categories == ("phi",)
    assert found.rows == 5000
    assert any("row groups" in one for one in found.notes)


@pytest.mark.parametrize("form", ["csv", "parquet", "json"])
def test_ten_thousand_columns(tmp_path, form):
    names = [f"c{n}" for n in range(10_000)]
    path = tmp_path / f"wide.{form}"
    if form == "csv":
        path.write_text("\n".join([",".join(names), *[",".join("1" * 10_000)] * 5]))
    elif form == "parquet":
        parquet.write_table(pa.table({name: [1, 2] for name in names}), path)
    else:
        path.write_text(json.dumps([dict.fromkeys(names, 1)] * 5))
    found = detect_path(str(path))
    assert found.categories in (("none",), ("unclassified",))


@pytest.mark.parametrize(
    "content", ["[" * 200_000, '{"a":' * 100_000 + "1" + "}" * 100_000, "<a>" * 100_000, "- " * 50_000 + "a\nb: c\n"]
)
def test_deep_nesting(tmp_path, content):
    (tmp_path / "deep.json").write_text(content)
    assert detect_path(str(tmp_path / "deep.json")).categories in (("none",), ("unclassified",))


def test_entities_that_multiply(tmp_path):
    laughs = (
        '<!DOCTYPE l [<!ENTITY a "lol">'
        + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
        + "]><l>&a11;</l>"
    )
    (tmp_path / "l.xml").write_text(laughs)
    assert detect_path(str(tmp_path / "l.xml")).categories in (("none",), ("unclassified",))
    aliases = "a: &a [x,x,x,x,x,x,x,x]\n" + "".join(
        f"b{n}: &b{n} [*{'a' if n == 0 else f'b{n - 1}'},*{'a' if n == 0 else f'b{n - 1}'}]\n" for n in range(40)
    )
    (tmp_path / "a.yaml").write_text(aliases)
    assert detect_path(str(tmp_path / "a.yaml")).categories == ("none",)


def test_links_pipes_and_forbidden_files(tmp_path):
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "a.csv").write_text("a,b\n1,2\n")
    (folder / "loop").symlink_to(folder)
    found = detect_path(str(folder))
    assert found.categories == ("unclassified",)
    assert "loop: is a link, which is not followed" in found.notes
    (tmp_path / "round").symlink_to(tmp_path / "round")
    assert not detect_path(str(tmp_path / "round")).readable
    os.mkfifo(tmp_path / "pipe")
    assert not detect_path(str(tmp_path / "pipe")).readable


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_permissions(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n")
    (tmp_path / "a.csv").chmod(0)
    assert not detect_path(str(tmp_path / "a.csv")).readable


def test_a_folder_of_very_many_files(tmp_path):
    for n in range(3000):
        (tmp_path / f"{n:05}.log").write_text(f"{at(n)} INFO [main] step {n}\n" * 3)
    (tmp_path / "z.ndjson").write_text(lines({"resourceType": "Patient", "id": str(n)} for n in range(3)))
    found = detect_path(str(tmp_path))
    assert found.categories == ("phi", "telemetry")
    assert any(one.endswith("of 3001 files were looked into, some of each folder and kind") for one in found.notes)


@pytest.mark.parametrize(
    "magic",
    [
        b"\0\0\0\x18ftypisom",
        b"\x1aE\xdf\xa3",
        b"RIFF\xff\xff\xff\xffAVI ",
        b"OggS",
        b"ID3\4\0\0",
        b"\0\0\1\xba",
        b"PAR1",
        b"ARROW1",
        b"SQLite format 3\0",
        b"ORC",
        b"\x1f\x8b\x08",
        b"BZh9",
        b"\xfd7zXZ\0",
        b"\x28\xb5\x2f\xfd",
    ],
)
def test_containers_that_hold_rubbish(tmp_path, magic):
    import random

    (tmp_path / "f").write_bytes(magic + random.Random(7).randbytes(60_000))
    found = detect_path(str(tmp_path / "f"))
    assert set(found.categories) <= {"unclassified", "video", "audio"}
