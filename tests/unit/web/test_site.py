"""The site as a whole: whatever route there is or will be, who may open it, what protects it, what it never says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from html.parser import HTMLParser
from itertools import product
from typing import Any
from urllib.parse import quote

import pytest
from fastapi import FastAPI
from fastapi.dependencies.utils import get_flat_dependant
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from httpx import Response
from starlette.routing import BaseRoute, Mount

from gate.api.auth import LOGIN_COOKIE, OPEN_PATHS
from gate.service.core import Service
from gate.service.tokens import create_token
from gate.web.host import ALONE, Host
from gate.web.pages import HEADERS
from gate.web.site import create_site
from support.pages import HIDDEN, PEOPLE, logged_in, site

Visits = Any  # of the conftest
SCRIPT = "<script>alert(1)</script>"
HOSTILE = (SCRIPT, '"><img src=x onerror=alert(1)>', "a" * 2000, "\x01\x1b[31m", "%00", "‮txt", "-1", "9" * 40, "../..")
PAGE = "text/html; charset=utf-8"


def _routes(routes: Sequence[BaseRoute], prefix: str = "") -> Iterator[tuple[str, APIRoute]]:
    for route in routes:
        if isinstance(route, Mount):
            yield from _routes(route.routes or (), prefix + route.path)
        elif isinstance(route, APIRoute):
            yield prefix + route.path, route


def _unopened() -> Service:
    raise AssertionError("nothing is asked while tests are collected")


ALL = list(_routes(create_site(_unopened).routes))
PAGES = [(path, route) for path, route in ALL if path.startswith("/ui")]
READING = [(path, route) for path, route in PAGES if "GET" in route.methods]
WRITING = [path for path, route in PAGES if "POST" in route.methods]
EVERY_PAGE = pytest.mark.parametrize(("path", "route"), READING, ids=[path for path, _ in READING])


def _filled(path: str, value: str, **known: str) -> str:
    """Put a value into every parameter of a path, but for those that are known better."""
    return re.sub(r"\{(\w+)(:\w+)?\}", lambda found: known.get(found[1], quote(value, safe="")), path)


def _real(service: Service) -> dict[str, str]:
    """Return parameters of paths that lead to something: a decision about accounts, and one of the accounts."""
    decision = service.decision_of_run("train_meeting_summary", "manual__3")
    assert decision is not None
    with service.ledger.read() as reader:
        ref = next(reader.entries("profile")).body["account_ref"]
    return {"index": str(decision.index), "ref": ref}


class _Forms(HTMLParser):
    """Collects the forms of a page that change something: where each goes, and its fields."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self._open = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._open = has.get("method") == "post"
            if self._open:
                self.found.append((has["action"], {}))
        elif self._open and tag in ("input", "select", "textarea", "button") and "name" in has:
            self.found[-1][1][has["name"]] = has.get("value", "")


def _asked(route: APIRoute) -> list[str]:
    """Return the names a route reads from the query."""
    return [field.alias for field in get_flat_dependant(route.dependant).query_params]


def _check_page(answer: Response) -> None:
    assert answer.status_code < 500, answer.text
    for name, value in HEADERS.items():
        assert answer.headers[name] == value or name == "Cache-Control"
    assert SCRIPT not in answer.text or not answer.headers["Content-Type"].startswith("text/html")
    assert "onerror=alert(1)>" not in answer.text or not answer.headers["Content-Type"].startswith("text/html")
    assert "Traceback" not in answer.text


def test_the_headers_let_nothing_in_that_is_not_ours() -> None:
    policy = HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    for part in ("default-src 'none'", "frame-ancestors 'self'", "form-action 'self'", "base-uri 'none'"):
        assert part in policy
    assert (HEADERS["X-Content-Type-Options"], HEADERS["Cache-Control"]) == ("nosniff", "no-store")


def test_open_paths_are_exactly_these() -> None:
    assert {"/healthz", "/readyz", "/api/v1/openapi.json", "/ui/login"} == OPEN_PATHS


@pytest.mark.parametrize("path", sorted({path for path, _ in ALL} - OPEN_PATHS))
def test_nobody_gets_anything(visits: Visits, path: str) -> None:
    nobody = visits()
    for _, route in [one for one in ALL if one[0] == path]:
        for method, value in product(route.methods, ("0", "x")):
            answer = nobody.request(method, _filled(path, value))
            assert answer.status_code == 401
            if path.startswith("/ui"):
                _check_page(answer)
                assert answer.headers["Content-Type"] == PAGE
                assert "Please log in" in answer.text
                assert "/ui/login?next=" in answer.text
            else:
                assert answer.headers["Content-Type"] == "application/problem+json"


def test_pages_are_only_read_and_sent() -> None:
    assert {method for _, route in PAGES for method in route.methods} <= {"GET", "HEAD", "POST"}


@pytest.mark.slow
@EVERY_PAGE
def test_no_page_fails_whoever_opens_it(service: Service, visits: Visits, path: str, route: APIRoute) -> None:
    addresses = {_filled(path, "x", **_real(service)), *(_filled(path, value) for value in ("0", "x", "999999"))}
    for role, address in product(PEOPLE, sorted(addresses)):
        _check_page(visits(role).get(address))


@pytest.mark.slow
@EVERY_PAGE
def test_hostile_addresses_neither_break_a_page_nor_come_back_as_they_are(
    service: Service, visits: Visits, path: str, route: APIRoute
) -> None:
    admin = visits("admin")
    text = admin.get(_filled(path, "x", **_real(service))).text  # a page may read its query by itself
    named = re.findall(r' name="(\w+)"|[?&;](\w+)=', text)
    names = sorted({*_asked(route), *(one or other for one, other in named)})
    for value in HOSTILE:
        _check_page(admin.get(_filled(path, value)))
        _check_page(admin.get(_filled(path, "0"), params=dict.fromkeys([*names, "surprise"], value)))
        for name in names:
            _check_page(admin.get(_filled(path, "0"), params={name: value}))
    for raw in ("%00", "%ff", "%", "%0d%0aSet-Cookie:x"):
        answer = admin.get(_filled(path, "0") + "?" + "&".join(f"{name}={raw}" for name in [*names, "surprise"]))
        _check_page(answer)
        assert "Set-Cookie" not in answer.headers


@EVERY_PAGE
def test_a_stranger_learns_nothing_of_a_hidden_dag(
    service: Service, visits: Visits, path: str, route: APIRoute
) -> None:
    hidden = service.decision_of_run(HIDDEN, "manual__1")
    assert hidden is not None
    named = {"dag_id": HIDDEN, "run_id": "manual__1", "task_id": "consent_gate", "dag": HIDDEN}
    known = {name: value for name, value in named.items() if name in _asked(route)}
    for query in ({}, known):
        text = visits("stranger").get(_filled(path, str(hidden.index)), params=query).text
        for address in set(query.values()):  # what the stranger typed may stand there, as often as it likes
            text = text.replace(address, "") if query else text
        assert HIDDEN not in text
        assert hidden.digest not in text


@EVERY_PAGE
def test_who_may_not_see_accounts_sees_none(service: Service, visits: Visits, path: str, route: APIRoute) -> None:
    with service.ledger.read() as reader:
        accounts = {name for entry in reader.entries("profile") if (name := reader.open_ref(entry.body["account_ref"]))}
    assert len(accounts) > 3
    known = {"dag_id": "train_meeting_summary", "run_id": "manual__3"}
    query = {name: value for name, value in known.items() if name in _asked(route)}
    text = visits("viewer").get(_filled(path, "x", **_real(service)), params=query).text
    assert [name for name in accounts if re.search(rf"\b{re.escape(name)}\b", text)] == []


@pytest.mark.parametrize("path", WRITING)
def test_forms_of_other_pages_change_nothing(service: Service, visits: Visits, path: str) -> None:
    before = service.ledger_size()
    for value in ("0", "x"):
        there = _filled(path, value)
        fields = {"credential": "x"}
        assert visits("admin").post(there, data=fields, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
        assert visits("admin").post(there, data=fields, headers={"Sec-Fetch-Site": "same-site"}).status_code == 403
        if path != "/ui/login":
            for token in ({}, {"form_token": "0" * 64}, {"form_token": "é"}):
                answer = visits("admin").post(there, data={**fields, **token})
                assert answer.status_code == 403
                _check_page(answer)
    assert service.ledger_size() == before


@pytest.mark.parametrize("path", WRITING)
def test_odd_forms_break_nothing(visits: Visits, path: str) -> None:
    admin = visits("admin")
    for value in ("0", "x"):
        there = _filled(path, value)
        _check_page(
            admin.post(there, content=b"\xff\x00", headers={"Content-Type": "application/x-www-form-urlencoded"})
        )
        _check_page(admin.post(there, content=b"--", headers={"Content-Type": "multipart/form-data; boundary=x"}))
        _check_page(admin.post(there, content=b"{}", headers={"Content-Type": "application/json"}))
        _check_page(admin.post(there, files={"credential": b"a file"}))


@pytest.mark.slow
@EVERY_PAGE
def test_hostile_words_in_the_forms_of_a_page_break_nothing(
    service: Service, visits: Visits, path: str, route: APIRoute
) -> None:
    admin = visits("admin")
    for action, fields in _Forms(admin.get(_filled(path, "x", **_real(service))).text).found:
        for value in (*HOSTILE, "", "\x00"):
            kept = {name: fields[name] for name in ("form_token",) if name in fields}  # the log-in needs none
            _check_page(admin.post(action, data=dict.fromkeys(fields, value) | kept))
            for name in fields:
                _check_page(admin.post(action, data={**fields, name: value} | kept))
            _check_page(admin.post(action, data={name: [value, value] for name in fields} | kept))


def test_a_failure_nobody_foresaw_is_told_without_its_inside(app: FastAPI, visits: Visits) -> None:
    def fail() -> None:
        raise RuntimeError("s3cret inside")

    app.add_api_route("/ui/failing", fail)
    answer = visits("admin").get("/ui/failing")
    assert (answer.status_code, answer.headers["Content-Type"]) == (500, PAGE)
    assert "the service failed" in answer.text
    assert "s3cret" not in answer.text
    assert "Traceback" not in answer.text
    assert answer.headers["Content-Security-Policy"] == HEADERS["Content-Security-Policy"]


def test_built_files_are_open_kept_and_only_what_they_say(visits: Visits) -> None:
    page = visits("viewer").get("/ui/decisions").text
    [script] = re.findall(r'<script src="([^"]+)">', page)
    answer = visits().get(script)
    assert answer.status_code == 200
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    for climbing in ("/ui/static/../pages.py", "/ui/static/%2e%2e/pages.py", "/ui/static/..%2fpages.py"):
        assert visits().get(climbing).status_code in (401, 404)


# ── the log-in under `gate serve` ─────────────────────────────────────────────────────────────────────────────────────


def _token(service: Service, *scopes: str) -> str:
    return create_token(service, "ada", scopes, lifetime=timedelta(days=1), by="service:test", via="cli").text


def _browser(service: Service, url: str = "https://gate.example") -> TestClient:
    app = create_site(lambda: service, host=ALONE)
    return TestClient(app, url, headers={"Sec-Fetch-Site": "same-origin"}, follow_redirects=False)


def _log_in(browser: TestClient, credential: str, **fields: str) -> Response:
    return browser.post("/ui/login", data={"credential": credential, **fields})


def test_a_log_in_is_kept_where_no_script_and_no_other_site_gets_it(service: Service) -> None:
    browser = _browser(service)
    answer = _log_in(browser, _token(service, "read"), next="/ui/decisions?verdict=block")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/ui/decisions?verdict=block")
    cookie = answer.headers["Set-Cookie"]
    for part in ("HttpOnly", "SameSite=strict", "Secure", "Path=/", "Max-Age=28800"):
        assert part in cookie
    assert browser.get("/ui/decisions").status_code == 200
    assert browser.get("/api/v1/whoami").json()["name"] == "ada"


def test_over_http_the_cookie_still_works(service: Service) -> None:
    browser = _browser(service, "http://localhost:8000")
    assert "Secure" not in _log_in(browser, _token(service, "read")).headers["Set-Cookie"]
    assert browser.get("/ui/decisions").status_code == 200


@pytest.mark.parametrize("wrong", ["nonsense", "gate_" + "a" * 60, "  ", SCRIPT, "é" * 50, "a" * 5000, "a\x00b"])
def test_a_wrong_credential_is_told_and_kept_nowhere(service: Service, wrong: str) -> None:
    answer = _log_in(_browser(service), wrong, next="/ui/policy")
    assert answer.status_code in (401, 422)
    assert "Set-Cookie" not in answer.headers
    assert wrong not in answer.text or not wrong.strip()
    if answer.status_code == 401:
        assert 'role="alert"' in answer.text
        assert 'value="/ui/policy"' in answer.text


@pytest.mark.parametrize(
    "away",
    [
        *("//evil", "/\\evil", "https://evil", "javascript:alert(1)", "/ui/../x", "/ui/%2e%2e/x", "/ui/a/..", "/uix"),
        *("/ui\\evil", "/ui/\\..\\x", "\t//evil", "/ui/\n/evil", "", "ui/decisions", "/ui/./%2E%2e/x", "https:/ui/"),
    ],
)
def test_a_log_in_leads_to_our_pages_only(service: Service, away: str) -> None:
    browser = _browser(service)
    assert 'name="next" value="/ui/decisions"' in browser.get("/ui/login", params={"next": away}).text
    assert _log_in(browser, _token(service, "read"), next=away).headers["Location"] == "/ui/decisions"


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "", "Origin": "https://evil"}],
)
def test_another_site_cannot_log_somebody_in(service: Service, headers: dict[str, str]) -> None:
    answer = _browser(service).post("/ui/login", data={"credential": _token(service, "read")}, headers=headers)
    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers


def test_where_airflow_logs_people_in_we_take_no_credential(service: Service) -> None:
    host = Host(login=lambda back: f"/auth/login?next={back}", airflow="")
    app = create_site(lambda: service, authenticators=[logged_in], host=host)
    browser = TestClient(app, headers={"Sec-Fetch-Site": "same-origin"}, follow_redirects=False)
    assert browser.get("/ui/login").headers["Location"] == "/auth/login?next=/ui/decisions"
    assert _log_in(browser, _token(service, "read")).status_code == 403
    assert "/auth/login?next=/ui/policy" in browser.get("/ui/policy").text
    browser.cookies.set("person", "ada+admin")
    assert "Log out" not in browser.get("/ui/decisions").text


def test_a_token_opens_what_its_scopes_open(service: Service) -> None:
    reading, working = _browser(service), _browser(service)
    assert _log_in(reading, _token(service, "read")).status_code == 303
    assert _log_in(working, _token(service, "decide")).status_code == 303
    assert reading.get("/ui/decisions").status_code == 200
    answer = working.get("/ui/decisions")
    assert answer.status_code == 403
    assert "You may not see or do this" in answer.text
    header = {"Authorization": f"Bearer {_token(service, 'read')}"}
    assert _browser(service).get("/ui/decisions", headers=header).status_code == 200


def test_an_old_log_in_asks_again_and_leads_back(service: Service) -> None:
    browser = _browser(service)
    _log_in(browser, _token(service, "read"))
    then = service.clock() + timedelta(days=2)
    service.clock = lambda: then
    answer = browser.get("/ui/decisions?verdict=block")
    assert answer.status_code == 401
    assert "/ui/login?next=%2Fui%2Fdecisions%3Fverdict%3Dblock" in answer.text
    assert browser.get("/ui/login").status_code == 200


def test_who_logs_out_is_out(service: Service) -> None:
    browser = _browser(service)
    _log_in(browser, _token(service, "read"))
    page = browser.get("/ui/decisions").text
    assert "Log out" in page
    [token] = set(re.findall(r'name="form_token" value="(\w+)"', page))
    answer = browser.post("/ui/logout", data={"form_token": token})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/ui/login")
    assert f'{LOGIN_COOKIE}=""' in answer.headers["Set-Cookie"]
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert browser.get("/ui/decisions").status_code == 401


def test_a_form_of_one_log_in_is_none_of_another(service: Service) -> None:
    first, second = _browser(service), _browser(service)
    for browser in (first, second):
        _log_in(browser, _token(service, "read") if browser is first else _other(service))
    [token] = set(re.findall(r'name="form_token" value="(\w+)"', first.get("/ui/decisions").text))
    assert second.post("/ui/logout", data={"form_token": token}).status_code == 403
    assert second.get("/ui/decisions").status_code == 200


def _other(service: Service) -> str:
    return create_token(service, "bob", ("read",), lifetime=timedelta(days=1), by="service:test", via="cli").text


def test_below_another_path_everything_stays_below_it(service: Service) -> None:
    outer = FastAPI()
    outer.mount("/gate", site(service, ALONE))
    browser = TestClient(outer, headers={"Sec-Fetch-Site": "same-origin"}, follow_redirects=False)
    answer = _log_in(browser, "", next="/gate/ui/policy")  # the mounted path is the outer app's
    assert answer.status_code == 404
    answer = browser.post("/gate/ui/login", data={"credential": _token(service, "read"), "next": "/gate/ui/policy"})
    assert answer.headers["Location"] == "/gate/ui/policy"
    assert "Path=/gate" in answer.headers["Set-Cookie"]
    page = browser.get("/gate/ui/decisions")
    assert page.status_code == 200
    assert page.headers["Content-Security-Policy"] == HEADERS["Content-Security-Policy"]
    assert not re.findall(r'(?:href|src|action)="/(?!gate/)', page.text)


# ── the badge ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_badge_counts_the_runs_that_its_viewer_may_see(visits: Visits) -> None:
    everything, fewer = (visits(role).get("/ui/badge.json").json() for role in ("viewer", "stranger"))
    assert everything == {"blocked": 4, "days": 7}
    assert fewer == {"blocked": 3, "days": 7}
