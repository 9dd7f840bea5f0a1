"""Recognises sound without any header: neighbouring samples of speech and music are alike, other data's are not."""

from __future__ import annotations

import array
import sys
from collections.abc import Sequence
from itertools import pairwise

from gate.scan.detect.blob import Blob

_WINDOWS = 6
_WINDOW = 8192  # bytes, a multiple of every sample's size
_SMALLEST = 8000  # bytes: half a second of telephone sound
_ALIKE = 0.75  # correlation of a sample with the next one; speech at 8 kHz lies around 0.85


def sounds_like_pcm(blob: Blob) -> str | None:
    """Return how the bytes can be read as sound: `16 bit`, `float`, `8 bit mu-law` …; `None` when they cannot."""
    if blob.size < _SMALLEST:
        return None
    windows = _read_windows(blob)
    joined = b"".join(windows)
    if len(set(joined)) < 24 or joined.count(0) > 0.6 * len(joined):
        return None
    for name, samples in _readings(windows):
        if _is_sound(samples):
            return name
    return None


def _read_windows(blob: Blob) -> list[bytes]:
    step = max(_WINDOW, blob.size // _WINDOWS // 8 * 8)
    places = range(0, max(1, blob.size - _WINDOW + 1), step)
    return [piece[: len(piece) // 8 * 8] for piece in (blob.read(_WINDOW, at) for at in list(places)[:_WINDOWS])]


def _readings(windows: Sequence[bytes]) -> list[tuple[str, list[Sequence[float]]]]:
    little = sys.byteorder == "little"
    return [
        ("16 bit little endian", [_samples("h", one, swapped=not little) for one in windows]),
        ("16 bit big endian", [_samples("h", one, swapped=little) for one in windows]),
        ("32 bit float", [_floats(one, swapped=not little) for one in windows]),
        ("8 bit mu-law", [[_MU_LAW[byte] for byte in one] for one in windows]),
        ("8 bit A-law", [[_A_LAW[byte] for byte in one] for one in windows]),
    ]


def _samples(code: str, piece: bytes, *, swapped: bool) -> Sequence[float]:
    values = array.array(code)
    values.frombytes(piece)
    if swapped:
        values.byteswap()
    return values


def _floats(piece: bytes, *, swapped: bool) -> Sequence[float]:
    values = _samples("f", piece, swapped=swapped)
    return values if all(-1.5 <= value <= 1.5 for value in values) else []


def _is_sound(windows: list[Sequence[float]]) -> bool:
    """Whether most loud windows swing around zero, smoothly, and not all equally loud."""
    loud = [one for one in windows if len(one) > 100 and _power(one) > 0]
    if len(loud) < max(1, len(windows) // 2):
        return False
    good = sum(1 for one in loud if _alike(one) >= _ALIKE and _swings(one))
    return good >= 0.75 * len(loud)


def _power(samples: Sequence[float]) -> float:
    middle = sum(samples) / len(samples)
    return sum((value - middle) ** 2 for value in samples) / len(samples)


def _alike(samples: Sequence[float]) -> float:
    middle = sum(samples) / len(samples)
    power = sum((value - middle) ** 2 for value in samples)
    both = sum((a - middle) * (b - middle) for a, b in pairwise(samples))
    return both / power if power else 0.0


def _swings(samples: Sequence[float]) -> bool:
    """Whether the samples cross their mean often, which lies near zero, and use many values."""
    middle = sum(samples) / len(samples)
    spread = _power(samples) ** 0.5
    crossings = sum(1 for a, b in pairwise(samples) if (a < middle) != (b < middle))
    return abs(middle) <= spread and crossings >= 0.01 * len(samples) and len(set(samples)) > 20


def _mu_law(byte: int) -> int:
    byte = ~byte & 0xFF
    value = (((byte & 0x0F) << 3) + 0x84) << (byte >> 4 & 7)
    return 0x84 - value if byte & 0x80 else value - 0x84


def _a_law(byte: int) -> int:
    byte ^= 0x55
    exponent, value = byte >> 4 & 7, (byte & 0x0F) << 4
    value = value + 8 if exponent == 0 else (value + 0x108) << (exponent - 1)
    return value if byte & 0x80 else -value


_MU_LAW = [_mu_law(byte) for byte in range(256)]
_A_LAW = [_a_law(byte) for byte in range(256)]
