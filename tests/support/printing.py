"""What tests of the printed report need: WeasyPrint with Pango, and poppler to read what it wrote; CI has both."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

from gate.errors import InputError
from gate.service.printing import Print, printer


def needed_printer() -> Print:
    """Return what prints; skip the test where it cannot be loaded, and fail it in CI."""
    try:
        return printer()
    except InputError as error:
        _without(str(error))


def text_of(pdf: Path) -> str:
    """Return a PDF's text; skip the test without poppler, and fail it in CI."""
    if shutil.which("pdftotext") is None:
        _without("pdftotext is not installed (apt-get install poppler-utils)")
    done = subprocess.run(["pdftotext", "-layout", str(pdf), "-"], capture_output=True, text=True, check=True)
    return done.stdout


def _without(why: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)
