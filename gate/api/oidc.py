"""People's log-ins by OpenID Connect: signed by the configured issuer, for this audience, by an asymmetric key."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from gate.api.auth import ROLES, Principal, credential
from gate.api.problems import NotAuthenticated
from gate.errors import CannotDecide, InputError

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
LEEWAY = 30  # seconds the issuer's clock may differ
KEYS_LIFETIME = 300.0  # seconds the issuer's keys are kept
REFETCH_AFTER = 10.0  # seconds before a key id we do not know makes us ask the issuer again
TIMEOUT = 5.0  # seconds for each answer of the issuer
MAX_ANSWER = 262_144  # bytes of an issuer's answer
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """Whom to believe about people.

    Attributes:
        issuer: the `iss` of its tokens; its discovery document stands below this address.
        audience: the `aud` that says a token is for us.
        role_claim: claim with the groups or roles of a person.
        roles: what a value of that claim makes of a person: `auditor`, `reviewer` or `admin`.
    """

    issuer: str
    audience: str
    role_claim: str
    roles: Mapping[str, str]


def read_oidc_settings(environ: Mapping[str, str]) -> OidcSettings | None:
    """Read `GATE_OIDC_ISSUER`, `_AUDIENCE`, `_ROLE_CLAIM` (`groups`) and `_ROLES` (`{"gate-admins": "admin", …}`).

    Returns:
        `None` when no issuer is named: then nobody logs in by OIDC.

    Raises:
        InputError: an issuer without an audience or roles, or not reached by https.
    """
    issuer = environ.get("GATE_OIDC_ISSUER")
    if not issuer:
        return None
    _check_address(issuer, "GATE_OIDC_ISSUER")
    audience = environ.get("GATE_OIDC_AUDIENCE")
    if not audience:
        raise InputError(
            "is missing", where="GATE_OIDC_AUDIENCE", hint="the audience your issuer writes for this service"
        )
    try:
        roles = json.loads(environ.get("GATE_OIDC_ROLES", ""))
    except ValueError:
        roles = None
    if not isinstance(roles, dict) or not roles or not all(role in list(ROLES) for role in roles.values()):
        raise InputError(
            "is not a JSON object of groups and roles",
            where="GATE_OIDC_ROLES",
            hint='like {"ml-reviewers": "reviewer"}; roles: ' + ", ".join(ROLES),
        )
    return OidcSettings(issuer, audience, environ.get("GATE_OIDC_ROLE_CLAIM", "groups"), roles)


class OidcAuthenticator:
    """Takes JSON Web Tokens of one issuer as log-ins of people."""

    def __init__(self, settings: OidcSettings) -> None:
        self.settings = settings
        self._keys = _IssuerKeys(settings.issuer)

    async def __call__(self, connection: HTTPConnection) -> Principal | None:
        """Return the person behind a token; see `Authenticator`."""
        text, from_cookie = credential(connection)
        if not text or text.count(".") != 2:
            return None
        return replace(await run_in_threadpool(self._verify, text), from_cookie=from_cookie)

    def _verify(self, text: str) -> Principal:
        try:
            header = jwt.get_unverified_header(text)
            if header.get("alg") not in ALGORITHMS:
                raise jwt.InvalidAlgorithmError
            key = self._keys.find(header.get("kid"))
            claims = jwt.decode(
                text,
                key,
                algorithms=list(ALGORITHMS),
                audience=self.settings.audience,
                issuer=self.settings.issuer,
                leeway=LEEWAY,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError):
            raise NotAuthenticated(
                "the log-in is not valid here", hint="log in again", reason="cannot_decide"
            ) from None
        display = claims.get("preferred_username")
        return Principal(
            str(claims["sub"]),
            "person",
            self._scopes(claims),
            self.settings.issuer,
            display=display if isinstance(display, str) else "",
        )

    def _scopes(self, claims: Mapping[str, Any]) -> frozenset[str]:
        said = claims.get(self.settings.role_claim)
        groups = [said] if isinstance(said, str) else said if isinstance(said, list) else []
        held = (self.settings.roles.get(group) for group in groups if isinstance(group, str))
        return frozenset(scope for role in held if role for scope in ROLES[role])


class _IssuerKeys:
    """The issuer's public keys, asked for when needed and kept for a while."""

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self._lock = Lock()
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._asked = float("-inf")

    def find(self, key_id: str | None) -> jwt.PyJWK:
        """Return the key of this id.

        Raises:
            CannotDecide: the issuer cannot be asked.
            jwt.InvalidKeyError: it has no such key.
        """
        with self._lock:  # one question at a time, however many callers wait for its answer
            age = time.monotonic() - self._asked
            if age > KEYS_LIFETIME or (key_id not in self._keys and age > REFETCH_AFTER):
                self._keys = self._fetch()
                self._asked = time.monotonic()
        if key_id not in self._keys:
            raise jwt.InvalidKeyError
        return self._keys[key_id]

    def _fetch(self) -> dict[str | None, jwt.PyJWK]:
        try:
            with httpx.Client(timeout=TIMEOUT, trust_env=False) as client:
                found = _json(client, self._issuer.rstrip("/") + "/.well-known/openid-configuration")
                keys = jwt.PyJWKSet.from_dict(_json(client, self._keys_address(found))).keys
        except (httpx.HTTPError, ValueError, KeyError, TypeError, jwt.PyJWTError, InputError):
            raise CannotDecide(
                "the log-in cannot be checked: its issuer gives no keys",
                where="GATE_OIDC_ISSUER",
                hint="check the issuer's discovery document",
                reason="cannot_decide",
            ) from None
        usable = (key for key in keys if key.public_key_use in (None, "sig") and key.algorithm_name in ALGORITHMS)
        return {key.key_id: key for key in usable}

    def _keys_address(self, found: Mapping[str, Any]) -> str:
        if found.get("issuer") != self._issuer:
            raise ValueError("the discovery document is another issuer's")
        address = str(found["jwks_uri"])
        _check_address(address, "jwks_uri")
        return address


def _json(client: httpx.Client, address: str) -> dict[str, Any]:
    with client.stream("GET", address, headers={"Accept": "application/json"}) as answer:
        answer.raise_for_status()
        body = b""
        for chunk in answer.iter_bytes():
            body += chunk
            if len(body) > MAX_ANSWER:
                raise ValueError("too large")
    value = json.loads(body)
    if not isinstance(value, dict):
        raise TypeError
    return value


def _check_address(address: str, where: str) -> None:
    parts = urlsplit(address)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK):
        return
    raise InputError("must be an https address", where=where, hint="http is taken for a loopback address only")
