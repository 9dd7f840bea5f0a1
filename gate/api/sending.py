"""Sends questions to a decision service: bounded in time and size, repeated where that is safe, never logged."""

from __future__ import annotations

import json
import random
import ssl
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from gate import __version__
from gate.api.wire import API, JSON_TYPE, MAX_PROBLEM, error_of, unintelligible
from gate.errors import CannotDecide, GateError, InputError

UPLOAD_TIMEOUT = 300.0  # seconds for an answer that needs censuses read and joined
CONNECT_TIMEOUT = 5.0  # seconds
RETRY_FOR = 6.0  # seconds after which a failing request is not begun again
FIRST_PAUSE = 0.2  # seconds before the first retry; doubled each time
MAX_ANSWER = 16_777_216  # bytes of a JSON answer
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_AGAIN = frozenset({502, 503, 504})  # somebody on the way, or the service, cannot answer now


@dataclass(frozen=True, slots=True)
class Question:
    """One request, sendable again byte for byte.

    Attributes:
        path: below `/api/v1`.
        key: idempotency key of a write that is not idempotent by itself.
        repeatable: may be sent again when it is not known whether it arrived.
        censuses: files that follow the JSON as multipart.
    """

    method: str
    path: str
    params: Mapping[str, str | int] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    key: str | None = None
    repeatable: bool = False
    censuses: Sequence[Path] = ()
    boundary: str = field(default_factory=lambda: uuid.uuid4().hex)


def asking(path: str, **params: str | int) -> Question:
    """Return a question that changes nothing."""
    return Question("GET", path, params=params, repeatable=True)


def writing(path: str, body: Mapping[str, Any], censuses: Sequence[Path] = ()) -> Question:
    """Return a write with an idempotency key: repeated, it gets the answer it got."""
    return Question("POST", path, body=body, key=uuid.uuid4().hex, repeatable=True, censuses=censuses)


def judging(path: str, body: Mapping[str, Any], censuses: Sequence[Path] = ()) -> Question:
    """Return a question that may be repeated by its nature, and is judged anew each time."""
    return Question("POST", path, body=body, repeatable=True, censuses=censuses)


class Line:
    """The way to one decision service. Safe to use from several threads.

    Args:
        url: https, or http on a loopback address.
        token: a service token; never shown.
        timeout: seconds for an ordinary answer.

    Raises:
        InputError: an address without https, or no token.
    """

    def __init__(self, url: str, token: str, timeout: float) -> None:
        self.url = _checked_address(url)
        if not token or not token.isascii() or not token.isprintable():
            raise InputError("is missing or not a token", where="token", hint="make one with `gate tokens create`")
        self._timeout = timeout
        self._http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}", "User-Agent": f"consent-gate/{__version__}"},
            verify=_trusted(self.url),
            trust_env=False,  # no proxy of the environment gets the token
            follow_redirects=False,
        )

    def __repr__(self) -> str:
        return f"Line({self.url!r})"

    def close(self) -> None:
        """Release connections."""
        self._http.close()

    def json(self, question: Question) -> dict[str, Any]:
        """Return the JSON object a question is answered with.

        Raises:
            GateError: what the service says; `CannotDecide` for everything that is no answer of one.
        """
        with self.answer(question) as answer:
            check_type(answer, JSON_TYPE)
            body = b"".join(bounded(answer, MAX_ANSWER))
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            raise unintelligible("its answer is not JSON") from None
        if not isinstance(value, dict):
            raise unintelligible("its answer is no JSON object")
        return value

    @contextmanager
    def answer(self, question: Question) -> Iterator[httpx.Response]:
        """Send a question until it is answered, for a few seconds when that is safe; yield a success.

        Raises:
            GateError: what the service says; `CannotDecide` for everything else.
        """
        with ExitStack() as stack:
            until, pause = time.monotonic() + RETRY_FOR, FIRST_PAUSE
            error: GateError
            while True:
                answer = self._send(question, stack)
                if isinstance(answer, CannotDecide):
                    error, passing = answer, True
                elif answer.is_success:
                    break
                else:
                    error, passing = _error(answer), answer.status_code in _AGAIN
                if not (passing and question.repeatable) or time.monotonic() + pause > until:
                    raise error
                time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  # spreads retries, hides nothing
                pause *= 2
            try:
                yield answer
            except httpx.HTTPError as broken:
                raise _unreachable(broken) from None

    def _send(self, question: Question, stack: ExitStack) -> httpx.Response | CannotDecide:
        large = bool(question.censuses)
        timeout = httpx.Timeout(UPLOAD_TIMEOUT if large else self._timeout, connect=CONNECT_TIMEOUT)
        headers = {} if question.key is None else {"Idempotency-Key": question.key}
        body: dict[str, Any] = {"json": question.body} if question.body is not None else {}
        if large:
            # One boundary per question, so that a repetition is the same bytes.
            headers["Content-Type"] = f"multipart/form-data; boundary={question.boundary}"
            files = [stack.enter_context(path.open("rb")) for path in question.censuses]
            parts = [("census", (f"{n}.parquet", file, "application/octet-stream")) for n, file in enumerate(files)]
            body = {"data": {"question": json.dumps(question.body)}, "files": parts}
        params = dict(question.params)
        try:
            request = self._http.build_request(
                question.method, API + question.path, params=params, headers=headers, timeout=timeout, **body
            )
            answer = self._http.send(request, stream=True)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return _unreachable(error)
        stack.callback(answer.close)
        return answer


def _trusted(url: str) -> ssl.SSLContext:
    """Return whom this machine trusts. Reading that takes longest of all: where there is no TLS, nobody is trusted."""
    plain = urlsplit(url).scheme == "http"
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else ssl.create_default_context()


def _error(answer: httpx.Response) -> GateError:
    try:
        body = b"".join(bounded(answer, MAX_PROBLEM))
    except (httpx.HTTPError, CannotDecide):
        body = b""
    return error_of(answer.status_code, answer.headers.get("Content-Type", ""), body)


def bounded(answer: httpx.Response, limit: int) -> Iterator[bytes]:
    """Yield an answer's bytes, up to a limit."""
    size = 0
    for chunk in answer.iter_bytes():
        size += len(chunk)
        if size > limit:
            raise unintelligible(f"its answer is larger than {limit} bytes")
        yield chunk


def check_type(answer: httpx.Response, expected: str) -> None:
    """Refuse an answer of another media type."""
    if answer.headers.get("Content-Type", "").partition(";")[0].strip() != expected:
        raise unintelligible(f"its answer is not {expected}")


def _unreachable(error: Exception) -> CannotDecide:
    """Say that there was no answer; the error's own text may hold the address with its query, and is left out."""
    return CannotDecide(
        f"the decision service cannot be reached ({type(error).__name__})",
        hint="check the connection's URL, and that `gate serve` runs there",
        reason="cannot_decide",
    )


def _checked_address(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.port is None or parts.port > 0 else None
    except ValueError:
        parts, host = urlsplit(""), None
    hint = "like https://gate.example:8686; http is for loopback addresses only"
    if not host or parts.scheme not in ("https", "http") or parts.username or parts.query or parts.fragment:
        raise InputError("is not the address of a decision service", where="URL", hint=hint)
    if parts.scheme == "http" and host not in LOOPBACK:
        raise InputError("would send the token over the network in the clear", where="URL", hint=hint)
    return url.rstrip("/")
