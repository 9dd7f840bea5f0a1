"""How well and how fast categories are detected, on real labelled files and generated ones, against peers."""

from __future__ import annotations

import csv
import hashlib
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks._common import Row, alone
from benchmarks._detection_peers import Peer, peers
from benchmarks._detection_score import Answer, Score, per_category, picture, score

ROOT = Path(__file__).parents[1]
REAL = ROOT.parent / "shared" / "cases"
PICTURE = ROOT / "docs" / "images" / "detection.svg"
Labelled = tuple[Path, str, frozenset[str], tuple[frozenset[str], ...]]


def real_cases() -> list[Labelled]:
    """Return the labelled third-party files beside the checkout; none where they are not."""
    if not (REAL / "manifest.csv").is_file():
        return []
    with (REAL / "manifest.csv").open(encoding="utf-8") as file:
        return [
            (REAL / row["path"], row["path"], frozenset(row["labels"].split("|")), _sets(row["also_acceptable"]))
            for row in csv.DictReader(file)
        ]


def _sets(words: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(one.split("|")) for one in words.split(";") if one)


def held_out(name: str) -> bool:
    """Whether a real case was kept apart while signals were written: about a third, by a hash of its name."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % 3 == 0


def generated_cases(folder: Path) -> list[Labelled]:
    """Make the cases of `tests/support/detection_cases`."""
    sys.path.insert(0, str(ROOT / "tests"))
    try:
        from support.detection_cases import all_cases, write
    finally:
        sys.path.pop(0)
    return [(path, one.name, one.labels, one.also) for path, one in write(all_cases(), folder).items()]


def ask_us(cases: Iterable[Labelled]) -> list[Answer]:
    """Detect every case; the first one is asked twice, so that no file pays for the imports."""
    from gate.scan.detect.detecting import detect_path

    answers = []
    cases = list(cases)
    for warm in cases[:1]:
        detect_path(str(warm[0]))
    for path, name, labels, also in cases:
        start, used = time.perf_counter(), time.process_time()
        found = detect_path(str(path))
        spent, used = time.perf_counter() - start, time.process_time() - used
        why = "; ".join(f"{one.category} by {one.signal!r}" for one in found.evidence[:3]) or "; ".join(found.notes[:1])
        answers.append(Answer(name, labels, also, frozenset(found.categories), spent, why, used))
    return answers


def ask(peer: Peer, cases: Iterable[Labelled]) -> list[Answer]:
    """Ask a peer about every case."""
    answers = []
    for path, name, labels, also in cases:
        start = time.perf_counter()
        said = peer(path)
        answers.append(Answer(name, labels, also, said, time.perf_counter() - start))
    return answers


def main() -> list[Row]:
    """Return the rows of `python -m benchmarks`; figures and errors go to stderr."""
    real = real_cases()
    with tempfile.TemporaryDirectory(prefix="gate-bench-") as folder:
        made = generated_cases(Path(folder))
        parts = {
            "real, tuned on": ask_us(one for one in real if not held_out(one[1])),
            "real, held out": ask_us(one for one in real if held_out(one[1])),
            "generated": ask_us(made),
        }
        others = {name: score(ask(peer, real or made)) for name, peer in peers().items()}
    if not real:
        _say(f"no labelled files at {REAL}: generated ones alone")
    everything = [one for answers in parts.values() for one in answers]
    _report({name: answers for name, answers in parts.items() if answers}, others)
    PICTURE.write_text(picture(everything, f"Detection on {len(everything)} labelled files"), encoding="utf-8")
    judged = [*parts["real, tuned on"], *parts["real, held out"]] or everything
    return _rows(score(judged))


def _rows(found: Score) -> list[Row]:
    on = f"{found.files} labelled files"
    return [
        _row("detection: wrong sets, strict", 100 * (1 - found.strict), 5, "%", on),
        _row("detection: wrong sets, lenient", 100 * (1 - found.lenient), 2, "%", on),
        _row("detection: false alarms", 100 * found.false_alarms, 4, "%", "files that hold nothing"),
        _row("detection: sound, pictures, PHI, learners missed", found.false_nones, 0, "", on),
        _row(
            "detection: median time of a file",
            1000 * found.median,
            50,
            "ms",
            f"{1000 * found.processor:.1f} ms of processor",
        ),
        _row("detection: 95th percentile", 1000 * found.p95, 500, "ms", "after warm-up"),
    ]


def _row(what: str, measured: float, bar: float, unit: str, note: str) -> Row:
    return {"what": what, "measured": measured, "bar": bar, "unit": unit, "note": note, "ok": True}


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def _report(parts: dict[str, Sequence[Answer]] | dict[str, list[Answer]], others: dict[str, Score]) -> None:
    _say(f"{'files':<18}{'n':>5}{'strict':>9}{'lenient':>9}{'alarms':>9}{'median':>10}{'p95':>10}")
    for name, found in {**{name: score(answers) for name, answers in parts.items()}, **others}.items():
        times = f"{1000 * found.median:8.1f}ms{1000 * found.p95:8.1f}ms"
        _say(f"{name:<18}{found.files:>5}{found.strict:>9.1%}{found.lenient:>9.1%}{found.false_alarms:>9.1%}{times}")
    for name, answers in parts.items():
        _say(f"\n{name}: precision and recall")
        for category, files, precision, recall in per_category(answers):
            _say(f"  {category:<18}{files:>5}{precision:>9.1%}{recall:>9.1%}")
        for one in answers:
            if not one.exact:
                kind = "acceptable" if one.lenient else "WRONG"
                there, said = "|".join(sorted(one.labels)), "|".join(sorted(one.said))
                _say(f"  {kind}: {one.name}: is {there}, said {said} ({one.why})")


if __name__ == "__main__":
    sys.exit(alone(main))
