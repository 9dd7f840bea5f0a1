from __future__ import annotations

import hashlib
import pickle
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gate.errors import CannotDecide, InputError, KeyLost
from gate.permits import PublicKey, create_key, load_key, public_key_from_text, public_key_to_text
from support.permits import signing_key


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_created_key_is_owner_only_and_loads_as_itself(tmp_path):
    path = tmp_path / "keys" / "signing.pem"
    made = create_key(path)
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert [p.name for p in path.parent.iterdir()] == ["signing.pem"]
    read = load_key(path, made.key_id)
    assert read == made
    Ed25519PublicKey.from_public_bytes(made.public).verify(read.sign(b"x"), b"x")


def test_the_key_id_is_the_hash_of_the_public_key():
    key = signing_key()
    assert key.key_id == hashlib.sha256(key.public).hexdigest()


def test_a_key_is_never_overwritten(tmp_path):
    path = tmp_path / "signing.pem"
    made = create_key(path)
    with pytest.raises(InputError, match="never overwritten"):
        create_key(path)
    assert load_key(path) == made


def test_of_racing_makers_one_wins_and_nothing_is_left_behind(tmp_path):
    path = tmp_path / "signing.pem"

    def attempt(_: int) -> str | None:
        try:
            return create_key(path).key_id
        except InputError:
            return None

    with ThreadPoolExecutor(8) as pool:
        made = [key_id for key_id in pool.map(attempt, range(16)) if key_id]
    assert made == [load_key(path).key_id]
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_that_cannot_be_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotDecide, match="cannot store the signing key"):
        create_key(tmp_path / "file" / "signing.pem")


@pytest.mark.parametrize("expected", [None, "f" * 64])
def test_a_missing_key_is_lost_not_made(tmp_path, expected):
    path = tmp_path / "signing.pem"
    with pytest.raises(KeyLost, match="is not there") as caught:
        load_key(path, expected)
    assert "restore it from backup, or revoke it" in caught.value.hint
    assert not path.exists()


def test_another_key_in_its_place_is_not_taken(tmp_path):
    path = tmp_path / "signing.pem"
    create_key(path)
    with pytest.raises(KeyLost, match="another key"):
        load_key(path, "f" * 64)


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660, 0o601])
def test_a_key_others_could_read_is_refused(tmp_path, bits):
    path = tmp_path / "signing.pem"
    create_key(path)
    path.chmod(bits)
    with pytest.raises(CannotDecide, match="others than its owner") as caught:
        load_key(path)
    assert "chmod 600" in caught.value.hint


def damaged() -> dict[str, bytes]:
    other = generate_private_key(SECP256R1())
    return {
        "empty": b"",
        "text": b"not a key",
        "truncated": b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2Vw\n",
        "another algorithm": other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "binary": bytes(range(256)) * 100,
    }


@pytest.mark.parametrize("what", damaged())
def test_a_damaged_key_is_lost(tmp_path, what):
    path = tmp_path / "signing.pem"
    path.touch(mode=0o600)
    path.write_bytes(damaged()[what])
    with pytest.raises(KeyLost):
        load_key(path)


def test_a_folder_is_no_key(tmp_path):
    with pytest.raises(KeyLost, match="cannot be read"):
        load_key(tmp_path)


def test_the_private_half_does_not_show_or_travel():
    key = signing_key()
    assert "rivate" not in repr(key)
    with pytest.raises(TypeError):
        pickle.dumps(key)


def test_the_public_text_round_trips():
    key = signing_key().public_key
    text = public_key_to_text(key)
    assert len(text) == 44
    assert public_key_from_text(f"  {text}\n") == key


@pytest.mark.parametrize("text", ["", "AAAA", "é" * 44, "!" * 44, "A" * 43 + "B", "A" * 64])
def test_other_text_is_no_public_key(text):
    with pytest.raises(InputError, match="not an Ed25519 public key"):
        public_key_from_text(text)


def test_a_public_key_cannot_bear_anothers_id():
    with pytest.raises(InputError):
        PublicKey("0" * 64, signing_key().public)
    with pytest.raises(InputError):
        PublicKey.of(b"short")
