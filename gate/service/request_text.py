"""A request as text that may leave the house: Markdown, CSV and JSON, about one account and no other."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from gate.domain.instants import format_instant
from gate.domain.words import Ownership, Purpose, Toggle
from gate.service.requests import Ask, Request

COLUMNS = (
    "account", "purpose", "feature", "model owner", "kinds of data", "switch", "models waiting", "why",
    "must bring along", "said no before", "who can answer", "rows waiting", "gates waiting",
)  # fmt: skip
SWITCHES = {
    Toggle.SHARE_FOR_TRAINING: "share content for training",
    Toggle.ENABLE_FEATURE: "enable the feature",
}
ACTS = {
    Purpose.PROVIDE_SERVICE: "provide the service",
    Purpose.INFER: "run AI features",
    Purpose.PROTECT_SERVICE: "protect the service",
    Purpose.IMPROVE_PRODUCT: "improve the product",
    Purpose.TRAIN: "train AI models",
    Purpose.TUNE: "tune AI models",
    Purpose.TEST: "test AI models",
    Purpose.DISCLOSE: "be given to others",
}
OWNERS = {
    Ownership.FIRST_PARTY: "our own models",
    Ownership.THIRD_PARTY: "models of another company",
    Ownership.CUSTOMER_OWNED: "models that a customer owns",
    Ownership.UNKNOWN: "models whose owner is not known",
}
MODELS = 5  # named in a sentence
_HIDDEN = frozenset({"Cc", "Cf", "Zl", "Zp", "Co", "Cn"})  # control, format (such as direction marks), separators
_MARKED = re.compile(r"[\\`*{}\[\]()#|~!]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|:(?=//)|(?<=www)\.", re.IGNORECASE)
_LEADING = re.compile(r"^(\d*)([-+=.)])")  # what begins a list or underlines a heading


def plain(text: str) -> str:
    """Return text in one line, without characters that nobody sees."""
    return "".join(" " if unicodedata.category(one) in _HIDDEN else one for one in text).strip()


def escaped(text: str) -> str:
    """Return text that Markdown, and the HTML made of it, shows as it is."""
    marked = _LEADING.sub(r"\1\\\2", _MARKED.sub(r"\\\g<0>", plain(text)))
    return marked.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def question(ask: Ask, shown: Callable[[str], str] = plain) -> str:
    """Return what is asked, in one sentence."""
    feature = f" for the feature {shown(ask.feature)}" if ask.feature else ""
    return f"May {listing(map(words, ask.categories))} of this account be used to {ACTS[ask.purpose]}{feature}?"


def listing(items: Iterable[str]) -> str:
    """Return items in one phrase: `audio, chat and video`."""
    *most, last = list(items) or [""]
    return f"{', '.join(most)} and {last}" if most else last


def must_name(ask: Ask) -> list[tuple[str, str, str]]:
    """Return what a valid answer names: the field, our code for it, and what that means to people."""
    feature = "" if ask.feature else "all features"
    return [
        ("switch", ask.toggle, SWITCHES[Toggle(ask.toggle)]),
        ("feature", ask.named_feature, feature),
        ("purpose", ask.purpose.value, ACTS[ask.purpose]),
        ("kinds of data", ", ".join(ask.categories), ""),
        ("models", ask.ownership.value, OWNERS[ask.ownership]),
    ]


def must_bring(ask: Ask, terms_version: str | None) -> list[str]:
    """Say, one thing per line, what a valid answer brings along."""
    asked = ask.conditions
    lines = [
        (asked.notice, f"which notice was shown: terms {terms_version or 'in force'}, and the SHA-256 of its text"),
        (asked.evidence, "where the consent form, or a record of it, can be found"),
        (asked.withdrawal_channel, "how the consent can be withdrawn"),
        (asked.unbundled, "that the service does not depend on it"),
        (bool(asked.instruments), f"its legal form: {' or '.join(map(words, asked.instruments))}"),
        (asked.expiry, "an end date"),
    ]
    return [text for wanted, text in lines if wanted]


def words(code: str) -> str:
    """Return one of our codes as people write it."""
    return str(code).replace("_", " ")


def markdown(request: Request) -> str:
    """Return the request as a letter in Markdown."""
    return "\n".join(_letter(request)) + "\n"


def _letter(request: Request) -> Iterator[str]:
    yield f"# Consent request for {escaped(request.name)}"
    yield ""
    yield f"As of {request.made_at:%Y-%m-%d}."
    yield ""
    yield "## What we ask"
    if not request.open:
        yield ""
        yield "Nothing: what was asked for is on record by now."
    for ask in request.open:
        yield ""
        yield from _ask(ask, request.terms_version)
    yield ""
    yield "## Who can answer"
    yield ""
    if not request.speakers:
        yield "Nobody is on record as owner or admin of this account. The account's directory must name one first."
    for person, role in request.speakers:
        yield f"- {escaped(person)} ({role})"
    yield ""
    yield "Answers of anybody else do not count."
    yield ""
    yield "## If the answer is no"
    yield ""
    yield (
        f"The {request.rows:,} rows of this account that are waited for stay out. No reason is needed. "
        "A no is put on record, so that nobody asks again. Either answer can be changed later."
    )


def _ask(ask: Ask, terms_version: str | None) -> Iterator[str]:
    models = [escaped(model) for model in ask.models]
    more = f" and {len(models) - MODELS} more" if len(models) > MODELS else ""
    yield f"### {question(ask, escaped)}"
    yield ""
    yield f"It is about {OWNERS[ask.ownership]}{': ' if models else ''}{', '.join(models[:MODELS])}{more}."
    yield ""
    yield f"Why we ask: {'; '.join(ask.why)}."
    if ask.said_no:
        yield ""
        yield "**The answer was no before. Ask only if the customer brought it up.**"
    if ask.citation:
        section = f" {escaped(ask.citation.section)}" if ask.citation.section else ""
        yield ""
        yield f"The rule behind it ({ask.citation.authority}{section}): “{escaped(ask.citation.quote)}”"
    yield ""
    yield "A yes counts if it names:"
    yield ""
    for field, code, meaning in must_name(ask):
        yield f"- {field}: {escaped(code)}" + (f" ({meaning})" if meaning else "")
    if brought := must_bring(ask, terms_version):
        yield ""
        yield "and if it comes with:"
        yield ""
        yield from (f"- {line}" for line in brought)


def table(request: Request) -> Iterator[list[object]]:
    """Yield one line per ask, under `COLUMNS`."""
    for ask in request.open:
        yield [
            plain(request.name),
            ask.purpose.value,
            plain(ask.named_feature),
            ask.ownership.value,
            ", ".join(ask.categories),
            ask.toggle,
            ", ".join(map(plain, ask.models)),
            "; ".join(ask.why),
            "; ".join(must_bring(ask, request.terms_version)),
            "yes" if ask.said_no else "no",
            "; ".join(f"{plain(person)} ({role})" for person, role in request.speakers),
            ask.rows,
            len(ask.lacks),
        ]


def tables(requests: Iterable[Request]) -> Iterator[list[object]]:
    """Yield the lines of many requests, under `COLUMNS`."""
    for request in requests:
        yield from table(request)


def fields(request: Request) -> Mapping[str, Any]:
    """Return the request as JSON-ready fields."""
    return {
        "account_id": request.name,
        "made_at": format_instant(request.made_at),
        "policy": request.policy,
        "terms_version": request.terms_version,
        "asks": [_fields(ask, request.terms_version) for ask in request.open],
        "may_answer": [{"person": person, "role": role} for person, role in request.speakers],
        "rows_waiting": request.rows,
        "gates_waiting": len(request.lacks),
    }


def _fields(ask: Ask, terms_version: str | None) -> dict[str, Any]:
    return {
        "question": question(ask),
        "toggle": ask.toggle,
        "features": [ask.named_feature],
        "purposes": [ask.purpose.value],
        "categories": list(ask.categories),
        "ownership": [ask.ownership.value],
        "models": ask.models,
        "policy_row": ask.policy_row,
        "reasons": [reason.value for reason in ask.reasons],
        "why": ask.why,
        "said_no_before": ask.said_no,
        "must_bring": must_bring(ask, terms_version),
        "rows_waiting": ask.rows,
        "gates_waiting": len(ask.lacks),
    }
