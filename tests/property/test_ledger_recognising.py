"""An entry that is recognised by its form says what it says when it is read; whatever was altered is not recognised."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.domain.canonical import canonical
from gate.ledger.format import refs_in, statement_of
from gate.ledger.recognising import Recogniser

GOLDEN = Path(__file__).parents[1] / "golden"
HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
TIMES = st.datetimes().map(lambda at: at.isoformat() + "Z") | st.just("2024-02-30T00:00:00Z") | st.just("x")
NASTY = ['"', "\\", "A", " ", "\x00", "é", "}"]


def entry(*refs: str, recorded_at: str = "2024-06-01T12:00:00Z", by: str = "service:x", key: str = "z") -> bytes:
    account, person, digest = refs
    body = {
        "account_ref": account,
        "effective_at": "2024-01-10T00:00:00Z",
        "principal": {"person_ref": person, "role": "owner"},
        key: "40 % 5",
    }
    said = {"body": body, "by": by, "kind": "consent", "recorded_at": recorded_at, "subject": f"sha256:{digest}"}
    return canonical({**said, "v": 1, "via": "import"})


def read(payload: bytes) -> tuple[tuple[object, ...], tuple[str, ...]] | None:
    said = statement_of(payload)
    if said is None:
        return None
    body, by = said["body"], said["by"]
    refs = [*refs_in(body), *([by.removeprefix("person:")] if by.startswith("person:") else [])]
    return (said["kind"], said["subject"], body.get("account_ref"), body.get("effective_at")), tuple(refs)


@given(refs=st.tuples(HEX, HEX, HEX), at=TIMES, by=HEX.map("person:{}".format) | st.just("service:x"))
def test_what_is_recognised_reads_the_same(refs: tuple[str, str, str], at: str, by: str) -> None:
    forms = Recogniser()
    for example in ("service:x", "person:" + "1" * 64):
        forms.learn(entry("0" * 64, "1" * 64, "2" * 64, by=example))
    payload = entry(*refs, recorded_at=at, by=by)
    found = forms.recognise(payload)
    assert found == read(payload) if len(at) == 20 else found in (None, read(payload))


@given(data=st.data())
def test_an_altered_entry_is_read_or_is_what_it_says(data: st.DataObject) -> None:
    forms, payload = Recogniser(), entry("a" * 64, "b" * 64, "c" * 64, by="person:" + "d" * 64)
    forms.learn(payload)
    assert forms.recognise(payload) == read(payload)
    place = data.draw(st.integers(0, len(payload) - 1))
    altered = bytearray(payload)
    altered[place] = data.draw(st.integers(0, 255))
    found = forms.recognise(bytes(altered))
    assert found in (None, read(bytes(altered)))


@pytest.mark.parametrize("nasty", NASTY)
def test_a_digest_that_would_end_the_text(nasty: str) -> None:
    forms = Recogniser()
    forms.learn(entry("0" * 64, "1" * 64, "2" * 64))
    size = len(json.dumps(nasty, ensure_ascii=False).encode()) - 2
    payload = entry("0" * (64 - size) + nasty, "1" * 64, "2" * 64)
    assert forms.recognise(payload) is None


@pytest.mark.parametrize("control", ["\x1f", "\b", "\f"])
def test_an_escape_before_a_digest_is_no_part_of_it(control: str) -> None:
    forms, escaped = Recogniser(), entry("0" * 64, control + "a" * 63, "2" * 64)
    forms.learn(escaped)
    assert forms.recognise(escaped) is None


def test_a_field_that_is_named_by_a_digest_is_not_learnt() -> None:
    forms, named = Recogniser(), entry("0" * 64, "1" * 64, "2" * 64, key="f" * 64)
    forms.learn(named)
    assert forms.recognise(named) is None


def test_a_form_with_text_beyond_ascii() -> None:
    forms = Recogniser()
    first, second = (entry("0" * 64, number * 64, "2" * 64, by="service:ä€😀") for number in "12")
    forms.learn(first)
    assert forms.recognise(second) == read(second)


def test_the_golden_ledgers_read_the_same() -> None:
    forms, recognised = Recogniser(), 0
    for payload in golden_payloads():
        found = forms.recognise(payload)
        if found is None:
            forms.learn(payload)
            found = forms.recognise(payload)
        recognised += found is not None
        assert found in (None, read(payload))
    assert recognised > 10


def golden_payloads() -> Iterator[bytes]:
    for file in sorted(GOLDEN.glob("ledger_*.json")):
        for kept in json.loads(file.read_text("utf-8"))["entries"]:
            yield kept["payload"].encode()
