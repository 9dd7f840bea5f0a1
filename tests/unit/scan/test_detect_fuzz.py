"""Whatever the bytes, looking into them ends in an answer; hypothesis looks for bytes that break a parser."""

import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gate.domain.words import Category
from gate.scan.detect.blob import of_bytes
from gate.scan.detect.budget import Budget
from gate.scan.detect.delimited import read_delimited
from gate.scan.detect.documents import read_json, read_xml, read_yaml
from gate.scan.detect.examine import look
from gate.scan.detect.matching import evidence_in
from gate.scan.detect.signals import load_signals
from gate.scan.detect.textual import decode
from gate.scan.detect.trees import tables_of
from gate.scan.detect.turns import find_turns

EXAMPLES = int(os.environ.get("GATE_FUZZ_EXAMPLES", "25"))  # set it high to fuzz for hours
often = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
MAGIC = [
    *(b"", b"RIFF\x24\0\0\0WAVEfmt ", b"\0\0\0\x18ftypisom", b"OggS\0\2", b"\x1aE\xdf\xa3", b"ID3\4", b"\xff\xfb\x90"),
    *(b"PAR1", b"ARROW1\0\0", b"ORC", b"SQLite format 3\0", b"NIST_1A\n", b"0       ", b"%PDF-1.4\n", b"\xff\xfe"),
    *(b"\x1f\x8b\x08\0", b"BZh9", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"PK\x03\x04"),
    *(b"MSH|^~\\&|", b"ISA*00*", bytes(128) + b"DICM", b"\x08\0\x05\0CS"),
    *(b"WEBVTT\n\n", b'{"a":', b"[[", b"<a>", b"- a: "),
]
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=8), inner, max_size=6),
    max_leaves=30,
)


def examine(content, name="f"):
    for one in look(of_bytes(name, content), Budget()):
        for evidence in evidence_in(one.content, load_signals()):
            assert evidence.category in set(Category)
            assert 0 < evidence.weight <= 1


@often
@given(st.sampled_from(MAGIC), st.binary(max_size=3000))
def test_bytes(magic, rest):
    examine(magic + rest)


@often
@given(st.text(max_size=600), st.sampled_from(["f.csv", "f.yaml", "f.txt", "f.json"]))
def test_text(text, name):
    examine(text.encode("utf-8", "surrogatepass"), name)


@often
@given(anything)
def test_documents(document):
    tables, _ = tables_of(document)
    for table in tables:
        assert all(isinstance(value, str | bytes) for column in table.columns for value in column.values)


@often
@given(st.text(alphabet='{}[]",:\\ab1 \n<>/=-&;|\t', max_size=300), st.booleans())
def test_parsers(text, whole):
    for read in (read_json, read_xml, read_yaml):
        parsed = read(text, whole=whole)
        assert parsed is None or isinstance(parsed.documents, list)
    read_delimited(text, named=whole)
    find_turns(text.splitlines())


@often
@given(st.dictionaries(st.text(max_size=6), st.text(max_size=12), min_size=1, max_size=5), st.integers(1, 40))
def test_json_cut_anywhere_is_read_as_far_as_it_goes(record, cut):
    text = json.dumps([record] * 10)
    parsed = read_json(text[: len(text) * cut // 40], whole=False)
    assert parsed is None or parsed.documents


@often
@given(
    st.text(min_size=1, max_size=60), st.sampled_from(["utf-8", "utf-16", "utf-32", "shift_jis", "gb18030", "latin-1"])
)
def test_decoding_never_fails(text, encoding):
    decode(text.encode(encoding, "replace"))


@pytest.mark.parametrize("cut", [1, 7, 44, 60, 200, 1000])
def test_media_cut_anywhere(cut):
    pytest.importorskip("av")
    from support.detection_cases.recordings import encode

    for form, codecs in (
        ("wav", {"audio": "pcm_s16le"}),
        ("mp4", {"video": "mpeg4"}),
        ("matroska", {"audio": "libopus"}),
    ):
        examine(encode(form, **codecs)[:cut])
