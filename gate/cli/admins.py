"""`gate admins`: who may consent for an account, as the directory says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gate.cli.output import JSON, progress_bar, say, say_json, table

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Record and show who may consent for an account.")

Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account.")]
Person = Annotated[str, typer.Argument(metavar="PERSON", help="Id of the person.")]
Role = Annotated[str, typer.Option("--role", help="owner or admin.")]
EffectiveAt = Annotated[str | None, typer.Option("--effective-at", help="Since when, with zone; default now.")]


@app.command()
def appoint(
    account: Account, person: Person, role: Role = "admin", effective_at: EffectiveAt = None, as_json: bool = JSON
) -> None:
    """Record that a person became owner or admin. Record it before their consents: later ones count."""
    _record(account, person, "appoint", role, effective_at, as_json)


@app.command()
def remove(
    account: Account, person: Person, role: Role = "admin", effective_at: EffectiveAt = None, as_json: bool = JSON
) -> None:
    """Record that a person ceased to be owner or admin."""
    _record(account, person, "remove", role, effective_at, as_json)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A .csv, .jsonl or .parquet file of appointments and removals.")],
    as_json: bool = JSON,
) -> None:
    """Import appointments and removals: all of them or none; the same file twice adds nothing."""
    from contextlib import closing

    from gate.service.consents import DIRECTORY, record_lines
    from gate.service.core import open_service
    from gate.service.imports import read_appointment_file

    with progress_bar(f"reading {file.name}") as progress:
        appointments = read_appointment_file(file, progress)
    with closing(appointments), open_service() as service:
        recorded = record_lines(service, appointments, by=DIRECTORY)
    _report(recorded.to_dict(), as_json)


@app.command()
def show(account: Account, as_json: bool = JSON) -> None:
    """Show the appointments and removals of an account."""
    from gate.service.consents import account_view
    from gate.service.core import open_service

    with open_service() as service:
        view = account_view(service, account)
    if as_json:
        say_json({"account_id": account, "appointments": view["appointments"]})
        return
    columns = ["index", "effective at", "action", "role", "person"]
    table(
        columns, [[a["index"], a["effective_at"], a["action"], a["role"], a["person_id"]] for a in view["appointments"]]
    )


def _record(account: str, person: str, action: str, role: str, effective_at: str | None, as_json: bool) -> None:
    from gate.domain.instants import format_instant, utc_now
    from gate.service.consents import record_appointments
    from gate.service.core import open_service
    from gate.service.imports import parse_appointment

    appointment = parse_appointment(
        {
            "account_id": account,
            "person_id": person,
            "action": action,
            "role": role,
            "effective_at": effective_at or format_instant(utc_now()),
        }
    )
    with open_service() as service:
        recorded = record_appointments(service, [appointment], via="cli")
    _report(recorded.to_dict(), as_json)


def _report(recorded: dict[str, int], as_json: bool) -> None:
    if as_json:
        say_json(recorded)
    else:
        say(f"recorded {recorded['added']} new, {recorded['known']} known before")
