"""Delivers events at least once through the OpenLineage transport the site configured; never fails a task."""

from __future__ import annotations

import copy
import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

AIRFLOW_TRANSPORT = "AIRFLOW__OPENLINEAGE__TRANSPORT"
STORE_TRANSPORT = "gate.lineage.transport.GateTransport"
PATIENCE = 10.0  # seconds after which a call begins no further event; a dead backend takes about 9 for one

_log = logging.getLogger(__name__)
_Id = TypeVar("_Id")


@dataclass(frozen=True, slots=True)
class Delivery(Generic[_Id]):
    """What became of one event: `error` is None when the transport accepted it, else why not, without secrets."""

    id: _Id
    error: str | None


def deliver(
    events: Iterable[tuple[_Id, Mapping[str, Any]]], transport: Any, *, patience: float = PATIENCE
) -> list[Delivery[_Id]]:
    """Hand events to a transport, oldest first, and close it.

    An event may arrive more than once: mark it delivered only after this returned, and pass it again until then.

    Args:
        events: (id, event) pairs; events as `gate.lineage.events` builds them.
        transport: what `configured_transport` returned.
        patience: seconds after which no further event is begun.

    Returns:
        One result per event tried, in order; the others were not tried.
    """
    deadline = time.monotonic() + patience
    results = []
    for event_id, event in events:
        if time.monotonic() >= deadline:
            break
        results.append(Delivery(event_id, _emit(transport, event)))
    failure = close(transport, patience)
    return [Delivery(done.id, done.error or failure) for done in results]


class TransportUnusable(Exception):
    """The OpenLineage configuration names a transport that cannot be set up; the message holds no secret."""


def configured_transport(config: Mapping[str, Any] | None = None) -> Any | None:
    """Return the transport of the standard OpenLineage configuration.

    Two kinds are replaced by ones that keep our promise: `file` with `append` by whole-line appends, `async_http`
    (which reports success when it failed) by `http`; inside `composite` too.

    Args:
        config: the transport's configuration; by default the environment's `AIRFLOW__OPENLINEAGE__TRANSPORT`
            (JSON), else `OPENLINEAGE__TRANSPORT…`, `OPENLINEAGE_URL`, or the client's `openlineage.yml`.

    Returns:
        A transport; None when none is configured, OpenLineage is disabled, or the configuration is unusable
        (which is logged): events then wait in the outbox.
    """
    try:
        return transport_of(lambda: _settings(config))
    except TransportUnusable as error:
        _log.error("the OpenLineage transport cannot be set up, events wait in the outbox: %s", error)
        return None


def transport_beside_store() -> Any | None:
    """Return the configured transport without its `GateTransport` parts: what the store has went there already.

    Returns:
        A transport; None when nothing else is configured, or OpenLineage is disabled.

    Raises:
        TransportUnusable: something is configured that cannot be used.
    """
    return transport_of(lambda: _without_store(_settings(None)))


def transport_of(settings: Callable[[], dict[str, Any] | None]) -> Any | None:
    """Set up a transport.

    Args:
        settings: returns what the client's factory takes; `None`: there is to be none.

    Raises:
        TransportUnusable: the settings cannot be read, or the transport not be set up.
    """
    try:
        found = settings()
        return _create(found) if found else None
    except Exception as error:  # noqa: BLE001 - a broken configuration must not fail a task; the events are kept
        raise TransportUnusable(told(error)) from None


def _without_store(settings: dict[str, Any] | None) -> dict[str, Any] | None:
    if not settings or settings["type"] == STORE_TRANSPORT:
        return None
    if settings["type"] != "composite":
        return settings
    parts = settings["transports"]
    named = dict(parts) if isinstance(parts, Mapping) else dict(enumerate(parts))
    others = {name: other for name, part in named.items() if (other := _without_store(part))}
    if not others or (len(others) < len(named) and settings.get("continue_on_success") is False):
        return None  # the others are there for when the store is not
    return {**settings, "transports": others if isinstance(parts, Mapping) else list(others.values())}


def _settings(config: Mapping[str, Any] | None) -> dict[str, Any] | None:
    from openlineage.client import OpenLineageClient
    from openlineage.client.transport.noop import NoopConfig, NoopTransport

    if config is None and (text := os.environ.get(AIRFLOW_TRANSPORT)):
        config = json.loads(text)
    # A client with a transport of its own resolves the configuration and opens nothing.
    client = OpenLineageClient(
        config={"transport": copy.deepcopy(dict(config))} if config else None,
        transport=NoopTransport(NoopConfig()),
    )
    found: dict[str, Any] = client.config.transport or {}
    if found.get("type"):
        return found
    by_url: dict[str, Any] | None = found.get("transports", {}).get(OpenLineageClient.DEFAULT_URL_TRANSPORT_NAME)
    return by_url


def _create(settings: dict[str, Any]) -> Any | None:
    from openlineage.client.transport import get_default_factory

    transport = get_default_factory().create(dependable(settings))
    return None if transport.kind == "noop" else transport


def dependable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration in which every part keeps or tells: see `configured_transport`."""
    kind, path = settings["type"], str(settings.get("log_file_path", ""))
    if kind == "composite":
        parts = settings["transports"]
        if isinstance(parts, Mapping):
            return {**settings, "transports": {name: dependable(part) for name, part in parts.items()}}
        return {**settings, "transports": [dependable(part) for part in parts]}
    if kind == "async_http":
        return {**settings, "type": "http"}
    local = path.startswith("file://") or "://" not in path
    if kind == "file" and settings.get("append") and local and not settings.get("filesystem"):
        return {**settings, "type": "gate.lineage.transport.AppendTransport"}
    return dict(settings)


def _emit(transport: Any, event: Mapping[str, Any]) -> str | None:
    try:
        transport.emit(_typed(event))
    except Exception as error:  # noqa: BLE001 - any library may stand behind a transport; delivery never fails a task
        return told(error)
    return None


def close(transport: Any, patience: float) -> str | None:
    """Close a transport; return why what it accepted may not have been sent."""
    try:
        return None if transport.close(patience) else "the transport did not finish in time"
    except Exception as error:  # noqa: BLE001 - as in _emit; what was accepted may not have been sent
        return told(error)


def _typed(event: Mapping[str, Any]) -> Any:
    """Rebuild the client's event: some transports look at its attributes."""
    from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState

    return RunEvent(
        eventType=RunState(event["eventType"]),
        eventTime=event["eventTime"],
        producer=event["producer"],
        run=Run(**event["run"]),
        job=Job(**event["job"]),
        inputs=[InputDataset(**dataset) for dataset in event["inputs"]],
        outputs=[OutputDataset(**dataset) for dataset in event["outputs"]],
    )


def told(error: BaseException) -> str:
    """Name an error without its message, which may quote addresses with passwords, or the event."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    name = type(error).__name__ + (f" (HTTP {status})" if status else "")
    return f"{name} from {told(error.__cause__)}" if error.__cause__ else name
