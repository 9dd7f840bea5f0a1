"""Attaching a document to a consent in Chromium: its digest is recorded, its bytes go nowhere."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

pytest.importorskip("playwright")
from playwright.sync_api import Browser, Request, expect

from gate.service.account_history import account_ref
from gate.service.consents import export_events
from gate.service.core import Service
from support.pages import site
from support.served import listening

pytestmark = [pytest.mark.slow, pytest.mark.browser]


def test_a_document_is_attached_by_its_digest_and_stays_here(chrome: Browser, service: Service, tmp_path: Path) -> None:
    form = tmp_path / "signed form.pdf"
    form.write_bytes(b"%PDF-1.7 a secret that only the customer and we may read" * 1000)
    digest = hashlib.sha256(form.read_bytes()).hexdigest()
    sent: list[Request] = []
    with listening(site(service)) as url:
        context = chrome.new_context(extra_http_headers={"X-Person": "rita recorder"})
        page = context.new_page()
        page.on("request", lambda request: sent.append(request))
        page.goto(f"{url}/ui/accounts/{account_ref(service, 'harbor')}/record?action=withdraw")
        page.set_input_files("input[type=file]", form)
        expect(page.locator("[name=evidence_sha256]")).to_have_value(digest)
        page.fill("[name='principal.id']", "hana")
        page.fill("[name=evidence]", "ticket 9")
        page.get_by_role("button", name="Record the withdrawal").click()
        page.wait_for_url("**/accounts/*")
        context.close()
    assert any(request.method == "POST" for request in sent)
    assert not any(b"a secret" in (request.post_data_buffer or b"") for request in sent)
    assert f"ticket 9 (sha256:{digest})" in [one.get("evidence") for one in export_events(service, "harbor")]
