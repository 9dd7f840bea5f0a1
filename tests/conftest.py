"""Fixtures that several folders share: a ledger URL per database we support."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.databases import MISSING, fresh_database, postgres_server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CROWDED = "test_many_decisions.py"  # after it nobody finds anything on a first page: it comes last in its folder
SLOW_TO_COLLECT = frozenset({"test_api_openapi.py"})
NO_CHROMIUM = "Chromium is not installed (apt-get install chromium): what needs a browser does not run"


# A tag task loads Great Expectations, which takes seconds; what tests contracts asks for them itself.
os.environ.setdefault("GATE_CONTRACTS", "off")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what takes long to collect alone, where it would only be deselected."""
    return True if collection_path.name in SLOW_TO_COLLECT and "not slow" in config.option.markexpr else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what shares one worker, the folders together: the longest chain decides when all is done."""
    items.sort(key=_place)


def _place(item: pytest.Item) -> tuple[bool, bool, str, bool]:
    chained = any(mark.args == ("airflow",) for mark in item.iter_markers("xdist_group"))
    folder = item.path.parent.name if chained else ""
    return not chained, folder == "browser", folder, item.path.name == CROWDED  # the browsers' Airflow lives longest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once, not per test, that a part of the suite was skipped."""
    if any(MISSING in str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line(f"skipped: {MISSING}")


@pytest.fixture(scope="session")
def chrome() -> Iterator[Browser]:
    """Debian's Chromium; one per process, for Playwright starts no second one there."""
    from support.pages import browser, chromium

    if chromium() is None:
        if os.environ.get("CI") == "true":
            pytest.fail(NO_CHROMIUM)
        pytest.skip(NO_CHROMIUM)
    from playwright.sync_api import expect

    expect.set_options(timeout=30_000)
    with browser() as started:
        yield started


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without a ledger: a SQLite path, or a fresh database of GATE_TEST_POSTGRES_URL's server."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'ledger' / 'ledger.db'}"
        return
    with fresh_database(postgres_server()) as url:
        yield url
