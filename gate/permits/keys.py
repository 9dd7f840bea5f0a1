"""Ed25519 keys: made once, kept in an owner-only file, never replaced silently; public halves to pin."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import stat
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from gate.errors import CannotDecide, InputError, KeyLost

PUBLIC_KEY_SIZE = 32  # bytes, RFC 8032
_MAX_KEY_FILE = 16_384  # bytes; a PKCS8 Ed25519 PEM has 119
_RESTORE = "restore it from backup, or revoke it with `gate keys revoke`; another is never made silently"


def key_id_of(raw: bytes) -> str:
    """Return the key id: all 64 hex digits of the SHA-256 of the raw public key (32 bytes)."""
    return hashlib.sha256(raw).hexdigest()


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A pinned public key.

    Attributes:
        key_id: `key_id_of(raw)`.
        raw: the 32 bytes of RFC 8032.

    Raises:
        InputError: the id is not that of the bytes, or there are not 32 of them.
    """

    key_id: str
    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != PUBLIC_KEY_SIZE or self.key_id != key_id_of(self.raw):
            raise InputError("the key id does not belong to the public key", where="public key")

    @classmethod
    def of(cls, raw: bytes) -> PublicKey:
        """Name 32 raw bytes by their hash."""
        return cls(key_id_of(raw), raw)

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether `signature` is this key's Ed25519 signature of `message`."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key in memory: signs, and never shows itself in `repr`.

    Attributes:
        key_id: `key_id_of(public)`.
        public: the raw public key, 32 bytes.
    """

    key_id: str
    public: bytes
    _private: Ed25519PrivateKey = field(repr=False, compare=False)

    @classmethod
    def of(cls, private: Ed25519PrivateKey) -> SigningKey:
        """Wrap a private key of the `cryptography` library."""
        raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return cls(key_id_of(raw), raw, private)

    @property
    def public_key(self) -> PublicKey:
        """The half to pin."""
        return PublicKey(self.key_id, self.public)

    def sign(self, message: bytes) -> bytes:
        """Return the Ed25519 signature of `message`, 64 bytes."""
        return self._private.sign(message)


def create_key(path: str | Path) -> SigningKey:
    """Make a key and store it as PEM (PKCS8), readable by the owner only.

    The file appears whole or not at all, and never in the place of another.

    Args:
        path: where; its directory is made with mode 0700 when missing.

    Raises:
        InputError: something already stands at `path`; load it instead.
        CannotDecide: the place cannot be written.
    """
    path = Path(path)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_new(draft, pem)
        _publish(draft, path)
    except OSError as error:
        hint = "choose a writable directory on a file system with hard links"
        raise CannotDecide(f"cannot store the signing key: {error.strerror}", where=str(path), hint=hint) from None
    return SigningKey.of(key)


def load_key(path: str | Path, expected_key_id: str | None = None) -> SigningKey:
    """Read a key that `create_key` stored.

    Args:
        path: the PEM file.
        expected_key_id: the id the ledger or configuration names, when it does.

    Raises:
        KeyLost: missing, unreadable, damaged, or another key than expected.
        CannotDecide: group or others have access to the file.
    """
    path = Path(path)
    pem = _read_private(path, expected_key_id)
    try:
        private = _read_pem(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyLost("the signing key's file is damaged", where=str(path), hint=_RESTORE) from None
    if not isinstance(private, Ed25519PrivateKey):
        raise KeyLost("the file holds a key of another kind than Ed25519", where=str(path), hint=_RESTORE)
    key = SigningKey.of(private)
    if expected_key_id not in (None, key.key_id):
        raise KeyLost(
            f"another key ({key.key_id[:16]}…) stands in the place of {str(expected_key_id)[:16]}…",
            where=str(path),
            hint=_RESTORE,
        )
    return key


def public_key_to_text(key: PublicKey) -> str:
    """Return the one line to pin in configuration: base64 of the raw key, 44 characters."""
    return base64.b64encode(key.raw).decode()


def public_key_from_text(text: str) -> PublicKey:
    """Read what `public_key_to_text` wrote; white space around it is ignored.

    Raises:
        InputError: not the base64 of 32 bytes.
    """
    line = text.strip()
    try:
        raw = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != PUBLIC_KEY_SIZE or base64.b64encode(raw).decode() != line:
        raise InputError(
            "not an Ed25519 public key", where="public key", hint="paste the 44 characters `gate keys show` prints"
        )
    return PublicKey.of(raw)


@lru_cache(maxsize=2)
def _read_pem(pem: bytes) -> object:
    """Read a file's bytes; the file itself is looked at anew each time, so that a rotated key shows at once."""
    return load_pem_private_key(pem, password=None)


def _read_private(path: Path, expected_key_id: str | None) -> bytes:
    try:
        with path.open("rb") as file:
            # The open file is looked at, not the path: nobody can swap it in between.
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            pem = file.read(_MAX_KEY_FILE)
    except FileNotFoundError:
        name = f"the signing key {expected_key_id[:16]}…" if expected_key_id else "the signing key"
        raise KeyLost(f"{name} is not there", where=str(path), hint=_RESTORE) from None
    except OSError as error:
        raise KeyLost(
            f"the signing key cannot be read: {error.strerror}", where=str(path), hint="check owner and mode"
        ) from None
    if mode & 0o077:
        raise CannotDecide(
            f"the signing key has mode {mode:04o}: others than its owner may have read it",
            where=str(path),
            hint=f"if nobody did, run `chmod 600 {path}`; else rotate it with `gate keys rotate`",
        )
    return pem


def _write_new(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _publish(draft: Path, path: Path) -> None:
    try:
        os.link(draft, path)  # unlike rename, link never replaces; unlike O_EXCL on `path`, the file appears whole
    except FileExistsError:
        raise InputError("something already stands here; a key is never overwritten", where=str(path)) from None
    finally:
        draft.unlink()
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
