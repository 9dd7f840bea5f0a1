"""`schemas/consent-event.schema.json` and `parse_consent_event` accept and refuse the same events."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from gate.domain.consent import parse_consent_event
from gate.domain.words import Action, Category, Instrument, Ownership, Purpose, Role, Toggle
from gate.errors import ConsentEventError
from gate.resources import shipped

SCHEMA = json.loads((shipped("schemas") / "consent-event.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)

good_text = st.sampled_from(["acme", "x", " padded ", "Ünïcödé", "a" * 10_000])
bad_text = st.sampled_from(["", "   ", "\t\n", "a\0b", "a" * 10_001, 7, True, ["x"], {}])
good_instant = st.sampled_from(
    ["2023-08-15T00:00:00Z", "2023-08-15T02:00:00.25+02:00", "2000-01-02T00:00:00Z", "2098-12-30T23:59:59-05:00"]
)
bad_instant = st.sampled_from(
    [
        *("2023-08-15", "2023-08-15T00:00:00", "yesterday", "", "2023-02-30T00:00:00Z", "1999-01-01T00:00:00Z"),
        *("2100-06-01T00:00:00Z", "2023-13-01T00:00:00Z", "2023-08-15T25:00:00Z", 1692057600, None, True),
    ]
)
hash_good = st.sampled_from(["a" * 64, "sha256:" + "0F" * 32])
hash_bad = st.sampled_from(["a" * 63, "a" * 65, "md5:" + "a" * 64, "z" * 64, "a" * 64 + "\n", 5])


def many(kind: Any) -> st.SearchStrategy[Any]:
    return st.lists(st.sampled_from([str(word) for word in kind]), max_size=3)


def field(good: st.SearchStrategy[Any], bad: st.SearchStrategy[Any], optional: bool = True) -> st.SearchStrategy[Any]:
    """Draw a good value nearly always; one in thirty is bad; an optional one may be null."""
    weights = [good] * 27 + [st.none()] * (2 if optional else 0) + [bad]
    return st.integers(0, len(weights) - 1).flatmap(lambda i: weights[i])


words_bad = st.sampled_from(["audio", ["vidio"], [None], [[]], {}, 3, True])
principal = st.fixed_dictionaries(
    {"id": field(good_text, bad_text, False), "role": field(st.sampled_from([*map(str, Role)]), bad_text, False)},
    optional={"evidence": field(good_text, bad_text)},
)
notice = st.fixed_dictionaries(
    {},
    optional={
        "terms_version": field(good_text, bad_text),
        "text_sha256": field(hash_good, hash_bad),
        "language": field(good_text, bad_text),
    },
)
other = st.sampled_from(["text", 1, True, [], ["x"], {"colour": "red"}, False, 0, ""])
events = st.fixed_dictionaries(
    {
        "account_id": field(good_text, bad_text, False),
        "action": field(st.sampled_from([*map(str, Action)]), st.sampled_from(["give", "", 1, None, []]), False),
        "principal": field(principal, other, False),
        "effective_at": field(good_instant, bad_instant, False),
    },
    optional={
        "toggle": field(st.sampled_from([*map(str, Toggle)]), st.sampled_from(["both", "", 1, []])),
        "categories": field(many(Category), words_bad),
        "features": field(
            st.one_of(st.just("*"), st.lists(good_text, max_size=2)),
            st.sampled_from(["meeting_summary", [""], [1], {}]),
        ),
        "purposes": field(many(Purpose), words_bad),
        "ownership": field(
            st.one_of(st.sampled_from([*map(str, Ownership)]), many(Ownership)),
            st.sampled_from(["ours", ["ours"], 1, {}]),
        ),
        "notice": field(notice, other),
        "instrument": field(st.sampled_from([*map(str, Instrument)]), st.sampled_from(["handshake", 1, []])),
        "channel": field(good_text, bad_text),
        "bundled_with_service": field(st.booleans(), st.sampled_from(["true", 0, 1, []])),
        "withdrawal_channel": field(good_text, bad_text),
        "jurisdiction": field(good_text, bad_text),
        "evidence": field(good_text, bad_text),
        "expires_at": st.just("2099-12-31T00:00:00Z"),
        "colour": st.just("red"),
    },
)


def parses(event: Any) -> bool:
    try:
        parse_consent_event(event)
    except ConsentEventError:
        return False
    return True


@settings(max_examples=300, deadline=None)
@given(events.flatmap(lambda event: st.sampled_from([event, event, {k: v for k, v in event.items() if k != "colour"}])))
def test_schema_and_parser_agree(event: dict[str, Any]) -> None:
    assert VALIDATOR.is_valid(event) == parses(event)


@settings(max_examples=100, deadline=None)
@given(events.filter(parses))
def test_what_we_write_follows_the_schema(event: dict[str, Any]) -> None:
    VALIDATOR.validate(parse_consent_event(event).to_dict())


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    Draft202012Validator.check_schema(json.loads((shipped("schemas") / "policy.schema.json").read_text()))


def test_a_grant_must_name_its_toggle_and_a_withdrawal_need_not() -> None:
    event = {
        "account_id": "acme",
        "action": "withdraw",
        "principal": {"id": "ada", "role": "admin"},
        "effective_at": "2023-08-15T00:00:00Z",
    }
    assert VALIDATOR.is_valid(event)
    assert parses(event)
    for bad in ({**event, "action": "grant"}, {**event, "action": "grant", "toggle": None}):
        assert not VALIDATOR.is_valid(bad)
        assert not parses(bad)
