"""A key vouches for its successor: link by link, for one ledger, and never for a revoked one."""

from __future__ import annotations

import base64
import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gate.domain.canonical import canonical
from gate.permits.envelope import seal
from gate.permits.keys import PublicKey, SigningKey, create_key
from gate.permits.succession import MAX_STATEMENTS, SUCCESSION_TYPE, introduce, successors

NOW = datetime(2024, 1, 1, tzinfo=UTC)
ORIGIN = "consent-gate.ledger/1"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> list[SigningKey]:
    folder: Path = tmp_path_factory.mktemp("keys")
    return [create_key(folder / f"{number}.pem") for number in range(4)]


def link(keys: list[SigningKey], old: int, new: int, origin: str = ORIGIN) -> dict[str, Any]:
    return introduce(keys[new].public_key, keys[old], ledger_origin=origin, at=NOW)


def trust(pinned: list[SigningKey], said: list[Any], **changes: Any) -> list[PublicKey]:
    return list(successors([key.public_key for key in pinned], said, **({"ledger_origin": ORIGIN} | changes)))


def test_trust_follows_the_links(keys: list[SigningKey]) -> None:
    said = [link(keys, 0, 1), link(keys, 1, 2)]
    assert trust(keys[:1], said) == [key.public_key for key in keys[:3]]
    assert trust(keys[1:2], said) == [key.public_key for key in keys[1:3]]
    assert trust(keys[3:], said) == [keys[3].public_key]
    assert trust(keys[:1], said[1:]) == [keys[0].public_key]
    assert trust([], said) == []


def test_a_revoked_key_is_not_trusted_nor_what_only_it_vouches_for(keys: list[SigningKey]) -> None:
    said = [link(keys, 0, 1), link(keys, 1, 2)]
    assert trust(keys[:1], said, revoked={keys[1].key_id}) == [keys[0].public_key]
    assert trust(keys[:1], said, revoked={keys[0].key_id}) == []
    assert trust([keys[0], keys[2]], said, revoked={keys[1].key_id}) == [keys[0].public_key, keys[2].public_key]


def test_another_ledgers_word_counts_for_nothing(keys: list[SigningKey]) -> None:
    assert trust(keys[:1], [link(keys, 0, 1, "consent-gate.ledger/2")]) == [keys[0].public_key]


def altered(said: dict[str, Any], **changes: Any) -> dict[str, Any]:
    payload = json.loads(base64.b64decode(said["payload"])) | changes
    return said | {"payload": base64.b64encode(canonical(payload)).decode()}


def test_what_does_not_hold_is_passed_over(keys: list[SigningKey]) -> None:
    good = link(keys, 0, 1)
    stranger = link(keys, 3, 2)
    claimed = copy.deepcopy(stranger)
    claimed["signatures"][0]["keyid"] = keys[0].key_id
    statement = json.loads(base64.b64decode(good["payload"]))
    wrong = [
        stranger,
        claimed,
        altered(good, public_key=link(keys, 0, 2)["payload"]),
        seal(canonical(statement), "application/vnd.consent-gate.permit.v1+json", keys[0]),
        seal(canonical(statement | {"v": 2}), SUCCESSION_TYPE, keys[0]),
        seal(canonical(statement | {"previous": keys[3].key_id}), SUCCESSION_TYPE, keys[0]),
        seal(canonical(statement | {"public_key": "no key"}), SUCCESSION_TYPE, keys[0]),
        seal(canonical(statement | {"public_key": 7}), SUCCESSION_TYPE, keys[0]),
        seal(canonical(statement | {"more": 1}), SUCCESSION_TYPE, keys[0]),
        seal(canonical([1]), SUCCESSION_TYPE, keys[0]),
        seal(b"{", SUCCESSION_TYPE, keys[0]),
        seal(json.dumps(statement).encode(), SUCCESSION_TYPE, keys[0]),
        {"payload": "", "payloadType": SUCCESSION_TYPE, "signatures": []},
        {},
        None,
        [],
        "statement",
    ]
    assert trust(keys[:1], wrong) == [keys[0].public_key]
    assert trust(keys[:1], [*wrong, good]) == [keys[0].public_key, keys[1].public_key]


def test_no_more_is_read_than_a_ledger_can_hold(keys: list[SigningKey]) -> None:
    assert trust(keys[:1], [{}] * MAX_STATEMENTS + [link(keys, 0, 1)]) == [keys[0].public_key]
