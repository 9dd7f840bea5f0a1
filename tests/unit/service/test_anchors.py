"""A database that was restored: nothing is decided until the missing entries are back, byte by byte."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gate.domain.run import Confirmed
from gate.errors import CheckFailed, InputError, LedgerUnavailable, TamperingFound
from gate.ledger.checkpoints import parse_note
from gate.ledger.store import create_ledger, open_ledger
from gate.service import anchors
from gate.service.acting import Person
from gate.service.acts import act_alone, propose
from gate.service.anchors import check_anchor, newest_note, publish, recording
from gate.service.core import Service, open_service
from gate.service.deciding import decide
from gate.service.feeds import report_watermark
from gate.service.replaying import copy_entries, replay_missing
from gate.service.tagging import tag_dataset
from gate.service.tokens import create_token
from gate.service.worker import check_still_standing, redeem
from support.ledgers import check, numbered
from support.world import ASKING, RUN, START, TRAIN, USE, Clock, add_account, chat_file, event, new_service, say


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with new_service(tmp_path / "home") as opened:
        add_account(opened, "acme")
        yield opened


def anchored(service: Service) -> int:
    return parse_note(service.settings.checkpoint_path.read_text("utf-8")).size


def look(service: Service) -> None:
    with service.ledger.read() as reader:
        check_anchor(service, reader)


def backup(service: Service, to: Path) -> Path:
    """Copy the database as it is, as a backup tool would."""
    source, target = sqlite3.connect(service.settings.embedded_database), sqlite3.connect(to)
    source.backup(target)
    source.close()
    target.close()
    return to


def restored(service: Service, copy: Path) -> Service:
    """Put a copy in the database's place and open the service again."""
    service.close()
    database = service.settings.embedded_database
    for suffix in ("-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)
    shutil.copyfile(copy, database)
    return open_service(service.settings, clock=Clock())


def test_nothing_published_nothing_to_hold_it_to(service: Service) -> None:
    service.settings.checkpoint_path.unlink()
    assert newest_note(service) is None
    look(service)


def test_publishing_is_monotone_and_signed(service: Service) -> None:
    note = publish(service)
    assert note is not None
    with service.ledger.read() as reader:
        assert (note.origin, note.size, note.root) == (reader.origin, reader.size, reader.head().root)
    before = service.settings.checkpoint_path.read_bytes()
    assert publish(service) == note
    assert publish(service, note.size - 1) == note
    assert service.settings.checkpoint_path.read_bytes() == before
    say(service, event("acme"))
    assert publish(service).size == anchored(service) == note.size + 1
    assert stat.S_IMODE(service.settings.checkpoint_path.parent.stat().st_mode) == 0o700
    look(service)


def test_a_busy_service_need_not_publish_every_entry(service: Service) -> None:
    first = publish(service)
    assert first is not None
    with service.ledger.write() as tx:
        tx.append_many(numbered(0, 1))
    assert publish(service, patience=3600) == first
    os.utime(service.settings.checkpoint_path, (0, 0))
    assert publish(service, patience=3600).size == first.size + 1


def test_what_people_record_is_published(service: Service) -> None:
    for record in (
        lambda: say(service, event("acme")),
        lambda: add_account(service, "zeta"),
        lambda: report_watermark(service, "crm", START, by="service:sync", via="api"),
    ):
        record()
        with service.ledger.read() as reader:
            assert anchored(service) == reader.size


def test_publishers_may_race(service: Service) -> None:
    def append_and_publish(number: int) -> int:
        with service.ledger.write() as tx:
            tx.append_many(numbered(number, number + 1))
            size = tx.size
        note = publish(service, size)
        assert note is not None
        assert note.size >= size
        return anchored(service)

    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(append_and_publish, range(60)))
    with service.ledger.read() as reader:
        assert max(seen) == reader.size == anchored(service)
    look(service)


def test_a_machine_without_a_key_publishes_nothing(service: Service) -> None:
    service.settings.key_path.unlink()
    service.settings.checkpoint_path.unlink()
    assert publish(service) is None
    assert newest_note(service) is None


def test_a_restored_database_stops_until_its_entries_are_back(service: Service, tmp_path: Path) -> None:
    copy = backup(service, tmp_path / "old.db")
    say(service, event("acme"))
    with recording(service) as tx:
        tx.append_many(numbered(0, 3))
        tx.attach(b"kept beside", "text/plain")
    whole = backup(service, tmp_path / "whole.db")
    with service.ledger.read() as reader:
        head, opened = reader.head(), reader.open_refs(["x"])
    assert opened == {}
    again = restored(service, copy)
    with again:
        with pytest.raises(LedgerUnavailable, match=r"this database was restored.*gate db replay") as stopped:
            look(again)
        assert stopped.value.reason == "cannot_decide"
        with pytest.raises(LedgerUnavailable, match="restored"), recording(again) as tx:
            raise AssertionError("nothing may be written before the entries are back")
        assert replay_missing(again, f"sqlite:///{whole}") == 4
        with again.ledger.read() as reader:
            assert reader.head() == head
            entry = reader.latest("consent")
            assert entry is not None
            assert reader.open_ref(entry.body["evidence_ref"]) == "form 12"
        look(again)
        with pytest.raises(CheckFailed, match="nothing is missing"):
            replay_missing(again, f"sqlite:///{whole}")
        with recording(again) as tx:
            tx.append_many(numbered(10, 12))
    report = check(f"sqlite:///{again.settings.embedded_database}")
    assert (report.ok, report.size) == (True, head.size + 2)


def test_nothing_is_decided_redeemed_or_agreed_on_a_restored_database(service: Service, tmp_path: Path) -> None:
    say(service, event("acme"))
    data = chat_file(tmp_path, ["acme"])
    tag_dataset(service, data, ["chat"], by="service:airflow", via="airflow")
    assert decide(service, [data], USE, ASKING).allowed
    redeemed = redeem(service, TRAIN, [data], USE, by="service:airflow")
    copy = backup(service, tmp_path / "old.db")
    say(service, event("acme", "withdraw", effective_at="2023-10-01T00:00:00Z"))  # what the copy does not know of
    again = restored(service, copy)
    again.confirm = lambda _: Confirmed()
    ada, other = Person("airflow", "ada"), replace(TRAIN, try_number=2)
    with again:
        with again.ledger.read() as reader:
            size = reader.size
        for act in (
            lambda: decide(again, [data], USE, replace(ASKING, run=replace(RUN, try_number=2))),
            lambda: redeem(again, other, [data], USE, by="service:airflow"),
            lambda: check_still_standing(again, redeemed),
            lambda: tag_dataset(again, data, ["audio"], by="service:airflow", via="airflow"),
            lambda: propose(again, "mode", {"mode": "enforce"}, "why not", by=ada),
            lambda: act_alone(again, "key_rotation", {}, by="eve"),
            lambda: create_token(again, "w", ["read"], lifetime=timedelta(days=1), by="eve", via="cli"),
        ):
            with pytest.raises(LedgerUnavailable, match="restored"):
                act()
        with again.ledger.read() as reader:
            assert reader.size == size


def lost(service: Service, tmp_path: Path) -> tuple[Service, Path]:
    """Return a service whose database lost two entries, and a file that holds all of them."""
    copy = backup(service, tmp_path / "old.db")
    say(service, event("acme"), event("acme", "withdraw", effective_at="2023-10-01T00:00:00Z"))
    publish(service)
    file = tmp_path / "copy.jsonl"
    with service.ledger.read() as reader:
        assert copy_entries(service, 0, file) == reader.size
    return restored(service, copy), file


def test_a_copied_file_brings_them_back(service: Service, tmp_path: Path) -> None:
    again, file = lost(service, tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with again:
        assert replay_missing(again, str(file)) == 2
        look(again)
        with pytest.raises(InputError, match="cannot be written"):
            copy_entries(again, 0, file)


def edited(file: Path, change) -> str:
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    changed = file.with_suffix(".changed")
    changed.write_text("".join(json.dumps(line) + "\n" for line in change(lines)), "utf-8")
    return str(changed)


def without_last(lines):
    return lines[:-1]


def with_gap(lines):
    return [*lines[:-2], lines[-1]]


def other_decision(lines):
    return [*lines[:-1], lines[-1] | {"payload": lines[-1]["payload"].replace('"withdraw"', '"refuse"')}]


def not_canonical(lines):
    return [*lines[:-1], lines[-1] | {"payload": lines[-1]["payload"].replace('{"body"', '{ "body"')}]


def wrong_opening(lines):
    return [line | {"value": '"mallory"'} if "opening" in line else line for line in lines]


def swapped(lines):
    first, second = lines[-2]["payload"], lines[-1]["payload"]
    return [*lines[:-2], lines[-2] | {"payload": second}, lines[-1] | {"payload": first}]


def stranger(lines):
    return [{"surprise": 1}, *lines]


@pytest.mark.parametrize(
    "change", [without_last, with_gap, other_decision, not_canonical, wrong_opening, swapped, stranger]
)
def test_nothing_else_is_accepted_and_all_or_nothing(service: Service, tmp_path: Path, change) -> None:
    again, file = lost(service, tmp_path)
    with again:
        with again.ledger.read() as reader:
            before = reader.head()
        with pytest.raises((InputError, TamperingFound)):
            replay_missing(again, edited(file, change))
        with again.ledger.read() as reader:
            assert reader.head() == before
        assert replay_missing(again, str(file)) == 2


@pytest.mark.parametrize("content", [b"", b"[]\n", b"{", b"\xff\xfe", b'{"entry": "x"}\n', b'{"attachment": "a"}\n'])
def test_files_that_are_no_copy_are_refused(service: Service, tmp_path: Path, content: bytes) -> None:
    again, _ = lost(service, tmp_path)
    file = tmp_path / "junk"
    file.write_bytes(content)
    with again:
        for source in (str(file), str(tmp_path / "missing"), f"sqlite:///{tmp_path / 'missing.db'}"):
            with pytest.raises((InputError, LedgerUnavailable)):
                replay_missing(again, source)


def test_a_restored_database_that_was_written_to_is_a_fork(service: Service, tmp_path: Path) -> None:
    again, _ = lost(service, tmp_path)
    with again:
        with again.ledger.write() as tx:  # somebody who does not look
            tx.append_many(numbered(0, 5))
        with pytest.raises(TamperingFound, match="not those that were published"):
            look(again)
        with pytest.raises(TamperingFound):
            publish(again)


def test_what_was_erased_since_does_not_come_back_with_a_replay(service: Service, tmp_path: Path) -> None:
    say(service, event("acme"))
    copy = backup(service, tmp_path / "old.db")
    with recording(service) as tx:
        entry = tx.latest("consent")
        assert entry is not None
        refs = [entry.body["evidence_ref"]]
        tx.append(
            "erasure",
            "e1",
            {"account_refs": [entry.account_ref], "text_refs": refs},
            recorded_at=service.clock(),
            by="service:test",
            via="api",
        )
        tx.erase([*refs, str(entry.account_ref)])
    whole = backup(service, tmp_path / "whole.db")
    with restored(service, copy) as again:
        with again.ledger.read() as reader:
            assert reader.open_ref(refs[0]) == "form 12"
        assert replay_missing(again, f"sqlite:///{whole}") == 1
        with again.ledger.read() as reader:
            assert reader.open_ref(refs[0]) is None
            assert reader.ref("account", "acme") is None


def test_a_forged_broken_or_foreign_checkpoint_stops_deciding(service: Service, tmp_path: Path) -> None:
    publish(service)
    path = service.settings.checkpoint_path
    genuine = path.read_text("utf-8")
    origin, size, root = genuine.split("\n")[:3]
    path.write_text(genuine.replace(f"\n{size}\n", f"\n{int(size) - 1}\n"), "utf-8")
    with pytest.raises(TamperingFound, match="signature is wrong"):
        look(service)
    for broken in ("", genuine[:40], "\udcff"):
        path.write_text(broken, "utf-8", "surrogateescape")
        with pytest.raises(LedgerUnavailable, match="cannot be read"):
            look(service)
    with new_service(tmp_path / "other") as other:
        publish(other)
        path.write_text(other.settings.checkpoint_path.read_text("utf-8"), "utf-8")
    with pytest.raises(TamperingFound, match="did not sign"):
        look(service)
    assert origin.startswith("consent-gate.ledger/")
    assert root


def test_another_ledger_in_the_same_home_is_told_apart(service: Service, tmp_path: Path) -> None:
    publish(service)
    url = f"sqlite:///{tmp_path / 'another.db'}"
    create_ledger(url)
    other = Service(service.settings, open_ledger(url), Clock())
    with other, pytest.raises(LedgerUnavailable, match="another ledger"):
        look(other)


def test_the_second_place_outlives_the_home(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "elsewhere"
    service.settings = replace(service.settings, checkpoints_uri=place.as_uri())
    copy = backup(service, tmp_path / "old.db")
    say(service, event("acme"))
    publish(service)
    assert (place / "latest").read_bytes() == service.settings.checkpoint_path.read_bytes()
    service.settings.checkpoint_path.unlink()  # a whole machine was put back
    monkeypatch.setattr(anchors, "_elsewhere", {})  # as in a new process
    with restored(service, copy) as again, pytest.raises(LedgerUnavailable, match="restored"):
        look(again)


def test_the_second_place_gets_its_copy_now_and_then(service: Service, tmp_path: Path) -> None:
    place = tmp_path / "elsewhere"
    service.settings = replace(service.settings, checkpoints_uri=place.as_uri())
    publish(service)
    first = (place / "latest").read_bytes()
    say(service, event("acme"))
    publish(service)
    assert (place / "latest").read_bytes() == first, "at most once a minute"
    os.utime(service.settings.checkpoint_path.with_name("sent"), (0, 0))
    publish(service)
    assert (place / "latest").read_bytes() == service.settings.checkpoint_path.read_bytes() != first


def test_a_second_place_that_cannot_be_reached_stops_deciding(service: Service, tmp_path: Path) -> None:
    publish(service)
    (tmp_path / "file").write_text("in the way")
    service.settings = replace(service.settings, checkpoints_uri=(tmp_path / "file" / "below").as_uri())
    with pytest.raises(LedgerUnavailable, match="GATE_CHECKPOINTS"):
        look(service)
    service.settings = replace(service.settings, checkpoints_uri="nosuch://secret:password@host/x")
    with pytest.raises(LedgerUnavailable) as refused:
        look(service)
    assert "password" not in str(refused.value)
