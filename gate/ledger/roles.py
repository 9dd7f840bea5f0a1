"""The SQL that makes the PostgreSQL roles of a ledger: reader, appender (a worker's), owner (the service's)."""

from __future__ import annotations

import re
from pathlib import Path

from gate.errors import InputError
from gate.ledger.state import LIVE

WORKER_KINDS = frozenset({"tag", "decision", "permit", "redemption", "refusal", "exposure", "review", "attestation"})
"""What a worker in the embedded mode appends; everything else is recorded by the service or by people."""

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")  # needs no quoting anywhere, and no pg_ prefix


def roles_sql(reader: str = "gate_reader", appender: str = "gate_appender", owner: str = "gate_owner") -> str:
    """Return the script that makes three group roles and gives them their privileges; safe to run again.

    Raises:
        InputError: a name that is not a plain PostgreSQL identifier, or two that are the same.
    """
    names = {"reader": reader, "appender": appender, "owner": owner}
    for option, name in names.items():
        if not _NAME.fullmatch(name) or name.startswith("pg_"):
            raise InputError(f"{name[:80]!r} is not a role's name", where=option, hint="like gate_reader")
    if len(set(names.values())) < len(names):
        raise InputError("each role needs a name of its own", where="roles")
    lists = {"worker_kinds": _quoted(WORKER_KINDS), "personal_ways": _quoted(LIVE)}

    def value(match: re.Match[str]) -> str:
        quote, word = match[1], match[2]
        return f"'{names[word]}'" if quote else {**names, **lists}[word]

    # psql's own notation for variables; `::type` casts are no variables.
    script = Path(__file__).with_name("roles.sql").read_text("utf-8")
    return re.sub(r"(?<!:):('?)(reader|appender|owner|worker_kinds|personal_ways)\b\1", value, script)


def _quoted(words: frozenset[str]) -> str:
    return ", ".join(f"'{word}'" for word in sorted(words))
