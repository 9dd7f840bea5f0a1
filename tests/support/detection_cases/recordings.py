"""Sound and pictures: containers made by PyAV, raw samples, disguises, and tables that hold or point to them."""

from __future__ import annotations

import array
import base64
import io
import json
import math
import struct
from collections.abc import Iterator
from typing import Any

from support.detection_cases import Case, case
from support.detection_cases.words import dice, lines, table

_BOTH, _ALSO = "video|audio", "video"


def cases() -> Iterator[Case]:
    yield from _containers()
    yield from _raw()
    yield from _tables()
    yield from _not_media()


def encode(form: str, *, video: str | None = None, audio: str | None = None, seconds: float = 0.5) -> bytes:
    """Return a small file of the container `form` with the named codecs."""
    import av
    import numpy as np

    out = io.BytesIO()
    with av.open(out, "w", format=form) as container:
        if video:
            picture = container.add_stream(video, rate=25)
            picture.width, picture.height, picture.pix_fmt = 64, 64, "yuv420p"
        if audio:
            sound = container.add_stream(audio, rate=48000)
        if video:
            for shade in range(6):
                frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 30 * shade, np.uint8), format="rgb24")
                container.mux(picture.encode(frame))
            container.mux(picture.encode())
        if audio:
            tone = (8000 * np.sin(np.arange(int(48000 * seconds)) / 20)).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
            frame.sample_rate = 48000
            container.mux(sound.encode(frame))
            container.mux(sound.encode())
    return out.getvalue()


def _containers() -> Iterator[Case]:
    sounds = {
        "talk.wav": ("wav", "pcm_s16le"), "talk.flac": ("flac", "flac"), "talk.ogg": ("ogg", "libopus"),
        "talk.aiff": ("aiff", "pcm_s16be"), "talk.au": ("au", "pcm_s16be"), "talk.caf": ("caf", "pcm_s16le"),
        "talk.w64": ("w64", "pcm_s16le"), "sound-only.mkv": ("matroska", "libopus"), "sound-only.mp4": ("mp4", "aac"),
        "sound-only.mov": ("mov", "aac"), "notes.txt": ("wav", "pcm_s16le"), "talk.aac": ("adts", "aac"),
        "talk.mp2": ("mp2", "mp2"), "talk.ac3": ("ac3", "ac3"), "report.pdf": ("flac", "flac"), "talk.wv": ("wv", "wavpack"),
        "talk.tta": ("tta", "tta"), "voice.3gp": ("3gp", "aac"), "table.csv": ("ogg", "libopus"), "sound.asf": ("asf", "libmp3lame"),
    }  # fmt: skip
    for name, (form, codec) in sounds.items():
        yield case(f"audio/{name}", encode(form, audio=codec), "audio")
    pictures = {
        "call.mp4": ("mp4", "mpeg4", "aac"), "call.mkv": ("matroska", "mpeg4", "aac"), "call.avi": ("avi", "mpeg4", "pcm_s16le"),
        "call.ts": ("mpegts", "mpeg2video", "mp2"), "call.flv": ("flv", "flv1", "aac"), "call.mpg": ("mpeg", "mpeg1video", "mp2"),
        "call.mov": ("mov", "mpeg4", "aac"), "call.wmv": ("asf", "msmpeg4v3", "libmp3lame"), "export.json": ("mp4", "mpeg4", "aac"),
        "call.nut": ("nut", "mpeg4", "aac"), "song.mp3": ("mov", "mpeg4", "aac"),
    }  # fmt: skip
    for name, (form, video, audio) in pictures.items():
        yield case(f"video/{name}", encode(form, video=video, audio=audio), _BOTH, _ALSO)
    for name, form, video in (
        ("silent.mp4", "mp4", "mpeg4"),
        ("screen.avi", "avi", "mpeg4"),
        ("camera.dat", "matroska", "mpeg4"),
    ):
        yield case(f"video/{name}", encode(form, video=video), "video")
    whole = encode("mp4", video="mpeg4", audio="aac", seconds=2)
    yield case("video/cut.mp4", whole[: len(whole) * 2 // 3], "video", "video|audio")
    yield case("audio/cut.wav", encode("wav", audio="pcm_s16le", seconds=2)[:50_000], "audio")


def _speech(rate: int, seconds: float) -> list[float]:
    """Return samples that rise and fall as syllables do."""
    rolled = dice("speech")
    samples, phase = [], 0.0
    for number in range(int(rate * seconds)):
        pitch = 130 + 30 * math.sin(number / rate * 5)
        phase += 2 * math.pi * pitch / rate
        loud = max(0.0, math.sin(number / rate * 2 * math.pi * 3)) * 0.5
        voice = math.sin(phase) + 0.5 * math.sin(2 * phase) + 0.25 * math.sin(3 * phase)
        samples.append(loud * voice / 2 + rolled.gauss(0, 0.002))
    return samples


def _raw() -> Iterator[Case]:
    voice = _speech(16000, 2)
    whole = array.array("h", [int(20000 * value) for value in voice])
    yield case("audio/take.raw", whole.tobytes(), "audio")
    whole.byteswap()
    yield case("audio/take-be.pcm", whole.tobytes(), "audio")
    yield case("audio/take.f32", array.array("f", voice).tobytes(), "audio")
    header = "NIST_1A\n   1024\nsample_count -i 8000\nsample_rate -i 8000\nchannel_count -i 1\nend_head\n".ljust(1024)
    yield case("audio/swb.sph", header.encode() + whole.tobytes(), "audio")


def _parquet(columns: dict[str, Any]) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    out = io.BytesIO()
    parquet.write_table(pa.table(columns), out)
    return out.getvalue()


def _tables() -> Iterator[Case]:
    sound, film = encode("wav", audio="pcm_s16le"), encode("mp4", video="mpeg4", audio="aac")
    yield case(
        "audio/corpus.parquet",
        _parquet({"audio": [{"bytes": sound, "path": "1.wav"}] * 4, "text": ["a b"] * 4}),
        "audio",
    )
    yield case("audio/blobs.parquet", _parquet({"c0": [1, 2, 3], "c1": [sound] * 3}), "audio")
    yield case("video/clips.parquet", _parquet({"id": [1, 2], "clip": [film] * 2}), _BOTH, _ALSO)
    paths = [[f"spk{n % 3}/utt{n:04}.flac", round(1 + n * 0.3, 2)] for n in range(20)]
    yield case("audio/manifest.tsv", table(["path", "seconds"], paths, "\t"), "audio")
    links = [[n, f"https://media.example.org/{n}.mp4", n % 2] for n in range(12)]
    yield case("video/links.csv", table(["id", "url", "label"], links), "video")
    yield case("audio/wav.scp", lines(f"utt{n:03} /data/corpus/utt{n:03}.wav" for n in range(30)), "audio")
    described = [{"id": n, "sampling_rate": 16000, "num_samples": 16000 * n, "duration": float(n)} for n in range(1, 9)]
    yield case("audio/recordings.jsonl", lines(described), "audio")
    inline = [{"id": n, "audio": base64.b64encode(sound).decode()} for n in range(3)]
    yield case("audio/inline.json", json.dumps(inline), "audio")
    playlist = "#EXTM3U\n" + "".join(f"#EXTINF:12,track\nmusic/{n}.mp3\n" for n in range(8))
    yield case("audio/list.m3u", playlist, "audio", "none")


def _not_media() -> Iterator[Case]:
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + bytes(20)
    yield case("none/shot.png", png, "none")
    yield case("none/photo.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200), "none")
    yield case("none/still.avif", b"\0\0\0\x1cftypavis\0\0\0\0avismsf1miaf" + bytes(200), "none")
    yield case("none/picture.mp4", b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(400), "none")
    yield case("none/pictures.parquet", _parquet({"id": [1, 2], "image": [png + bytes(900)] * 2}), "none")
    yield case("none/config.json", json.dumps({"sampling_rate": 16000, "n_fft": 400, "feature_size": 80}), "none")
    yield case("unclassified/noise.bin", dice("noise").randbytes(20_000), "unclassified")
    yield case(
        "none/film-list.csv",
        table(["title", "director", "minutes"], [[f"Film {n}", "N. Quist", 90 + n] for n in range(9)]),
        "none",
    )
