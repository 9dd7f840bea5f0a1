"""People log in by OpenID Connect: against a real small issuer, what is signed for us by its key and nothing else."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import FastAPI
from fastapi.testclient import TestClient

import gate.api.oidc as oidc
from gate.api.app import create_app
from gate.api.oidc import OidcAuthenticator, OidcSettings, read_oidc_settings
from gate.errors import InputError
from gate.service.core import Service
from support.served import listening

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
ROLES = {"ml-admins": "admin", "ml-reviewers": "reviewer", "everyone": "auditor"}


def as_jwk(key: Any, algorithm: str, key_id: str) -> dict[str, Any]:
    text = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key())
    return {**json.loads(text), "kid": key_id, "use": "sig", "alg": algorithm}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@dataclass
class Issuer:
    """A small OpenID provider whose answers a test can change."""

    url: str = ""
    named: str | None = None
    keys: list[dict[str, Any]] = field(default_factory=list)
    asked: int = 0
    jwks_uri: str | None = None

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/.well-known/openid-configuration")
        def discovery() -> dict[str, str]:
            return {"issuer": self.named or self.url, "jwks_uri": self.jwks_uri or f"{self.url}/keys"}

        @app.get("/keys")
        def keys() -> dict[str, Any]:
            self.asked += 1
            return {"keys": self.keys}

        return app

    def token(self, key: Any = RSA, algorithm: str = "RS256", key_id: str | None = "rsa", **changes: Any) -> str:
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": "consent-gate",
            "sub": "0b1c",
            "iat": now,
            "nbf": now,
            "exp": now + 60,
            "groups": ["ml-admins"],
            "preferred_username": "ada",
            **changes,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, key, algorithm, headers={"kid": key_id} if key_id else None)


@pytest.fixture(scope="module")
def running() -> Iterator[Issuer]:
    issuer = Issuer()
    with listening(issuer.app()) as url:
        issuer.url = url
        yield issuer


@pytest.fixture
def issuer(running: Issuer) -> Issuer:
    running.named, running.jwks_uri, running.asked = None, None, 0
    running.keys = [as_jwk(RSA, "RS256", "rsa"), as_jwk(EC, "ES256", "ec"), as_jwk(ED, "EdDSA", "ed")]
    return running


@pytest.fixture
def ask(issuer: Issuer, service: Service) -> Callable[[str], Any]:
    settings = OidcSettings(issuer.url, "consent-gate", "groups", ROLES)
    client = TestClient(create_app(lambda: service, authenticators=[OidcAuthenticator(settings)]))
    return lambda token: client.get("/api/v1/whoami", headers={"Authorization": f"Bearer {token}"})


def test_a_person_comes_in(issuer: Issuer, ask: Callable[[str], Any]) -> None:
    assert ask(issuer.token()).json() == {
        "name": "0b1c",
        "kind": "person",
        "issuer": issuer.url,
        "scopes": ["accounts", "act", "consent", "read", "runs"],
    }
    assert ask(issuer.token(EC, "ES256", "ec")).status_code == 200
    assert ask(issuer.token(ED, "EdDSA", "ed")).status_code == 200
    assert issuer.asked == 1


@pytest.mark.parametrize(
    ("groups", "scopes"),
    [
        (["ml-reviewers"], ["accounts", "act", "read", "runs"]),
        (["everyone"], ["accounts", "read", "runs"]),
        ("everyone", ["accounts", "read", "runs"]),
        (["strangers", 7, None], []),
        (None, []),
        ({"ml-admins": 1}, []),
    ],
)
def test_groups_make_roles(issuer: Issuer, ask: Callable[[str], Any], groups: Any, scopes: list[str]) -> None:
    assert ask(issuer.token(groups=groups)).json()["scopes"] == scopes


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "http://127.0.0.1:1"},
        {"iss": None},
        {"aud": "another"},
        {"aud": None},
        {"aud": ["another"]},
        {"exp": 1},
        {"exp": None},
        {"exp": "soon"},
        {"iat": None},
        {"iat": int(time.time()) + 3600},
        {"nbf": int(time.time()) + 3600},
        {"sub": None},
        {"sub": 7},
        {"key_id": "unknown"},
        {"key_id": None},
        {"key": OTHER_RSA},
        {"key": EC, "algorithm": "ES256"},
        {"algorithm": "HS256", "key": "x" * 40},
    ],
)
def test_log_ins_that_do_not_hold(issuer: Issuer, ask: Callable[[str], Any], changes: dict[str, Any]) -> None:
    answer = ask(issuer.token(**changes))
    assert answer.status_code == 401
    assert answer.json()["message"] == "the log-in is not valid here"


def test_no_algorithm_is_taken_from_the_token(issuer: Issuer, ask: Callable[[str], Any]) -> None:
    head, body, _ = issuer.token().split(".")
    public = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    symmetric = b64(b'{"alg":"HS256","kid":"rsa"}')
    confused = hmac.digest(public, f"{symmetric}.{body}".encode(), "sha256")  # the public key as an HMAC secret
    assert ask(f"{symmetric}.{body}.{b64(confused)}").status_code == 401
    unsigned = b64(b'{"alg":"none","kid":"rsa"}')
    assert ask(f"{unsigned}.{body}.").status_code == 401
    assert ask(f"{head}.{body}.").status_code == 401


def test_a_symmetric_key_of_the_issuer_is_none(issuer: Issuer, ask: Callable[[str], Any]) -> None:
    secret = b"s" * 32
    issuer.keys.append({"kty": "oct", "k": b64(secret), "kid": "shared", "use": "sig", "alg": "HS256"})
    assert ask(issuer.token(secret, "HS256", "shared")).status_code == 401


def test_a_new_key_is_asked_for_but_not_at_every_strangers_wish(
    issuer: Issuer, ask: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask(issuer.token()).status_code == 200
    for number in range(5):
        assert ask(issuer.token(key_id=f"made-up-{number}")).status_code == 401
    assert issuer.asked == 1
    issuer.keys.append(as_jwk(OTHER_RSA, "RS256", "next"))
    monkeypatch.setattr(oidc, "REFETCH_AFTER", 0.0)
    assert ask(issuer.token(OTHER_RSA, key_id="next")).status_code == 200
    assert issuer.asked == 2


def test_an_issuer_that_cannot_be_asked_decides_nothing(issuer: Issuer, ask: Callable[[str], Any]) -> None:
    issuer.named = "https://another.example"
    assert ask(issuer.token()).status_code == 503
    issuer.named = None
    issuer.jwks_uri = "http://keys.example/keys"  # in the clear, not loopback
    answer = ask(issuer.token())
    assert (answer.status_code, answer.json()["error"]) == (503, "CannotDecide")


@pytest.mark.parametrize(
    "change",
    [
        {"GATE_OIDC_ISSUER": "http://issuer.example"},
        {"GATE_OIDC_ISSUER": "ldap://issuer.example"},
        {"GATE_OIDC_AUDIENCE": ""},
        {"GATE_OIDC_ROLES": ""},
        {"GATE_OIDC_ROLES": "{}"},
        {"GATE_OIDC_ROLES": "[]"},
        {"GATE_OIDC_ROLES": '{"a": "root"}'},
        {"GATE_OIDC_ROLES": '{"a": ["admin"]}'},
    ],
    ids=str,
)
def test_settings_that_cannot_be_right(change: dict[str, str]) -> None:
    good = {
        "GATE_OIDC_ISSUER": "https://issuer.example",
        "GATE_OIDC_AUDIENCE": "consent-gate",
        "GATE_OIDC_ROLES": '{"ml-admins": "admin"}',
    }
    assert read_oidc_settings(good) == OidcSettings(
        "https://issuer.example", "consent-gate", "groups", {"ml-admins": "admin"}
    )
    assert read_oidc_settings({}) is None
    with pytest.raises(InputError):
        read_oidc_settings({**good, **change})
