"""A reviewer in a real Airflow: from a red task to what is missing, from whom, and what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import FrameLocator, Page, expect

from gate.web.tabs import decisions_path, tab_path
from support.browser_lab import MARKS, RUN, Lab

pytestmark = MARKS

AXE = Path(__file__).parents[2] / "gate" / "web" / "assets" / "node_modules" / "axe-core" / "axe.min.js"
BAD = ("serious", "critical")


def ours(page: Page) -> FrameLocator:
    """Return our page inside Airflow's frame."""
    return page.frame_locator("iframe[title^=Consent]")


def accessibility_problems(page: Page) -> list[str]:
    """Return what axe finds serious on a page of ours, opened by itself."""
    page.evaluate(AXE.read_text("utf-8"))
    found: dict[str, Any] = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{problem['id']}: {node['target']} {node['failureSummary']}"
        for problem in found["violations"]
        if problem["impact"] in BAD
        for node in problem["nodes"]
    ]


def test_one_click_leads_from_a_red_task_to_what_is_missing(lab: Lab) -> None:
    page = lab.page()
    page.goto(f"{lab.url}/dags/train_meeting_summary/runs/{RUN}")
    page.locator("input[name=username]").fill("user")  # as a person: through Airflow's own log-in
    page.locator("input[name=password]").fill(lab.airflow.passwords["user"])
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/login" not in url)
    page.wait_for_load_state("networkidle")
    page.goto(f"{lab.url}/dags/train_meeting_summary/runs/{RUN}/tasks/consent_gate")
    page.get_by_role("link", name="Consent", exact=True).last.click()
    frame = ours(page)
    expect(frame.get_by_role("heading", level=1)).to_contain_text("locked")
    expect(frame.locator("body")).to_contain_text("What would unblock this")
    expect(frame.locator("body")).to_contain_text("no_consent")
    expect(frame.locator("body")).to_contain_text("harbor")  # who never answered
    lab.shot(page, "blocked-run-tab")


def test_the_run_has_the_tab_too(lab: Lab) -> None:
    page = lab.page("viewer")
    page.goto(lab.url + tab_path("train_for_vendor", RUN))
    expect(ours(page).get_by_role("heading", level=1)).to_contain_text("locked")
    expect(ours(page).locator("body")).to_contain_text("third_party_model")


def test_the_page_follows_airflows_theme_and_the_viewers_zone(lab: Lab) -> None:
    page = lab.page("user", timezone_id="Asia/Tokyo", color_scheme="dark")
    page.goto(lab.url + tab_path("train_meeting_summary", RUN, "consent_gate"))
    frame = ours(page)
    expect(frame.locator("html")).to_have_attribute("data-theme", "dark")
    instant = frame.locator("time:not([data-show])").first
    expect(instant).to_have_attribute("title", re.compile(r"UTC$"))
    expect(instant).to_contain_text(re.compile(r"GMT\+9|JST"))
    page.evaluate("document.documentElement.className = document.documentElement.className.replace('dark', 'light')")
    expect(frame.locator("html")).to_have_attribute("data-theme", "light")
    lab.shot(page, "blocked-run-tab-dark")


def test_a_step_can_be_copied(lab: Lab) -> None:
    page = lab.page("user", permissions=["clipboard-read", "clipboard-write"])
    page.goto(lab.url + tab_path("train_meeting_summary", RUN, "consent_gate"))
    button = ours(page).get_by_role("button", name=re.compile("^Copy")).first
    button.click()
    expect(button).to_have_text(re.compile("Copied|by hand"))


def test_a_link_to_airflow_leaves_the_frame(lab: Lab) -> None:
    page = lab.page("user")
    page.goto(lab.url + decisions_path())
    frame = ours(page)
    frame.locator("a[data-leaves][href*='/dags/']").first.click()
    page.wait_for_url(re.compile(r"/dags/[^/]+"))
    assert "/plugin/" not in page.url


def test_the_list_filters_and_its_address_can_be_passed_on(lab: Lab) -> None:
    page = lab.page("user")
    page.goto(lab.url + decisions_path())
    frame = ours(page)
    expect(frame.get_by_role("heading", level=1)).to_be_visible()
    frame.locator("select[name=verdict]").select_option("block")
    expect(frame.locator("tbody tr >> visible=true").first).to_contain_text("blocked")
    page.wait_for_url(re.compile("verdict=block"))
    lab.shot(page, "decisions")
    other = lab.page("user")
    other.goto(page.url)
    expect(ours(other).locator("select[name=verdict]")).to_have_value("block")


def test_what_may_not_be_seen_is_nowhere(lab: Lab, reserved: str) -> None:
    """Airflow lets only admins see this DAG: for everybody else it does not exist, nor do the accounts in it."""
    for user in ("viewer", "user", "op", "rita", "admin"):
        cookie = {"name": "_token", "value": lab.token(user), "url": reserved}
        context = lab.context()
        context.set_default_timeout(120_000)  # a server that just started reads the ledger once
        context.add_cookies([cookie])
        run = context.request.get(f"{reserved}/gate/ui/run?dag_id=hidden_training&run_id={RUN}&task_id=consent_gate")
        assert run.status == (200 if user == "admin" else 404), user
        assert ("secret-customer" in run.text()) == (user == "admin"), user
        shown = context.request.get(f"{reserved}/gate/ui/decisions").text()
        assert ("hidden_training" in shown) == (user == "admin"), user
        assert "train_meeting_summary" in shown, user
        if user == "admin":
            continue
        for path in ("decisions.json", "decisions.csv", "causes", "requests", "requests.csv", "coverage", "badge.json"):
            answer = context.request.get(f"{reserved}/gate/ui/{path}")
            assert answer.status in (200, 403), (user, path)
            assert "hidden_training" not in answer.text(), (user, path)
            assert "secret-customer" not in answer.text(), (user, path)


@pytest.mark.parametrize("user", [None, "viewer", "user", "op", "admin"])
def test_who_may_open_what(lab: Lab, user: str | None) -> None:
    page = lab.page(user)
    asked = ("decisions", "causes", "policy", "policy/what-if", "coverage", "accounts", "requests")
    codes = {path: page.request.get(f"{lab.url}/gate/ui/{path}").status for path in asked}
    names = {"accounts", "requests"}
    for path, code in codes.items():
        allowed = user is not None and (path not in names or user != "viewer")
        assert code == (200 if allowed else 401 if user is None else 403), (user, path)


def test_nothing_serious_for_people_who_do_not_use_a_mouse(lab: Lab) -> None:
    page = lab.page("rita")
    run = f"run?dag_id=train_meeting_summary&run_id={RUN}&task_id=consent_gate"
    for path in ("decisions", run, "causes", "requests", "accounts", "policy", "policy/what-if", "coverage"):
        page.goto(f"{lab.url}/gate/ui/{path}")
        for theme in ("light", "dark"):
            page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
            assert accessibility_problems(page) == [], (path, theme)


def test_every_page_is_safe_by_its_headers(lab: Lab) -> None:
    page = lab.page("admin")
    answer = page.request.get(f"{lab.url}/gate/ui/decisions")
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    for path in ("decisions", "policy", "accounts", "coverage"):
        page.goto(f"{lab.url}/gate/ui/{path}")
    assert complaints == []
