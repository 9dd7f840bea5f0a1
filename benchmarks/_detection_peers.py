"""What else could tell categories apart, run on the same files: libmagic, PyAV alone, column names, Presidio."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

Peer = Callable[[Path], frozenset[str]]
_NONE = frozenset({"none"})
_WORDS = {
    "chat": re.compile(r"message|chat|speaker|sender|utterance|conversation|dialog|text|content", re.IGNORECASE),
    "telemetry": re.compile(r"sensor|device|cpu|memory|latency|event|log|metric|session", re.IGNORECASE),
    "education_record": re.compile(r"student|grade|course|gpa|pupil|exam", re.IGNORECASE),
    "phi": re.compile(r"patient|diagnos|icd|hadm|subject_id|medication|birth", re.IGNORECASE),
    "audio": re.compile(r"audio|wav|recording", re.IGNORECASE),
    "video": re.compile(r"video|frame", re.IGNORECASE),
}


def peers() -> dict[str, Peer]:
    """Return the peers that are installed here."""
    found: dict[str, Peer] = {"PyAV alone": _av, "column names": _names}
    if shutil.which("file"):
        found["libmagic (file)"] = _libmagic
    try:
        import presidio_analyzer  # noqa: F401
    except ImportError:
        pass
    else:
        found["Presidio patterns"] = _presidio
    return found


def _libmagic(path: Path) -> frozenset[str]:
    done = subprocess.run(["file", "--brief", "--mime-type", str(path)], capture_output=True, text=True, check=False)
    kind = done.stdout.strip()
    if kind.startswith(("audio/", "video/")):
        return frozenset({kind.partition("/")[0]})
    if kind == "application/dicom":
        return frozenset({"phi"})
    return frozenset({"chat"}) if kind in ("message/rfc822", "application/mbox") else _NONE


def _av(path: Path) -> frozenset[str]:
    import av

    try:
        with av.open(
            str(path), **({"metadata_errors": "ignore"} if int(av.__version__.partition(".")[0]) < 19 else {})
        ) as opened:
            kinds = {stream.type for stream in opened.streams}
    except (av.FFmpegError, OSError, ValueError):
        return _NONE
    return frozenset(kinds & {"audio", "video"}) or _NONE


def _names(path: Path) -> frozenset[str]:
    """Look at the words of the first line, as a scanner of column names does."""
    with path.open("rb") as handle:
        line = handle.readline(10_000).decode("utf-8", "replace")
    return frozenset(name for name, words in _WORDS.items() if words.search(line)) or _NONE


def _presidio(path: Path) -> frozenset[str]:
    """Ask the recognisers that are patterns alone; the others need language models or the network."""
    from presidio_analyzer.predefined_recognizers import MedicalLicenseRecognizer, UsSsnRecognizer

    with path.open("rb") as handle:
        text = handle.read(100_000).decode("utf-8", "replace")
    asked = ((UsSsnRecognizer(), "US_SSN"), (MedicalLicenseRecognizer(), "MEDICAL_LICENSE"))
    found = [one for recogniser, entity in asked for one in recogniser.analyze(text, [entity], None)]
    return frozenset({"phi"}) if found else _NONE
