"""What looking into a dataset for its tag finds: files made by PyAV and by hand."""

import gzip
import random
import subprocess
import sys

import pyarrow as pa
import pytest
from pyarrow import parquet

from gate.domain.dataset import dataset
from gate.scan.detect import examination
from gate.scan.detect.examination import examine

CUE = b"WEBVTT\n\n00:00.000 --> 00:01.000\nhello\n"
KINDS = {"a.mp4": "mp4", "a.mkv": "matroska"}

av = pytest.importorskip("av")
np = pytest.importorskip("numpy")


def encode(path, *, video=None, audio=None, image=None, container=None):
    with av.open(str(path), "w", format=container) as out:
        if video or image:
            stream = out.add_stream(video or image, rate=10)
            stream.width = stream.height = 64
            stream.pix_fmt = {"png": "rgb24", "mjpeg": "yuvj420p", "gif": "rgb8", "bmp": "bgr24"}.get(image, "yuv420p")
        sound = out.add_stream(audio, rate=48000) if audio else None
        if video or image:
            for shade in range(1 if image else 4):
                picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), shade, np.uint8), format="rgb24")
                out.mux(stream.encode(picture))
            out.mux(stream.encode())
        if sound:
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.int16), format="s16", layout="mono")
            frame.sample_rate = 48000
            out.mux(sound.encode(frame))
            out.mux(sound.encode())
    return path


def found(path):
    return {category.value for category in examine(dataset(str(path))).categories}


@pytest.mark.parametrize(
    ("name", "how", "categories"),
    [
        ("a.wav", {"audio": "pcm_s16le"}, {"audio"}),
        ("a.flac", {"audio": "flac"}, {"audio"}),
        ("a.mp3", {"audio": "libmp3lame"}, {"audio"}),
        ("a.aac", {"audio": "aac", "container": "adts"}, {"audio"}),
        ("a.ogg", {"audio": "libopus"}, {"audio"}),
        ("a.m4a", {"audio": "aac", "container": "mp4"}, {"audio"}),
        ("audio-only.mp4", {"audio": "aac"}, {"audio"}),
        ("audio-only.webm", {"audio": "libopus"}, {"audio"}),
        ("silent.mp4", {"video": "mpeg4"}, {"video"}),
        ("both.mp4", {"video": "mpeg4", "audio": "aac"}, {"video", "audio"}),
        ("both.mkv", {"video": "mpeg4", "audio": "aac"}, {"video", "audio"}),
        ("both.avi", {"video": "mpeg4", "audio": "pcm_s16le"}, {"video", "audio"}),
        ("both.ts", {"video": "mpeg2video", "audio": "mp2"}, {"video", "audio"}),
        ("disguised.csv", {"video": "mpeg4", "audio": "aac", "container": "mp4"}, {"video", "audio"}),
        ("no-extension", {"audio": "pcm_s16le", "container": "wav"}, {"audio"}),
        ("i.png", {"image": "png"}, set()),
        ("i.jpg", {"image": "mjpeg"}, set()),
        ("i.bmp", {"image": "bmp"}, set()),
        ("i.gif", {"image": "gif"}, set()),
    ],
)
def test_tracks(tmp_path, name, how, categories):
    try:
        path = encode(tmp_path / name, **how)
    except av.codec.codec.UnknownCodecError as missing:
        pytest.skip(f"this PyAV has no {missing}")
    result = examine(dataset(str(path)))
    assert {category.value for category in result.categories} == categories
    assert (result.question, result.unread) == (None, 0)
    assert {(category, files) for category, _, files in result.evidence} == {(category, 1) for category in categories}


def test_cover_art_is_not_video(tmp_path):
    encode(tmp_path / "cover.png", image="png")
    encode(tmp_path / "plain.mp3", audio="libmp3lame")
    with (
        av.open(str(tmp_path / "plain.mp3")) as sound,
        av.open(str(tmp_path / "cover.png")) as cover,
        av.open(str(tmp_path / "song.mp3"), "w") as out,
    ):
        streams = {source: out.add_stream_from_template(source.streams[0]) for source in (sound, cover)}
        streams[cover].disposition = av.stream.Disposition.attached_pic
        for source, stream in streams.items():
            for packet in source.demux(source.streams[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    out.mux(packet)
    with av.open(str(tmp_path / "song.mp3")) as song:
        assert {stream.type for stream in song.streams} == {"audio", "video"}
    assert found(tmp_path / "song.mp3") == {"audio"}


X12 = "ISA*00*          *00*          *ZZ*SENDERID       *ZZ*RECEIVERID     *030101*1253*U*00501*000000905*1*T*:~GS*HC~"


@pytest.mark.parametrize(
    ("content", "categories"),
    [
        (b"WEBVTT\n\n00:00.000 --> 00:01.000\nhello\n", {"chat"}),
        (b"\xef\xbb\xbfWEBVTT - title\r\n\r\n00:01.000 --> 00:02.000\r\nhello\r\n", {"chat"}),
        (b"WEBVTT\n\n00:00.000 --> 00:05.000\nsprite.jpg#xywh=0,0,160,90\n", set()),
        (b"WEBVTTX\n", set()),
        (b"1\r\n00:00:01,000 --> 00:00:02,000\r\nhello\r\n", {"chat"}),
        (b'{"resourceType":"Patient","id":"1"}\n', {"phi"}),
        (
            b'{\n  "resourceType" : "Bundle", "entry": [{"resource": {"resourceType": "Patient", "id": "1"}}]\n}',
            {"phi"},
        ),
        (b'{"type":"resource"}\n', set()),
        (b"MSH|^~\\&|LAB|HOSP|||20230801||ORU^R01|1|P|2.5\rPID|1\r", {"phi"}),
        (b"FHS|^~\\&|A\rBHS|^~\\&|A\rMSH|^~\\&|LAB\r", {"phi"}),
        (b"MSH is a word\n", set()),
        (b"\0" * 128 + b"DICM\2\0\0\0", {"phi"}),
        (X12.encode(), {"phi"}),
        (X12.replace("*", "|").encode(), {"phi"}),
        (b"ISA is a word" + b" " * 120, set()),
        (b"account_id,n\na,1\n", set()),
        (b"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:9/x.ts\n", set()),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", set()),
        (b"", set()),
    ],
)
def test_headers_that_say_what_a_file_is(tmp_path, content, categories):
    (tmp_path / "keep").write_bytes(b"x")
    (tmp_path / "f").write_bytes(content)
    assert found(tmp_path / "f") == categories


def test_other_data_is_not_taken_for_media_but_asked_about(tmp_path):
    numbers = random.Random(7)
    for number in range(40):
        (tmp_path / f"{number}.bin").write_bytes(numbers.randbytes(numbers.choice((50, 5000, 100_000))))
    result = examine(dataset(str(tmp_path)))
    assert (result.categories, result.unread) == (frozenset(), 40)
    assert result.question == "What is in it? It could not be looked into."


def test_markers_without_a_byte_are_passed_over(tmp_path):
    parquet.write_table(pa.table({"account_id": ["a"], "n": [1]}), tmp_path / "x.parquet")
    (tmp_path / "_SUCCESS").touch()
    result = examine(dataset(str(tmp_path)))
    assert (result.categories, result.question, result.unread) == (frozenset(), None, 0)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_media_that_cannot_be_opened_is_asked_about(tmp_path, name):
    (tmp_path / name).write_bytes(encode(tmp_path / "whole", audio="aac", container=KINDS[name]).read_bytes()[:30])
    result = examine(dataset(str(tmp_path / name)))
    assert (result.categories, result.unread, bool(result.question)) == (frozenset(), 1, True)


def test_media_packed_in_gzip_is_found(tmp_path):
    whole = encode(tmp_path / "a.wav", audio="pcm_s16le")
    (tmp_path / "a.wav.gz").write_bytes(gzip.compress(whole.read_bytes(), mtime=0))
    assert found(tmp_path / "a.wav.gz") == {"audio"}


def test_columns_are_named_and_values_never(tmp_path):
    path = tmp_path / "calls.csv"
    lines = [f"acme,{n},guest-{n % 3},could you send me the report number {n} please" for n in range(60)]
    path.write_text("\n".join(["account_id,jitter_ms,sender,text", *lines]), "utf-8")
    result = examine(dataset(str(path), "account_id"))
    assert {category.value for category in result.categories} >= {"chat"}
    assert {"sender", "text"} <= {column for category, column in result.columns if category == "chat"}
    assert "report" not in repr(result)


def test_more_files_than_the_limit_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(examination, "LIMIT", 3)
    for number in range(5):
        (tmp_path / f"{number}.vtt").write_bytes(CUE)
    result = examine(dataset(str(tmp_path)))
    assert ({(c, s): n for c, s, n in result.evidence}["chat", "transcript with times"], result.unread) == (3, 2)
    assert result.question == "What is in the files beyond the first 3? They were not looked into."


def test_without_pyav_a_container_is_asked_about(tmp_path):
    encode(tmp_path / "a.mp4", audio="aac")
    code = (
        "import sys; sys.modules['av'] = None\n"
        "from gate.domain.dataset import dataset\n"
        "from gate.scan.detect.examination import examine\n"
        "found = examine(dataset(sys.argv[1] + '/a.mp4'))\n"
        "print(sorted(found.categories), found.question is not None)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] True"
