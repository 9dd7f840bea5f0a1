"""Signs checkpoints, also of the past, and puts them where the ledger's operator cannot change them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from gate.domain.instants import format_instant
from gate.errors import CannotDecide, CheckFailed, GateError, InputError, LedgerUnavailable, TamperingFound
from gate.ledger.checkpoints import Note, parse_note
from gate.ledger.reading import Reader
from gate.service.anchors import check_anchor
from gate.service.auditing import checked_note, signed_note
from gate.service.core import Service

LATEST = "latest"
OPENLINEAGE = "openlineage:"
CONNECT_TIMEOUT, TIMEOUT = 5.0, 15.0  # seconds
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_LARGEST = 65_536  # bytes of a note that somebody else kept


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed checkpoint.

    Attributes:
        note: its text.
        told_at: when its newest entry was recorded, RFC 3339.
    """

    note: str
    origin: str
    size: int
    root: bytes
    told_at: str


@dataclass(frozen=True, slots=True)
class Published:
    """Where a checkpoint is now: `place` without credentials, and whether it was there before."""

    place: str
    known: bool

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {"place": self.place, "known": self.known}


def sign_checkpoint(service: Service, *, size: int | None = None, entry: int | None = None) -> Checkpoint:
    """Sign what the ledger held: now, when it held so many entries, or when the batch of an entry was written.

    The signature is the same each time: Ed25519 has no randomness, and the tree of that size never changes.

    Args:
        size: sign the tree of so many entries.
        entry: sign the first tree head that covers this entry: the one its own batch wrote.

    Raises:
        InputError: the ledger never held so many entries, or has no such entry.
        TamperingFound, LedgerUnavailable: it is not what was published of it; nothing is signed.
    """
    with service.ledger.read() as reader:
        check_anchor(service, reader)
        wanted = reader.size if size is None else size
        if entry is not None:
            wanted = _head_after(reader, entry)
        if not 0 < wanted <= reader.size:
            raise InputError(f"the ledger never held {wanted} entries", where="size", hint=f"it holds {reader.size}")
        root, newest = reader.root_at(wanted), reader.entry(wanted - 1)
        origin, told_at = reader.origin, format_instant(newest.recorded_at)
    return Checkpoint(signed_note(service, origin, wanted, root), origin, wanted, root, told_at)


def publish_to(service: Service, checkpoint: Checkpoint, targets: Sequence[str]) -> list[Published]:
    """Publish a checkpoint everywhere; where one place fails, the others still get it.

    Args:
        targets: a folder (a path, or any URI that fsspec opens), `http(s)://…`, or `openlineage:`.

    Raises:
        TamperingFound: a folder keeps another checkpoint of that ledger: it was rewritten since.
        GateError: a target failed; the first one is told.
    """
    done, failed = [], list[GateError]()
    for target in targets:
        try:
            done.append(_publish(service, checkpoint, target))
        except GateError as error:
            failed.append(error)
    if failed:
        raise next((error for error in failed if isinstance(error, TamperingFound)), failed[0])
    return done


def _publish(service: Service, checkpoint: Checkpoint, target: str) -> Published:
    if target == OPENLINEAGE:
        return _to_lineage(service, checkpoint)
    if target.lower().startswith(("http://", "https://")):
        return _to_http(checkpoint, target)
    return _to_folder(service, checkpoint, target)


def _head_after(reader: Reader, entry: int) -> int:
    """Return the size of the first tree head that covers an entry."""
    if not 0 <= entry < reader.size:
        raise InputError(f"there is no entry {entry}", where="entry", hint=f"the ledger holds {reader.size}")
    from gate.ledger.heads import head_covering

    return head_covering(reader, entry)


def _to_folder(service: Service, checkpoint: Checkpoint, target: str) -> Published:
    folder = _Folder(target)
    name = f"{checkpoint.size:012}.note"
    newest, kept = folder.read(LATEST), folder.read(name)
    for text in (newest, kept):
        if text is not None:
            _check_kept(service, text, folder.where)
    if kept is None:
        folder.write(name, checkpoint.note)
        _check_kept(
            service, folder.read(name) or "", folder.where
        )  # what is there now, should another have been faster
    if newest is None or parse_note(newest).size < checkpoint.size:
        folder.write(LATEST, checkpoint.note)
    return Published(f"{folder.where}/{name}", kept is not None)


def _check_kept(service: Service, text: str, where: str) -> None:
    """Hold the ledger against a checkpoint that was published before."""
    try:
        note = checked_note(service, text)
    except InputError as error:
        raise InputError(error.message, where=where, hint="this folder is for checkpoints only") from None
    with service.ledger.read() as reader:
        if note.origin != reader.origin:
            raise InputError("holds checkpoints of another ledger", where=where, hint="each ledger has its own folder")
        if note.size > reader.size:
            raise LedgerUnavailable(
                f"the ledger holds {reader.size} entries, and {note.size} were published",
                where=where,
                hint="the database was restored: gate db replay DATABASE_URL or FILE",
                reason="cannot_decide",
            )
        _check_same(note, reader, where)


def _check_same(note: Note, reader: Reader, where: str) -> None:
    if reader.root_at(note.size) != note.root:
        raise TamperingFound(
            f"the first {note.size} entries are not those that were published",
            where=where,
            hint="the ledger was rewritten: keep the checkpoint, it is the evidence",
        )


class _Folder:
    """A folder of notes. Nothing in it is replaced but `latest`."""

    def __init__(self, target: str) -> None:
        import fsspec

        self.where = _shown(target)
        try:
            self._store, path = fsspec.core.url_to_fs(target if "://" in target else str(Path(target).absolute()))
        except (OSError, ValueError, ImportError):
            raise InputError("no folder that can be opened", where=self.where, hint="a path, or a URI") from None
        self._path = path.rstrip("/")

    def read(self, name: str) -> str | None:
        """Return a note; `None` when it is not there."""
        try:
            with self._store.open(f"{self._path}/{name}", "rb") as file:
                raw: bytes = file.read(_LARGEST)
            return raw.decode()
        except FileNotFoundError:
            return None
        except (OSError, ValueError, ImportError):
            raise self._failed("read") from None

    def write(self, name: str, text: str) -> None:
        """Write a note as a whole or not at all."""
        try:
            self._store.makedirs(self._path, exist_ok=True)
            with self._store.transaction, self._store.open(f"{self._path}/{name}", "wb") as file:
                file.write(text.encode())
        except (OSError, ValueError, ImportError):
            raise self._failed("written") from None

    def _failed(self, what: str) -> CannotDecide:
        return CannotDecide(
            f"checkpoints cannot be {what} there", where=self.where, hint="check the place and its permissions"
        )


def _to_http(checkpoint: Checkpoint, target: str) -> Published:
    import ssl

    import httpx

    parts, where = _address(target)
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
    who = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    try:
        with (
            httpx.Client(
                timeout=httpx.Timeout(TIMEOUT, connect=CONNECT_TIMEOUT),
                follow_redirects=False,  # the note goes to the host that was named, and to no other
                trust_env=False,
                verify=ssl.create_default_context(),  # the machine's own authorities
                auth=who,
            ) as client,
            client.stream("POST", address, content=checkpoint.note.encode(), headers=headers) as answer,
        ):
            taken, status = answer.is_success, answer.status_code  # what else it says is of no interest
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise CannotDecide(
            f"the checkpoint could not be sent ({type(error).__name__})", where=where, hint="check host and network"
        ) from None
    if not taken:
        raise CheckFailed(f"it answered {status}, not 2xx", where=where, hint="the note was not taken")
    return Published(where, known=False)


def _address(target: str) -> tuple[SplitResult, str]:
    try:
        parts = urlsplit(target)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host:
        raise InputError("the address names no host", where="--publish", hint="like https://witness.example/notes")
    if parts.username and parts.scheme.lower() == "http" and host not in _LOOPBACK:
        raise InputError("a password goes over https only", where=_shown(target))
    return parts, _shown(target)


def _shown(target: str) -> str:
    """Return how messages call a target: scheme and host of an address, never a password, a path or a query of it."""
    if "://" not in target:
        return str(Path(target).absolute())
    scheme, _, rest = target.partition("://")
    host = rest.partition("/")[0].partition("?")[0].rpartition("@")[2]
    remote = scheme.lower() in ("http", "https") or "@" in rest or "?" in rest
    return f"{scheme}://{host}" if remote else target.rstrip("/")


def _to_lineage(service: Service, checkpoint: Checkpoint) -> Published:
    from gate.lineage.checkpoint import NAME, NAMESPACE, checkpoint_event
    from gate.lineage.observed import observe
    from gate.lineage.store.ingest import store_events
    from gate.service.lineage_store import open_lineage

    event = checkpoint_event(checkpoint.note, checkpoint.origin, checkpoint.size, checkpoint.root, checkpoint.told_at)
    with open_lineage(service.settings) as store:
        new, _ = store_events(store, [observe(event)])
    return Published(f"{OPENLINEAGE}{NAMESPACE}/{NAME}", known=not new)
