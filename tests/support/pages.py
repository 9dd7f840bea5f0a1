"""The pages over a ledger with the demo's decisions, for people of every role, and Chromium to look at them.

By hand: `PYTHONPATH=tests python -m support.pages SHOTS [PATH…]` takes pictures of pages in both themes and two widths.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection

from gate.api.auth import ROLES, RUNS, Principal
from gate.demo.lake import make_lake
from gate.demo.seed import record_history
from gate.domain.dataset import Dataset, dataset
from gate.domain.decision import wanted_use
from gate.domain.instants import utc_now
from gate.domain.run import Confirmed, TaskRun
from gate.service.core import Service, open_service
from gate.service.deciding import decide
from gate.service.outcome import Asking
from gate.service.settings import read_settings
from gate.service.tagging import tag_dataset
from gate.web.host import Host
from gate.web.pace import Pace
from gate.web.site import create_site
from support.served import listening

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PEOPLE = {**ROLES, "viewer": frozenset({"read", RUNS}), "stranger": frozenset({RUNS})}
HIDDEN = "secret_dag"  # what a stranger does not see


async def logged_in(connection: HTTPConnection) -> Principal | None:
    """Stand in for a log-in: `X-Person: NAME ROLE`, or the same in a cookie; a stranger sees all DAGs but `HIDDEN`."""
    said, cookie = connection.headers.get("X-Person"), connection.cookies.get("person")
    name, _, role = (said or (cookie or "").replace("+", " ")).partition(" ")
    if not name:
        return None
    principal = Principal(name, "person", PEOPLE[role], "airflow", from_cookie=said is None, display=name.title())
    return replace(principal, sees=lambda dag_id: dag_id != HIDDEN) if role == "stranger" else principal


def site(service: Service, host: Host | None = None):  # type: ignore[no-untyped-def]
    """Return the app with its pages over an open service."""
    host = host or Host(airflow="")
    return create_site(lambda: service, authenticators=[logged_in], host=host, pace=Pace(burst=1_000_000))


def demo_service(folder: Path, clock: Callable[[], datetime] = utc_now) -> Service:
    """Open a service with the demo's history and three decisions about its lake: blocked, allowed, denied."""
    lake = folder / "lake"
    make_lake(lake)
    service = open_service(read_settings({"GATE_HOME": str(folder / "home")}), clock=clock)
    service.confirm = lambda run: Confirmed()
    record_history(service)
    recordings = _tagged(service, dataset(f"{lake}/meetings/recordings", "path:{account}/*"), "audio", "video")
    chat = _tagged(service, dataset(f"{lake}/meetings/chat/chat.jsonl", "account_id"), "chat")
    transcripts = _tagged(service, dataset(f"{lake}/meetings/transcripts", "path:{account}/*.vtt"), "chat", "audio")
    for dag_id, sets, use in (
        ("train_meeting_summary", [recordings, chat, transcripts], ("meeting_summary", "ms-1")),
        ("train_for_vendor", [chat], ("team_chat_compose", "vendor-llm")),
        ("train_meeting_summary", [chat], ("meeting_summary", "ms-1")),
        (HIDDEN, [chat], ("meeting_summary", "ms-1")),
    ):
        asked = TaskRun(dag_id, f"manual__{len(sets)}", "consent_gate")
        wanted = wanted_use("train", feature=use[0], model=use[1])
        decide(service, sets, wanted, Asking(asked, ("train",), "service:airflow", "airflow"))
    return service


def _tagged(service: Service, one: Dataset, *declared: str) -> Dataset:
    tag_dataset(service, one, declared, by="service:airflow", via="airflow")
    return one


def chromium() -> str | None:
    """Return Debian's Chromium, or another one on the path."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def browser() -> Iterator[Browser]:
    """Start Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            yield started
        finally:
            started.close()


def main(shots: str, *paths: str) -> None:
    """Take pictures of pages (`/ui/…`), as an admin."""
    folder = Path(shots)
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as scratch,
        demo_service(Path(scratch)) as service,
        listening(site(service)) as url,
        browser() as started,
    ):
        for theme, width in product(("light", "dark"), (1280, 420)):
            context = started.new_context(
                viewport={"width": width, "height": 900},
                color_scheme=theme,
                extra_http_headers={"X-Person": "ada admin"},
            )
            page = context.new_page()
            page.on("console", lambda message: print("console:", message.text, file=sys.stderr))
            for path in paths or ("/ui/decisions",):
                page.goto(url + path)
                name = re.sub(r"\W+", "_", path.strip("/"))[:60]
                page.screenshot(path=str(folder / f"{name}-{theme}-{width}.png"), full_page=True)
            context.close()


if __name__ == "__main__":
    os.environ.pop("GATE_HOME", None)
    main(*sys.argv[1:])
