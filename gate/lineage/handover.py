"""Hands events to one backend strictly in order; tells an event that it refuses from a backend that is not there."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from gate.errors import InputError
from gate.lineage.relay import TransportUnusable, close, dependable, told, transport_of

SUSPECTS = 10  # events in a row that may be set aside until a later one shows that the backend works
_NOT_THE_EVENT = frozenset({401, 403, 404, 405, 407, 408, 421, 425, 426, 429})  # the request, the address, the pace
_PLAIN = frozenset({"http", "console", "gate", "gate_append"})  # transports that only write an event as JSON


class _Said(Enum):
    """What a failure says: nobody was there, it refuses this event, or it fails with it for whatever reason."""

    AWAY = 1
    REFUSED = 2
    FAILED = 3


@dataclass(slots=True)
class Handed:
    """What became of a batch.

    Attributes:
        settled: id of the last event that the backend has or refused for good; `None`: nothing changed.
        accepted: how many it took.
        dead: id and error of those it refused.
        error: why it ended before all was handed over, without secrets; `None`: it did not, or was told to end.
        answered: the error is an answer of a backend that was there.
    """

    settled: int | None = None
    accepted: int = 0
    dead: list[tuple[int, str]] = field(default_factory=list)
    error: str | None = None
    answered: bool = False


def backend_transport(config: Mapping[str, Any]) -> Any:
    """Set up a backend's transport; the relay does the repeating.

    Raises:
        InputError: it cannot be set up.
    """
    try:
        transport = transport_of(lambda: _once(dependable(config)))
    except TransportUnusable as error:
        raise InputError(
            f"cannot be set up: {error}", hint="an OpenLineage transport, as its client takes it"
        ) from None
    if transport is None:
        raise InputError("delivers nothing", hint="name another type than noop")
    return transport


def hand_over(
    events: Iterable[tuple[int, str]],
    transport: Any,
    *,
    doubting: bool,
    patience: float,
    going: Callable[[], bool] = lambda: True,
) -> Handed:
    """Hand events over, oldest first, until one is not taken; close the transport.

    An event that fails is not passed over, unless the backend says that it will never take it, or, when `doubting`,
    a later one is taken: only that shows that the event is to blame and not the backend.

    Args:
        events: id and JSON.
        doubting: the first event has failed often enough.
        patience: seconds after which no further event is begun.
        going: whether to go on.
    """
    done, suspects = Handed(), list[tuple[int, str]]()
    deadline = time.monotonic() + patience
    for id_, raw in events:
        if not going() or time.monotonic() >= deadline:
            break
        failure = _emitted(transport, raw)
        if failure is None or failure[0] is _Said.REFUSED:
            _settle(done, id_, failure)
            for suspect, doubted in suspects:  # it works: was it the event, or did it just come back?
                _settle(done, id_, _emitted(transport, doubted), suspect)
            suspects.clear()
            continue
        if not suspects:
            done.error, done.answered = failure[1], failure[0] is _Said.FAILED
        if not (doubting and failure[0] is _Said.FAILED and len(suspects) < SUSPECTS):
            break
        suspects.append((id_, raw))
    unsent = close(transport, patience)
    return Handed(error=unsent) if unsent else done


def _settle(done: Handed, up_to: int, failure: tuple[_Said, str] | None, id_: int | None = None) -> None:
    done.settled, done.error, done.answered = up_to, None, False
    if failure is None:
        done.accepted += 1
    else:
        done.dead.append((up_to if id_ is None else id_, failure[1]))


def _once(settings: dict[str, Any]) -> dict[str, Any]:
    """Let HTTP try once: repeating is the relay's work, and only so does the client tell what was answered."""
    if settings["type"] == "composite":
        parts = settings["transports"]
        if isinstance(parts, Mapping):
            return {**settings, "transports": {name: _once(part) for name, part in parts.items()}}
        return {**settings, "transports": [_once(part) for part in parts]}
    if settings["type"] == "http":
        once = {"total": 0, "status_forcelist": [], **settings.get("retry", {})}
        return {**settings, "retry": once}
    return settings


def _emitted(transport: Any, raw: str) -> tuple[_Said, str] | None:
    event = json.loads(raw)
    try:
        transport.emit(event if _writes_plainly(transport) else _typed(event))
    except Exception as error:  # noqa: BLE001 - any library may stand behind a transport
        return _meaning(error), told(error)
    return None


def _writes_plainly(transport: Any) -> bool:
    if transport.kind == "composite":
        return all(_writes_plainly(part) for part in transport.transports)
    return transport.kind in _PLAIN


def _typed(event: dict[str, Any]) -> Any:
    """Rebuild the client's event for transports that look at its attributes; what does not fit stays a dictionary."""
    from openlineage.client import event_v2 as kinds

    common = {"eventTime": event.get("eventTime"), "producer": event.get("producer", "")}
    try:
        if "run" in event:
            state = kinds.RunState(event["eventType"]) if event.get("eventType") else None
            return kinds.RunEvent(
                eventType=state, run=kinds.Run(**event["run"]), job=kinds.Job(**event["job"]), **common, **_data(event)
            )
        if "job" in event:
            return kinds.JobEvent(job=kinds.Job(**event["job"]), **common, **_data(event))
        return kinds.DatasetEvent(dataset=kinds.StaticDataset(**event["dataset"]), **common)
    except (KeyError, TypeError, ValueError):
        return event


def _data(event: dict[str, Any]) -> dict[str, Any]:
    from openlineage.client.event_v2 import InputDataset, OutputDataset

    inputs, outputs = event.get("inputs") or [], event.get("outputs") or []
    return {"inputs": [InputDataset(**d) for d in inputs], "outputs": [OutputDataset(**d) for d in outputs]}


def _meaning(error: BaseException) -> _Said:
    causes: list[BaseException] = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    statuses = (getattr(getattr(cause, "response", None), "status_code", None) for cause in causes)
    status = next((found for found in statuses if found), None)
    if status is None:
        return _Said.AWAY if any(isinstance(cause, OSError) for cause in causes) else _Said.FAILED
    if status in _NOT_THE_EVENT or status < 400:
        return _Said.AWAY
    return _Said.REFUSED if status < 500 else _Said.FAILED
