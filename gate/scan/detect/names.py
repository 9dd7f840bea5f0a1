"""Compares names of columns and keys with the words of a category: `PatientID`, `patient_id`, `患者ID`."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_PART = re.compile(r"[^\W\d_]+|\d+")
_PHRASE = 4  # words of the longest phrase


@dataclass(frozen=True, slots=True)
class Words:
    """Phrases that a name can hold.

    `student id` stands for these words next to each other in any spelling; `=id` for the whole name; `patient*` for
    the whole name with anything in the place of the star; `actor.mbox` for the end of a nested field's path. Words in
    scripts without spaces stand for themselves anywhere in the name.
    """

    phrases: frozenset[str]
    whole: frozenset[str]
    globs: re.Pattern[str] | None
    inside: re.Pattern[str] | None
    paths: tuple[str, ...]

    def match(self, name: str) -> bool:
        """Whether `name` holds one of the phrases."""
        known = spelled(name)
        if known.squashed in self.whole or not self.phrases.isdisjoint(known.phrases):
            return True
        if self.inside is not None and self.inside.search(known.folded):
            return True
        if self.globs is not None and self.globs.match(known.squashed):
            return True
        return any(known.path == path or known.path.endswith("." + path) for path in self.paths)


@dataclass(frozen=True, slots=True)
class Spelling:
    """A name in the forms that phrases are compared with."""

    folded: str
    squashed: str
    phrases: frozenset[str]
    path: str


def words_of(phrases: list[str]) -> Words:
    """Compile the phrases of a feature."""
    groups: dict[str, list[str]] = {"phrase": [], "whole": [], "glob": [], "inside": [], "path": []}
    for phrase in phrases:
        groups[_kind(phrase)].append(phrase)
    return Words(
        frozenset(_squash(phrase) for phrase in groups["phrase"]),
        frozenset(_squash(phrase) for phrase in groups["phrase"] + groups["whole"]),
        _any_of([translate(_folded(phrase).replace(" ", "")) for phrase in groups["glob"]]),
        _any_of([re.escape(_folded(phrase)) for phrase in groups["inside"]]),
        tuple(phrase.lower() for phrase in groups["path"]),
    )


@lru_cache(maxsize=20_000)
def spelled(name: str) -> Spelling:
    """Return a name's forms; of a nested field the last part counts."""
    last = name.replace("[]", "").rpartition(".")[2] or name
    parts = _PART.findall(_folded(_CAMEL.sub(" ", last[:200])))
    phrases = {
        "".join(parts[start : start + length]) for length in range(1, _PHRASE + 1) for start in range(len(parts))
    }
    return Spelling(_folded(last[:200]), "".join(parts), frozenset(phrases), name.replace("[]", "").lower()[:400])


def _any_of(patterns: list[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(patterns)) if patterns else None


def _kind(phrase: str) -> str:
    if phrase.startswith("="):
        return "whole"
    if "*" in phrase:
        return "glob"
    if "." in phrase:
        return "path"
    return "inside" if any(char > "\u2fff" for char in phrase) else "phrase"


def _squash(phrase: str) -> str:
    return "".join(_PART.findall(_folded(phrase)))


def _folded(text: str) -> str:
    """Return lower case without accents; other scripts stay."""
    kept = (char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return unicodedata.normalize("NFC", "".join(kept)).replace("ß", "ss").casefold()
