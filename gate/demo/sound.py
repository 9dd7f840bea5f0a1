"""Writes small real recordings: WAV by the standard library, FLAC and MP4 (with and without sound) by PyAV."""

from __future__ import annotations

import wave
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.int16]

RATE = 8_000  # samples a second
FRAMES_PER_SECOND = 8
PICTURE = (64, 48)  # width, height in pixels


def talk(voice: int, seconds: float, seed: int) -> Samples:
    """Make mono sound in which tones (somebody talks) and faint noise (nobody does) take turns.

    Args:
        voice: pitch of the tone in Hz.
        seconds: length.
        seed: of the noise.

    Returns:
        int16 samples, shape (seconds * RATE,).
    """
    import numpy as np

    count = int(seconds * RATE)
    time = np.arange(count) / RATE
    tone = np.sin(2 * np.pi * voice * time) + 0.4 * np.sin(2 * np.pi * 2.7 * voice * time)
    talking = (time % 0.5) < 0.3
    noise = np.random.default_rng(seed).normal(0.0, 0.01, count)
    return ((0.4 * tone * talking + noise).clip(-1, 1) * 32_000).astype(np.int16)


def write_wav(path: Path, samples: Samples) -> None:
    """Write 16-bit mono PCM."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.astype("<i2").tobytes())


def write_flac(path: Path, samples: Samples) -> None:
    """Write 16-bit mono FLAC."""
    import av

    with av.open(str(path), "w", format="flac", options={"fflags": "+bitexact"}) as container:
        _write_sound(container, container.add_stream("flac", rate=RATE, layout="mono"), samples)


def write_mp4(path: Path, samples: Samples | None, seconds: float, shade: int) -> None:
    """Write a clip of a moving bar; without `samples` it has no sound track.

    Args:
        path: where to.
        samples: its sound.
        seconds: length of the picture.
        shade: grey of the background, 0 to 255.
    """
    import av

    with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        picture = container.add_stream("mpeg4", rate=FRAMES_PER_SECOND, options={"flags": "+bitexact", "threads": "1"})
        picture.width, picture.height = PICTURE
        picture.pix_fmt = "yuv420p"
        sound = None if samples is None else container.add_stream("aac", rate=RATE, layout="mono")
        _write_picture(container, picture, seconds, shade)
        if samples is not None:
            _write_sound(container, sound, samples)


def _write_picture(container: Any, stream: Any, seconds: float, shade: int) -> None:
    import av
    import numpy as np

    width, height = PICTURE
    for number in range(int(seconds * FRAMES_PER_SECOND)):
        pixels = np.full((height, width, 3), shade, dtype=np.uint8)
        left = (number * 3) % (width - 8)
        pixels[10:30, left : left + 8] = 255 - shade
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
    container.mux(stream.encode(None))


def _write_sound(container: Any, stream: Any, samples: Samples) -> None:
    import av

    for start in range(0, len(samples), RATE):
        second = samples[start : start + RATE].reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(second, format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
