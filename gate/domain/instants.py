"""Points in time: always with a zone, always written as UTC, always plausible."""

from __future__ import annotations

from datetime import UTC, datetime

from gate.errors import InputError

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)


def utc_now() -> datetime:
    """Return the present instant."""
    return datetime.now(UTC)


def parse_instant(text: object, field: str = "time") -> datetime:
    """Read an RFC 3339 date-time with zone.

    Args:
        text: for example `2023-09-01T00:00:00Z` or `2023-09-01T02:00:00+02:00`.
        field: the field's name, for the error.

    Returns:
        The instant in UTC.

    Raises:
        InputError: not a string, not a date-time, without a zone, or outside 2000 to 2100.
    """
    if not isinstance(text, str):
        raise InputError("expected a date-time as text", where=field, hint="like 2023-09-01T00:00:00Z")
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(
            f"{text[:40]!r} is not a date-time", where=field, hint="write it like 2023-09-01T00:00:00Z"
        ) from None
    return checked_instant(instant, field)


def checked_instant(instant: datetime, field: str = "time") -> datetime:
    """Return `instant` in UTC.

    Raises:
        InputError: without a zone, or outside 2000 to 2100.
    """
    if instant.tzinfo is None:
        raise InputError(
            f"{instant.isoformat()} has no time zone", where=field, hint="append Z for UTC, or an offset like +02:00"
        )
    try:
        utc = instant.astimezone(UTC)
    except OverflowError:
        utc = LATEST
    if not EARLIEST <= utc < LATEST:
        raise InputError(
            f"{instant.isoformat()} is not plausible", where=field, hint="expected a date from 2000 to 2099"
        )
    return utc


def format_instant(instant: datetime) -> str:
    """Write an instant as RFC 3339 in UTC with `Z`; microseconds only where there are any.

    Raises:
        InputError: without a zone.
    """
    return checked_instant(instant).isoformat().replace("+00:00", "Z")
