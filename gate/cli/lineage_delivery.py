"""Commands of `gate lineage` that bring events in and pass them on: import, relay, dead, replay."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gate.cli.output import JSON, progress_bar, say, say_json, table

Backend = Annotated[str | None, typer.Option("--backend", help="Only this one; default: all.")]


def relay(
    follow: Annotated[bool, typer.Option("--follow", help="Keep going until SIGTERM or Ctrl-C.")] = False,
    as_json: bool = JSON,
) -> None:
    """Deliver lineage events to the backends that GATE_LINEAGE_BACKENDS names.

    First takes in what waits in the outbox and the spool. Exit 1 while events wait for a backend that fails.
    """
    import signal
    from threading import Event

    from gate.service.core import open_service
    from gate.service.relaying import read_backends, relay_once, relay_until

    backends = read_backends()
    stop = Event()
    with open_service() as service:
        if follow:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: stop.set())
            done = relay_until(service, backends, stop)
        else:
            done = relay_once(service, backends)
    if as_json:
        say_json(done)
    else:
        _show(done)
    waiting = done["pending"] or any(one["behind"] for one in done["backends"].values())
    raise typer.Exit(1 if waiting and not follow else 0)


def import_(
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="JSON lines or a JSON array; - is stdin.")],
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Take the rest of a file that has bad lines.")] = False,
    as_json: bool = JSON,
) -> None:
    """Take OpenLineage events of files into the lineage store; what is there already changes nothing.

    A file with a bad line is not taken at all, unless --skip-bad says so.
    """
    from gate.service.event_files import import_events
    from gate.service.settings import read_settings

    settings, taken = read_settings(), []
    for name in files:
        path = None if name == "-" else Path(name)
        with progress_bar(f"importing {name}", None) as progress:
            taken.append(import_events(settings, path, skip_bad=skip_bad, progress=progress))
    totals = {key: sum(one[key] for one in taken) for key in ("new", "known", "bad")}
    if as_json:
        say_json({**totals, "files": taken})
    else:
        bad = f", {totals['bad']} bad lines left out" if totals["bad"] else ""
        say(f"{totals['new']} new, {totals['known']} known{bad}")


def dead(backend: Backend = None, as_json: bool = JSON) -> None:
    """List events that a backend refused for good; `gate lineage replay` tries them again."""
    from gate.service.core import open_service
    from gate.service.relaying import dead_letters

    with open_service() as service:
        letters = dead_letters(service, backend)
    if as_json:
        say_json({"dead": letters})
        return
    columns = ["backend", "event", "error", "at", "about"]
    table(columns, [[letter[column] for column in columns] for letter in letters])


def replay(backend: Backend = None, as_json: bool = JSON) -> None:
    """Try again what backends refused. Exit 1 while some of it is refused."""
    from gate.service.core import open_service
    from gate.service.relaying import read_backends
    from gate.service.relaying import replay as try_again

    backends = read_backends()
    with open_service() as service:
        done = try_again(service, backends, backend)
    if as_json:
        say_json({"backends": done})
    else:
        for name, one in done.items():
            say(f"{name}: {one['delivered']} delivered, {one['refused']} refused again")
    raise typer.Exit(1 if any(one["refused"] for one in done.values()) else 0)


def _show(done: dict[str, Any]) -> None:
    say(f"{done['outbox'] + done['spool']} taken in, {done['pending']} pending")
    for name, one in done["backends"].items():
        rest = f", next try {one['next_try']} ({one['error']})" if one["next_try"] else ""
        other = ", another relay works for it" if one["busy"] else ""
        say(f"{name}: {one['delivered']} delivered, {one['dead']} dead, {one['behind']} behind{rest}{other}")
