"""Account ids as keyed hashes: how a cluster that others share may be told who consents."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK = 64  # bytes, of SHA-256


def hashed(accounts: pa.Array, key: bytes) -> pa.Array:
    """Return the HMAC-SHA-256 (RFC 2104) of each text, as hex digits; null stays null."""
    import pyarrow as pa

    coded = accounts.cast(pa.string()).dictionary_encode()
    digests = [hmac.digest(key, text.encode(), "sha256").hex() for text in coded.dictionary.to_pylist()]
    return pa.array(digests, pa.string()).take(coded.indices)


def sql_hashed(expression: str, key: bytes) -> str:
    """Return DuckDB's SQL for what `hashed` makes of a text.

    Args:
        expression: SQL for the text.
        key: at most 64 bytes.
    """
    inner, outer = (_blob(bytes(byte ^ pad for byte in key.ljust(_BLOCK, b"\0"))) for pad in (0x36, 0x5C))
    return f"sha256({outer} || unhex(sha256({inner} || encode({expression}))))"


def _blob(content: bytes) -> str:
    return "'" + "".join(f"\\x{byte:02X}" for byte in content) + "'::BLOB"
