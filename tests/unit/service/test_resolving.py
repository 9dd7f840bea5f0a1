"""Where content cannot be told, a person is asked; the answer counts for those very bytes, and no DAG gives one."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gate.domain.dataset import Dataset, dataset
from gate.errors import InputError
from gate.service.core import Service
from gate.service.deciding import check
from gate.service.tagging import tag_dataset
from gate.service.tags import Tagged
from support.world import USE, Clock, add_account, event, new_service, say

UNREAD = "What is in it? It could not be looked into."
DAG = {"by": "service:airflow", "via": "airflow"}
PERSON = {"by": "ann", "via": "cli"}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with new_service(tmp_path / "home", Clock()) as opened:
        add_account(opened, "acme")
        yield opened


def opaque(folder: Path, seed: int = 1) -> Dataset:
    (folder / "x.bin").write_bytes(random.Random(seed).randbytes(9000))
    return dataset(str(folder / "x.bin"), "constant:acme")


def talk(folder: Path) -> Dataset:
    rows = [
        {
            "account_id": "acme",
            "jitter_ms": n,
            "sender": f"guest-{n % 3}",
            "text": f"could you send me report {n} please",
        }
        for n in range(40)
    ]
    (folder / "calls.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return dataset(str(folder / "calls.jsonl"), "account_id")


def tag(service: Service, data: Dataset, *declare: str, **how: Any) -> Tagged:
    return tag_dataset(service, data, declare, **how)


def reasons(service: Service, data: Dataset) -> list[str]:
    return [reason.value for reason in check(service, [data], USE)[0].reasons]


def words(tagged: Tagged) -> set[str]:
    return {category.value for category in tagged.categories}


def test_what_cannot_be_told_blocks_whatever_is_declared(service: Service, tmp_path: Path) -> None:
    data = opaque(tmp_path)
    tag(service, data, **PERSON)  # settles the constant account
    found = tag(service, data, "telemetry", **DAG)
    assert found.questions == (UNREAD,)
    assert reasons(service, data) == ["unclassified_data"]


@pytest.mark.parametrize(("answer", "blocks"), [("telemetry", []), ("chat", ["no_consent"])])
def test_a_person_answers(service: Service, tmp_path: Path, answer: str, blocks: list[str]) -> None:
    data = opaque(tmp_path)
    found = tag(service, data, resolve=[answer], **PERSON)
    assert (words(found), found.questions) == ({answer}, ())
    assert reasons(service, data) == blocks
    with service.ledger.read() as reader:
        entry = reader.latest("tag")
    assert entry is not None
    assert (entry.body["answers"], entry.via) == ([UNREAD], "cli")
    assert entry.by.startswith("person:")


def test_none_adds_nothing_to_what_is_on_record(service: Service, tmp_path: Path) -> None:
    data = opaque(tmp_path)
    tag(service, data, "telemetry", **DAG)
    found = tag(service, data, resolve=["none"], **PERSON)
    assert words(found) == {"telemetry"}
    assert reasons(service, data) == []


def test_none_about_data_of_which_nothing_is_on_record_is_a_statement(service: Service, tmp_path: Path) -> None:
    data = opaque(tmp_path)
    found = tag(service, data, resolve=["none"], **PERSON)
    assert (words(found), found.declared_none) == ({"none"}, True)


def test_a_dag_answers_nothing(service: Service, tmp_path: Path) -> None:
    data = opaque(tmp_path)
    with pytest.raises(InputError, match="only a person"):
        tag(service, data, resolve=["none"], **DAG)
    tag(service, data, "none", **DAG)
    assert "unclassified_data" in reasons(service, data)


def test_the_answer_sticks_to_those_bytes_only(service: Service, tmp_path: Path) -> None:
    tag(service, opaque(tmp_path), resolve=["telemetry"], **PERSON)
    assert tag(service, opaque(tmp_path), "telemetry", **DAG).questions == ()
    changed = opaque(tmp_path, seed=2)
    assert {"stale_tag", "unclassified_data"} <= set(reasons(service, changed))
    assert tag(service, changed, "telemetry", **DAG).questions == (UNREAD,)


def test_there_is_nothing_to_answer_where_nothing_is_asked(service: Service, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing is asked"):
        tag(service, talk(tmp_path), resolve=["chat"], **PERSON)


def test_an_answer_takes_nothing_away_that_was_found(service: Service, tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    talk(tmp_path / "lake")
    opaque(tmp_path / "lake")
    data = dataset(str(tmp_path / "lake"), "constant:acme")
    assert words(tag(service, data, resolve=["none"], **PERSON)) >= {"chat"}
    assert reasons(service, data) == ["no_consent"]


def test_telemetry_that_holds_chat_is_both_and_its_columns_are_named(service: Service, tmp_path: Path) -> None:
    data = talk(tmp_path)
    found = tag(service, data, "telemetry", **DAG)
    assert words(found) >= {"chat", "telemetry"}
    [note] = [text for text in found.notes if "hold chat" in text]
    assert note.startswith("declared as telemetry, but 1 of its files hold chat: columns ")
    assert "'text'" in note
    assert "account_id" not in note
    assert reasons(service, data) == ["no_consent"]
    say(service, event("acme"))
    assert reasons(service, data) == []


def test_none_that_holds_chat_is_a_conflict(service: Service, tmp_path: Path) -> None:
    data = talk(tmp_path)
    say(service, event("acme"))
    tag(service, data, "none", **DAG)
    assert "tag_conflict" in reasons(service, data)


def test_saying_it_again_adds_nothing(service: Service, tmp_path: Path) -> None:
    data = opaque(tmp_path)
    tag(service, data, resolve=["telemetry"], **PERSON)
    tag(service, data, "telemetry", **DAG)
    size = service.ledger_size()
    tag(service, data, "telemetry", **DAG)
    assert service.ledger_size() == size
