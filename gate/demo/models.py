"""The demo's training code: small scikit-learn models, trained for real in a second, that note whose data they saw."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gate.demo.places import MODEL

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

Summary = dict[str, Any]

CALL_METRICS = ("packet_loss_pct", "jitter_ms", "rtt_ms", "bitrate_kbps")
_STEP = 400  # samples: 50 ms at 8 kHz
_SPOKEN = re.compile(r"<v [^>]*>(.*)")
_OBX_VALUE = re.compile(r"OBX\|(?:[^|\r]*\|){4}([0-9.]+)")


def train_meeting_summary(
    recordings: Sequence[Path], chat: pd.DataFrame, transcripts: Sequence[Path], folder: Path
) -> Summary:
    """Learn which lines belong into a summary, and what talking sounds like.

    Args:
        recordings: media files, each in a folder named after its account.
        chat: columns account_id, text and follow_up.
        transcripts: WebVTT files, each in a folder named after its account.
        folder: where `model.joblib` and `model.json` go.

    Returns:
        What `model.json` holds: name, sorted accounts, rows, features and score (accuracy on the training data).
    """
    import numpy as np
    from sklearn.cluster import KMeans

    steps = [_loudness(samples) for samples in map(read_sound, recordings) if len(samples)]
    lines, score = _line_classifier(chat)
    spoken = [line for path in transcripts for line in spoken_lines(path)]
    model = {
        "lines": lines,
        "talking": KMeans(n_clusters=2, n_init=3, random_state=0).fit(np.concatenate(steps)),
        "kept_lines": sorted(line for line, keep in zip(spoken, lines.predict(spoken), strict=True) if keep),
    }
    accounts = {*chat["account_id"], *_owners(recordings), *_owners(transcripts)}
    rows = len(chat) + len(recordings) + len(transcripts)
    return _save(folder, "meeting summary", model, accounts, rows, ("text", "loudness", "zero_crossings"), score)


def train_chat_reply(chat: pd.DataFrame, folder: Path) -> Summary:
    """Learn which chat lines ask for an answer; see `train_meeting_summary` for arguments and result."""
    model, score = _line_classifier(chat)
    return _save(folder, "chat reply", model, chat["account_id"], len(chat), ("text",), score)


def train_call_quality(calls: pd.DataFrame, folder: Path) -> Summary:
    """Learn how good a call was from its network metrics (`CALL_METRICS`), label `quality`."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000))
    metrics = calls[list(CALL_METRICS)].to_numpy()
    model.fit(metrics, calls["quality"])
    score = model.score(metrics, calls["quality"])
    return _save(folder, "call quality", model, calls["account_id"], len(calls), CALL_METRICS, score)


def train_outcomes(grades: pd.DataFrame, pulses: Sequence[Path], results: Sequence[Path], folder: Path) -> Summary:
    """Learn who passes a course, and the usual range of two measurements of health.

    Args:
        grades: columns account_id, attendance_pct, homework_pct and passed.
        pulses: FHIR NDJSON files, each in a folder named after its account.
        results: HL7 v2 files, each in a folder named after its account.
        folder: where the model goes.
    """
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    columns = ("attendance_pct", "homework_pct")
    features, passed = grades[list(columns)].to_numpy(), grades["passed"].astype(str).str.lower() == "true"
    classifier = LogisticRegression(max_iter=1_000).fit(features, passed)
    pulse = [value for path in pulses for value in fhir_values(path)]
    glucose = [value for path in results for value in hl7_values(path)]
    ranges = {
        name: (float(np.mean(values)), float(np.std(values)))
        for name, values in (("pulse", pulse), ("glucose", glucose))
    }
    accounts = {*grades["account_id"], *_owners(pulses), *_owners(results)}
    rows = len(grades) + len(pulse) + len(glucose)
    model = {"passes": classifier, "ranges": ranges}
    return _save(folder, "outcomes", model, accounts, rows, columns, classifier.score(features, passed))


def count_visits(files: Iterable[Path], table: Path) -> Path:
    """Write what a forecast learns from: how many observations each account made in each hour, and no patient.

    Args:
        files: FHIR NDJSON files, each in a folder named after its account.
        table: CSV to write, columns account_id, hour and n.
    """
    counts: Counter[tuple[str, int]] = Counter()
    for path in files:
        for resource in map(json.loads, path.read_text("utf-8").splitlines()):
            if when := resource.get("effectiveDateTime"):
                counts[path.parent.name, datetime.fromisoformat(when).hour] += 1
    table.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{account},{hour},{n}" for (account, hour), n in sorted(counts.items())]
    table.write_text("\n".join(["account_id,hour,n", *lines]) + "\n", encoding="utf-8")
    return table


def train_visit_forecast(visits: pd.DataFrame, folder: Path) -> Summary:
    """Learn how many observations an hour brings, from the table of `count_visits`."""
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit(visits[["hour"]].to_numpy(), visits["n"])
    score = model.score(visits[["hour"]].to_numpy(), visits["n"])
    return _save(folder, "visit forecast", model, visits["account_id"], len(visits), ("hour",), score)


def summarise(lines: Iterable[str]) -> str:
    """Make the shortest summary that can be: how much was said, and the longest line. Trains nothing."""
    said = sorted(lines, key=len)
    return f"{len(said)} lines; the longest: {said[-1]}" if said else "nothing was said"


def read_sound(path: Path) -> NDArray[np.float64]:
    """Decode a media file's sound.

    Returns:
        Mono samples in [-1, 1], shape (n,), whatever the format; empty if the file has no sound track.
    """
    import av
    import numpy as np

    pieces: list[NDArray[np.float64]] = []
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return np.zeros(0)
        resampler = av.AudioResampler(format="flt", layout="mono")
        for frame in container.decode(audio=0):
            pieces += [piece.to_ndarray().reshape(-1).astype(np.float64) for piece in resampler.resample(frame)]
    return np.concatenate(pieces) if pieces else np.zeros(0)


def spoken_lines(path: Path) -> list[str]:
    """Return what was said in a WebVTT transcript, one text per cue."""
    return _SPOKEN.findall(path.read_text(encoding="utf-8"))


def fhir_values(path: Path) -> list[float]:
    """Return the measured values of a FHIR NDJSON file's observations."""
    resources = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [float(r["valueQuantity"]["value"]) for r in resources if r["resourceType"] == "Observation"]


def hl7_values(path: Path) -> list[float]:
    """Return the numeric results (OBX-5) of a file of HL7 v2 messages."""
    return [float(value) for value in _OBX_VALUE.findall(path.read_bytes().decode("ascii"))]


def _loudness(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return loudness and zero crossings of each 50 ms step, shape (steps, 2)."""
    import numpy as np

    steps = samples[: len(samples) // _STEP * _STEP].reshape(-1, _STEP)
    crossings = (np.diff(np.signbit(steps), axis=1) != 0).mean(axis=1)
    return np.column_stack([np.sqrt((steps**2).mean(axis=1)), crossings])


def _line_classifier(chat: pd.DataFrame) -> tuple[Any, float]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=1_000))
    model.fit(chat["text"], chat["follow_up"])
    return model, float(model.score(chat["text"], chat["follow_up"]))


def _owners(files: Iterable[Path]) -> set[str]:
    return {path.parent.name for path in files}


def _save(
    folder: Path, name: str, model: Any, accounts: Iterable[str], rows: int, features: Iterable[str], score: float
) -> Summary:
    import joblib

    folder.mkdir(parents=True, exist_ok=True)
    summary: Summary = {
        "name": name,
        "accounts": sorted(set(accounts)),
        "rows": rows,
        "features": list(features),
        "score": round(float(score), 3),
    }
    joblib.dump(model, folder / MODEL)
    (folder / "model.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary
