"""One byte sequence per value (RFC 8785 for the JSON we use: no floats, ASCII keys), and digests of it."""

from __future__ import annotations

import hashlib
import json
from json.encoder import encode_basestring
from typing import Any

from gate.errors import InputError

Json = None | bool | int | str | list[Any] | dict[str, Any]

MAX_SAFE_INTEGER = 2**53 - 1  # RFC 8785 section 3.2.2.3: beyond it JSON numbers lose digits


def canonical(value: Any) -> bytes:
    """Serialise JSON-ready `value` so that equal values give equal bytes on every machine.

    Tuples count as arrays. Floats, non-ASCII keys and integers beyond 2^53-1 are refused: with them
    left out, sorted keys and no white space are all that RFC 8785 asks for.

    Raises:
        InputError: a value that has no canonical form.
    """
    _check(value)
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InputError("text holds half of a surrogate pair and cannot be written as UTF-8") from None


def canonical_text(text: str) -> str:
    """Return what `canonical` writes for text, still as text: by far the most frequent value, and the cheapest.

    Raises:
        InputError: as `canonical`.
    """
    if not text.isascii():
        canonical(text)
    return encode_basestring(text)


def _check(value: Any) -> None:
    match value:
        case None | bool() | str():
            return
        case int():
            if abs(value) > MAX_SAFE_INTEGER:
                raise InputError(f"the number {value} is too large to be recorded exactly")
        case list() | tuple():
            for item in value:
                _check(item)
        case dict():
            for key, item in value.items():
                if not (isinstance(key, str) and key.isascii()):
                    raise InputError(f"the field name {key!r} is not ASCII text")
                _check(item)
        case _:
            raise InputError(f"a {type(value).__name__} cannot be recorded exactly")


def sha256_hex(data: bytes) -> str:
    """Return `sha256:` and 64 hex digits: the way we write every digest."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest(value: Any) -> str:
    """Return the digest of `value`'s canonical bytes."""
    return sha256_hex(canonical(value))
