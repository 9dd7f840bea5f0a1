"""The report as PDF: it is really made, holds what the page holds, and nothing is fetched for it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gate.domain.run import TaskRun
from gate.errors import CheckFailed, InputError
from gate.service import bundle
from gate.service.archive import unpack
from gate.service.bundle import Scope, export_bundle
from gate.service.bundle_format import PDF, REPORT
from gate.service.bundle_verify import verify_bundle
from gate.service.core import Service
from gate.service.deciding import decide
from gate.service.printing import MOST, Print
from gate.service.tagging import tag_dataset
from support.audited import audited
from support.printing import needed_printer, text_of
from support.world import ASKING, USE, add_account, chat_file, event, say

MODEL = Scope(model="ms-1")
WITHOUT = {
    "no WeasyPrint": ("raise ImportError('weasyprint')", "pip install 'airflow-provider-consent-gate[audit]'"),
    "an old WeasyPrint": ("", "pip install 'airflow-provider-consent-gate[audit]'"),
    "no Pango": ("print('see my manual'); raise OSError('cannot load library')", "apt-get install libpango-1.0-0"),
}


@pytest.fixture(scope="module")
def printing() -> Print:
    return needed_printer()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with audited(tmp_path_factory.mktemp("audited")) as opened:
        yield opened


@pytest.fixture(scope="module")
def printed(printing: Print, service: Service, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = export_bundle(service, MODEL, by="service:auditor", pdf=True)
    assert verify_bundle(made.archive, service.pinned_keys)[0].problems == []
    file = tmp_path_factory.mktemp("printed") / "report.pdf"
    file.write_bytes(unpack(made.archive)[PDF])
    return file


def plain(pdf: bytes) -> bytes:
    """Return what a PDF's compressed streams hold."""
    streams = re.findall(rb"/FlateDecode.*?stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    return b"\n".join(zlib.decompressobj().decompress(one) for one in streams)


def test_a_report_is_printed(printed: Path) -> None:
    content = printed.read_bytes()
    assert content.startswith(b"%PDF-1.")
    assert content.rstrip().endswith(b"%%EOF")
    assert len(re.findall(rb"/Type /Page\b", plain(content))) in range(2, 7)


def test_it_holds_model_clauses_sources_and_graph(printed: Path) -> None:
    text = text_of(printed)
    for words in (
        "Audit of model ms-1",
        "will not use audio, video or chat Customer Content to train",
        "Press article 0 on the change of terms",
        "EU AI Act, art. 10",
        "decision 14: allow",  # only the picture calls it so
        "What it cannot prove",
        "no_consent",
    ):
        assert words in text, words
    assert len(re.findall(r"page \d of \d", text)) == text.count("\f")
    assert text.count("at 20 entries, 2024-01-01 00:00:00 UTC") == text.count("\f")


def test_who_does_not_ask_gets_it_where_it_can_be_made(printing: Print, service: Service) -> None:
    assert PDF in unpack(export_bundle(service, MODEL, by="service:auditor").archive)


def test_the_same_page_is_the_same_pdf(printing: Print) -> None:
    page = "<title>t</title><h1>The same</h1>"
    assert printing(page) == printing(page)


@pytest.mark.parametrize(
    "asks",
    [
        '<img src="{}">',
        '<link rel="stylesheet" href="{}">',
        '<link rel="attachment" href="{}">',
        '<style>@import "{}";</style>',
        '<style>p {{ background: url("{}") }}</style><p>x',
        '<style>@font-face {{ font-family: f; src: url("{}") }} p {{ font-family: f }}</style><p>x',
        '<object data="{}"></object>',
        '<embed src="{}">',
        '<svg width="9" height="9"><image href="{}" width="9" height="9"/></svg>',
    ],
)
@pytest.mark.parametrize("where", ["http://127.0.0.1:9/x", "file:///etc/hostname", "data:text/plain,x"])
def test_nothing_is_fetched(printing: Print, asks: str, where: str) -> None:
    with pytest.raises(CheckFailed, match="asks for something from elsewhere"):
        printing(asks.format(where))


def test_hostile_names_ask_for_nothing(printing: Print, tmp_path: Path) -> None:
    with audited(tmp_path, name="<img src='file: passwd'><style>p{background:url(x)}<.jsonl") as service:
        assert PDF in unpack(export_bundle(service, MODEL, by="service:auditor", pdf=True).archive)


def test_what_is_too_long_is_not_printed(printing: Print) -> None:
    with pytest.raises(InputError, match="too long"):
        printing("x" * (MOST + 1))


def test_of_a_long_report_the_first_rows_are_printed(
    printing: Print, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"later-{number}" for number in range(40)]
    later = TaskRun("train", "later", "gate")
    with audited(tmp_path) as service:
        for name in names:
            add_account(service, name)
        say(service, *map(event, names))
        data = chat_file(tmp_path, names, "later.jsonl")
        tag_dataset(service, data, ["chat"], by="service:airflow", via="airflow")
        decide(service, [data], USE, replace(ASKING, run=later))
        asked = Scope(run=("train", "later"))
        whole = unpack(export_bundle(service, asked, by="service:auditor", pdf=False).archive)[REPORT]
        monkeypatch.setattr(bundle, "MOST", len(whole) - 1000)
        made = export_bundle(service, asked, by="service:auditor", pdf=True)
    files, file = unpack(made.archive), tmp_path / "report.pdf"
    file.write_bytes(files[PDF])
    assert re.search(r"And \d+ more rows: report.html, in the same bundle, shows all", " ".join(text_of(file).split()))
    assert b"more rows" not in files[REPORT]
    assert {"what": "rows of long tables in report.pdf", "why": "report.html has all of them"} in made.manifest[
        "left_out"
    ]
    assert verify_bundle(made.archive, service.pinned_keys)[0].problems == []


@pytest.mark.parametrize(("code", "hint"), WITHOUT.values(), ids=WITHOUT.keys())
def test_a_machine_that_cannot_print_says_what_it_lacks(service: Service, tmp_path: Path, code: str, hint: str) -> None:
    """The library is replaced by one that fails as the real one does; what prints is asked in another process."""
    (tmp_path / "weasyprint").mkdir()
    (tmp_path / "weasyprint" / "__init__.py").write_text(code + "\n")
    environ = {
        **os.environ,
        "PYTHONPATH": str(tmp_path),
        "GATE_HOME": str(service.settings.home),
    }

    def export(*more: str) -> subprocess.CompletedProcess[str]:
        words = ["audit", "export", "--model", "ms-1", "--out", str(tmp_path / "b.zip"), *more]
        python = [sys.executable, "-c", "from gate.cli.main import main; main()"]
        return subprocess.run([*python, *words], env=environ, capture_output=True, text=True, check=False)

    must = export("--pdf", "--open", "acme")
    assert must.returncode == 2
    assert hint in " ".join(must.stderr.split())
    assert "Traceback" not in must.stderr
    assert not (tmp_path / "b.zip").exists()
    can = export()
    assert can.returncode == 0, can.stderr
    assert hint in can.stdout
    assert "my manual" not in can.stdout
    files = unpack((tmp_path / "b.zip").read_bytes())
    assert PDF not in files
    assert hint.encode() in files[REPORT].replace(b"&#x27;", b"'")
