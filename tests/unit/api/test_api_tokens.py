"""Service tokens: shown once, kept as hashes, expiring, revocable, and never able to do two people's work."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import combinations
from pathlib import Path

import pytest

from gate.errors import InputError
from gate.service.core import Service
from gate.service.tokens import (
    MAX_LIFETIME,
    RESERVED_NAMES,
    WORKER_SCOPES,
    NewToken,
    Scope,
    create_token,
    find_token,
    is_token,
    list_tokens,
    revoke_token,
)
from support.world import Clock, new_service

DAY = timedelta(days=1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(tmp_path: Path, clock: Clock) -> Iterator[Service]:
    with new_service(tmp_path / "home", clock) as opened:
        yield opened


def make(service: Service, *scopes: str, name: str = "worker", lifetime: timedelta = DAY) -> NewToken:
    return create_token(service, name, scopes or ("redeem",), lifetime=lifetime, by="eve", via="cli")


def state_of(service: Service, text: str) -> str | None:
    with service.ledger.read() as reader:
        token = find_token(reader, text)
    return token and token.state(service.clock())


def test_a_token_is_found_by_its_text_alone(service: Service) -> None:
    new, other = make(service, "read", name="auditor"), make(service)
    with service.ledger.read() as reader:
        found = find_token(reader, new.text)
    assert found == new.token
    assert (found.name, found.scopes) == ("auditor", {Scope.READ})
    swapped = "_".join([*new.text.split("_")[:2], other.text.split("_", 2)[2]])
    for wrong in (
        swapped,
        new.text[:-1],
        new.text + "A",
        new.text.upper(),
        "",
        "gate_",
        "Bearer x",
        new.token.token_id,
    ):
        assert state_of(service, wrong) is None, wrong


def test_the_ledger_holds_the_hash_and_never_the_secret(service: Service, tmp_path: Path) -> None:
    new = make(service)
    secret = new.text.split("_", 2)[2]
    assert len(secret) >= 43  # 32 bytes
    with service.ledger.read() as reader:
        entry = reader.entry(new.token.index)
    assert secret.encode() not in entry.payload
    assert secret not in repr(new)
    service.close()
    for file in (tmp_path / "home").rglob("*"):
        if file.is_file():
            assert secret.encode() not in file.read_bytes(), file


def test_it_ends_by_time(service: Service, clock: Clock) -> None:
    new = make(service, lifetime=DAY)
    clock.now = new.token.expires_at - timedelta(microseconds=1)
    assert state_of(service, new.text) == "valid"
    clock.now = new.token.expires_at
    assert state_of(service, new.text) == "expired"


def test_it_ends_by_revocation_once_and_for_all(service: Service, clock: Clock) -> None:
    new, other = make(service), make(service)
    revoked = revoke_token(service, new.token.token_id, by="eve", via="cli")
    assert revoked.state(clock()) == "revoked" == state_of(service, new.text)
    assert state_of(service, other.text) == "valid"
    size = service.ledger_size()
    clock.forward(hours=1)
    assert revoke_token(service, new.token.token_id, by="eve", via="cli") == revoked
    assert service.ledger_size() == size
    assert [token.state(clock()) for token in list_tokens(service)] == ["revoked", "valid"]


@pytest.mark.parametrize("token_id", ["", "0" * 16, "x", "%", "../.."])
def test_revoking_what_is_not_there_says_so(service: Service, token_id: str) -> None:
    make(service)
    with pytest.raises(InputError, match="no such token"):
        revoke_token(service, token_id, by="eve", via="cli")


def test_no_token_can_do_two_peoples_work(service: Service) -> None:
    groups = [frozenset({Scope.CONSENT}), frozenset({Scope.DIRECTORY}), WORKER_SCOPES]
    for one, other in combinations(groups, 2):
        for a in one:
            for b in other:
                with pytest.raises(InputError, match="together"):
                    make(service, a, b, "read")
    for group in groups:
        assert make(service, *group, "read").token.scopes == group | {Scope.READ}


@pytest.mark.parametrize(
    ("name", "scopes", "lifetime"),
    [
        ("worker", ["admin"], DAY),
        ("worker", ["act"], DAY),
        ("worker", [], DAY),
        ("", ["read"], DAY),
        ("Worker", ["read"], DAY),
        ("a/b", ["read"], DAY),
        ("a" * 64, ["read"], DAY),
        ("worker", ["read"], timedelta(0)),
        ("worker", ["read"], -DAY),
        ("worker", ["read"], MAX_LIFETIME + DAY),
        *((name, ["read"], DAY) for name in sorted(RESERVED_NAMES)),
    ],
)
def test_what_no_token_can_be(service: Service, name: str, scopes: list[str], lifetime: timedelta) -> None:
    size = service.ledger_size()
    with pytest.raises(InputError):
        create_token(service, name, scopes, lifetime=lifetime, by="eve", via="cli")
    assert service.ledger_size() == size


def test_a_json_web_token_is_none_of_ours() -> None:
    assert not is_token("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln")
    assert not is_token("gate_" + "0" * 16 + "_" + "a" * 1000)
