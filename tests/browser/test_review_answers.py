"""Reviews in a real Airflow, answered in its own *Required Actions*: check again, subset, keep blocked, no answer."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from gate.web.tabs import tab_path
from support.browser_lab import MARKS, RECORDER, RUN, Lab

pytestmark = MARKS


def answer(lab: Lab, user: str, dag_id: str, option: str) -> Page:
    """Answer a parked gate in Airflow's UI."""
    lab.until(dag_id, "consent_gate", "awaiting_input")
    page = lab.page(user)
    page.goto(f"{lab.url}/dags/{dag_id}/runs/{RUN}/tasks/consent_gate/required_actions")
    expect(page.get_by_text(re.compile("zeta|yara"))).to_have_count(0)  # counts, no names
    page.wait_for_timeout(3000)  # a person reads; and Airflow's scheduler hears of the parking a second late
    page.get_by_role("button", name=option, exact=True).click()
    return page


def test_consent_is_recorded_then_checked_again_then_training_runs(lab: Lab) -> None:
    lab.until("review_again", "consent_gate", "awaiting_input")
    recorder = lab.page(RECORDER)
    recorder.goto(f"{lab.url}/gate/ui/run?dag_id=review_again&run_id={RUN}&task_id=consent_gate")
    expect(recorder.locator("body")).to_contain_text("yara")
    recorder.locator("a[href*='/ui/accounts/']", has_text="yara").first.click()
    recorder.wait_for_url(re.compile("/ui/accounts/[0-9a-f]+"))
    recorder.goto(re.sub(r"[?#].*", "", recorder.url) + "/record?action=grant")
    record_grant(recorder)
    lab.shot(recorder, "consent-recorded")
    page = answer(lab, "user", "review_again", "Check again")
    assert lab.until("review_again", "train", "success", "failed", "upstream_failed") == "success"
    assert lab.mark("review_again") == "1"
    assert lab.answers("review_again") == ["check_again"]
    page.goto(lab.url + tab_path("review_again", RUN, "consent_gate"))
    lab.shot(page, "review-after-check-again")


def record_grant(page: Page) -> None:
    """Fill the form as staff does who holds the customer's answer in hand."""
    page.locator("[name=toggle]").select_option("share_for_training")
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    for name, value in (("categories", "chat"), ("purposes", "train")):
        page.locator(f"[name={name}][value={value}]").check()
    written = {
        "more_features": "meeting_summary",
        "principal.id": "admin@yara",
        "evidence": "letter of 20 November, file 12",
        "notice.terms_version": "2023-08-07",
        "notice.text_sha256": "ab" * 32,
        "withdrawal_channel": "admin console",
    }
    for name, value in written.items():
        page.locator(f"[name='{name}']").fill(value)
    page.locator("[name='principal.role']").select_option("admin")
    page.locator("main form button.primary").click()
    page.wait_for_url(re.compile("/ui/accounts/[0-9a-f]+(\\?|$)"))


def test_the_consented_subset_trains(lab: Lab) -> None:
    answer(lab, "user", "review_subset", "Train on the consented subset")
    assert lab.until("review_subset", "train", "success", "failed", "upstream_failed") == "success"
    assert lab.mark("review_subset") == "2"
    assert lab.answers("review_subset") == ["subset"]


def test_kept_blocked_fails_and_never_skips(lab: Lab) -> None:
    page = answer(lab, "user", "review_keep", "Keep blocked")
    assert lab.until("review_keep", "train", "success", "failed", "upstream_failed", "skipped") == "upstream_failed"
    assert lab.instance("review_keep", "consent_gate") == "failed"
    assert lab.mark("review_keep") is None
    assert lab.answers("review_keep") == ["keep_blocked"]
    page.goto(lab.url + tab_path("review_keep", RUN, "consent_gate"))
    lab.shot(page, "review-kept-blocked")


def test_nobody_answers_and_it_stays_blocked(lab: Lab) -> None:
    assert lab.until("review_timeout", "train", "success", "upstream_failed", "skipped") == "upstream_failed"
    assert lab.instance("review_timeout", "consent_gate") == "failed"
    assert lab.mark("review_timeout") is None
    assert lab.answers("review_timeout") == ["timed_out"]
    assert lab.mark("told-review_timeout") == "asked"  # its notifier, after another that failed


def test_only_who_was_assigned_may_answer(lab: Lab) -> None:
    lab.until("review_assigned", "consent_gate", "awaiting_input")
    details = f"/dags/review_assigned/dagRuns/{RUN}/taskInstances/consent_gate/-1/hitlDetails"
    said = {"chosen_options": ["Keep blocked"], "params_input": {}}
    for user in ("viewer", "user", "admin"):
        assert lab.airflow.ask(user, "PATCH", details, said)[0] == 403, user
    assert lab.instance("review_assigned", "consent_gate") == "awaiting_input"
    assert lab.airflow.ask("op", "PATCH", details, said)[0] == 200
    lab.until("review_assigned", "train", "upstream_failed")
