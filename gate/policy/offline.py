"""Says whether a decision's permit may be used where the service cannot be asked: only if all its rows say so."""

from __future__ import annotations

from gate.domain.decision import Decision
from gate.domain.words import Verdict
from gate.policy.rows import Policy


def may_run_offline(policy: Policy, decision: Decision) -> bool:
    """Return whether every finding of an allow-decision comes from rows that say `offline: true`.

    Args:
        policy: the table the decision was made with.
        decision: what `evaluate` returned.

    Returns:
        False in doubt: a block, another policy, a finding without a row.
    """
    if decision.verdict is not Verdict.ALLOW or decision.policy_digest != policy.digest:
        return False
    offline = {row.id for row in policy.rows if row.offline}
    return all(finding.row in offline for finding in decision.findings)
