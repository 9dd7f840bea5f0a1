"""Checkpoints on the command line: of the past, published, cosigned; a ledger rewritten as a whole is found."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gate.cli.main import main
from support.notes import check_cosigned, check_signed

Gate = Callable[..., tuple[int, Any]]
WITNESS = "witness.example"


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Gate:
    """Run a command with --json in a home of its own, `home` unless told; returns exit code and JSON."""
    for name in ("GATE_DATABASE_URL", "GATE_URL", "GATE_TOKEN", "GATE_CHECKPOINTS", "GATE_LINEAGE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*words: object, home: str = "home") -> tuple[int, Any]:
        monkeypatch.setenv("GATE_HOME", str(tmp_path / home))
        monkeypatch.setattr(sys, "argv", ["gate", *map(str, words), "--json"])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, json.loads(said.out)

    return run


def done(answer: tuple[int, Any]) -> Any:
    assert answer[0] == 0, answer
    return answer[1]


def register(gate: Gate, model: str, evidence: str = "card", home: str = "home") -> None:
    words = ("--ownership", "first_party", "--feature", "*", "--evidence", evidence)
    done(gate("models", "register", model, *words, home=home))


def test_a_ledger_rewritten_as_a_whole_is_found_by_whoever_kept_a_checkpoint(gate: Gate, tmp_path: Path) -> None:
    key = done(gate("keys", "create-witness", "witness.pem"))["public_key"]
    done(gate("ledger", "checkpoint"))
    shutil.copytree(tmp_path / "home", tmp_path / "forged")  # the same name, the same key
    register(gate, "ms-1", "model card 7")
    register(gate, "ms-1", "model card 8", home="forged")
    done(gate("ledger", "checkpoint", "--out", "kept.txt"))
    [pinned] = done(gate("keys", "show"))["pinned"].values()
    witness = ("--key", "witness.pem", "--name", WITNESS, "--ledger-key", pinned)
    done(gate("ledger", "cosign", "kept.txt", *witness))
    for home in ("home", "forged"):
        register(gate, "ms-2", home=home)
        assert done(gate("ledger", "verify", home=home))["findings"] == []
    required = ("--since", "kept.txt", "--cosigner", f"{WITNESS}={key}")
    honest = done(gate("ledger", "verify", *required))
    assert (honest["findings"], honest["cosigned"][0]["name"]) == ([], WITNESS)
    code, forged = gate("ledger", "verify", *required, home="forged")
    assert (code, forged["findings"]) == (5, ["checkpoint: the first 4 entries are not those it saw"])
    # Nor does the forger get the witness's signature, whatever proof the forged ledger gives.
    done(gate("ledger", "checkpoint", "--out", "new.txt", home="forged"))
    (tmp_path / "proof.json").write_text(
        json.dumps(done(gate("ledger", "prove", "--consistency", 4, 5, home="forged")))
    )
    code, refused = gate("ledger", "cosign", "new.txt", *witness, "--proof", "proof.json")
    assert (code, refused["error"]) == (5, "TamperingFound")
    done(gate("ledger", "checkpoint", "--out", "new.txt"))
    (tmp_path / "proof.json").write_text(json.dumps(done(gate("ledger", "prove", "--consistency", 4, 5))))
    note = done(gate("ledger", "cosign", "new.txt", *witness, "--proof", "proof.json"))["note"]
    assert (tmp_path / "new.txt").read_text() == note


def test_the_files_can_be_checked_without_us(gate: Gate, tmp_path: Path) -> None:
    import base64

    key = base64.b64decode(done(gate("keys", "create-witness", "witness.pem"))["public_key"])
    assert (tmp_path / "witness.pem").stat().st_mode & 0o777 == 0o600
    assert gate("keys", "create-witness", "witness.pem")[0] == 2
    done(gate("ledger", "checkpoint", "--out", "note.txt"))
    done(gate("ledger", "cosign", "note.txt", "--key", "witness.pem", "--name", WITNESS))
    [pinned] = done(gate("keys", "show"))["pinned"].values()
    note = (tmp_path / "note.txt").read_text()
    check_signed(note, "consent-gate", base64.b64decode(pinned))
    assert check_cosigned(note, WITNESS, key) > 1_700_000_000


def test_a_witness_needs_no_ledger(gate: Gate, tmp_path: Path) -> None:
    done(gate("keys", "create-witness", "witness.pem", home="elsewhere"))
    done(gate("ledger", "checkpoint", "--out", "note.txt"))
    [pinned] = done(gate("keys", "show"))["pinned"].values()
    words = ("ledger", "cosign", "note.txt", "--key", "witness.pem", "--name", WITNESS)
    assert gate(*words, home="elsewhere")[0] == 4  # no key of a ledger is pinned there
    stranger = done(gate("keys", "create-witness", "stranger.pem"))["public_key"]
    assert gate(*words, "--ledger-key", stranger, home="elsewhere")[0] == 5
    done(gate(*words, "--ledger-key", stranger, "--ledger-key", pinned, home="elsewhere"))
    assert not (tmp_path / "elsewhere").exists()


def test_checkpoints_of_the_past_and_where_they_went(gate: Gate, tmp_path: Path) -> None:
    first = done(gate("ledger", "checkpoint", "--publish", "notes", "--publish", "openlineage:"))
    assert [place["known"] for place in first["published"]] == [False, False]
    register(gate, "ms-1")
    assert done(gate("ledger", "checkpoint", "--at", 3))["note"] == first["note"]
    assert done(gate("ledger", "checkpoint", "--entry", 0, "--publish", "notes"))["size"] == 1
    assert done(gate("ledger", "checkpoint", "--entry", 3))["size"] == 4
    assert sorted(path.name for path in (tmp_path / "notes").iterdir()) == [
        "000000000001.note",
        "000000000003.note",
        "latest",
    ]
    assert done(gate("ledger", "verify", "--since", "notes/latest"))["findings"] == []


@pytest.mark.parametrize(
    "words",
    [
        ("checkpoint", "--at", "9"),
        ("checkpoint", "--entry", "9"),
        ("checkpoint", "--at", "1", "--entry", "1"),
        ("prove",),
        ("prove", "0", "--consistency", "1", "2"),
        ("prove", "--consistency", "2", "1"),
        ("prove", "--consistency", "1", "99"),
        ("verify", "--since", "nowhere.txt"),
        ("verify", "--since", "a", "--checkpoint", "b"),
        ("verify", "--cosigner", "w=" + "A" * 43 + "="),
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_is_bad_input(gate: Gate, words: tuple[str, ...]) -> None:
    assert gate("ledger", *words)[0] == 2


def test_a_checkpoint_that_was_altered_is_tampering(gate: Gate, tmp_path: Path) -> None:
    note = done(gate("ledger", "checkpoint"))["note"]
    (tmp_path / "altered.txt").write_text(note.replace("\n3\n", "\n2\n"))
    assert gate("ledger", "verify", "--since", "altered.txt")[0] == 5
    (tmp_path / "note.txt").write_text(note)
    stranger = f"{WITNESS}={'A' * 43}="
    assert gate("ledger", "verify", "--since", "note.txt", "--cosigner", stranger)[0] == 5


def test_records_and_metadata_are_exported(gate: Gate, tmp_path: Path) -> None:
    done(gate("consent", "grant", "acme", "--by", "ann", "--toggle", "share_for_training", "--category", "chat"))
    [record] = done(gate("consent", "export", "--format", "27560"))["records"]["@graph"]
    assert record["@type"] == "dpv:ConsentRecord"
    done(gate("consent", "export", "--format", "27560", "--open", "--account", "acme", "--out", "records.json"))
    assert "acme" in (tmp_path / "records.json").read_text()
    assert gate("consent", "export", "--format", "csv")[0] == 2
    assert gate("consent", "export", "--open")[0] == 2
    (tmp_path / "chat.jsonl").write_text('{"account_id": "acme", "text": "hi"}\n')
    done(gate("dataset", "tag", "chat.jsonl", "--account", "account_id", "--declare", "chat"))
    told = done(gate("dataset", "export", "chat.jsonl", "--account", "account_id", "--out", "croissant.json"))
    assert json.loads((tmp_path / "croissant.json").read_text()) == told["croissant"]
    assert gate("dataset", "export", "chat.jsonl", "--format", "brioche")[0] == 2
