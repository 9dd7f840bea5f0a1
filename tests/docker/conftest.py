"""Closes the Docker test with one plain line of numbers, for people and for whoever reads its output."""

from __future__ import annotations

import os

import pytest

from support.docker_stack import COMPOSE


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count tests, and what went wrong before one could begin."""
    if COMPOSE in os.environ:
        passed, failed, errors, skipped = (
            len(terminalreporter.stats.get(kind, [])) for kind in ("passed", "failed", "error", "skipped")
        )
        rest = f", {skipped} skipped" if skipped else ""
        terminalreporter.write_line(f"{passed} passed, {failed + errors} failed{rest}")
