"""Tells what the values of a column look like, whatever it is called: times, numbers, names of speakers, messages."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from gate.scan.detect.model import Column

SAMPLE = 100  # values looked at, spread over those sampled
_LONG = 1500  # characters of one value looked at

_NUMBER = re.compile(r"[-+]?(?:\d+(?:[.,]\d+)?|[.,]\d+)(?:[eE][-+]?\d+)?%?")
_DATE = re.compile(
    r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d\d)|(?:19|20)\d\d[01]\d[0-3]\d"
    r"|\d{1,2}[- ]?[A-Za-z]{3}[- ]?\d{2,4})"
)
_MOMENT = re.compile(
    r"\[?(?:\w{3},? )?(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}[T _]\d{1,2}[:.]\d\d"
    r"|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4},? +\d{1,2}:\d\d"
    r"|\d{1,2} \w{3} \d{4},? \d{1,2}:\d\d|\w{3} +\d{1,2},? (?:\d{4},? )?\d{1,2}:\d\d"
    r"|(?:19|20)\d\d[01]\d[0-3]\d[T ]?[0-2]\d[0-5]\d"
    r"|\d{4}年\d{1,2}月\d{1,2}日|(?:\d+ days? )?\d{1,2}:[0-5]\d:[0-5]\d)"
)
_EPOCHS = ((1e9, 2.1e9), (1e12, 2.1e12), (1e15, 2.1e15), (1e18, 2.1e18))  # s, ms, µs, ns since 1970
_TOKEN = re.compile(r"[A-Za-z0-9][\w.:@#/|\\-]{0,63}")
_UUID = re.compile(r"\{?[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\}?|[0-9a-fA-F]{16,64}")
_LETTERS = re.compile(r"[^\W\d_]")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_SPEECH = re.compile(
    r"[?？]|\b(?:i|i'm|im|i'll|i've|i'd|you|your|you're|we|we're|me|my|u|hi|hello|hey|thanks?|thx|please"
    r"|ok|okay|yes|yeah|yep|no|sorry"
    r"|lol|let's|can't|don't|ich|du|wir|mir|mich|dir|ihr|sie|danke|bitte|hallo|ja|nein|je|j'ai|tu|nous|vous|moi|merci|bonjour|salut|oui"
    r"|non"
    r"|yo|tú|usted|nosotros|gracias|hola|por favor|sí|vale"
    r"|eu|você|vocês|obrigad[oa]|olá|oi|sim|não|io|ciao|grazie|prego|ik|jij|hoi"
    r"|dank|я|ты|вы|мы|привет|спасибо|да|нет|jag|hej|tack|ben|sen|merhaba|evet|ja|nie|dziękuję|cześć|saya|kamu)\b"
    r"|です|ます|ました|ください|ありがと|こんにち|おはよう|私|僕|俺|あなた|ね[。！!]?$|よ[。！!]?$|我|你|您|吗|呢|谢谢|請|请|好的|吧|안녕|감사|저는|제가|나는|요[.!?]?$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Profile:
    """A column and what its values look like, found once."""

    column: Column
    known: dict[str, bool] = field(default_factory=dict, compare=False)

    @cached_property
    def texts(self) -> list[str]:
        """At most `SAMPLE` values as text, spread over the column; blanks and bytes left out."""
        values = [value[:_LONG].strip() for value in self.column.values if isinstance(value, str)]
        values = [value for value in values if value and value.lower() not in _MISSING]
        step = max(1, len(values) // SAMPLE)
        return values[::step][:SAMPLE]

    @cached_property
    def distinct(self) -> int:
        """How many different values are in the sample."""
        return len(set(self.texts))

    @cached_property
    def numbers(self) -> list[float]:
        """The values that are numbers."""
        return [_number(text) for text in self.texts if _NUMBER.fullmatch(text)]

    @cached_property
    def words(self) -> float:
        """Mean number of words of a value; four characters of Chinese, Japanese or Korean count as two words."""
        if not self.texts:
            return 0.0
        return sum(len(_WORD.findall(text)) + len(_CJK.findall(text)) // 2 for text in self.texts) / len(self.texts)

    @cached_property
    def fresh(self) -> float:
        """Different values as a share of all."""
        return self.distinct / len(self.texts) if self.texts else 0.0

    def share(self, found: Callable[[str], object]) -> float:
        """Return the share of sampled values for which `found` is true."""
        return sum(1 for text in self.texts if found(text)) / len(self.texts) if self.texts else 0.0

    def fits(self, shape: str) -> bool:
        """Whether the values have the built-in shape."""
        if shape not in self.known:
            self.known[shape] = bool(self.texts) and SHAPES[shape](self)
        return self.known[shape]


_MISSING = frozenset(("na", "n/a", "nan", "null", "none", "\\n", "?", "-", "nat"))


def _number(text: str) -> float:
    text = text.rstrip("%").replace(",", ".")
    try:
        return float(text)
    except (ValueError, OverflowError):
        return 0.0


def _is_number(profile: Profile) -> bool:
    return len(profile.numbers) >= 0.8 * len(profile.texts)


def _is_whole(profile: Profile) -> bool:
    return _is_number(profile) and all(number.is_integer() for number in profile.numbers if abs(number) < 1e300)


def _is_decimal(profile: Profile) -> bool:
    return _is_number(profile) and not _is_whole(profile)


def _is_epoch(profile: Profile) -> bool:
    numbers = profile.numbers
    return _is_number(profile) and any(all(low <= number <= high for number in numbers) for low, high in _EPOCHS)


def _is_moment(profile: Profile) -> bool:
    return profile.share(_MOMENT.match) >= 0.7 or _is_epoch(profile)


def _is_date(profile: Profile) -> bool:
    return profile.share(_DATE.fullmatch) >= 0.7 or profile.share(_MOMENT.match) >= 0.7


def _is_identifier(profile: Profile) -> bool:
    if _is_decimal(profile) and not _ends_in_zero(profile):
        return False
    return profile.share(_TOKEN.fullmatch) >= 0.8 and profile.words < 3


def _ends_in_zero(profile: Profile) -> bool:
    """Whole numbers that passed through a float on the way: 12.0."""
    return profile.share(lambda text: text.endswith(".0")) >= 0.8


def _is_uuid(profile: Profile) -> bool:
    return profile.share(_UUID.fullmatch) >= 0.8


def _repeats(profile: Profile) -> bool:
    return len(profile.texts) >= 3 and profile.distinct <= 0.7 * len(profile.texts)


def _is_label(profile: Profile) -> bool:
    """Few different short words or names that come again and again: who speaks, what state, which kind."""
    texts = profile.texts
    if profile.share(_LETTERS.search) < 0.8 or any(len(text) > 60 for text in texts):
        return False
    return profile.words <= 4 and (profile.distinct <= max(2, 0.5 * len(texts)) or len(texts) < 4)


def _is_name(profile: Profile) -> bool:
    return (
        profile.share(_LETTERS.search) >= 0.8
        and profile.words <= 5
        and sum(map(len, profile.texts)) <= 50 * len(profile.texts)
    )


def _is_text(profile: Profile) -> bool:
    """Running text: at least a few words in a value, most values different or long."""
    return profile.words >= 2.5 and profile.share(_LETTERS.search) >= 0.8 and _mostly_letters(profile)


def _mostly_letters(profile: Profile) -> bool:
    joined = " ".join(profile.texts)
    return sum(char.isalpha() or char.isspace() or char > "\u02ff" for char in joined) >= 0.7 * max(1, len(joined))


def _is_speech(profile: Profile) -> bool:
    """Text as people talk: I, you, questions, thanks, in a good part of the values."""
    return (
        len(profile.texts) >= 2
        and profile.words >= 1.8
        and profile.distinct >= min(3, len(profile.texts))
        and profile.fresh > 0.1
        and _mostly_letters(profile)
        and profile.share(_SPEECH.search) >= 0.45
        and _many_words(profile)
    )


def _many_words(profile: Profile) -> bool:
    return profile.share(lambda text: len(_WORD.findall(text)) >= 3 or len(_CJK.findall(text)) >= 4) >= 0.4


def _is_short_speech(profile: Profile) -> bool:
    return _is_speech(profile) and profile.words <= 40


def _is_flag(profile: Profile) -> bool:
    return {text.lower() for text in profile.texts} <= {
        "0",
        "1",
        "true",
        "false",
        "yes",
        "no",
        "y",
        "n",
        "t",
        "f",
        "0.0",
        "1.0",
    }


def _is_score(profile: Profile) -> bool:
    """What a mark can be: letters of a grade, or numbers up to 1000 that are not all alike."""
    grades = profile.share(_GRADE.fullmatch) >= 0.9
    return grades or (_is_number(profile) and all(-5 <= number <= 1000 for number in profile.numbers))


_GRADE = re.compile(r"[A-HSU][+-]?|pass|fail|p|f|withdrawn|distinction|incomplete|[秀優良可]|不可", re.IGNORECASE)


def _is_latitude(profile: Profile) -> bool:
    return _is_decimal(profile) and all(-180 <= number <= 180 for number in profile.numbers)


SHAPES: dict[str, Callable[[Profile], bool]] = {
    "any": lambda _: True,
    "number": _is_number,
    "whole": _is_whole,
    "decimal": _is_decimal,
    "moment": _is_moment,
    "date": _is_date,
    "identifier": _is_identifier,
    "uuid": _is_uuid,
    "repeats": _repeats,
    "unique": lambda profile: len(profile.texts) >= 3 and profile.fresh >= 0.98,
    "varies": lambda profile: profile.distinct >= 2,
    "label": _is_label,
    "name": _is_name,
    "text": _is_text,
    "speech": _is_speech,
    "short_speech": _is_short_speech,
    "flag": _is_flag,
    "score": _is_score,
    "coordinate": _is_latitude,
    "long_text": lambda profile: profile.words >= 40,
}
