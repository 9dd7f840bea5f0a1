"""Keeps the Docker test out of the way of all others, and closes it with one plain line of numbers."""

from __future__ import annotations

import os

import pytest

from support.docker_stack import COMPOSE

collect_ignore_glob = [] if COMPOSE in os.environ else ["test_*.py"]  # `make docker-test` starts what they need


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count tests, and what went wrong before one could begin."""
    if COMPOSE in os.environ:
        passed, failed, errors, skipped = (
            len(terminalreporter.stats.get(kind, [])) for kind in ("passed", "failed", "error", "skipped")
        )
        rest = f", {skipped} skipped" if skipped else ""
        terminalreporter.write_line(f"{passed} passed, {failed + errors} failed{rest}")
