"""The pictures in the docs: `make screenshots` takes them anew."""

from __future__ import annotations

import re

from playwright.sync_api import FrameLocator, Page, expect

from gate.web.tabs import decisions_path, lineage_path, tab_path
from support.browser_lab import MARKS, RUN, Lab

pytestmark = MARKS


def framed(page: Page) -> FrameLocator:
    """Return our page inside Airflow's frame, ready to be shown."""
    frame = page.frame_locator("iframe[title^=Consent]")
    expect(frame.locator("html")).to_have_attribute("data-ready", "true")
    return frame


def test_the_tab_of_a_blocked_run(lab: Lab) -> None:
    page = lab.page("user", viewport={"width": 1440, "height": 960})
    page.goto(lab.url + tab_path("train_meeting_summary", RUN, "consent_gate"))
    expect(framed(page).get_by_role("heading", level=1)).to_contain_text("may not train")
    lab.shot(page, "docs-blocked-run")


def test_the_decisions(lab: Lab) -> None:
    page = lab.page("user", viewport={"width": 1440, "height": 960})
    page.goto(lab.url + decisions_path())
    expect(framed(page).locator("tbody tr >> visible=true").first).to_be_visible()
    lab.shot(page, "docs-decisions")


def test_a_gate_that_waits_for_a_reviewer(lab: Lab) -> None:
    lab.until("review_pictured", "consent_gate", "awaiting_input")
    page = lab.page("user", viewport={"width": 1440, "height": 960})
    page.goto(f"{lab.url}/dags/review_pictured/runs/{RUN}/tasks/consent_gate/required_actions")
    expect(page.get_by_role("button", name="Check again")).to_be_visible()
    lab.shot(page, "docs-review")
    page.goto(lab.url + tab_path("review_pictured", RUN, "consent_gate"))
    expect(framed(page).get_by_role("heading", level=1)).to_contain_text("Waiting for a review")


def test_an_account(lab: Lab) -> None:
    page = lab.page("user", viewport={"width": 1280, "height": 960}, color_scheme="dark")
    page.goto(f"{lab.url}/gate/ui/accounts")
    page.get_by_role("link", name="delta", exact=True).click()
    page.wait_for_url(re.compile("/ui/accounts/[0-9a-f]+"))
    expect(page.locator("html")).to_have_attribute("data-ready", "true")
    lab.shot(page, "docs-account")


def test_the_lineage_of_a_model(lab: Lab) -> None:
    page = lab.page("user", viewport={"width": 1440, "height": 820})
    page.goto(lab.url + lineage_path("model:ms-1", "upstream"))
    expect(framed(page).locator("#graph")).to_have_attribute("data-ready", "true")
    page.wait_for_timeout(500)  # a frame to paint in
    lab.shot(page, "docs-lineage")
