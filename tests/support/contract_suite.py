"""What holds of data contracts in every engine: a suite that each engine's module runs, and the rows it is about."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from gate.domain.contract import ContractOutcome, Outcome
from gate.scan.contracts.checking import check_contract

NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)
SENT = datetime(2026, 11, 29, 9)  # noqa: DTZ001 engines hold naive moments, in UTC
SECRET = "zeta-secret"
GOOD = {"account_id": "acme", "text": "hello", "sender": "host", "sent_at": SENT, "reply_minutes": 3}
KINDS = {"account_id": "text", "text": "text", "sender": "text", "sent_at": "timestamp", "reply_minutes": "integer"}
RULES = {
    "account": "account_id",
    "message-is-text": "text",
    "message-is-there": "text",
    "sender": "sender",
    "sent": "sent_at",
    "reply-time": "reply_minutes",
}


def outcomes(found: ContractOutcome) -> dict[str, Outcome]:
    """Return each rule's outcome; the contract of chats has one column per rule here."""
    return {rule.rule: rule.outcome for rule in found.rules}


def not_passed(found: ContractOutcome) -> dict[str, tuple[Outcome, int, int]]:
    """Return what did not pass, with how many values were empty and did not fit."""
    return {
        rule.rule: (rule.outcome, rule.empty, rule.unexpected)
        for rule in found.rules
        if rule.outcome is not Outcome.PASSED
    }


class ContractsInEveryEngine:
    """Subclasses have a fixture `make`: rows (dicts), and perhaps other types of columns, become what is checked."""

    @pytest.fixture
    def chat(self, make: Any) -> Any:
        """Check the contract of chats on good rows with changes: one more row each."""

        def checked(*changes: dict[str, Any], good: int = 4, **kinds: str) -> ContractOutcome:
            rows = [GOOD] * good + [GOOD | change for change in changes]
            found = check_contract(make(rows, KINDS | kinds), ["chat"], "account_id", NOW)
            assert SECRET not in json.dumps(found.to_dict())
            return found

        return checked

    def test_what_holds_passes(self, chat: Any) -> None:
        found = chat()
        assert outcomes(found) == dict.fromkeys(RULES, Outcome.PASSED)
        assert {rule.rule: rule.column for rule in found.rules} == RULES
        assert (found.rows, found.outcome, found.categories) == (4, Outcome.PASSED, ("chat",))
        assert found.gx
        assert found.suite.startswith("sha256:")

    @pytest.mark.parametrize("account", ["", "  ", f" {SECRET}", f"{SECRET} ", SECRET * 30])
    def test_what_names_no_account_fails(self, chat: Any, account: str) -> None:
        assert not_passed(chat({"account_id": account})) == {"account": (Outcome.FAILED, 0, 1)}

    def test_no_account_fails(self, chat: Any) -> None:
        assert not_passed(chat({"account_id": None}, {"account_id": None})) == {"account": (Outcome.FAILED, 2, 0)}

    @pytest.mark.parametrize("moment", [NOW.replace(tzinfo=None) + timedelta(days=3), datetime(1970, 1, 1)])  # noqa: DTZ001
    def test_times_that_cannot_be_fail(self, chat: Any, moment: datetime) -> None:
        assert not_passed(chat({"sent_at": moment})) == {"sent": (Outcome.FAILED, 0, 1)}

    def test_the_instant_of_the_check_is_the_end(self, chat: Any) -> None:
        end = NOW.replace(tzinfo=None)
        assert not not_passed(chat({"sent_at": end}))
        assert not_passed(chat({"sent_at": end + timedelta(seconds=1)})) == {"sent": (Outcome.FAILED, 0, 1)}

    def test_the_instant_counts_whatever_its_zone(self, make: Any) -> None:
        rows = [GOOD | {"sent_at": NOW.replace(tzinfo=None) - timedelta(minutes=1)}]
        berlin = NOW.astimezone(timezone(timedelta(hours=2)))
        assert not not_passed(check_contract(make(rows, KINDS), ["chat"], "account_id", berlin))
        earlier = (NOW - timedelta(minutes=2)).astimezone(timezone(timedelta(hours=2)))
        assert set(not_passed(check_contract(make(rows, KINDS), ["chat"], "account_id", earlier))) == {"sent"}

    def test_numbers_out_of_range_fail(self, chat: Any) -> None:
        assert not_passed(chat({"reply_minutes": -1})) == {"reply-time": (Outcome.FAILED, 0, 1)}

    def test_a_share_may_be_missing(self, chat: Any) -> None:
        assert not not_passed(chat({"sender": None}, good=9))
        assert not_passed(chat({"sender": None}, {"sender": None}, good=9)) == {"sender": (Outcome.FAILED, 2, 0)}

    def test_nulls_are_nothing_that_does_not_fit(self, chat: Any) -> None:
        assert not not_passed(chat({"sent_at": None, "reply_minutes": None}))

    def test_no_rows_are_nothing_to_check(self, make: Any) -> None:
        found = check_contract(make([], KINDS), ["chat"], "account_id", NOW)
        assert (found.outcome, found.rules, found.rows, found.note) == (None, (), 0, "there are no rows")

    def test_nothing_but_nulls_fails_only_where_something_must_be(self, chat: Any) -> None:
        nothing = dict.fromkeys(GOOD)
        assert set(not_passed(chat(nothing, nothing, good=0))) == {"account", "message-is-there", "sender"}

    def test_a_column_of_another_type_fails(self, chat: Any) -> None:
        rows = [GOOD | {"text": 7, "reply_minutes": SECRET}]
        found = chat(*rows, good=0, text="integer", reply_minutes="text")
        assert {rule: told[0] for rule, told in not_passed(found).items()} == {
            "message-is-text": Outcome.FAILED,
            "reply-time": Outcome.FAILED,
        }

    def test_times_written_as_text_count(self, chat: Any) -> None:
        def said(*moments: str | None) -> set[str]:
            return set(not_passed(chat(*({"sent_at": moment} for moment in moments), good=0, sent_at="text")))

        assert said("2026-11-29T09:00:00Z", "2026-11-29T09:00:00+02:00", None) == set()
        assert said("2026-11-29T09:00:00Z", "2027-01-01T00:00:00Z") == {"sent"}
        assert said("2026-11-29T09:00:00Z", "1970-01-01") == {"sent"}
        assert said("2026-11-29T09:00:00Z", SECRET) == {"sent"}
        assert said(None, None) == set()

    def test_times_written_as_numbers_are_not_judged(self, chat: Any) -> None:
        found = chat({"sent_at": 1_700_000_000}, good=0, sent_at="integer")
        assert "sent" not in outcomes(found)
        assert not not_passed(found)

    def test_an_account_column_that_is_not_there_is_errored(self, make: Any) -> None:
        found = check_contract(make([GOOD], KINDS), ["chat"], "tenant", NOW)
        assert {rule: told[0] for rule, told in not_passed(found).items()} == {"account": Outcome.ERRORED}
        [errored] = [rule for rule in found.rules if rule.rule == "account"]
        assert errored.error.endswith(("Error", "Exception"))
        assert found.outcome is Outcome.ERRORED

    def test_columns_that_nobody_names_are_nothing_to_check(self, make: Any) -> None:
        found = check_contract(make([{"x": "y"}], {"x": "text"}), ["telemetry", "none"], None, NOW)
        assert (found.rules, found.outcome, found.rows, found.suite) == ((), None, 1, "")
        assert found.note
