"""Two people at two terminals: the commands against a real service, and what they say where there is none."""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import HTTPConnection

from gate.api.auth import ROLES, Principal, bearer
from gate.cli.main import main
from gate.domain.instants import format_instant
from gate.service.core import Service
from gate.service.tagging import tag_dataset
from support.anonymity import alike, table_file
from support.served import Served, served
from support.world import Clock, chat_file, new_service

WHY = ("--reason", "ticket 17")
Gate = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Gate:
    """Run a command with --json, as a person where one is named; returns exit code, JSON, stderr."""
    monkeypatch.setenv("GATE_HOME", str(tmp_path / "home"))
    for name in ("GATE_DATABASE_URL", "GATE_URL", "GATE_TOKEN"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: object, by: str = "", at: str = "", as_json: bool = True) -> tuple[int, Any, str]:
        for name, value in (("GATE_URL", at), ("GATE_TOKEN", by)):
            monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(sys, "argv", ["gate", *map(str, words), *(["--json"] if as_json else [])])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, json.loads(said.out) if as_json else said.out, said.err

    return run


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Served]:
    """A running service; a bearer `alice-login` is alice."""

    async def logged_in(connection: HTTPConnection) -> Principal | None:
        text = bearer(connection) or ""
        name, _, login = text.partition("-")
        return Principal(name, "person", ROLES["reviewer"], "airflow") if login == "login" else None

    with (
        new_service(tmp_path / "service", Clock(datetime.now(UTC))) as service,
        served(service, authenticators=[logged_in]) as running,
    ):
        yield running


def test_two_people_change_the_mode(gate: Gate, there: Served) -> None:
    alice, bob = {"at": there.url, "by": "alice-login"}, {"at": there.url, "by": "bob-login"}
    until = format_instant(datetime.now(UTC).replace(microsecond=0) + timedelta(days=7))
    code, said, _ = gate("mode", "propose", "observe", "--until", until, *WHY, **alice)
    assert code == 0
    assert gate("mode", "show", **alice)[1]["mode"] == "enforce"
    code, refused, _ = gate("mode", "approve", said["proposal"], **alice)
    assert (code, refused["error"]) == (3, "ActRefused")
    assert gate("break-glass", "approve", said["proposal"], **bob)[0] == 2  # the wrong act
    code, done, _ = gate("mode", "approve", said["proposal"], **bob)
    assert (code, done["kind"]) == (0, "mode")
    state = gate("mode", "show", **bob)[1]
    assert (state["mode"], state["until"], state["since_index"]) == ("observe", until, done["index"])
    assert "observe until" in gate("mode", "show", **bob, as_json=False)[1]


def test_two_people_break_the_glass_and_one_ends_it(gate: Gate, there: Served) -> None:
    alice, bob = {"at": there.url, "by": "alice-login"}, {"at": there.url, "by": "bob-login"}
    code, said, _ = gate("break-glass", "request", "train", "manual__1", "--hours", 24, *WHY, **alice)
    assert code == 0
    assert gate("break-glass", "approve", said["proposal"], **bob)[0] == 0
    (listed,) = gate("break-glass", "list", **bob)[1]["acts"]
    assert (listed["state"], listed["by"], listed["approved_by"], listed["reason"]) == (
        "approved",
        "airflow|alice",
        "airflow|bob",
        "ticket 17",
    )
    assert gate("break-glass", "list", "--state", "open", **bob)[1]["acts"] == []
    assert "manual__1" in gate("break-glass", "list", **bob, as_json=False)[1]
    assert gate("acts", "withdraw", said["proposal"], **bob)[0] == 0


def test_policy_and_keys_are_proposed_where_there_is_a_service(gate: Gate, there: Served, tmp_path: Path) -> None:
    alice, bob = {"at": there.url, "by": "alice-login"}, {"at": there.url, "by": "bob-login"}
    first = there.service.key.key_id
    for words, kind in (
        (("policy", "activate", "strict"), "policy_activation"),
        (("keys", "rotate"), "key"),
        (("keys", "revoke", first), "key"),
    ):
        assert gate(*words, **alice)[0] == 2  # without a reason
        code, said, _ = gate(*words, *WHY, **alice)
        assert code == 0
        assert gate("acts", "approve", said["proposal"], **alice)[0] == 3
        assert gate("acts", "approve", said["proposal"], **bob)[1]["kind"] == kind
    with there.service.ledger.read() as reader:
        assert there.service.policy(reader).name == "strict"
    assert first not in {key.key_id for key in (there.service.key, *there.service.pinned_keys)}
    open_ones = gate("acts", "list", "--state", "open", **bob)[1]["acts"]
    assert open_ones == []


class TestDeclassification:
    UNTIL = ("--until", format_instant(datetime.now(UTC) + timedelta(days=30)))

    def test_somebody_vouches_for_the_bytes_as_they_are(self, gate: Gate, there: Served, tmp_path: Path) -> None:
        alice, bob = {"at": there.url, "by": "alice-login"}, {"at": there.url, "by": "bob-login"}
        data = chat_file(tmp_path, ["acme"])
        opinion = tmp_path / "opinion.txt"
        opinion.write_text("very small risk")
        words = ("dataset", "declassify", data.uri, "--account", "account_id", "--remove", "chat", *WHY, *self.UNTIL)
        words += ("--method", "expert_determination", "--document", opinion, "--reference", "drawer 7")
        assert gate(*words, **alice)[0] == 2  # not tagged
        tag_dataset(there.service, data, ["chat"], by="eve", via="cli")
        code, said, _ = gate(*words, **alice)
        assert code == 0
        (listed,) = gate("acts", "list", **bob)[1]["acts"]
        sha256 = hashlib.sha256(b"very small risk").hexdigest()
        assert listed["params"]["method"] == "expert_determination"
        assert listed["params"]["evidence"] == {"document_sha256": f"sha256:{sha256}", "reference": "drawer 7"}
        text = gate("acts", "list", **bob, as_json=False)[1]
        assert "method expert_determination, " in text
        assert f"evidence (document_sha256 sha256:{sha256}, reference drawer 7), " in text
        assert gate("acts", "approve", said["proposal"], **bob)[1]["kind"] == "declassification"

    def test_the_other_person_measures_the_same(self, gate: Gate, there: Served, tmp_path: Path) -> None:
        alice, bob = {"at": there.url, "by": "alice-login"}, {"at": there.url, "by": "bob-login"}
        rows = [(*row, number % 2) for number, row in enumerate(alike(6, 9))]
        data = table_file(tmp_path, rows, "my calls.csv", "age,area,dropped")
        digest = tag_dataset(there.service, data, ["telemetry"], by="eve", via="cli").version.digest
        words = ("dataset", "declassify", tmp_path / "my calls.csv", "--remove", "telemetry", *WHY, *self.UNTIL)
        words += ("--method", "k_anonymity", "--k", 6, "--sensitive", "dropped")
        said = gate(*words, **alice, as_json=False)[1]
        (listed,) = gate("acts", "list", **bob)[1]["acts"]
        assert listed["params"]["digest"] == digest
        assert "k 6, k_measured 6" in gate("acts", "list", **bob, as_json=False)[1]
        repeat = shlex.split(said.splitlines()[-1])[1:]
        assert repeat[:2] == ["dataset", "anonymity"]
        code, seen, _ = gate(*repeat)
        assert (code, seen.pop("shortcomings")) == (0, [])
        assert seen == listed["params"]["evidence"]
        assert gate("acts", "approve", listed["index"], **bob)[1]["kind"] == "declassification"

    def test_what_is_not_anonymous_is_not_proposed(self, gate: Gate, there: Served, tmp_path: Path) -> None:
        alice = {"at": there.url, "by": "alice-login"}
        data = table_file(tmp_path, alike(6, 9))
        words = ("dataset", "declassify", data.uri, "--remove", "telemetry", *WHY, *self.UNTIL, "--method")
        for wrong, code in (
            (("k_anonymity", "--k", 7), 1),
            (("k_anonymity", "--sensitive", "aera"), 4),
            (("k_anonymity", "--account", "age"), 2),
            (("k_anonymity", "--document", "opinion.txt"), 2),
            (("aggregation",), 2),
            (("aggregation", "--document", tmp_path / "none.txt", "--reference", "x"), 2),
            (("aggregation", "--k", 6), 2),
            (("trust_me",), 2),
        ):
            assert gate(*words, *wrong, **alice)[0] == code, wrong
        assert gate(*words, "k_anonymity", "--k", 4, **alice, as_json=False)[0] == 2
        assert "proposal" not in entries(there.service)

    def test_too_few_rows_alike_is_a_failed_check(self, gate: Gate, tmp_path: Path) -> None:
        data = table_file(tmp_path, [(*row, f"note {place}") for place, row in enumerate(alike(4))], header="a,b,note")
        words = ("dataset", "anonymity", data.uri, "--sensitive", "note")
        code, seen, _ = gate(*words)
        assert (code, seen["k_measured"], seen["k"], len(seen["shortcomings"])) == (1, 4, 5, 2)
        code, text, _ = gate(*words, as_json=False)
        assert code == 1
        assert "4 rows, groups: 1, k = 4 (5 asked)" in text
        assert "not anonymous: the column 'note'" in text
        assert gate("dataset", "anonymity", tmp_path / "none.csv")[0] == 4


def test_a_service_token_is_nobody(gate: Gate, there: Served) -> None:
    token = there.token("read", "tag", "decide", "redeem")
    code, said, _ = gate("mode", "propose", "enforce", *WHY, at=there.url, by=token)
    assert code != 0
    assert said["error"] in ("CannotDecide", "ActRefused")
    assert not [entry for entry in entries(there.service) if entry == "proposal"]


@pytest.mark.parametrize(
    "words",
    [
        ("mode", "propose", "enforce", *WHY),
        ("mode", "approve", "1"),
        ("break-glass", "request", "d", "r", *WHY),
        ("break-glass", "approve", "1"),
        ("acts", "approve", "1"),
        ("acts", "withdraw", "1"),
    ],
)
def test_without_log_ins_they_say_what_they_need(gate: Gate, words: tuple[str, ...], there: Served) -> None:
    code, said, err = gate(*words)
    assert (code, said["error"], said["where"]) == (2, "InputError", "GATE_URL")
    assert "two people who log in" in err
    code, said, _ = gate(*words, at=there.url)
    assert (code, said["where"]) == (2, "GATE_TOKEN")


def test_alone_at_the_machine_that_holds_the_key(gate: Gate) -> None:
    assert gate("mode", "show")[1] == {"mode": "enforce", "since_index": None, "since": None, "until": None}
    assert gate("break-glass", "list")[1] == {"acts": []}
    first = gate("keys", "show")[1]
    code, rotated, _ = gate("keys", "rotate")
    assert (code, rotated["persons"], rotated["signing"]) == (0, 1, rotated["key_id"])
    after = gate("keys", "show")[1]
    assert [key["state"] for key in after["keys"]] == ["retired", "signing"]
    assert set(after["pinned"]) == {first["signing"], after["signing"]}
    assert len(after["statements"]) == 1
    assert gate("keys", "revoke", first["signing"], "--reason", "lost")[0] == 0
    assert set(gate("keys", "show")[1]["pinned"]) == {after["signing"]}
    assert gate("keys", "revoke", first["signing"])[0] == 2
    assert "revoked" in gate("keys", "show", as_json=False)[1]
    assert gate("policy", "activate", "strict")[0] == 0


def entries(service: Service) -> list[str]:
    with service.ledger.read() as reader:
        return [entry.kind for entry in reader.entries()]
