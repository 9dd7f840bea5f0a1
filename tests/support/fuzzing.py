"""Breaks generated files in every way that costs nothing to try, and looks for one that breaks the detection.

    cd tests && python -m support.fuzzing --seconds 1800 --seed 1 --out /tmp/found

What fails, hangs or ends the process is kept in the folder, to become a seed in `tests/fuzz_seeds`.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import resource
import subprocess
import sys
import time
import traceback
from pathlib import Path

from gate.domain.words import Category
from gate.scan.detect.blob import of_bytes
from gate.scan.detect.budget import Budget
from gate.scan.detect.examine import look
from gate.scan.detect.findings import Findings, take_in
from gate.scan.detect.signals import load_signals
from support.detection_cases import all_cases

MEMORY = 24 << 30  # bytes of addresses a worker may use; allocators keep them, not the memory behind them
LIFE = 5000  # files a worker tries
PATIENCE = 60  # seconds for one file, many times its budget
SMALL = 200_000  # bytes; larger cases are cut first
_WORDS = (
    b"",
    b"\0" * 8,
    b"\xff" * 8,
    b"\x7f\xff\xff\xff",
    b"\x80\0\0\0",
    b"{",
    b"[",
    b"<",
    b'"',
    b"\r\n",
    b"\xef\xbb\xbf",
)


def mutate(content: bytes, other: bytes, chance: random.Random) -> bytes:
    """Return `content` with one to six things done to it; `other` lends pieces."""
    data = bytearray(content[:SMALL])
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(data) + 1)
        length = chance.choice((1, 4, 16, 64, 1000))
        match chance.randrange(7):
            case 0 if data:
                data[at % len(data)] ^= 1 << chance.randrange(8)
            case 1:
                del data[at : at + length]
            case 2:
                data[at:at] = data[at : at + length] * chance.choice((1, 2, 50))
            case 3:
                begin = chance.randrange(len(other) + 1)
                data[at:at] = other[begin : begin + length]
            case 4:
                data[at : at + length] = chance.choice(_WORDS)
            case 5:
                del data[at:]
            case _:
                data[at : at + 4] = chance.randrange(1 << 32).to_bytes(4, chance.choice(("little", "big")))
    return bytes(data)


def examine(content: bytes, name: str) -> None:
    """Look into bytes as tagging does.

    Raises:
        Exception: whatever must not happen.
    """
    findings = Findings()
    start = time.monotonic()
    take_in(look(of_bytes(name, content), Budget()), load_signals(), findings)
    assert findings.sure <= set(Category)
    assert time.monotonic() - start < PATIENCE / 2


def work(seconds: float, seed: int, out: Path) -> int:
    """Try until the time is up; return how many files were tried."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    chance, cases = random.Random(seed), all_cases()
    end, tried = time.monotonic() + seconds, 0
    while time.monotonic() < end and tried < LIFE:
        case, other = chance.choice(cases), chance.choice(cases)
        content = mutate(case.content, other.content, chance)
        (out / f"current-{seed}").write_bytes(content)
        try:
            examine(content, case.name)
        except Exception:  # noqa: BLE001  any is what is looked for
            keep(out, content, "error", f"{case.name}\n{traceback.format_exc()}")
        tried += 1
        (out / f"tried-{seed}").write_text(str(tried))
    return tried


def keep(out: Path, content: bytes, kind: str, why: str) -> None:
    """Keep a file with what it did."""
    name = out / f"{kind}-{hashlib.sha256(content).hexdigest()[:16]}"
    name.with_suffix(".bin").write_bytes(content)
    name.with_suffix(".txt").write_text(why)


def supervise(seconds: float, seed: int, out: Path) -> None:
    """Run workers, one after another, and keep what ends or stops one."""
    out.mkdir(parents=True, exist_ok=True)
    end, round_ = time.monotonic() + seconds, 0
    while (left := end - time.monotonic()) > 1:
        own = seed * 1000 + round_
        words = [
            sys.executable,
            "-m",
            "support.fuzzing",
            "--worker",
            f"--seconds={left}",
            f"--seed={own}",
            f"--out={out}",
        ]
        worker = subprocess.Popen(words, stderr=subprocess.DEVNULL)
        current, hung = out / f"current-{own}", False
        while worker.poll() is None:
            time.sleep(1)
            if current.exists() and time.time() - current.stat().st_mtime > PATIENCE:
                worker.kill()
                worker.wait()
                hung = True
        if worker.returncode and current.exists():
            keep(out, current.read_bytes(), "hang" if hung else "crash", f"return code {worker.returncode}")
        round_ += 1


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--worker", action="store_true")
    chosen = parser.parse_args()
    (work if chosen.worker else supervise)(chosen.seconds, chosen.seed, chosen.out)


if __name__ == "__main__":
    main()
