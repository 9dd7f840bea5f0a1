"""`ExpectAccountsToHaveConsent`: every row of a batch may be used as wanted, by the consents on record."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from great_expectations.compatibility.pydantic import Field, validator

from gate.domain.decision import wanted_use
from gate.domain.words import Verdict
from gate.errors import InputError
from gate.gx.base import GateExpectation, Sentence, listed, opened
from gate.gx.counting import ROWS_BY_ACCOUNT
from gate.service.tagging import parse_categories

if TYPE_CHECKING:
    import pyarrow as pa

    from gate.domain.decision import Decision
    from gate.scan.census import Look
    from gate.service.facts import Gathered


class ExpectAccountsToHaveConsent(GateExpectation):
    """Expect that the policy lets every row of the batch be used as wanted, by the consents on record.

    It counts the batch's rows by account in the batch's own engine (pandas, Spark, SQL), joins the counts with the
    consents and evaluates the policy: the answer of `gate check` about the same rows. Nothing is recorded, and no
    permit comes of it. A row without an account fails. There is neither `mostly` nor `row_condition`: a promise to
    every customer is not kept by keeping it to most.

    Args:
        column: the column with each row's account: text, integers, or a list of all participants' accounts.
        categories: what the data holds: `chat`, `audio`, `video`, `telemetry`, …. It is taken as said.
        purpose: `train`, `tune`, `test`, `infer`, ….
        feature: the feature it is for, as in the consents.
        model: the model; who owns it is looked up in the registry.
        policy: the name of a policy, or its file; without it the active one.

    Raises:
        InputError: an unknown category or purpose.
    """

    column: str = Field(description="The column with each row's account, or list of accounts.")
    categories: list[str] = Field(description="The categories of the data.")
    purpose: str = Field(description="What the data is for.")
    feature: str | None = Field(default=None, description="The feature it is for.")
    model: str | None = Field(default=None, description="The model it is for.")
    policy: str | None = Field(default=None, description="A policy's name or file instead of the active one.")

    metric_dependencies: ClassVar[tuple[str, ...]] = (ROWS_BY_ACCOUNT,)
    success_keys: ClassVar[tuple[str, ...]] = ("column", "categories", "purpose", "feature", "model", "policy")
    args_keys: ClassVar[tuple[str, ...]] = success_keys

    @validator("categories")
    def _known_categories(cls, categories: list[str]) -> list[str]:
        if not categories:
            raise InputError("names no category", where="categories", hint='like ["chat"]')
        parse_categories(categories)
        return categories

    @validator("purpose")
    def _known_purpose(cls, purpose: str) -> str:
        return wanted_use(purpose).purpose.value

    def _validate(self, metrics: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        """Return what GX makes a result of; what is raised here is a failed result, too."""
        return self._judged(metrics[ROWS_BY_ACCOUNT])

    def _judged(self, counts: pa.Table) -> dict[str, Any]:
        from gate.policy.table import load_policy
        from gate.scan.batch import look_at_counts
        from gate.service.deciding import evaluate_looks
        from gate.service.facts import scratch

        with opened() as service, scratch() as folder:
            look = look_at_counts(counts, self.column, Path(folder))
            gathered, decision = evaluate_looks(
                service,
                [look],
                wanted_use(self.purpose, self.feature, self.model),
                Path(folder),
                policy=load_policy(self.policy) if self.policy else None,
                claimed=[parse_categories(self.categories)],
            )
        return _result(look, gathered, decision)

    @classmethod
    def _sentence(cls, kwargs: Mapping[str, Any]) -> Sentence:
        template = "every account in $column must have consent to $purpose with $categories"
        params = {
            "column": str(kwargs.get("column")),
            "purpose": str(kwargs.get("purpose")),
            "categories": listed(kwargs.get("categories") or ()),
        }
        for name, words in (
            ("feature", " for $feature"),
            ("model", " (model $model)"),
            ("policy", ", by policy $policy"),
        ):
            if kwargs.get(name):
                template, params = template + words, params | {name: str(kwargs[name])}
        return template, params


def _result(look: Look, gathered: Gathered, decision: Decision) -> dict[str, Any]:
    """Return success and result as GX reads them: counts and codes, no account."""
    from gate.service.message import explain_block

    [facts] = gathered.facts.datasets
    rows, blocked = facts.total_rows, decision.rows_blocked
    accounts = sum(count for group in facts.groups for count in group.accounts.values())
    answer = decision.to_dict()
    return {
        "success": decision.verdict is Verdict.ALLOW,
        "result": {
            "observed_value": (rows - blocked) / rows,
            "element_count": rows,
            "unexpected_count": blocked,
            "unexpected_percent": 100 * blocked / rows,
            "details": {
                "verdict": answer["verdict"],
                "reasons": answer["reasons"],
                "rows": {
                    "passing": rows - blocked,
                    "blocked": blocked,
                    "unattributed": sum(facts.unattributed.values()),
                },
                "accounts": {
                    "passing": accounts - decision.accounts_blocked,
                    "blocked": decision.accounts_blocked,
                },
                "findings": answer["findings"],
                "use": answer["use"],
                "policy": answer["policy"],
                "terms_version": answer["terms_version"],
                "decided_at": answer["decided_at"],
                "ledger": {"size": gathered.size, "root": gathered.root.hex()},
                "version": look.version.digest,
                "explanation": explain_block(decision).splitlines() if decision.verdict is Verdict.BLOCK else [],
            },
        },
    }
