"""Checkpoints of now and of the past, in folders, over HTTP and as OpenLineage events."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from gate.errors import CannotDecide, CheckFailed, InputError, LedgerUnavailable, TamperingFound
from gate.ledger.checkpoints import NOTE_NAME, note_text, parse_note, sign_note
from gate.service.core import Service
from gate.service.deciding import decide
from gate.service.lineage_store import open_lineage
from gate.service.publishing import publish_to, sign_checkpoint
from gate.service.tagging import tag_dataset
from support.notes import check_signed
from support.openlineage_spec import errors_of
from support.world import ASKING, USE, add_account, chat_file, event, new_service, say


@pytest.fixture
def service(tmp_path: Path, ledger_url: str) -> Iterator[Service]:
    with new_service(tmp_path / "home", url=ledger_url) as opened:
        yield opened


def forged(service: Service, size: int) -> str:
    with service.ledger.read() as reader:
        text = note_text(reader.origin, size, bytes(32))
    return sign_note(text, NOTE_NAME, service.key.sign, service.key.public)


def test_every_decision_has_a_signed_note_that_covers_it(service: Service, tmp_path: Path) -> None:
    add_account(service, "acme")
    say(service, event("acme"))
    dataset = chat_file(tmp_path, ["acme"])
    tag_dataset(service, dataset, ["chat"], by="eve", via="cli")
    outcome = decide(service, [dataset], USE, ASKING)
    then = sign_checkpoint(service, entry=outcome.index)
    assert then.size > outcome.index
    add_account(service, "bolt")
    later = sign_checkpoint(service, entry=outcome.index)
    assert later == then  # byte for byte, whatever came after
    check_signed(then.note, NOTE_NAME, service.key.public)
    with service.ledger.read() as reader:
        assert reader.root_at(then.size) == parse_note(then.note).root


def test_the_past_is_signed_on_demand(service: Service) -> None:
    with service.ledger.read() as reader:
        size, roots = reader.size, [reader.root_at(size) for size in range(reader.size + 1)]
    for at in range(1, size + 1):
        assert parse_note(sign_checkpoint(service, size=at).note)[1:3] == (at, roots[at])
    for at in (0, size + 1, -1):
        with pytest.raises(InputError):
            sign_checkpoint(service, size=at)
    for index in (-1, size):
        with pytest.raises(InputError):
            sign_checkpoint(service, entry=index)


@pytest.mark.parametrize("kind", ["path", "memory"])
def test_a_folder_keeps_every_note_and_the_latest(service: Service, tmp_path: Path, kind: str) -> None:
    import fsspec

    target = str(tmp_path / "notes") if kind == "path" else f"memory://{tmp_path.name}/notes"
    store, path = fsspec.core.url_to_fs(target)
    first = sign_checkpoint(service)
    assert [place.known for place in publish_to(service, first, [target, target])] == [False, True]
    add_account(service, "acme")
    second = sign_checkpoint(service)
    publish_to(service, second, [target])
    publish_to(service, first, [target])  # an older one again moves nothing back
    kept = {name.rsplit("/", 1)[1]: store.cat(name).decode() for name in store.ls(path, detail=False)}
    assert kept == {
        f"{first.size:012}.note": first.note,
        f"{second.size:012}.note": second.note,
        "latest": second.note,
    }


def test_a_folder_tells_that_the_ledger_was_rewritten(service: Service, tmp_path: Path) -> None:
    now = sign_checkpoint(service)
    name = f"{now.size:012}.note"
    for kept in (name, "latest"):
        folder = tmp_path / kept
        folder.mkdir()
        (folder / kept).write_text(forged(service, now.size))
        with pytest.raises(TamperingFound, match="not those that were published"):
            publish_to(service, now, [str(folder)])
        assert [file.name for file in folder.iterdir()] == [kept]
    ahead = tmp_path / "ahead"
    ahead.mkdir()
    (ahead / "latest").write_text(forged(service, now.size + 5))
    with pytest.raises(LedgerUnavailable, match="were published"):
        publish_to(service, now, [str(ahead)])
    (ahead / "latest").write_text("a shopping list")
    with pytest.raises(InputError, match="not a signed checkpoint"):
        publish_to(service, now, [str(ahead)])
    unsigned = now.note.replace(base64.b64encode(now.root).decode(), base64.b64encode(bytes(32)).decode())
    (ahead / "latest").write_text(unsigned)
    with pytest.raises(TamperingFound, match="wrong"):
        publish_to(service, now, [str(ahead)])


def test_a_file_is_no_folder(service: Service, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("")
    with pytest.raises(CannotDecide, match="checkpoints cannot be"):
        publish_to(service, sign_checkpoint(service), [str(tmp_path / "notes")])
    with pytest.raises(InputError, match="no folder"):
        publish_to(service, sign_checkpoint(service), ["nonsense://there"])


@contextmanager
def host(status: int, location: str = "") -> Iterator[tuple[str, list[tuple[str, dict[str, str], bytes]]]]:
    """A server that answers every POST alike and keeps what it was sent."""
    seen: list[tuple[str, dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_note_is_posted_as_plain_text(service: Service) -> None:
    now = sign_checkpoint(service)
    with host(201) as (address, seen):
        [place] = publish_to(service, now, [f"http://annabel:s%23cret@{address}/notes?token=abc"])
    [(path, headers, body)] = seen
    assert (path, body) == ("/notes?token=abc", now.note.encode())
    assert headers["content-type"].startswith("text/plain")
    assert base64.b64decode(headers["authorization"].removeprefix("Basic ")) == b"annabel:s#cret"
    assert place.place == f"http://{address}"


def test_only_2xx_counts_and_nobody_is_sent_elsewhere(service: Service) -> None:
    now = sign_checkpoint(service)
    with host(200) as (other, reached), host(307, f"http://{other}/") as (address, _):
        with pytest.raises(CheckFailed, match="307"):
            publish_to(service, now, [f"http://{address}/"])
        assert not reached
    with host(500) as (address, _), pytest.raises(CheckFailed, match="500"):
        publish_to(service, now, [f"http://{address}/"])


@pytest.mark.parametrize(
    "address",
    [
        "http://annabel:s3cret@127.0.0.1:9/?token=t0ken",
        "http://annabel:s3cret@witness.example/t0ken",
        "https://:s3cret@/",
        "http://[s3cret",
    ],
)
def test_no_error_tells_a_credential(service: Service, address: str) -> None:
    with pytest.raises((CannotDecide, InputError)) as failed:
        publish_to(service, sign_checkpoint(service), [address])
    said = json.dumps(failed.value.to_dict())
    assert not any(secret in said for secret in ("s3cret", "t0ken", "annabel"))


def test_where_one_target_fails_the_others_have_it(service: Service, tmp_path: Path) -> None:
    now = sign_checkpoint(service)
    with pytest.raises(CannotDecide):
        publish_to(service, now, ["http://127.0.0.1:9/", str(tmp_path / "notes")])
    assert (tmp_path / "notes" / "latest").read_text() == now.note


def test_an_openlineage_event_carries_the_note(service: Service) -> None:
    now = sign_checkpoint(service)
    assert [place.known for place in publish_to(service, now, ["openlineage:", "openlineage:"])] == [False, True]
    with open_lineage(service.settings) as store, store.read() as connection:
        [found] = [json.loads(row) for row in _events(connection)]
    assert found["job"]["facets"]["gate_checkpoint"]["note"] == now.note
    assert found["job"]["facets"]["gate_checkpoint"]["root"] == now.root.hex()
    assert (found["job"]["namespace"], found["job"]["name"]) == ("consent-gate", "checkpoint")
    assert errors_of(found) == []
    broken = json.loads(json.dumps(found))
    broken["job"]["facets"]["gate_checkpoint"]["note"] = "not a note"
    assert len(errors_of(broken)) == 1


def _events(connection: object) -> list[str]:
    from sqlalchemy import select

    from gate.lineage.store import tables

    return list(connection.execute(select(tables.event.c.event)).scalars())  # type: ignore[attr-defined]
