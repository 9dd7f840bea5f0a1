"""Categories the bytes prove, and declarations they contradict; files made by PyAV and by hand."""

import gzip
import random
import subprocess
import sys

import pyarrow as pa
import pytest
from pyarrow import parquet

from gate.domain.dataset import dataset
from gate.domain.words import Category
from gate.scan import media
from gate.scan.media import contradictions, probe_categories

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
    return {category.value for category in probe_categories(dataset(str(path))).categories}


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
    result = probe_categories(dataset(str(path)))
    assert {category.value for category in result.categories} == categories
    assert result.problems == ()
    assert {(category, where, weight) for category, _, where, weight in result.evidence} == {
        (category, name, 1.0) for category in categories
    }


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
        (b"\xef\xbb\xbfWEBVTT - title\r\n", {"chat"}),
        (b"WEBVTTX\n", set()),
        (b"1\r\n00:00:01,000 --> 00:00:02,000\r\nhello\r\n", {"chat"}),
        (b'{"resourceType":"Patient","id":"1"}\n', {"phi"}),
        (b'{\n  "resourceType" : "Bundle"\n}', {"phi"}),
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


def test_other_data_is_not_taken_for_media(tmp_path):
    numbers = random.Random(7)
    for number in range(40):
        (tmp_path / f"{number}.bin").write_bytes(numbers.randbytes(numbers.choice((50, 5000, 100_000))))
    np.save(tmp_path / "x.npy", np.arange(20_000, dtype="f4"))
    parquet.write_table(pa.table({"account_id": ["a"]}), tmp_path / "x.parquet")
    result = probe_categories(dataset(str(tmp_path)))
    assert (result.categories, result.problems) == (frozenset(), ())


@pytest.mark.parametrize("name", ["a.wav", "a.mp4"])
def test_media_that_cannot_be_opened_is_a_problem_not_nothing(tmp_path, name):
    whole = encode(tmp_path / "whole", audio="aac" if "mp4" in name else "pcm_s16le", container=name[2:])
    (tmp_path / name).write_bytes(whole.read_bytes()[:30])
    (problem,) = probe_categories(dataset(str(tmp_path / name))).problems
    assert problem.startswith(f"{name}: looks like")


def test_media_packed_in_gzip_is_a_problem(tmp_path):
    whole = encode(tmp_path / "a.wav", audio="pcm_s16le")
    (tmp_path / "a.wav.gz").write_bytes(gzip.compress(whole.read_bytes(), mtime=0))
    (problem,) = probe_categories(dataset(str(tmp_path / "a.wav.gz"))).problems
    assert "packed in gzip" in problem


def test_transcripts_packed_in_gzip_are_found(tmp_path):
    (tmp_path / "t.vtt.gz").write_bytes(gzip.compress(b"WEBVTT\n", mtime=0))
    assert found(tmp_path / "t.vtt.gz") == {"chat"}


def test_more_files_than_the_limit_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(media, "LIMIT", 3)
    for number in range(5):
        (tmp_path / f"{number}.vtt").write_text("WEBVTT\n")
    result = probe_categories(dataset(str(tmp_path)))
    assert (len(result.evidence), result.unprobed) == (3, 2)


def test_without_pyav_media_is_an_error_with_the_remedy(tmp_path):
    encode(tmp_path / "a.wav", audio="pcm_s16le")
    (tmp_path / "x.bin").write_bytes(b"\x80\x81\x82")
    code = (
        "import sys; sys.modules['av'] = None\n"
        "from gate.domain.dataset import dataset\n"
        "from gate.errors import DatasetError\n"
        "from gate.scan.media import probe_categories\n"
        "print(probe_categories(dataset(sys.argv[1] + '/x.bin')).categories)\n"
        "try: probe_categories(dataset(sys.argv[1] + '/a.wav'))\n"
        "except DatasetError as error: print(error.exit_code, error)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    nothing, error = done.stdout.splitlines()
    assert nothing == "frozenset()"
    assert error.startswith("4 a.wav: is WAV, and PyAV")
    assert "[media]" in error


@pytest.mark.parametrize(
    ("declared", "names", "said"),
    [
        ({"telemetry"}, ["video"], ["declared as telemetry, but 1 of its files hold video"]),
        ({"none"}, ["audio"], ["declared as none, but 1 of its files hold audio"]),
        ({"video"}, ["video", "audio"], ["declared as video, but 1 of its files hold audio"]),
        ({"aggregated_anonymous"}, ["chat"], ["declared as aggregated_anonymous, but 1 of its files hold chat"]),
        ({"video", "audio", "chat"}, ["video", "audio"], []),
        ({"audio"}, [], []),
        (set(), ["audio"], []),
    ],
)
def test_contradictions(declared, names, said):
    evidence = tuple((name, "track", "f", 1.0) for name in names)
    result = media.ProbeResult(frozenset(map(Category, names)), evidence, ())
    assert contradictions({Category(word) for word in declared}, result) == said
