"""The lineage graph inside Airflow's UI: from a blocked run's tab, as of a time, as a table, and not for everybody."""

from __future__ import annotations

import re

from playwright.sync_api import FrameLocator, Page, expect

from gate.web.tabs import decisions_path, lineage_path, tab_path
from support.browser_lab import MARKS, RUN, Lab

pytestmark = MARKS

BLOCKED = "train_meeting_summary"
CY = "document.querySelector('#canvas')._cyreg.cy"
VISIBLE = f"() => {CY}.nodes(':visible').length"
RED = f"() => {CY}.edges('[blocked=1]').map((edge) => [edge.data('label'), edge.style('line-color')])"


def framed(page: Page) -> FrameLocator:
    return page.frame_locator("iframe[title^=Consent]")


def drawn(page: Page) -> FrameLocator:
    """Return our page in Airflow's frame, with its graph."""
    expect(framed(page).locator("#graph")).to_have_attribute("data-ready", "true")
    return framed(page)


def test_a_blocked_runs_tab_leads_to_a_graph_with_the_blocked_links_red_and_why(lab: Lab) -> None:
    page = lab.page("user")
    page.goto(lab.url + tab_path(BLOCKED, RUN, "consent_gate"))
    framed(page).get_by_role("link", name="Graph of this decision").click()
    root = drawn(page).locator(":root")
    red = root.evaluate(RED)
    assert len(red) >= 4  # three datasets into the gate, and its verdict
    assert all(label.startswith("✗ ") and colour == "rgb(179,38,30)" for label, colour in red)
    root.evaluate(f"() => {CY}.nodes('[kind=\"decision\"]')[0].emit('tap')")
    panel = framed(page).locator("#panel")
    expect(panel).to_contain_text("✗ blocked")
    expect(panel).to_contain_text("no consent: ")
    expect(panel.locator("blockquote").first).to_contain_text("“")
    lab.shot(page, "lineage-of-a-blocked-run")


def test_by_the_navigation_through_time_to_the_table(lab: Lab) -> None:
    page = lab.page("viewer")
    page.goto(lab.url + decisions_path())
    framed(page).get_by_role("link", name="Lineage", exact=True).click()
    expect(framed(page).get_by_role("heading", name="Begin with")).to_be_visible()
    page.goto(lab.url + lineage_path(f"{BLOCKED}/{RUN}", "both"))
    root, slider = drawn(page).locator(":root"), framed(page).locator("#time")
    everything = root.evaluate(VISIBLE)
    slider.press("Home")  # to when the first link was told
    expect(framed(page).locator("#time-shown")).not_to_have_text("now")
    page.wait_for_url(re.compile("as_of=20"))  # in Airflow's own address, to be passed on
    assert root.evaluate(VISIBLE) < everything
    framed(page).get_by_role("link", name="Table", exact=True).click()
    links = framed(page).get_by_role("region", name="Links, in the direction in which data went")
    expect(links).to_contain_text("no_consent")
    page.wait_for_url(re.compile("/plugin/consent-gate/gate/ui/lineage/table"))


def test_of_a_dag_that_may_not_be_seen_there_is_no_lineage(lab: Lab, reserved: str) -> None:
    """Whoever may not see the DAG is told the same as of a DAG that never was, by page, table, JSON and API."""
    for user in ("viewer", "admin"):
        context = lab.context()
        context.set_default_timeout(120_000)  # a server that just started reads the ledger once
        context.add_cookies([{"name": "_token", "value": lab.token(user), "url": reserved}])

        def told(path: str, dag_id: str) -> tuple[int, str]:
            query = {"node": f"{dag_id}/{RUN}", "direction": "both"}
            answer = context.request.get(f"{reserved}/gate/{path}", params=query)  # noqa: B023  used in this round only
            return answer.status, re.sub(r"(hidden|missing)_training", "…", answer.text())

        for path in ("ui/lineage.json", "ui/lineage/table", "api/v1/lineage/graph"):
            hidden, missing = told(path, "hidden_training"), told(path, "missing_training")
            assert missing[0] == 422
            assert (hidden == missing) == (user == "viewer"), (user, path)
        page = context.new_page()
        page.goto(reserved + lineage_path(f"hidden_training/{RUN}", "both"))
        if user == "admin":
            expect(drawn(page).locator("#graph-status")).to_contain_text(re.compile(r"\d+ drawn"))
        else:
            expect(framed(page).locator("#graph-status")).to_contain_text("cannot be shown")
