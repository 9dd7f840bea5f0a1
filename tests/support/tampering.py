"""What every signed statement is tried with: any JSON, any character, any bit, any field, any place of another."""

from __future__ import annotations

import base64
import copy
import string
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hypothesis import strategies as st

from gate.errors import PermitRefused
from gate.permits import read_envelope

Envelope = Mapping[str, Any]
Refused = Callable[[Any], bool]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
texts = st.text(string.ascii_letters + "_:+-.é", min_size=1, max_size=12)
hexes = st.text("0123456789abcdef", min_size=64, max_size=64)
digests = hexes.map("sha256:".__add__)
characters = st.sampled_from(string.printable + "\x00é\ud800")
no_payloads = (b"[" * 100_000, b'{"v":1e400}', b"9" * 5000)  # JSON that no reader should choke on


def anything_is_refused(envelope: Envelope, value: object, refused: Refused) -> None:
    """Any JSON is refused in the place of an envelope, and so are its fields in the place of the envelope's."""
    assert refused(value)
    assert refused({**envelope, **value} if isinstance(value, dict) and value else value)


def character_is_refused(envelope: Envelope, text: str, at: int, character: str, refused: Refused) -> None:
    """An envelope's text with another character is no envelope, is refused, or says the same (white space)."""
    try:
        other = read_envelope(text[:at] + character + text[at + 1 :])
    except PermitRefused:
        return
    assert other == envelope or refused(other)


def with_flipped_bit(envelope: Envelope, data: st.DataObject) -> dict[str, Any]:
    """Return an envelope whose payload or signature differs in one bit."""
    other = copy.deepcopy(dict(envelope))
    target, name = data.draw(st.sampled_from([(other, "payload"), (other["signatures"][0], "sig")]))
    raw = bytearray(base64.b64decode(target[name]))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    target[name] = base64.b64encode(raw).decode()
    return other


def moved_to(envelope: Envelope, payload: bytes) -> dict[str, Any]:
    """Return an envelope whose signature is put under another payload."""
    return {**envelope, "payload": base64.b64encode(payload).decode()}


def places(node: object, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every place in a JSON value."""
    if isinstance(node, dict | list):
        for step in node if isinstance(node, dict) else range(len(node)):
            yield (*way, step)
            yield from places(node[step], (*way, step))
