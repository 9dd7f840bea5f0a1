"""What holds of `ExpectAccountsToHaveConsent` in every engine: a suite that each engine's module runs."""

from __future__ import annotations

from typing import Any

import pytest

from support.expectations import AGREED, ALSO_AGREED, EVERYBODY, LAPSED, SILENT, WITHDREW, expect_consent, told


class InEveryEngine:
    """Subclasses have a fixture `batches`; the ledger of `new_home` is the one that is asked."""

    def test_accounts_that_agreed_pass(self, batches: Any) -> None:
        result = batches.batch([AGREED] * 3 + [ALSO_AGREED]).validate(expect_consent())
        assert result.success
        assert result.result["observed_value"] == 1.0
        assert result.result["unexpected_count"] == 0
        details = result.result["details"]
        assert (details["verdict"], details["reasons"]) == ("allow", [])
        assert details["rows"] == {"passing": 4, "blocked": 0, "unattributed": 0}
        assert details["accounts"] == {"passing": 2, "blocked": 0}

    @pytest.mark.parametrize(
        ("account", "reason"),
        [(SILENT, "no_consent"), (WITHDREW, "consent_withdrawn"), (LAPSED, "consent_expired")],
    )
    def test_one_account_without_consent_blocks(self, batches: Any, account: str, reason: str) -> None:
        result = batches.batch([AGREED] * 9 + [account]).validate(expect_consent())
        assert not result.success
        assert result.result["observed_value"] == 0.9
        assert result.result["unexpected_count"] == 1
        details = result.result["details"]
        assert (details["verdict"], details["reasons"]) == ("block", [reason])
        assert details["accounts"] == {"passing": 1, "blocked": 1}
        [finding] = [finding for finding in details["findings"] if finding["verdict"] == "block"]
        assert finding["row"] == "content-training"
        assert finding["citations"]

    @pytest.mark.parametrize("blank", [None, "", "  "])
    def test_rows_without_account_block(self, batches: Any, blank: str | None) -> None:
        result = batches.batch([AGREED, blank, blank]).validate(expect_consent())
        assert not result.success
        assert result.result["details"]["reasons"] == ["unattributed_rows"]
        assert result.result["details"]["rows"] == {"passing": 1, "blocked": 2, "unattributed": 2}

    def test_a_batch_where_nobody_is_named_blocks(self, batches: Any) -> None:
        result = batches.batch([None, None]).validate(expect_consent())
        assert not result.success

    def test_case_and_blanks_tell_accounts_apart(self, batches: Any) -> None:
        result = batches.batch([AGREED, AGREED.upper(), f"{AGREED} "]).validate(expect_consent())
        assert not result.success
        assert result.result["details"]["accounts"] == {"passing": 1, "blocked": 2}

    def test_every_participant_counts(self, batches: Any) -> None:
        if not batches.lists:
            pytest.skip("this database has no lists")
        rows = [[AGREED], [AGREED, ALSO_AGREED], [AGREED, SILENT], [SILENT, AGREED], [], [AGREED, None], None]
        result = batches.batch(rows).validate(expect_consent())
        assert not result.success
        details = result.result["details"]
        assert details["rows"] == {"passing": 2, "blocked": 5, "unattributed": 3}
        assert details["reasons"] == ["no_consent", "unattributed_rows"]
        assert batches.batch(rows[:2]).validate(expect_consent()).success

    def test_an_empty_batch_is_no_success(self, batches: Any) -> None:
        result = batches.batch([]).validate(expect_consent())
        assert_errored(result, "no rows")

    def test_an_unknown_column_is_an_error_and_no_success(self, batches: Any) -> None:
        result = batches.batch([AGREED]).validate(expect_consent(column="Account"))
        assert_errored(result, "no column 'Account'")

    def test_accounts_of_mixed_types_are_refused(self, batches: Any) -> None:
        if batches.mixed is None:
            pytest.skip("a column has one type here")
        assert_errored(batches.batch(batches.mixed).validate(expect_consent()), "mixed types")

    def test_what_names_no_account_is_refused(self, batches: Any) -> None:
        assert_errored(
            batches.batch([1.5, 2.5], **typed(batches, "double precision", "double")).validate(expect_consent())
        )

    def test_numbers_are_accounts(self, batches: Any) -> None:
        result = batches.batch([7, 8, 8], **typed(batches, "bigint", "bigint")).validate(expect_consent())
        assert result.result["details"]["accounts"] == {"passing": 0, "blocked": 2}

    def test_no_account_is_named_in_any_answer(self, batches: Any) -> None:
        answers = [
            batches.batch([*EVERYBODY, None]).validate(expect_consent()),
            batches.batch([AGREED]).validate(expect_consent(column="other")),
            batches.batch([AGREED, SILENT]).validate(expect_consent(purpose="disclose")),
        ]
        if batches.mixed is not None:
            answers.append(batches.batch(batches.mixed).validate(expect_consent()))
        for answer in answers:
            assert not answer.success
            for account in EVERYBODY:
                assert account not in told(answer)

    def test_a_denied_use_blocks_whatever_was_agreed(self, batches: Any) -> None:
        result = batches.batch([AGREED]).validate(expect_consent(model="llm-x"))
        assert not result.success
        assert result.result["observed_value"] == 0.0


def typed(batches: Any, postgres: str, spark: str) -> dict[str, str]:
    """Return how to declare the column where one must."""
    word = {"PostgresBatches": postgres, "SparkBatches": spark}.get(type(batches).__name__)
    return {"declared": word} if word else {}


def assert_errored(result: Any, message: str = "") -> None:
    """An expectation that could not be computed says so, and is no success."""
    assert result.success is False
    assert '"raised_exception": true' in told(result)
    assert message in told(result)
