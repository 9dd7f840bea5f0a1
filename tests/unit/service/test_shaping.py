"""What is read with the help of rows seen before is what is read without, and wrong for the same reasons."""

from __future__ import annotations

from typing import Any

import pytest

from gate.errors import InputError
from gate.service.shaping import Consents

GOOD: dict[str, Any] = {
    "account_id": "acme",
    "action": "grant",
    "toggle": "share_for_training",
    "categories": ["chat"],
    "principal": {"id": "ada", "role": "admin", "evidence": "seen"},
    "evidence": "form",
    "withdrawal_channel": "console",
    "effective_at": "2024-01-10T00:00:00Z",
    "expires_at": "2025-01-10T00:00:00Z",
}
LONG = "x" * 10_001
TEXTS: list[Any] = [
    "",
    " ",
    "\x00",
    "a\x00",
    LONG,
    "x" * 10_000,
    "ü",
    "\ud800",
    "a\udfff",
    5,
    True,
    [],
    None,
    "ok",
    "\u2003",
    "\x1f",
]
TIMES: list[Any] = [
    "2024-02-30T00:00:00Z",
    "2024-01-10T24:00:00Z",
    "2024-01-10T00:00:60Z",
    "2024-01-10T00:00:00",
    "2024-01-10",
    "2024-01-10T02:00:00+02:00",
    "2024-01-10T00:00:00.5Z",
    "2024-01-10T00:00:00.000000Z",
    "20240110T000000Z",
    "1999-12-31T23:59:59Z",
    "2099-12-31T23:59:59Z",
    "2100-01-01T00:00:00Z",
    "٢٠٢٤-01-10T00:00:00Z",
    "2025-01-10T00:00:00Z",
    "2024-01-10T00:00:00Z",
    "",
    5,
    None,
]


def changed(name: str, value: Any) -> dict[str, Any]:
    if name.startswith("principal."):
        return {**GOOD, "principal": {**GOOD["principal"], name.removeprefix("principal."): value}}
    return {**GOOD, name: value}


def answer(read: Consents, raw: Any) -> Any:
    try:
        return read(raw)
    except InputError as error:
        return type(error), error.where, error.message, error.hint


CHANGES = [
    *((name, text) for name in ("account_id", "evidence", "withdrawal_channel", "principal.id") for text in TEXTS),
    *(("principal.evidence", text) for text in TEXTS),
    *((name, time) for name in ("effective_at", "expires_at") for time in TIMES),
    ("principal", None),
    ("principal", "ada"),
    ("principal", {}),
    ("color", "red"),
    ("categories", ("chat",)),
    ("categories", {"chat"}),
    ("bundled_with_service", 0),
    ("bundled_with_service", True),
    ("notice", {"terms_version": "50 %", "text_sha256": "AB" * 32}),
]


@pytest.mark.parametrize(("name", "value"), CHANGES)
def test_reading_by_shape_is_reading(name: str, value: Any) -> None:
    """`taught` has seen rows of every shape in question; the other sees each row first."""
    taught = Consents()
    for other in ("evidence", "withdrawal_channel", "expires_at", "principal.evidence"):
        answer(taught, changed(other, None))
    answer(taught, GOOD)
    answer(taught, changed(name, value))
    assert answer(taught, changed(name, value)) == answer(Consents(), changed(name, value))


def test_rows_that_only_differ_in_texts_share_a_shape() -> None:
    read = Consents()
    first, second = (read(changed("account_id", name))[0] for name in ("a", "ü"))
    assert first is second


def test_a_file_of_which_every_row_is_different_is_read_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gate.service.shaping.KEPT", 3)
    read = Consents()
    for number in range(20):
        shape, texts = read(changed("channel", f"channel {number}"))
        assert f"channel {number}" in shape[1]
        assert texts[0] == "acme"
