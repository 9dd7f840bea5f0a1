"""Prints a page as PDF with WeasyPrint, or says what this machine lacks; nothing is fetched while it does."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from typing import Any, NoReturn

from gate.errors import CheckFailed, InputError

EXTRA = "pip install 'airflow-provider-consent-gate[audit]'"
LIBRARIES = "on Debian: apt-get install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"
MOST = 150_000  # characters of a page, some hundred rows: each costs a tenth of a second, and more in long tables

Print = Callable[[str], bytes]


def printer() -> Print:
    """Load what prints.

    Returns:
        A function from a page (HTML that needs nothing else) to a PDF; it raises `CheckFailed` for a page that asks
        for something from elsewhere, and `InputError` for one that is too long.

    Raises:
        InputError: WeasyPrint is not installed, or not the libraries that it needs of the system.
    """
    try:
        with redirect_stdout(io.StringIO()):  # what it says there of missing libraries is no answer of ours
            import weasyprint
            from weasyprint.urls import FatalURLFetchingError, URLFetcher
    except ImportError:
        raise InputError("WeasyPrint 68 or newer is not installed", where="--pdf", hint=EXTRA) from None
    except OSError:
        raise InputError("WeasyPrint does not find Pango on this system", where="--pdf", hint=LIBRARIES) from None

    class Nothing(URLFetcher):  # type: ignore[misc]
        """Neither the network nor the disk; remembers what was asked for, for WeasyPrint passes over errors in SVG."""

        asked: str | None = None

        def fetch(self, url: str, headers: Any = None) -> NoReturn:  # noqa: ARG002  # WeasyPrint's own signature
            self.asked = url
            raise FatalURLFetchingError(url)

    def write(page: str) -> bytes:
        if len(page) > MOST:
            raise InputError("is too long to be printed", where="report", hint="ask for less at a time, or --no-pdf")
        nothing, written = Nothing(), b""
        with suppress(FatalURLFetchingError):
            written = weasyprint.HTML(string=page, url_fetcher=nothing).write_pdf()
        if nothing.asked is not None:
            raise CheckFailed(
                f"asks for something from elsewhere while it is printed: {nothing.asked[:80]!r}",
                where="report",
                hint="--no-pdf; and tell us: a report needs nothing but itself",
            )
        return written

    return write
