"""The command line as people meet it: what it prints, its exit codes, and that bad input never shows a traceback."""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gate.cli.main import GROUPS, main

SHA = "ab" * 32
GRANT = {
    "account_id": "acme",
    "action": "grant",
    "toggle": "share_for_training",
    "categories": ["chat"],
    "features": ["meeting_summary"],
    "purposes": ["train"],
    "principal": {"id": "alice", "role": "admin"},
    "notice": {"terms_version": "2023-08-07", "text_sha256": SHA},
    "withdrawal_channel": "console",
    "evidence": "form 7",
    "effective_at": "2023-09-01T00:00:00Z",
}
CHECK = ("--account", "account_id", "--purpose", "train", "--feature", "meeting_summary", "--model", "ms-1")


class Said(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Gate = Callable[..., Said]


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Gate:
    """Run the command line in this process, with a home of its own; the working directory is `tmp_path`."""
    monkeypatch.setenv("GATE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("GATE_DATABASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["gate", *map(str, words)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return Said(code, said.out, said.err)

    return run


@pytest.fixture
def seeded(gate: Gate) -> Gate:
    assert gate("admins", "appoint", "acme", "alice", "--effective-at", "2023-01-01T00:00:00Z").code == 0
    known = ("--region", "US", "--segment", "none", "--terms-version", "2023-08-07")
    assert gate("accounts", "profile", "acme", *known).code == 0
    model = ("--ownership", "first_party", "--feature", "meeting_summary", "--evidence", "card 12")
    assert gate("models", "register", "ms-1", *model).code == 0
    return gate


def lines(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def test_help_names_every_group_without_importing_any(gate: Gate) -> None:
    said = gate("--help")
    assert said.code == 0
    assert all(f"  {name} " in said.out for name in GROUPS)


def test_an_unknown_command_is_bad_usage(gate: Gate) -> None:
    assert gate("approve").code == 2


def test_from_consent_to_answer(seeded: Gate, tmp_path: Path) -> None:
    data = lines(tmp_path / "chat.jsonl", {"account_id": "acme", "text": "hi"})
    assert seeded("dataset", "tag", data, "--account", "account_id", "--declare", "chat").code == 0
    blocked = seeded("check", "--dataset", data, *CHECK, "--json")
    assert (blocked.code, blocked.json["reasons"]) == (3, ["no_consent"])
    assert seeded("consent", "import", lines(tmp_path / "c.jsonl", GRANT)).code == 0
    allowed = seeded("check", "--dataset", data, *CHECK, "--json")
    assert (allowed.code, allowed.json["verdict"]) == (0, "allow")
    assert seeded("consent", "withdraw", "acme", "--by", "alice").code == 0
    again = seeded("check", "--dataset", data, *CHECK)
    assert again.code == 3
    assert again.out.startswith("BLOCKED: train for meeting_summary with ms-1")
    assert len(again.out.strip().splitlines()) <= 5


def test_the_message_names_no_account(seeded: Gate, tmp_path: Path) -> None:
    data = lines(tmp_path / "chat.jsonl", {"account_id": "secret-customer", "text": "hi"})
    assert "secret-customer" not in seeded("check", "--dataset", data, "--categories", "chat", *CHECK).out


def test_a_dry_check_records_nothing(seeded: Gate, tmp_path: Path) -> None:
    data = lines(tmp_path / "chat.jsonl", {"account_id": "acme"})
    before = seeded("ledger", "verify", "--json").json
    seeded("check", "--dataset", data, "--categories", "chat", *CHECK)
    assert seeded("ledger", "verify", "--json").json == before


def test_imports_are_idempotent_and_take_every_format(seeded: Gate, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [GRANT, {**GRANT, "effective_at": "2023-10-01T00:00:00Z"}]
    assert seeded("consent", "import", lines(tmp_path / "c.jsonl", *rows), "--json").json["added"] == 2
    assert seeded("consent", "import", tmp_path / "c.jsonl", "--json").json == {
        "added": 0,
        "known": 2,
        "without_authority": 0,
    }
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "c.parquet")
    assert seeded("consent", "import", tmp_path / "c.parquet", "--json").json["added"] == 0
    (tmp_path / "c.csv").write_text(
        "account_id,action,toggle,categories,features,purposes,principal.id,principal.role,notice.terms_version,"
        "notice.text_sha256,withdrawal_channel,evidence,effective_at\n"
        f"acme,grant,share_for_training,chat,meeting_summary,train,alice,admin,2023-08-07,{SHA},console,form 7,"
        "2023-09-01T00:00:00Z\n",
        "utf-8",
    )
    assert seeded("consent", "import", tmp_path / "c.csv", "--json").json["added"] == 0
    exported = seeded("consent", "export").out
    (tmp_path / "again.jsonl").write_text(exported, "utf-8")
    assert seeded("consent", "import", tmp_path / "again.jsonl", "--json").json == {
        "added": 0,
        "known": 2,
        "without_authority": 0,
    }


def test_one_bad_line_refuses_the_file_and_every_bad_line_is_named(seeded: Gate, tmp_path: Path) -> None:
    bad = [
        {**GRANT, "purposes": ["trian"]},
        {**GRANT, "color": "red"},
        {**GRANT, "effective_at": "2023-09-01T00:00:00"},
        {**GRANT, "expires_at": "2023-08-01T00:00:00Z"},
        {**GRANT, "effective_at": "1923-09-01T00:00:00Z"},
    ]
    path = lines(tmp_path / "c.jsonl", GRANT, *bad)
    path.write_text(path.read_text("utf-8") + "{not json\n", "utf-8")
    said = seeded("consent", "import", path)
    assert said.code == 2
    for expected in (
        "6 of 7 lines cannot be read; nothing was recorded",
        "line 2: purposes: 'trian' is not known",
        "line 3: event: unknown field 'color'",
        "line 4: effective_at: 2023-09-01T00:00:00 has no time zone",
        "line 5: expires_at: expires before it takes effect",
        "line 6: effective_at: 1923-09-01T00:00:00+00:00 is not plausible",
        "line 7: not JSON",
    ):
        assert expected in said.err
    assert seeded("consent", "list", "--json").json == {"events": []}


def test_a_grant_without_authority_is_recorded_and_said_to_count_never(seeded: Gate) -> None:
    said = seeded("consent", "grant", "acme", "--by", "mallory", "--toggle", "share_for_training", "--category", "chat")
    assert said.code == 0
    assert "1 of them will never count" in said.out
    [recorded] = seeded("consent", "show", "acme", "--json").json["events"]
    assert recorded["authority"] == "not_admin"


def test_as_of_and_known_at(seeded: Gate, tmp_path: Path) -> None:
    seeded("consent", "import", lines(tmp_path / "c.jsonl", GRANT))
    size = seeded("ledger", "checkpoint", "--json").json["size"]
    seeded("consent", "withdraw", "acme", "--by", "alice", "--effective-at", "2024-01-01T00:00:00Z")

    def actions(*words: object) -> list[str]:
        return [event["action"] for event in seeded("consent", "show", "acme", "--json", *words).json["events"]]

    assert actions() == ["grant", "withdraw"]
    assert actions("--known-at", size) == ["grant"]
    assert actions("--as-of", "2023-12-01T00:00:00Z") == ["grant"]
    assert actions("--as-of", "2023-08-01T00:00:00Z") == []


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("consent", "grant", "acme", "--by", "alice", "--toggle", "everything"), 2, "'everything' is not known"),
        (("consent", "grant", "acme", "--by", "alice"), 2, "a grant must name its toggle"),
        (("consent", "refuse", "acme", "--by", "a", "--effective-at", "2023-09-01"), 2, "has no time zone"),
        (("consent", "import", "nowhere.jsonl"), 2, "cannot be read"),
        (("consent", "import", "x.xlsx"), 2, "is not a .csv"),
        (("admins", "appoint", "acme", "bob", "--role", "guest"), 2, "'guest' cannot be appointed"),
        (("models", "register", "m", "--ownership", "ours", "--feature", "f", "--evidence", "e"), 2, "not known"),
        (("models", "register", "m", "--ownership", "first_party", "--feature", "f", "--evidence", " "), 2, "missing"),
        (("policy", "show", "zoom-2024"), 2, "there is no policy named 'zoom-2024'"),
        (("check", "--dataset", "x.csv", "--purpose", "trian"), 2, "'trian' is not a purpose"),
        (
            ("check", "--dataset", "x.csv", "--purpose", "train", "--categories", "images"),
            2,
            "can be declared",
        ),
        (("check", "--dataset", "nowhere.csv", "--purpose", "train", "--account", "a"), 4, "nowhere.csv"),
        (("dataset", "tag", "nowhere.csv", "--account", "a"), 4, "nowhere.csv"),
        (("dataset", "tag", "x.csv", "--account", "path:x"), 2, "must hold {account} exactly once"),
        (("ledger", "prove", "99999"), 2, "there is no entry 99999"),
        (("ledger", "verify", "--checkpoint", "nowhere.txt"), 2, "nowhere.txt"),
        (("permit", "verify", "nowhere.json", "--key", "AAAA"), 2, ""),
    ],
    ids=lambda value: " ".join(map(str, value))[:60] if isinstance(value, tuple) else None,
)
def test_bad_input_gets_a_clear_error(gate: Gate, words: tuple[str, ...], code: int, message: str) -> None:
    said = gate(*words)
    assert said.code == code
    assert message in said.err
    assert said.err.startswith("gate: ")


def test_errors_are_json_when_asked_for(gate: Gate) -> None:
    said = gate("policy", "show", "zoom-2024", "--json")
    assert said.json["error"] == "PolicyError"
    assert "zoom-2023-08" in said.json["hint"]


def test_malformed_policy_files_name_line_and_column(gate: Gate, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("name: x\nrows: [\n", "utf-8")
    said = gate("policy", "lint", "p.yaml")
    assert said.code == 2
    assert "p.yaml:3:1" in said.err


def test_a_policy_with_gaps_is_not_activated(gate: Gate, tmp_path: Path) -> None:
    shipped = json.loads(gate("policy", "show", "--json").out)["policy"]
    (tmp_path / "gap.yaml").write_text(json.dumps({**shipped, "rows": shipped["rows"][:2]}), "utf-8")
    assert gate("policy", "lint", "gap.yaml").code == 1
    said = gate("policy", "activate", "gap.yaml")
    assert said.code == 1
    assert "gaps" in said.err


def test_tampering_exits_with_5(seeded: Gate, tmp_path: Path) -> None:
    kept = tmp_path / "kept.txt"
    assert seeded("ledger", "checkpoint", "--out", kept).code == 0
    assert seeded("ledger", "verify", "--checkpoint", kept).code == 0
    with sqlite3.connect(tmp_path / "home" / "ledger.db") as forged:
        forged.execute("DROP TRIGGER IF EXISTS entry_no_update")
        for (name,) in forged.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            forged.execute(f'DROP TRIGGER "{name}"')
        forged.execute("UPDATE entry SET payload = replace(payload, 'first_party', 'third_party') WHERE kind = 'model'")
    forged.close()
    said = seeded("ledger", "verify", "--json")
    assert said.code == 5
    assert said.json["findings"]


def test_a_foreign_checkpoint_is_refused(seeded: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seeded("ledger", "checkpoint", "--out", tmp_path / "kept.txt")
    monkeypatch.setenv("GATE_HOME", str(tmp_path / "other"))
    seeded("db", "upgrade")
    assert seeded("ledger", "verify", "--checkpoint", tmp_path / "kept.txt").code == 5


def test_an_entry_can_be_proved_with_the_checkpoint_alone(seeded: Gate) -> None:
    from gate.ledger.checkpoints import parse_note
    from gate.ledger.merkle import leaf_hash, verify_inclusion

    proof = seeded("ledger", "prove", "0", "--json").json
    note = parse_note(proof["checkpoint"])
    path = [bytes.fromhex(node) for node in proof["inclusion"]]
    leaf = leaf_hash(proof["payload"].encode())
    assert verify_inclusion(proof["index"], note.size, leaf, path, note.root)


def test_a_lost_key_is_named_and_not_replaced(seeded: Gate, tmp_path: Path) -> None:
    key = tmp_path / "home" / "keys" / "signing.pem"
    key.unlink()
    said = seeded("ledger", "checkpoint")
    assert said.code == 4
    assert "signing.pem" in said.err
    assert not key.exists()


def test_a_broken_database_is_not_a_traceback(seeded: Gate, tmp_path: Path) -> None:
    (tmp_path / "home" / "ledger.db").write_bytes(b"not a database" * 100)
    for leftover in (tmp_path / "home").glob("ledger.db-*"):
        leftover.unlink()
    assert seeded("ledger", "verify").code in (4, 5)


def test_the_home_is_private(seeded: Gate, tmp_path: Path) -> None:
    home = tmp_path / "home"
    modes = {
        path.name: path.stat().st_mode & 0o777 for path in (home, home / "ledger.db", home / "keys" / "signing.pem")
    }
    assert modes == {"home": 0o700, "ledger.db": 0o600, "signing.pem": 0o600}
    shutil.rmtree(home)


def test_appointments_are_imported_and_shown(gate: Gate, tmp_path: Path) -> None:
    (tmp_path / "admins.csv").write_text(
        "account_id,person_id,action,role,effective_at\n"
        "acme,alice,appoint,owner,2023-01-01T00:00:00Z\n"
        "acme,alice,remove,owner,2024-01-01T00:00:00Z\n",
        "utf-8",
    )
    assert gate("admins", "import", "admins.csv", "--json").json["added"] == 2
    assert "recorded 0 new, 2 known before" in gate("admins", "import", "admins.csv").out
    shown = gate("admins", "show", "acme", "--json").json["appointments"]
    assert [(a["person_id"], a["action"]) for a in shown] == [("alice", "appoint"), ("alice", "remove")]
    assert "alice" in gate("admins", "show", "acme").out
    assert gate("admins", "remove", "acme", "bob").code == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("account_id,person_id,action,role,effective_at\nacme,alice,hire,owner,2023-01-01T00:00:00Z\n", "'hire'"),
        ("account_id,person_id,action,role,effective_at\nacme,,appoint,owner,2023-01-01T00:00:00Z\n", "person_id"),
        ("account_id,person_id,action,role,effective_at,x\na,b,appoint,owner,2023-01-01T00:00:00Z,1\n", "'x'"),
        ("account_id,person_id,action,role,effective_at\nacme,alice\n", "another number of cells"),
        ("account_id\n", "holds no lines"),
    ],
)
def test_bad_appointments_are_named(gate: Gate, tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "admins.csv").write_text(content, "utf-8")
    said = gate("admins", "import", "admins.csv")
    assert said.code == 2
    assert message in said.err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.parquet", b"PAR1 not really", "not a readable Parquet file"),
        ("a.jsonl", b"[1, 2]\n", "line 1: expected an object"),
        ("a.jsonl", b"\xff\xfe\n", "cannot be read"),
        ("a.csv", b"account_id,bundled_with_service\nacme,perhaps\n", "line 2: bundled_with_service"),
    ],
)
def test_unreadable_consent_files_are_named(
    gate: Gate, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    said = gate("consent", "import", name)
    assert said.code == 2
    assert message in said.err


def test_accounts_models_datasets_and_keys_are_shown(seeded: Gate, tmp_path: Path) -> None:
    assert "region: US" in seeded("accounts", "show", "acme").out
    assert "not in the ledger" in seeded("accounts", "show", "stranger").out
    assert "first_party" in seeded("models", "show").out
    assert seeded("models", "show", "ms-1", "--json").json["models"][0]["evidence"] == "card 12"
    again = ("--ownership", "first_party", "--feature", "meeting_summary", "--evidence", "card 12")
    assert "already on record" in seeded("models", "register", "ms-1", *again).out
    data = lines(tmp_path / "chat.jsonl", {"account_id": "acme"})
    assert "chat\tdeclared" in seeded("dataset", "tag", data, "--account", "account_id", "--declare", "chat").out
    assert seeded("dataset", "show", data, "--account", "account_id", "--json").json["categories"] == ["chat"]
    assert "\tsigning\tpinned\t" in seeded("keys", "show").out
    keys = seeded("keys", "show", "--json").json
    assert list(keys["pinned"]) == [keys["signing"]]


def test_a_contradicted_declaration_is_said_and_both_are_tagged(seeded: Gate, tmp_path: Path) -> None:
    (tmp_path / "talk.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:01.000\nhello\n", "utf-8")
    said = seeded("dataset", "tag", tmp_path / "talk.vtt", "--account", "constant:acme", "--declare", "telemetry")
    assert "note: declared as telemetry, but 1 of its files hold chat" in said.out
    assert {("chat", "detected"), ("telemetry", "declared")} <= {tuple(x.split("\t")) for x in said.out.splitlines()}
    assert "declared as telemetry" in said.out


def test_a_permit_is_verified_offline_and_events_are_relayed(
    seeded: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gate.domain.dataset import dataset
    from gate.service.core import open_service
    from gate.service.deciding import decide
    from support.world import ASKING, USE

    data = lines(tmp_path / "chat.jsonl", {"account_id": "acme"})
    seeded("consent", "import", lines(tmp_path / "c.jsonl", GRANT))
    seeded("dataset", "tag", data, "--account", "account_id", "--declare", "chat")
    with open_service() as service:
        outcome = decide(service, [dataset(str(data), "account_id")], USE, ASKING)
    (tmp_path / "permit.json").write_text(json.dumps(outcome.permits["train"]), "utf-8")
    [key] = seeded("keys", "show", "--json").json["pinned"].values()
    assert "valid until" in seeded("permit", "verify", "permit.json", "--key", key).out
    assert seeded("permit", "verify", "permit.json", "--key", key, "--json").json["task_id"] == "train"
    assert seeded("permit", "verify", "permit.json", "--key", "A" * 43 + "=").code == 3
    sink = tmp_path / "events.jsonl"
    monkeypatch.setenv(
        "GATE_LINEAGE_BACKENDS", json.dumps({"log": {"type": "file", "log_file_path": str(sink), "append": True}})
    )
    done = seeded("lineage", "relay", "--json").json
    assert (done["pending"], done["backends"]["log"]["delivered"], done["backends"]["log"]["behind"]) == (0, 1, 0)
    [event] = [json.loads(line) for line in sink.read_text("utf-8").splitlines()]
    assert event["run"]["facets"]["gate_decision"]["verdict"] == "allow"
    assert "log: 0 delivered, 0 dead, 0 behind" in seeded("lineage", "relay").out
