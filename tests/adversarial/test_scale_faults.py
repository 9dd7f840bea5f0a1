"""No room, kills at every step, rivals, very many files: a clear error or the right answer, and nothing half-made."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from gate.domain.dataset import dataset
from gate.errors import DatasetError
from gate.ledger import records
from gate.ledger.snapshots import current_snapshot, read_groups
from gate.scan.census import look
from gate.scan.coverage import account_rows, count_coverage
from support.ledgers import COMMON, NOW, appointment, at, consent, fresh, opened, sqlite_url

pytestmark = pytest.mark.slow

TERMS = [at("2023-08-07")]
ACCOUNTS = 3000
SNAPSHOT = """
import json, os, resource, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from gate.ledger.mirror import files
from gate.ledger.snapshots import current_snapshot, read_groups
from gate.ledger.store import open_ledger

url, folder, die_at, room = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
steps = 0


def step(*_):
    global steps
    steps += 1
    if steps == die_at:
        os.kill(os.getpid(), signal.SIGKILL)


for module, name in ((os, "fsync"), (Path, "replace"), (Path, "unlink")):
    def watched(*given, _old=getattr(module, name), **more):
        step()
        answer = _old(*given, **more)
        step()
        return answer
    setattr(module, name, watched)
ledger = open_ledger(url)
now, terms = datetime(2024, 6, 1, 12, tzinfo=UTC), [datetime(2023, 8, 7, tzinfo=UTC)]
with ledger.read() as reader:
    if room:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    try:
        snapshot = current_snapshot(reader, now, terms, folder)
    except Exception as error:
        print(json.dumps({"error": type(error).__name__, "message": str(error)}))
    else:
        print(json.dumps({"groups": read_groups(snapshot), "steps": steps}))
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = sqlite_url(tmp_path_factory.mktemp("ledger") / "l.db")
    names = [f"account-{number}" for number in range(ACCOUNTS)]
    with fresh(url) as ledger, ledger.write() as tx:
        records.record_appointments(tx, [appointment(name, "ada") for name in names], **COMMON)
        records.record_consents(tx, [consent(name) for name in names], **COMMON)
        gone = [consent(name, "withdraw", effective_at="2024-02-01T00:00:00Z") for name in names[::3]]
        records.record_consents(tx, gone, **COMMON)
    return url


@pytest.fixture(scope="module")
def right(url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    with opened(url) as ledger, ledger.read() as reader:
        return read_groups(current_snapshot(reader, NOW, TERMS, tmp_path_factory.mktemp("right")))


def run(url: str, folder: Path, die_at: int = 0, room: int = 0) -> dict[str, object] | None:
    """Make the snapshot in a process of its own; `None` when it was killed."""
    command = [sys.executable, "-c", SNAPSHOT, url, str(folder), str(die_at), str(room)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == -9:
        return None
    assert done.returncode == 0, done.stderr
    told: dict[str, object] = json.loads(done.stdout)
    return told


@pytest.mark.timeout(900)
def test_killed_at_every_step_the_next_one_is_right(url: str, right: dict[str, int], tmp_path: Path) -> None:
    whole = run(url, tmp_path / "whole")
    assert whole is not None
    steps = int(str(whole["steps"]))
    assert steps >= 10
    for die_at in range(1, steps + 1):
        folder = tmp_path / str(die_at)
        assert run(url, folder, die_at) is None, "it was to be killed"
        with opened(url) as ledger, ledger.read() as reader:
            assert read_groups(current_snapshot(reader, NOW, TERMS, folder)) == right


def test_rivals_get_the_same(url: str, right: dict[str, int], tmp_path: Path) -> None:
    command = [sys.executable, "-c", SNAPSHOT, url, str(tmp_path), "0", "0"]
    rivals = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    answers = [json.loads(rival.communicate()[0]) for rival in rivals]
    assert [answer.get("groups") for answer in answers] == [right] * 4
    with opened(url) as ledger, ledger.read() as reader:
        assert read_groups(current_snapshot(reader, NOW, TERMS, tmp_path)) == right


def test_without_room_it_says_so_and_leaves_nothing(url: str, right: dict[str, int], tmp_path: Path) -> None:
    told = run(url, tmp_path / "kept", room=20_000)
    assert told is not None
    assert told["error"] == "LedgerUnavailable"
    assert "consent snapshot cannot be written" in str(told["message"])
    assert list((tmp_path / "kept").iterdir()) == []
    again = run(url, tmp_path / "kept")
    assert again is not None
    assert again["groups"] == right


SUBSET = """
import resource, signal, sys
from gate.domain.dataset import dataset
from gate.scan.subset import write_subset

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_subset(dataset(sys.argv[1], "account_id"), None, {0}, sys.argv[2])
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("kind", ["plain", "dictionary"])
def test_a_subset_without_room_is_none(tmp_path: Path, kind: str) -> None:
    names = pa.array([f"account-{hash(n)}-{n * 7919}" for n in range(100_000)])
    table = pa.table({"account_id": names if kind == "plain" else names.dictionary_encode()})
    (tmp_path / "lake").mkdir()
    parquet.write_table(table, tmp_path / "lake" / "t.parquet", use_dictionary=kind != "plain")
    target = tmp_path / "out" / "t.parquet"
    command = [sys.executable, "-c", SUBSET, str(tmp_path / "lake" / "t.parquet"), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("CannotDecide"), done.stdout
    assert "cannot be written" in done.stdout
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.timeout(900)
def test_fifty_thousand_small_files(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    for number in range(50_000):
        if number % 1000 == 0:
            (lake / f"part={number // 1000:02}").mkdir(parents=True)
        text = f"account_id,n\naccount-{number % 1000},1\nrare-{number % 7},2\n"
        (lake / f"part={number // 1000:02}" / f"{number}.csv").write_text(text)
    seen = look(dataset(str(lake), "account_id"), tmp_path)
    counts = count_coverage(seen.census, None)
    assert (counts.total_rows, counts.total_accounts, seen.version.files) == (100_000, 1007, 50_000)
    assert account_rows(seen.census, None, {0}, limit=1) == [("rare-0", 7143)]


def test_one_of_many_files_that_drifts_is_refused(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    lake.mkdir()
    for number in range(300):
        accounts = pa.array([number], pa.int64()) if number == 222 else pa.array(["a"])
        parquet.write_table(pa.table({"account_id": accounts}), lake / f"{number}.parquet")
    with pytest.raises(DatasetError, match="mixed types"):
        look(dataset(str(lake), "account_id"), tmp_path)
