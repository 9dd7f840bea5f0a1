"""The GateError family: what is wrong, where, and what to do next; each kind has one exit code."""

from __future__ import annotations


class GateError(Exception):
    """Base of every error we raise on purpose.

    Args:
        message: what is wrong, in one sentence, without personal data or secrets.
        where: file, line, column, field or entry the message is about.
        hint: what to do next.
        reason: a reason code of design.md section 2, when one applies.
    """

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        reason: str | None = None,
    ) -> None:
        self.message = message
        self.where = where
        self.hint = hint
        self.reason = reason
        super().__init__(message)

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text} ({self.hint})" if self.hint else text

    def to_dict(self) -> dict[str, str | None]:
        """Return the error as JSON-ready fields: error, message, where, hint, reason."""
        return {
            "error": type(self).__name__,
            "message": self.message,
            "where": self.where,
            "hint": self.hint,
            "reason": self.reason,
        }


class CheckFailed(GateError):
    """A check that was asked for found something: exit 1."""


class InputError(GateError):
    """Bad usage or bad input: exit 2."""

    exit_code = 2


class ConsentEventError(InputError):
    """A consent event, appointment or profile that does not follow its schema."""


class PolicyError(InputError):
    """A policy table that cannot be read, or that has gaps or contradictions."""


class Blocked(GateError):
    """The answer is no: exit 3. Never retried."""

    exit_code = 3


class PermitRefused(Blocked):
    """A permit is missing, expired, foreign, altered, or overtaken by a later ledger entry."""


class ActRefused(Blocked):
    """A two-person act may not happen: one person alone, a proposal that is not open, or a mode without log-ins."""


class CannotDecide(GateError):
    """We are not able to answer now: exit 4. May be retried; nothing trains meanwhile."""

    exit_code = 4


class DatasetError(CannotDecide):
    """A dataset that is missing, empty, unreadable, truncated, or changed since it was tagged."""


class LedgerUnavailable(CannotDecide):
    """The ledger's database is locked, full, read-only, unreachable or of another version."""


class LineageUnavailable(CannotDecide):
    """The lineage store cannot be reached or written: events wait, and what a dataset was made from is not known."""


class KeyLost(CannotDecide):
    """The ledger names a signing key that is not there. We never make another silently."""


class TamperingFound(GateError):
    """The record contradicts itself: exit 5."""

    exit_code = 5
