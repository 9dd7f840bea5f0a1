"""Keeps the last published checkpoint outside the database: one restored from before it stops deciding."""

from __future__ import annotations

import fcntl
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from weakref import WeakKeyDictionary

from gate.errors import InputError, LedgerUnavailable, TamperingFound
from gate.ledger.checkpoints import Note, parse_note
from gate.ledger.reading import Reader
from gate.ledger.store import Ledger, Transaction, TreeHead
from gate.service.auditing import checked_note, signed_note
from gate.service.core import Service
from gate.service.keyring import holds_signing_key
from gate.service.settings import Settings

ELSEWHERE_EVERY = 60.0  # seconds between two looks at, or writes to, the second place
ELSEWHERE = "GATE_CHECKPOINTS"  # what messages call it: the URI may hold a password
NAME = "latest"
LATE = 5  # times its patience after which nobody goes on unpublished

_publishing = Lock()  # held by the thread that publishes; nobody ever waits for it
_elsewhere: dict[str, tuple[float, str | None]] = {}  # place -> when we looked, and what was there
_held: WeakKeyDictionary[Ledger, tuple[Note, TreeHead]] = WeakKeyDictionary()  # what was compared last, and where


@contextmanager
def recording(service: Service, *, patience: float = 0.0) -> Iterator[Transaction]:
    """Open the writing transaction on a ledger that lacks nothing; publish its checkpoint once it is committed.

    Args:
        patience: as for `publish`.

    Raises:
        LedgerUnavailable, TamperingFound: as `check_anchor`; nothing is written.
    """
    with writing(service) as tx:
        yield tx
    publish_when_due(service, tx.size, patience)


@contextmanager
def writing(service: Service) -> Iterator[Transaction]:
    """Open the writing transaction on a ledger that lacks nothing; `publish_when_due` belongs after it.

    Raises:
        LedgerUnavailable, TamperingFound: as `check_anchor`; nothing is written.
    """
    with service.ledger.write() as tx:
        check_anchor(service, tx)
        yield tx


def publish_when_due(service: Service, size: int, patience: float) -> None:
    """Publish a checkpoint of at least `size` entries if the last publication is `patience` seconds old.

    While one thread does so the others go on, unless that takes far too long: then each does it itself.

    Raises:
        LedgerUnavailable: as `publish`.
    """
    age = _age(service.settings.checkpoint_path)
    if age < patience:
        return
    first = _publishing.acquire(blocking=False)
    try:
        if first or age >= LATE * patience:
            publish(service, size)
    finally:
        if first:
            _publishing.release()


def publish(
    service: Service, size: int | None = None, *, patience: float = 0.0, everywhere: bool = False
) -> Note | None:
    """Publish a checkpoint of the ledger as it is, unless one of at least that size is out already.

    The published size never goes back, whichever processes race. At most one small file is written, atomically; the
    second place gets its copy at most once a minute.

    Args:
        size: the size that is to be published at least; default: the present one.
        patience: seconds the last publication may be old to do for now: a busy service publishes once a second, and
            whatever came after it with the next call.
        everywhere: copy to the second place now, however recent the last copy is.

    Returns:
        The newest published checkpoint; `None` on a machine that holds no signing key.

    Raises:
        LedgerUnavailable: the file cannot be written.
    """
    note = _published_here(service)
    recent = _age(service.settings.checkpoint_path) < patience
    if note is None or not (recent or (size is not None and note.size >= size)):
        with service.ledger.read() as reader:
            if not holds_signing_key(service.settings, reader):
                return None
            check_anchor(service, reader)  # a fork is never published over what it forked from
            head, origin = reader.head(), reader.origin
        if note is None or note.size < head.size:
            note = _put_here(service, signed_note(service, origin, head.size, head.root))
    _publish_elsewhere(service, at_once=everywhere)
    return note


def _put_here(service: Service, text: str) -> Note:
    """Replace the checkpoint, unless another process was faster with a newer one. No transaction waits for the lock."""
    with _locked(service.settings):
        mine, there = parse_note(text), _published_here(service)
        if there is not None and there.size >= mine.size:
            return there
        _replace(service.settings.checkpoint_path, text)
        return mine


def check_anchor(service: Service, reader: Reader) -> Note | None:
    """Make sure that the ledger holds everything that was ever published of it, unchanged.

    Args:
        reader: the state an operation works on; a transaction, or a view opened a moment ago.

    Returns:
        The newest published checkpoint, its signature checked; `None` when none was published.

    Raises:
        LedgerUnavailable: entries are missing: the database was restored from before the checkpoint, or a published
            checkpoint cannot be read.
        TamperingFound: other entries stand in their place, or a checkpoint's signature is wrong.
    """
    note = newest_note(service)
    if note is None:
        return None
    if note.size <= reader.size:
        _check_holds(service, note, reader)
        return note
    # What another process published may be newer than our view, not than the truth.
    with service.ledger.read() as fresh:
        if fresh.origin == note.origin and fresh.size < note.size:
            raise _missing(service.settings, note, fresh.size)
        _compare(note, fresh)
    return note


def newest_note(service: Service) -> Note | None:
    """Return the largest checkpoint published here or in the second place, its signature checked.

    Raises:
        LedgerUnavailable: a place cannot be read.
        TamperingFound: no pinned key signed one of them.
    """
    here, place = _published_here(service), service.settings.checkpoints_uri
    there = _checked(service, _fetched(place), ELSEWHERE) if place else None
    return max(filter(None, (here, there)), key=lambda note: note.size, default=None)


def _published_here(service: Service) -> Note | None:
    settings = service.settings
    return _checked(service, _local(settings), str(settings.checkpoint_path))


def _checked(service: Service, text: str | None, where: str) -> Note | None:
    try:
        return None if text is None else checked_note(service, text)
    except InputError as error:
        raise LedgerUnavailable(
            f"the published checkpoint cannot be read: {error.message}",
            where=where,
            hint="put back the checkpoint that was kept elsewhere; the ledger is not trusted without it",
            reason="cannot_decide",
        ) from None


def _check_holds(service: Service, note: Note, reader: Reader) -> None:
    """Compare, unless the ledger goes on from a head that this very checkpoint was found in before."""
    before = _held.get(service.ledger)
    if before is not None and before[0] == note and reader.had(before[1]):
        return
    head = reader.head()
    _compare(note, reader)
    _held[service.ledger] = (note, head)


def _compare(note: Note, reader: Reader) -> None:
    if note.origin != reader.origin:
        raise LedgerUnavailable(
            "this is another ledger than the one that was published from here",
            where="checkpoint",
            hint="check GATE_DATABASE_URL and GATE_HOME: each ledger has a home of its own",
            reason="cannot_decide",
        )
    if reader.root_at(note.size) != note.root:
        raise TamperingFound(
            f"the first {note.size} entries are not those that were published",
            where="checkpoint",
            hint="the database was restored and written to, or altered: restore a copy that is whole",
        )


def _missing(settings: Settings, note: Note, size: int) -> LedgerUnavailable:
    return LedgerUnavailable(
        f"the ledger holds {size} entries, and {note.size} were published: this database was restored",
        where=str(settings.checkpoint_path),
        hint="replay the missing entries from another copy: gate db replay DATABASE_URL or FILE",
        reason="cannot_decide",
    )


def _local(settings: Settings) -> str | None:
    try:
        return settings.checkpoint_path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError):
        raise _unreadable(str(settings.checkpoint_path), "read") from None


@contextmanager
def _locked(settings: Settings) -> Iterator[None]:
    folder = settings.checkpoint_path.parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    except OSError:
        raise _unreadable(str(folder), "written") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _replace(path: Path, text: str) -> None:
    """Write the file as a whole or not at all, on disk before anybody counts on it."""
    beside = path.with_suffix(".new")  # nobody else writes it: we hold the lock
    try:
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        raise _unreadable(str(path), "written") from None


def _publish_elsewhere(service: Service, *, at_once: bool) -> None:
    """Copy the checkpoint to the second place when the last copy is a minute old, or at once."""
    settings = service.settings
    place, sent = settings.checkpoints_uri, settings.checkpoint_path.with_name("sent")
    if not place or (_age(sent) < ELSEWHERE_EVERY and not at_once):
        return
    with _locked(settings):
        newest, there = _local(settings), _checked(service, _fetched(place, refresh=True), ELSEWHERE)
        if newest is not None and (there is None or there.size < parse_note(newest).size):
            _put(place, newest)
            _elsewhere[place] = (time.monotonic(), newest)
        sent.touch(mode=0o600)


def _age(file: Path) -> float:
    """Return how many seconds ago a file was written; endless when it is not there or from the future."""
    try:
        age = time.time() - file.stat().st_mtime
    except OSError:
        return math.inf
    return age if age >= 0 else math.inf


def _fetched(place: str, *, refresh: bool = False) -> str | None:
    """Return what the second place holds, at most a minute old; a lower bound of it is enough to hold a ledger to."""
    at, text = _elsewhere.get(place, (0.0, None))
    if not refresh and place in _elsewhere and time.monotonic() - at < ELSEWHERE_EVERY:
        return text
    text = _get(place)
    _elsewhere[place] = (time.monotonic(), text)
    return text


def _get(place: str) -> str | None:
    import fsspec

    try:
        store, path = fsspec.core.url_to_fs(f"{place.rstrip('/')}/{NAME}")
        with store.open(path, "rb") as file:
            text: str = file.read().decode()
    except FileNotFoundError:
        return None
    except (OSError, ValueError, ImportError):
        raise _unreadable(ELSEWHERE, "read") from None
    return text


def _put(place: str, text: str) -> None:
    import fsspec

    try:
        store, path = fsspec.core.url_to_fs(f"{place.rstrip('/')}/{NAME}")
        store.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        with store.transaction, store.open(path, "wb") as file:  # as a whole or not at all
            file.write(text.encode())
    except (OSError, ValueError, ImportError):
        raise _unreadable(ELSEWHERE, "written") from None


def _unreadable(where: str, what: str) -> LedgerUnavailable:
    return LedgerUnavailable(
        f"the published checkpoint cannot be {what}",
        where=where,
        hint="check the place, its permissions and the disk",
        reason="cannot_decide",
    )
