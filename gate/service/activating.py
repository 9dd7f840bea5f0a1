"""Activation of a policy as an act: the table is read, linted and kept when proposed, and activated exactly so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gate.domain.canonical import canonical
from gate.errors import CheckFailed, InputError, LedgerUnavailable
from gate.ledger.store import Entry, Transaction
from gate.policy.lint import lint
from gate.policy.table import Policy, load_policy, parse_policy, shipped_policies
from gate.service.acting import Acted, checked_params
from gate.service.core import append_policy_activation


def read_proposed(params: Mapping[str, Any]) -> dict[str, Policy]:
    """Read and lint the policy somebody proposes.

    Args:
        params: `policy`, a shipped policy's name, or `table`, a whole one. Never a path: no client names our files.

    Raises:
        InputError: neither, or not a valid table.
        CheckFailed: it has gaps or contradictions.
    """
    if "policy" in params:
        checked_params(params, ("policy",))
        if params["policy"] not in shipped_policies():
            raise InputError("is not a shipped policy", where="policy", hint="or send its table")
        policy = load_policy(params["policy"])
    else:
        checked_params(params, ("table",))
        if not isinstance(params["table"], Mapping):
            raise InputError("expected a policy table", where="table")
        policy = parse_policy(canonical(params["table"]), "table")
    if lint(policy).problems:
        raise CheckFailed(f"{policy.name} has gaps or contradictions", hint="gate policy lint")
    return {"policy": policy}


def keep_policy(tx: Transaction, given: Mapping[str, Policy]) -> dict[str, Any]:
    """Keep the proposed table beside the ledger, and return what names it."""
    policy = given["policy"]
    kept = tx.attach(canonical(policy.table), "application/json")
    return {"name": policy.name, "version": policy.version, "digest": kept}


def activate(tx: Transaction, params: Mapping[str, Any], acted: Acted) -> Entry:
    """Activate the table that was kept; the active one stays as it is.

    Raises:
        LedgerUnavailable: the table is gone.
    """
    table = tx.attachment(params["digest"])
    if table is None:
        raise LedgerUnavailable("the proposed policy's table is gone", hint="propose it again", reason="cannot_decide")
    policy = parse_policy(table, params["name"])
    return append_policy_activation(tx, policy, recorded_at=acted.at, by=acted.by, via=acted.via, acted=acted.to_dict())
