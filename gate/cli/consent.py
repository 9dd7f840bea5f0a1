"""`gate consent`: record, import, show, list and export consent events."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from gate.cli.output import JSON, progress_bar, say, say_json, table

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Record, import and show consent events.")

Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account the event is about.")]
By = Annotated[str, typer.Option("--by", help="Id of the person who speaks for the account.")]
Role = Annotated[str, typer.Option("--role", help="The role the person claims; appointments decide.")]
Toggle = Annotated[str | None, typer.Option("--toggle", help="enable_feature or share_for_training.")]
Categories = Annotated[list[str] | None, typer.Option("--category", help="A category; repeat for more.")]
Features = Annotated[list[str] | None, typer.Option("--feature", help="A feature, or * for any; repeat for more.")]
Purposes = Annotated[list[str] | None, typer.Option("--purpose", help="A purpose; repeat for more.")]
Owners = Annotated[list[str] | None, typer.Option("--ownership", help="Model ownership covered (grant: first_party).")]
EffectiveAt = Annotated[str | None, typer.Option("--effective-at", help="When it applies, with zone; default now.")]
Evidence = Annotated[str | None, typer.Option("--evidence", help="Where the signed form can be found.")]
RoleEvidence = Annotated[str | None, typer.Option("--role-evidence", help="What shows the person's role.")]
Channel = Annotated[str | None, typer.Option("--channel", help="How the event reached us.")]
Jurisdiction = Annotated[str | None, typer.Option("--jurisdiction", help="Jurisdiction the event names.")]


@app.command()
def grant(
    account: Account,
    by: By,
    toggle: Toggle = None,
    category: Categories = None,
    feature: Features = None,
    purpose: Purposes = None,
    ownership: Owners = None,
    role: Role = "admin",
    effective_at: EffectiveAt = None,
    expires_at: Annotated[str | None, typer.Option("--expires-at", help="When it ends, with zone.")] = None,
    notice_terms: Annotated[str | None, typer.Option("--notice-terms", help="Terms version of the notice.")] = None,
    notice_sha256: Annotated[str | None, typer.Option("--notice-sha256", help="SHA-256 of the notice's text.")] = None,
    notice_language: Annotated[str | None, typer.Option("--notice-language", help="Language of the notice.")] = None,
    instrument: Annotated[str | None, typer.Option("--instrument", help="Legal form of the consent.")] = None,
    withdrawal_channel: Annotated[
        str | None, typer.Option("--withdrawal-channel", help="How the person can withdraw.")
    ] = None,
    bundled: Annotated[bool, typer.Option("--bundled", help="The service was conditional on it.")] = False,
    evidence: Evidence = None,
    role_evidence: RoleEvidence = None,
    channel: Channel = None,
    jurisdiction: Jurisdiction = None,
    as_json: bool = JSON,
) -> None:
    """Record that an account consents. What is not named is not granted."""
    event = _event("grant", account, by, role, toggle, category, feature, purpose, ownership, effective_at)
    event |= {
        "expires_at": expires_at,
        "notice": {"terms_version": notice_terms, "text_sha256": notice_sha256, "language": notice_language},
        "instrument": instrument,
        "withdrawal_channel": withdrawal_channel,
        "bundled_with_service": bundled or None,
        "evidence": evidence,
        "channel": channel,
        "jurisdiction": jurisdiction,
    }
    event["principal"]["evidence"] = role_evidence
    _record(event, as_json)


def _ending(action: str, does: str) -> Callable[..., None]:
    """Make the command for an event that ends consent: refusing and withdrawing take the same words."""

    def command(
        account: Account,
        by: By,
        toggle: Toggle = None,
        category: Categories = None,
        feature: Features = None,
        purpose: Purposes = None,
        ownership: Owners = None,
        role: Role = "admin",
        effective_at: EffectiveAt = None,
        evidence: Evidence = None,
        as_json: bool = JSON,
    ) -> None:
        event = _event(action, account, by, role, toggle, category, feature, purpose, ownership, effective_at)
        _record({**event, "evidence": evidence}, as_json)

    command.__doc__ = does
    return command


app.command("refuse")(_ending("refuse", "Record that an account refuses. What is not named is refused altogether."))
app.command("withdraw")(
    _ending("withdraw", "Record that an account withdraws. What is not named is withdrawn altogether.")
)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A .csv, .jsonl or .parquet file of consent events.")],
    source: Annotated[str | None, typer.Option("--source", help="The consent source the file comes from.")] = None,
    watermark: Annotated[
        str | None, typer.Option("--watermark", help="With this file the source is complete up to here.")
    ] = None,
    as_json: bool = JSON,
) -> None:
    """Import consent events: all of them or none; the same file twice adds nothing."""
    from contextlib import closing

    from gate.domain.instants import parse_instant
    from gate.errors import InputError
    from gate.service.actors import local_actor
    from gate.service.consents import record_lines
    from gate.service.core import open_service
    from gate.service.feeds import report_watermark
    from gate.service.imports import read_consent_file

    if (source is None) != (watermark is None):
        raise InputError("--source and --watermark go together", where="import", hint="give both or neither")
    complete = parse_instant(watermark, "--watermark") if watermark else None
    with progress_bar(f"reading {file.name}") as progress:
        events = read_consent_file(file, progress)
    recording = progress_bar(f"recording {events.count} events", events.count)
    with closing(events), open_service() as service, recording as progress:
        recorded = record_lines(service, events, by=local_actor(), progress=progress)
        if source and complete:  # last: until every event is in, the source is not complete
            report_watermark(service, source, complete, by=local_actor(), via="import")
    _report(recorded, as_json)


@app.command()
def watermark(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A consent source, like admin-console.")],
    instant: Annotated[str, typer.Argument(metavar="INSTANT", help="Everything up to here was imported.")],
    as_json: bool = JSON,
) -> None:
    """Report that a consent source has handed over everything up to an instant. A watermark never goes back."""
    from gate.domain.instants import format_instant, parse_instant
    from gate.service.actors import local_actor
    from gate.service.core import open_service
    from gate.service.feeds import report_watermark

    with open_service() as service:
        feed, moved = report_watermark(service, source, parse_instant(instant, "INSTANT"), by=local_actor(), via="cli")
    if as_json:
        say_json({"source": feed.source, "watermark": format_instant(feed.watermark), "moved": moved})
    else:
        said = "is" if moved else "was already"
        say(f"{feed.source} {said} complete up to {format_instant(feed.watermark)}")


@app.command()
def feeds(as_json: bool = JSON) -> None:
    """List consent sources, how far they have come, and which are behind the active policy's bound."""
    from gate.service.core import open_service
    from gate.service.feeds import list_feeds

    with open_service() as service:
        listed = list_feeds(service)
    if as_json:
        say_json({"feeds": listed})
    else:
        table(
            ["source", "complete up to", ""],
            [[row["source"], row["watermark"] or "never reported", "STALE" if row["stale"] else ""] for row in listed],
        )


@app.command()
def show(
    account: Account,
    as_of: Annotated[str | None, typer.Option("--as-of", help="Effective at this instant.")] = None,
    known_at: Annotated[int | None, typer.Option("--known-at", help="As known at this ledger index.")] = None,
    as_json: bool = JSON,
) -> None:
    """Show an account's profile, admins and consent events."""
    from gate.domain.instants import parse_instant
    from gate.service.consents import account_view
    from gate.service.core import open_service

    instant = parse_instant(as_of, "--as-of") if as_of else None
    with open_service() as service:
        view = account_view(service, account, as_of=instant, known_at=known_at)
    if as_json:
        say_json(view)
        return
    profile = view["profile"]
    say(f"{account}: region {profile['region']}, segment {profile['segment']}, terms {profile['terms_version']}")
    table(
        ["index", "effective at", "action", "toggle", "categories", "features", "purposes", "authority"],
        [_row(event) for event in view["events"]],
    )


@app.command("list")
def list_(
    action: Annotated[str | None, typer.Option("--action", help="Only grant, refuse or withdraw.")] = None,
    limit: Annotated[int, typer.Option("--limit", help="Newest first, at most this many.", min=1)] = 100,
    as_json: bool = JSON,
) -> None:
    """List the newest consent events."""
    from gate.service.consents import newest_events
    from gate.service.core import open_service

    with open_service() as service:
        events = newest_events(service, limit=limit, action=action)
    if as_json:
        say_json({"events": events})
    else:
        columns = ["index", "effective at", "action", "toggle", "categories", "features", "purposes", "account"]
        table(columns, [[*_row(event)[:-1], event["account_id"]] for event in events])


@app.command()
def export(
    out: Annotated[Path | None, typer.Option("--out", help="File to write; default stdout.")] = None,
    account: Annotated[str | None, typer.Option("--account", help="Only this account.")] = None,
    form: Annotated[
        str, typer.Option("--format", metavar="events|27560", help="27560: ISO/IEC TS 27560 records as JSON-LD.")
    ] = "events",
    opened: Annotated[
        bool, typer.Option("--open", help="With 27560: names in place of references; this is recorded as an access.")
    ] = False,
    as_json: bool = JSON,
) -> None:
    """Export consent events as JSON Lines that `gate consent import` reads, or as ISO/IEC TS 27560 consent records."""
    import json

    from gate.errors import InputError

    if form not in ("events", "27560"):
        raise InputError(f"{form[:40]!r} is not known", where="--format", hint="one of: events, 27560")
    if opened and form == "events":
        raise InputError("goes with --format 27560", where="--open", hint="events always hold names: they are imported")
    text, number = _records(account, opened) if form == "27560" else _events(account)
    if out is not None:
        out.write_text(text, "utf-8")
    if as_json:
        records = {} if form == "events" or out is not None else {"records": json.loads(text)}
        say_json({"events": number, "file": out and str(out), **records})
    elif out is None:
        say(text.rstrip("\n"))
    else:
        say(f"{number} events in {out}")


def _events(account: str | None) -> tuple[str, int]:
    import json

    from gate.service.consents import export_events
    from gate.service.core import open_service

    with open_service() as service:
        lines = [json.dumps(event, ensure_ascii=False) for event in export_events(service, account)]
    return "".join(line + "\n" for line in lines), len(lines)


def _records(account: str | None, opened: bool) -> tuple[str, int]:
    import json

    from gate.service.actors import local_actor
    from gate.service.consent_records import consent_records
    from gate.service.core import open_service

    with open_service() as service:
        document = consent_records(service, account=account, opened_by=local_actor() if opened else None)
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n", len(document["@graph"])


def _event(
    action: str,
    account: str,
    by: str,
    role: str,
    toggle: str | None,
    categories: list[str] | None,
    features: list[str] | None,
    purposes: list[str] | None,
    ownership: list[str] | None,
    effective_at: str | None,
) -> dict[str, Any]:
    from gate.domain.instants import format_instant, utc_now

    return {
        "account_id": account,
        "action": action,
        "principal": {"id": by, "role": role},
        "toggle": toggle,
        "categories": categories or None,
        "features": features or None,
        "purposes": purposes or None,
        "ownership": ownership or None,
        "effective_at": effective_at or format_instant(utc_now()),
    }


def _record(event: dict[str, Any], as_json: bool) -> None:
    from gate.domain.consent import parse_consent_event
    from gate.service.actors import local_actor
    from gate.service.consents import record_consent_events
    from gate.service.core import open_service

    parsed = parse_consent_event(event)
    with open_service() as service:
        recorded = record_consent_events(service, [parsed], by=local_actor(), via="cli")
    _report(recorded, as_json)


def _report(recorded: Any, as_json: bool) -> None:
    if as_json:
        say_json(recorded.to_dict())
        return
    say(f"recorded {recorded.added} new, {recorded.known} known before")
    if recorded.without_authority:
        say(
            f"{recorded.without_authority} of them will never count: not given by an owner or admin of the account "
            "then (gate admins show ACCOUNT)"
        )


def _row(event: dict[str, Any]) -> list[object]:
    def words(name: str) -> str:
        value = event.get(name)
        return value if isinstance(value, str) else ", ".join(value or [])

    return [
        event["index"],
        event["effective_at"],
        event["action"],
        event.get("toggle"),
        words("categories"),
        words("features"),
        words("purposes"),
        event["authority"],
    ]
