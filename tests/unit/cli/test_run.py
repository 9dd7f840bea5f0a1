"""`gate run`: nothing starts without a redeemed permit, and nothing goes on without the permission."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import gate
from gate.cli.supervise import supervise
from gate.domain.dataset import Dataset
from gate.domain.instants import utc_now
from gate.domain.run import TaskRun
from gate.errors import CannotDecide, DatasetError, InputError, PermitRefused
from gate.service.core import Service, open_service
from gate.service.deciding import decide
from gate.service.session import ACTOR, run_of_environment
from gate.service.settings import read_settings
from gate.service.tagging import tag_dataset
from support.airflow_rest import AirflowRest, airflow_rest
from support.world import ASKING, TRAIN, USE, add_account, chat_file, event, new_service, say

AIRFLOW = {
    "AIRFLOW_CTX_DAG_ID": TRAIN.dag_id,
    "AIRFLOW_CTX_DAG_RUN_ID": TRAIN.run_id,
    "AIRFLOW_CTX_TASK_ID": TRAIN.task_id,
    "AIRFLOW_CTX_TRY_NUMBER": "1",
}
USED = ("--purpose", "train", "--feature", "meeting_summary", "--model", "ms-1")


@dataclass
class Lab:
    """A decided run, an Airflow that runs it, and `gate run` as a process of its own."""

    service: Service
    data: Dataset
    airflow: AirflowRest
    folder: Path
    environ: Mapping[str, str]

    def start(self, *command: str, options: tuple[str, ...] = (), reads: str | None = None) -> subprocess.Popen[str]:
        words = [sys.executable, "-c", "from gate.cli.main import main; main()", "run"]
        words += ["--reads", reads or f"{self.data.uri}#account_id", *USED, *options, "--", *command]
        return subprocess.Popen(
            words, env=self.environ, stdin=subprocess.DEVNULL, stdout=-1, stderr=-1, text=True, cwd=self.folder
        )

    def run(self, *command: str, **how: object) -> tuple[int, str, str]:
        process = self.start(*command, **how)  # type: ignore[arg-type]
        out, err = process.communicate(timeout=60)
        assert "Traceback" not in err
        return process.returncode, out, err

    def python(self, code: str, **how: object) -> tuple[int, str, str]:
        return self.run(sys.executable, "-c", code, **how)

    def redemptions(self) -> list[dict]:
        with self.service.ledger.read() as reader:
            return [entry.body | {"idx": entry.idx, "by": entry.by} for entry in reader.entries("redemption")]

    def exposures(self) -> list[str]:
        with self.service.ledger.read() as reader:
            return [entry.body["reason"] for entry in reader.entries("exposure")]

    def attestations(self) -> list[dict]:
        with self.service.ledger.read() as reader:
            return [entry.body | {"by": entry.by} for entry in reader.entries("attestation")]

    def withdraw(self) -> None:
        say(self.service, event("acme", "withdraw", effective_at="2024-01-01T00:00:00Z"), via="cli")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    home = tmp_path / "home"
    with new_service(home, utc_now) as service, airflow_rest(TRAIN) as airflow:  # type: ignore[arg-type]
        add_account(service, "acme")
        say(service, event("acme"))
        data = chat_file(tmp_path, ["acme"] * 3)
        tag_dataset(service, data, ["chat"], by="service:airflow", via="airflow")
        assert decide(service, [data], USE, ASKING).allowed
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("GATE_", "AIRFLOW"))}
        environ = {**kept, **AIRFLOW, **airflow.environ(), "GATE_HOME": str(home), "TMPDIR": str(tmp_path)}
        yield Lab(service, data, airflow, tmp_path, environ)


def until(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


SHOW = """
import json, os, stat, sys
path = os.environ["GATE_PERMIT_FILE"]
held = json.load(open(path))
modes = [stat.S_IMODE(os.stat(place).st_mode) for place in (path, os.path.dirname(path))]
json.dump({"held": held, "modes": modes, "path": path, "args": sys.argv[1:]}, sys.stdout)
sys.exit(7)
"""


def test_the_command_runs_with_its_permit_and_its_exit_code_is_ours(lab: Lab) -> None:
    code, out, err = lab.run(sys.executable, "-c", SHOW, "--json", "--", "--epochs=3")
    assert (code, err) == (7, "")
    shown = json.loads(out)
    [redemption] = lab.redemptions()
    assert shown["args"] == ["--json", "--", "--epochs=3"]
    assert shown["modes"] == [0o600, 0o700]
    assert shown["held"]["redemption"] == redemption["idx"]
    assert shown["held"]["run"] == TRAIN.to_dict()
    permit = gate.verify_permit(
        shown["held"]["permit"], lab.service.pinned_keys, now=utc_now(), task_id="train", run_id=TRAIN.run_id
    )
    assert permit.permit_id == redemption["permit_id"]
    assert redemption["by"] == ACTOR
    assert not Path(shown["path"]).parent.exists()


def test_running_again_for_the_same_try_redeems_nothing_new(lab: Lab) -> None:
    assert lab.run("true")[0] == 0
    assert lab.run("true")[0] == 0
    assert len(lab.redemptions()) == 1
    lab.airflow.running = {replace(TRAIN, try_number=2)}
    assert lab.run("true", options=("--try", "2"))[0] == 0
    assert len(lab.redemptions()) == 2


def test_a_try_that_redeemed_before_a_withdrawal_does_not_start_again_after_it(lab: Lab) -> None:
    assert lab.run("true")[0] == 0
    lab.withdraw()
    assert lab.run("touch", str(started(lab)))[0] == 3
    assert not started(lab).exists()


def started(lab: Lab) -> Path:
    return lab.folder / "started"


NOT_REDEEMED = {
    "a withdrawal": (lambda lab: lab.withdraw(), {}, 3, "consent_withdrawn"),
    "other bytes": (lambda lab: chat_file(lab.folder, ["acme"] * 4), {}, 3, "dataset_changed"),
    "another dataset": (lambda lab: None, {"reads": "/lake/other#account_id"}, 3, "permit_mismatch"),
    "another locator": (lambda lab: None, {"reads": "chat.jsonl#owner"}, 3, "permit_mismatch"),
    "another use": (lambda lab: None, {"options": ("--purpose", "tune")}, 3, "permit_mismatch"),
    "no training purpose": (lambda lab: None, {"options": ("--purpose", "infer")}, 3, "permit_mismatch"),
    "a try that is not running": (lambda lab: None, {"options": ("--try", "2")}, 3, "permit_mismatch"),
    "another map index": (lambda lab: None, {"options": ("--map-index", "0")}, 3, "permit_mismatch"),
    "a run without permit": (lambda lab: None, {"options": ("--run", "manual__2")}, 3, "permit_mismatch"),
    "a purpose that is none": (lambda lab: None, {"options": ("--purpose", "sell")}, 2, None),
    "a try that is no number": (lambda lab: None, {"options": ("--try", "two")}, 2, None),
}


@pytest.mark.parametrize("why", NOT_REDEEMED)
def test_without_redemption_the_command_never_starts(lab: Lab, why: str) -> None:
    prepare, how, wanted, reason = NOT_REDEEMED[why]
    prepare(lab)
    options = (*how.get("options", ()), "--json")
    code, out, _ = lab.run("touch", str(started(lab)), **how | {"options": options})
    assert code == wanted
    assert not started(lab).exists()
    assert lab.redemptions() == []
    if reason:
        assert json.loads(out)["reason"] == reason


def test_a_relative_dataset_is_the_one_in_this_folder(lab: Lab) -> None:
    assert lab.run("true", reads="chat.jsonl#account_id")[0] == 0


CANNOT_TELL = {
    "Airflow is not configured": lambda environ, airflow: environ.pop("GATE_AIRFLOW_URL"),
    "Airflow does not answer": lambda environ, airflow: environ.update(GATE_AIRFLOW_URL="http://127.0.0.1:9"),
    "the ledger is gone": lambda environ, airflow: (Path(environ["GATE_HOME"]) / "ledger.db").unlink(),
}


@pytest.mark.parametrize("why", CANNOT_TELL)
def test_when_nobody_can_tell_the_command_never_starts(lab: Lab, why: str) -> None:
    lab.environ = dict(lab.environ)
    CANNOT_TELL[why](lab.environ, lab.airflow)
    assert lab.run("touch", str(started(lab)))[0] == 4
    assert not started(lab).exists()


@pytest.mark.parametrize("name", sorted(AIRFLOW))
def test_without_knowing_the_task_nothing_starts(lab: Lab, name: str) -> None:
    lab.environ = {key: value for key, value in lab.environ.items() if key != name}
    code, _, err = lab.run("touch", str(started(lab)))
    assert (code, started(lab).exists()) == (2, False)
    assert name in err


def test_a_remote_service_is_not_asked_without_token_and_pinned_key(lab: Lab) -> None:
    for given, missing in (({}, "GATE_TOKEN"), ({"GATE_TOKEN": "x"}, "GATE_KEYS"), ({"GATE_DATABASE_URL": "y"}, "URL")):
        before = lab.environ
        lab.environ = {**before, "GATE_URL": "http://127.0.0.1:9", **given}
        code, _, err = lab.run("touch", str(started(lab)))
        assert (code, started(lab).exists()) == (2, False)
        assert missing in err
        lab.environ = before


def test_a_command_that_is_not_there_redeems_nothing(lab: Lab) -> None:
    assert lab.run("no-such-command")[0] == 2
    assert lab.redemptions() == []


# A trainer with a worker of its own, like a launcher: both must stop.
TRAINER = """
import os, subprocess, sys, time
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open("started.tmp", "w").write(f"{os.getpid()} {worker.pid}")
os.rename("started.tmp", "started")
time.sleep(600)
"""
STUBBORN = "import signal; [signal.signal(n, signal.SIG_IGN) for n in (15, 2)]\n" + TRAINER


def members(lab: Lab) -> list[int]:
    until(started(lab).exists)
    return [int(word) for word in started(lab).read_text().split()]


@pytest.mark.parametrize("code", [TRAINER, STUBBORN], ids=["on request", "by force"])
def test_a_withdrawal_stops_the_command_and_all_it_started(lab: Lab, code: str) -> None:
    process = lab.start(sys.executable, "-c", code, options=("--check-every", "0.2", "--grace", "0.5"))
    pids = members(lab)
    assert all(alive(pid) for pid in pids)
    lab.withdraw()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (3, "")
    assert "1 of the permitted accounts changed after the decision: consent_withdrawn" in err
    until(lambda: not any(alive(pid) for pid in pids))
    assert lab.exposures() == ["consent_withdrawn"]


def test_a_withdrawal_that_no_look_saw_is_seen_at_the_end(lab: Lab) -> None:
    wait = "import os, time\nopen('started', 'w').close()\nwhile not os.path.exists('go'): time.sleep(0.02)"
    process = lab.start(sys.executable, "-c", wait)
    until(started(lab).exists)
    lab.withdraw()
    (lab.folder / "go").touch()
    process.communicate(timeout=60)
    assert process.returncode == 3
    assert lab.exposures() == ["consent_withdrawn"]


WRITES = "open('ms-1.bin', 'w').write('weights')"


def test_what_the_command_produced_is_attested(lab: Lab) -> None:
    code, _, err = lab.python(WRITES, options=("--produces", "ms-1.bin"))
    assert code == 0
    [said] = lab.attestations()
    [redemption] = lab.redemptions()
    assert (said["redemption"], said["run"], said["by"]) == (redemption["idx"], TRAIN.to_dict(), ACTOR)
    assert said["model"]["uri"] == f"file://{lab.folder}/ms-1.bin"
    assert f"ms-1.bin is attested as {said['model']['digest']}" in err


def test_a_command_that_failed_or_lost_its_permission_attests_nothing(lab: Lab) -> None:
    assert lab.python(WRITES + "; raise SystemExit(7)", options=("--produces", "ms-1.bin"))[0] == 7
    wait = WRITES + "\nopen('started', 'w').close()\nimport os, time\nwhile not os.path.exists('go'): time.sleep(0.02)"
    process = lab.start(sys.executable, "-c", wait, options=("--produces", "ms-1.bin"))
    until(started(lab).exists)
    lab.withdraw()
    (lab.folder / "go").touch()
    process.communicate(timeout=60)
    assert process.returncode == 3
    assert lab.attestations() == []


def test_a_model_that_was_not_written_is_told(lab: Lab) -> None:
    code, _, err = lab.run("true", options=("--produces", "ms-1.bin"))
    assert (code, lab.attestations()) == (4, [])
    assert "ms-1.bin" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_signals_reach_the_command(lab: Lab, number: signal.Signals) -> None:
    # A shell starts its background jobs, and so perhaps this very test, without SIGINT; a child gets the default back.
    before = signal.signal(number, lambda *_: None)
    code = f"""
import signal, sys, time
signal.signal({int(number)}, lambda n, f: sys.exit(40 + n))
open("started", "w").close()
time.sleep(600)
"""
    try:
        process = lab.start(sys.executable, "-c", code)
    finally:
        signal.signal(number, before)
    until(started(lab).exists)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 40 + number


def test_a_command_that_a_signal_ends_is_told_as_shells_do(lab: Lab) -> None:
    assert lab.python("import os; os.kill(os.getpid(), 9)")[0] == 137


def test_what_the_command_leaves_behind_is_stopped(lab: Lab) -> None:
    code, out, _ = lab.run("bash", "-c", "sleep 600 >/dev/null 2>&1 & echo $!", options=("--grace", "0.5"))
    assert code == 0
    until(lambda: not alive(int(out)))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
def test_killing_us_ends_the_command(lab: Lab) -> None:
    process = lab.start(sys.executable, "-c", TRAINER)
    leader, worker = members(lab)
    process.kill()
    process.wait()
    until(lambda: not alive(leader))
    os.kill(worker, signal.SIGKILL)  # only the command itself is tied to us
    process.communicate(timeout=60)


@pytest.fixture
def far(lab: Lab) -> Iterator[Lab]:
    """The same lab, seen from a pod that has a URL, a token and a key, and no ledger."""
    from gate.permits.keys import public_key_to_text
    from support.served import served

    with served(lab.service) as service:
        kept = {name: text for name, text in lab.environ.items() if not name.startswith("GATE_")}
        [key] = lab.service.pinned_keys
        remote = {"GATE_URL": service.url, "GATE_TOKEN": service.token(), "GATE_KEYS": public_key_to_text(key)}
        yield replace(lab, environ={**kept, **remote, "GATE_HOME": str(lab.folder / "pod")})


def test_a_pod_redeems_with_a_url_a_token_and_a_key(far: Lab) -> None:
    from gate.permits.receipt import RECEIPT_TYPE

    code, out, err = far.run(sys.executable, "-c", SHOW)
    assert (code, err) == (7, "")
    held = json.loads(out)["held"]
    [redemption] = far.redemptions()
    assert redemption["by"] == "service:worker"
    assert (held["redemption"], held["receipt"]["payloadType"]) == (redemption["idx"], RECEIPT_TYPE)
    assert not (far.folder / "pod").exists()


def test_a_pod_stops_when_the_permission_ends(far: Lab) -> None:
    process = far.start(sys.executable, "-c", TRAINER, options=("--check-every", "0.2", "--grace", "0.5"))
    pids = members(far)
    far.withdraw()
    process.communicate(timeout=60)
    assert process.returncode == 3
    until(lambda: not any(alive(pid) for pid in pids))
    assert far.exposures() == ["consent_withdrawn"]


NO_TRUST = {
    "a service with another key": ("GATE_KEYS", "A" * 43 + "=", 3),
    "a key that is none": ("GATE_KEYS", "nonsense", 2),
    "a token nobody made": ("GATE_TOKEN", "gate_0000000000000000_" + "A" * 43, 4),
    "a service that is not there": ("GATE_URL", "http://127.0.0.1:9", 4),
    "a token in the clear": ("GATE_URL", "http://gate.example", 2),
}


@pytest.mark.parametrize("why", NO_TRUST)
def test_a_pod_starts_nothing_on_a_doubtful_answer(far: Lab, why: str) -> None:
    name, text, wanted = NO_TRUST[why]
    far.environ = {**far.environ, name: text}
    assert far.run("touch", str(started(far)))[0] == wanted
    assert not started(far).exists()


class Silence:
    """A check that gives no answer some times."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)

    def __call__(self) -> None:
        answer = self.answers.pop(0)
        if answer is not None:
            raise answer


def test_whatever_the_check_raises_stops_the_command(tmp_path: Path) -> None:
    for error in (PermitRefused("no"), CannotDecide("?"), RuntimeError("a bug")):
        with pytest.raises(type(error)):
            supervise(["sleep", "600"], os.environ, Silence(None, None, error), every=0.05, grace=1)


def test_a_silent_service_is_borne_for_a_while(capsys: pytest.CaptureFixture[str]) -> None:
    from gate.cli.run import PATIENCE, _patient

    silent = CannotDecide("the service does not answer")

    class Session:
        check = Silence(*[silent] * (PATIENCE - 1), None, *[silent] * PATIENCE)

    check = _patient(Session())  # type: ignore[arg-type]
    for _ in range(2 * PATIENCE - 1):
        check()
    with pytest.raises(CannotDecide):
        check()
    assert capsys.readouterr().err.count("cannot tell whether the permission still stands") == 2 * PATIENCE - 2


def test_the_handlers_before_are_there_again() -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert supervise(["true"], os.environ, lambda: None, every=1, grace=1) == 0
    assert signal.getsignal(signal.SIGTERM) is before
    with pytest.raises(InputError):
        supervise(["/"], os.environ, lambda: None, every=1, grace=1)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.fixture
def notebook(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    for name in list(os.environ):
        if name.startswith(("GATE_", "AIRFLOW")):
            monkeypatch.delenv(name)
    for name, text in lab.environ.items():
        if name.startswith(("GATE_", "AIRFLOW")):
            monkeypatch.setenv(name, text)
    return lab


def test_a_notebook_reads_exactly_what_was_permitted(notebook: Lab) -> None:
    with gate.redeemed([notebook.data], gate.use("train", "meeting_summary", "ms-1")) as permit:
        permit.check()
        with permit.open(notebook.data) as data:
            assert len(data.arrow()) == 3
        with pytest.raises(PermitRefused), permit.open(gate.dataset("/lake/other")):
            pass
        chat_file(notebook.folder, ["acme"] * 4)
        with pytest.raises(DatasetError), permit.open(notebook.data):
            pass
    assert [body["run"] for body in notebook.redemptions()] == [TRAIN.to_dict()]


def test_a_notebook_attests_its_model_as_soon_as_it_says_so(notebook: Lab) -> None:
    model = notebook.folder / "ms-1.bin"
    model.write_bytes(b"weights")
    with gate.redeemed([notebook.data], USE, TRAIN) as permit:
        attested = permit.produced(model)
        assert permit.produced(model) == attested
        assert [said["model"]["digest"] for said in notebook.attestations()] == [attested.model.digest]


def test_a_notebook_learns_of_a_withdrawal(notebook: Lab) -> None:
    entered = []
    with pytest.raises(PermitRefused), gate.redeemed([notebook.data], USE, TRAIN) as permit:  # noqa: PT012
        entered.append(permit)
        notebook.withdraw()
    assert entered
    assert notebook.exposures() == ["consent_withdrawn"]
    with pytest.raises(PermitRefused), gate.redeemed([notebook.data], USE, TRAIN) as permit:
        entered.append(permit)
    assert len(entered) == 1


def test_a_failure_of_the_notebooks_own_is_not_hidden(notebook: Lab) -> None:
    with pytest.raises(KeyError), gate.redeemed([notebook.data], USE, TRAIN):  # noqa: PT012
        notebook.withdraw()
        raise KeyError("its own")


def test_the_tasks_try_comes_from_the_environment_and_what_is_given_goes_first() -> None:
    assert run_of_environment(AIRFLOW) == TRAIN
    assert run_of_environment(AIRFLOW | {"AIRFLOW_CTX_MAP_INDEX": "4"}) == replace(TRAIN, map_index=4)
    assert run_of_environment(AIRFLOW, map_index=2, try_number=3) == replace(TRAIN, map_index=2, try_number=3)
    given = {"dag_id": "d", "run_id": "r", "task_id": "t", "try_number": 1}
    assert run_of_environment({}, **given) == TaskRun("d", "r", "t")
    with pytest.raises(InputError, match="AIRFLOW_CTX_TRY_NUMBER"):
        run_of_environment(AIRFLOW | {"AIRFLOW_CTX_TRY_NUMBER": "first"})
    with pytest.raises(InputError, match="AIRFLOW_CTX_DAG_ID"):
        run_of_environment(AIRFLOW | {"AIRFLOW_CTX_DAG_ID": ""})


def test_the_embedded_service_confirms_nothing_without_an_airflow(tmp_path: Path) -> None:
    with new_service(tmp_path / "home"):
        pass
    with open_service(read_settings({"GATE_HOME": str(tmp_path / "home")})) as service, pytest.raises(CannotDecide):
        service.confirm(TRAIN)
