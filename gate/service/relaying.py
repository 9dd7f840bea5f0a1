"""The relay: takes in what waits in outbox and spool, then brings every event to each backend at its own pace."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

from gate.domain.instants import format_instant
from gate.errors import GateError, InputError
from gate.lineage.handover import backend_transport, hand_over
from gate.lineage.store import delivery
from gate.lineage.store.database import LineageStore
from gate.lineage.store.locks import alone
from gate.service.core import Service
from gate.service.delivery import deliver_outbox

BACKENDS = "GATE_LINEAGE_BACKENDS"
BATCH = 100  # events handed over before it is noted
PATIENCE = 10.0  # seconds after which a batch begins no further event
DOUBTFUL = 5  # answers of a failing backend about one event until it is tried without that event
PAUSE = 1.0  # seconds between two rounds when there is nothing to do

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_log = logging.getLogger(__name__)

Backends = Mapping[str, Mapping[str, Any]]


@dataclass(slots=True)
class Progress:
    """What a relay did for one backend; `busy`: another relay works for it."""

    delivered: int = 0
    refused: int = 0
    busy: bool = False


def read_backends(environ: Mapping[str, str] = os.environ) -> dict[str, dict[str, Any]]:
    """Return the backends of `GATE_LINEAGE_BACKENDS`: JSON, name → OpenLineage transport configuration.

    Raises:
        InputError: it is no such JSON, or a transport cannot be set up.
    """
    text = environ.get(BACKENDS) or "{}"
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InputError(
            "is not a JSON object", where=BACKENDS, hint='like {"marquez": {"type": "http", "url": "http://…"}}'
        )
    for name, config in found.items():
        if not _NAME.fullmatch(name):
            raise InputError(f"{name[:80]!r} is no backend's name", where=BACKENDS, hint="letters, digits, . _ -")
        if not isinstance(config, dict) or not isinstance(config.get("type"), str):
            raise InputError("names no transport type", where=f"{BACKENDS}.{name}")
        try:
            backend_transport(config).close(0)
        except InputError as error:
            raise InputError(error.message, where=f"{BACKENDS}.{name}", hint=error.hint) from None
    return found


def take_in(service: Service) -> dict[str, int]:
    """Bring what waits in the outbox and the spool into the store.

    Returns:
        `outbox` and `spool`: how many events; `pending`: how many stay in the outbox.

    Raises:
        LineageUnavailable: the store cannot be written.
        LedgerUnavailable: the ledger cannot be read or written.
    """
    store = service.intake.store()
    spooled, taken = service.intake.spool.take_in(store), 0
    while left := deliver_outbox(service):
        taken += left
    return {"outbox": taken, "spool": spooled, "pending": len(service.ledger.pending_outbox(1000))}


def relay_once(service: Service, backends: Backends) -> dict[str, Any]:
    """Run until nothing is due: everything is delivered, or what is not waits for a backend that fails.

    Returns:
        What `take_in` returns, and per backend: `delivered` and `refused` now, and how it stands.

    Raises:
        LineageUnavailable: the store cannot be used.
        LedgerUnavailable: the ledger cannot be used.
    """
    store = service.intake.store()
    delivery.prepare(store)
    taken = take_in(service)
    now = _now(service)
    with ThreadPoolExecutor(max(1, len(backends))) as threads:
        work = {name: threads.submit(relay_due, store, name, backends[name], now) for name in backends}
    return {**taken, "backends": {name: _summary(store, name, done.result()) for name, done in work.items()}}


def relay_here(service: object) -> dict[str, Any]:
    """Run once with the environment's backends; see `relay_once`.

    Args:
        service: what a task works with.

    Raises:
        InputError: it is a decision service elsewhere, or the backends cannot be.
    """
    if not isinstance(service, Service):
        raise InputError(
            "the relay works where the lineage store is", hint="run gate lineage relay --follow beside the service"
        )
    return relay_once(service, read_backends())


def relay_until(service: Service, backends: Backends, stop: Event) -> dict[str, Any]:
    """Run until `stop` is set; what fails meanwhile is logged and tried again.

    Returns:
        As `relay_once`.
    """
    store = service.intake.store()
    delivery.prepare(store)
    now = _now(service)
    total = {name: Progress() for name in backends}
    taken = {"outbox": 0, "spool": 0, "pending": 0}

    def follow(name: str) -> None:
        while not stop.is_set():
            done = _tried(lambda: relay_due(store, name, backends[name], now, lambda: not stop.is_set()), Progress())
            total[name] = Progress(
                total[name].delivered + done.delivered, total[name].refused + done.refused, done.busy
            )
            stop.wait(PAUSE)

    with ThreadPoolExecutor(max(1, len(backends))) as threads:
        work = [threads.submit(follow, name) for name in backends]
        while not stop.is_set():
            more = _tried(lambda: take_in(service), {"outbox": 0, "spool": 0, "pending": taken["pending"]})
            taken = {
                "outbox": taken["outbox"] + more["outbox"],
                "spool": taken["spool"] + more["spool"],
                "pending": more["pending"],
            }
            stop.wait(PAUSE)
    for done in work:
        done.result()
    return {**taken, "backends": {name: _summary(store, name, done) for name, done in total.items()}}


def relay_due(
    store: LineageStore,
    name: str,
    config: Mapping[str, Any],
    now: Callable[[], int],
    going: Callable[[], bool] = lambda: True,
) -> Progress:
    """Deliver to one backend until it has everything, fails, or another relay works for it.

    Args:
        name: the backend's.
        config: its transport.
        now: returns the instant in microseconds since 1970.
        going: whether to go on.

    Raises:
        LineageUnavailable: the store cannot be used.
        InputError: the transport cannot be set up.
    """
    progress = Progress()
    with alone(store, f"relay {name}") as mine:
        progress.busy = not mine
        while mine and going():
            at = delivery.standing(store, name)
            events = delivery.events_after(store, at.cursor, BATCH)
            if not events or (at.retry_at is not None and now() < at.retry_at):
                break
            doubting = at.refusals >= DOUBTFUL
            done = hand_over(events, backend_transport(config), doubting=doubting, patience=PATIENCE, going=going)
            if done.settled is not None:
                delivery.moved_on(store, name, done.settled, done.dead, now())
                progress.delivered += done.accepted
                progress.refused += len(done.dead)
            if done.error is not None:
                delivery.held_back(store, name, done.error, now(), refused=done.answered)
    return progress


def replay(service: Service, backends: Backends, only: str | None = None) -> dict[str, dict[str, int]]:
    """Try again what backends refused.

    Args:
        only: one backend.

    Returns:
        Per backend `delivered` and `refused`; a backend that is away is left with the rest.

    Raises:
        InputError: there is no such backend.
        LineageUnavailable: the store cannot be used.
    """
    if only is not None and only not in backends:
        raise InputError("is no backend", where=only[:80], hint=f"{BACKENDS} names: {', '.join(backends) or 'none'}")
    store = service.intake.store()
    delivery.prepare(store)
    now, said = _now(service), {}
    for name in [only] if only else list(backends):
        delivered = refused = 0
        for letter in delivery.dead_letters(store, name):
            one = [(letter.event, letter.raw)]
            done = hand_over(one, backend_transport(backends[name]), doubting=False, patience=PATIENCE)
            if done.accepted:
                delivery.revived(store, name, [letter.event])
                delivered += 1
            else:
                error = done.dead[0][1] if done.dead else str(done.error)
                delivery.refused_again(store, name, letter.event, error, now())
                refused += 1
                if not done.dead and not done.answered:
                    break
        said[name] = {"delivered": delivered, "refused": refused}
    return said


def dead_letters(service: Service, only: str | None = None) -> list[dict[str, Any]]:
    """List what backends refused: backend, event's id in the store, why, when, and the event's run or job.

    Raises:
        LineageUnavailable: the store cannot be used.
    """
    store = service.intake.store()
    delivery.prepare(store)
    return [
        {
            "backend": letter.backend,
            "event": letter.event,
            "error": letter.error,
            "at": _shown(letter.at),
            "about": _about(json.loads(letter.raw)),
        }
        for letter in delivery.dead_letters(store, only)
    ]


def _summary(store: LineageStore, name: str, done: Progress) -> dict[str, Any]:
    at = delivery.standing(store, name)
    return {
        "delivered": done.delivered,
        "refused": done.refused,
        "dead": at.dead,
        "behind": at.behind,
        "next_try": None if at.retry_at is None else _shown(at.retry_at),
        "error": at.last_error,
        "busy": done.busy,
    }


def _about(event: Mapping[str, Any]) -> str:
    part = event.get("job") or event.get("dataset") or event.get("run") or {}
    name = part.get("name") or part.get("runId") if isinstance(part, dict) else ""
    return " ".join(filter(None, (str(name)[:200], str(event.get("eventType") or ""))))


def _tried(act: Callable[[], Any], otherwise: Any) -> Any:
    try:
        return act()
    except (GateError, OSError) as error:
        _log.error("the relay tries again: %s", error)
        return otherwise


def _now(service: Service) -> Callable[[], int]:
    return lambda: (service.clock() - _EPOCH) // timedelta(microseconds=1)


def _shown(at: int) -> str:
    return format_instant(_EPOCH + timedelta(microseconds=at))
