"""A blocked decision in five lines: verdict, what lacks what, the clause, what would unblock it. No personal data."""

from __future__ import annotations

from gate.domain.decision import Decision, Finding
from gate.domain.remedies import REMEDIES
from gate.domain.words import Verdict

LINES = 5  # a log and Airflow's failure message show this many without scrolling


def explain_block(decision: Decision) -> str:
    """Explain why a decision blocks.

    Returns:
        At most five lines.
    """
    blocking = [finding for finding in decision.findings if finding.verdict is Verdict.BLOCK]
    use = decision.use
    model = f"{use.model or 'no model'} ({use.ownership.value})"
    lines = [
        f"BLOCKED: {use.purpose.value} for {use.feature or 'no feature'} with {model}: {', '.join(decision.reasons)}"
    ]
    worst = sorted(blocking, key=lambda f: (-f.rows, -f.accounts, f.dataset, f.category))
    lines += [_what(finding, decision) for finding in worst[:2]]
    if len(worst) > 2:
        lines[-1] += f" (and {len(worst) - 2} findings more)"
    cited = next((finding for finding in worst if finding.citations), None)
    if cited:
        citation = cited.citations[0]
        section = f" {citation.section}" if citation.section else ""
        lines.append(f'clause: {citation.authority}{section}, {citation.source}: "{citation.quote}"')
    if worst:
        lines.append(f"to unblock: {'; '.join(_remedies(worst))}")
    return "\n".join(lines[:LINES])


def _what(finding: Finding, decision: Decision) -> str:
    total = next((c for c in decision.coverage if (c.dataset, c.category) == (finding.dataset, finding.category)), None)
    accounts = f"{finding.accounts} of {total.accounts}" if total else str(finding.accounts)
    rows = f"{finding.rows} of {total.rows}" if total else str(finding.rows)
    reasons = ", ".join(reason.value for reason in finding.reasons)
    return f"{_short(finding.dataset)} · {finding.category}: {accounts} accounts, {rows} rows: {reasons}"


def _short(name: str) -> str:
    return "/".join(name.rstrip("/").split("/")[-2:])


def _remedies(findings: list[Finding]) -> list[str]:
    seen: dict[str, None] = {}
    for finding in findings:
        for reason in finding.reasons:
            seen.setdefault(REMEDIES[reason])
    return list(seen)[:2]
