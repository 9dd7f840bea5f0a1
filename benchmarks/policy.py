"""What one decision costs: `evaluate` for three categories, one account, one grant, beside a plain dict lookup."""

from __future__ import annotations

import timeit
from datetime import UTC, datetime

from gate.domain.consent import Profile, RecordedEvent, parse_consent_event
from gate.domain.decision import AccountFacts, AccountGroup, DatasetFacts, Facts, RowGroup, Use
from gate.domain.words import Authority, Ownership, Purpose, Verdict
from gate.policy.evaluate import evaluate
from gate.policy.table import load_policy

NUMBER = 20_000
CONTENT = ("audio", "chat", "video")


def main() -> list[dict[str, object]]:
    """Measure; the decision must be an allow, so that nothing is skipped."""
    policy, now = load_policy("zoom-2023-08"), datetime(2024, 1, 1, tzinfo=UTC)
    grant = parse_consent_event(
        {
            "account_id": "acme",
            "action": "grant",
            "toggle": "share_for_training",
            "categories": list(CONTENT),
            "features": ["meeting_summary"],
            "purposes": ["train"],
            "principal": {"id": "alice", "role": "admin"},
            "notice": {"terms_version": "2023-08-07", "text_sha256": "ab" * 32},
            "withdrawal_channel": "console",
            "evidence": "form",
            "effective_at": "2023-09-01T00:00:00Z",
        }
    )
    known = AccountFacts(Profile("US", "none", "2023-08-07"), (RecordedEvent(grant, 1, now, Authority.ADMIN),))
    dataset = DatasetFacts(
        "meetings",
        frozenset(CONTENT),
        groups=(AccountGroup(known, {None: 1}),),
        rows=(RowGroup((0,), 1),),
        total_rows=1,
    )
    facts, use = Facts((dataset,)), Use(Purpose.TRAIN, "meeting_summary", "ms-1", Ownership.FIRST_PARTY)
    assert evaluate(policy, facts, use, now).verdict is Verdict.ALLOW
    spent = min(timeit.repeat(lambda: evaluate(policy, facts, use, now), number=NUMBER, repeat=5)) / NUMBER
    table = {("audio", "train"): "consent"}
    bare = min(timeit.repeat(lambda: table["audio", "train"], number=NUMBER, repeat=5)) / NUMBER
    return [
        {
            "what": "policy.evaluate, three categories",
            "measured": spent * 1e6,
            "bar": 50.0,
            "unit": "µs",
            "note": f"{spent / bare:.0f} × a dict lookup",
        }
    ]
