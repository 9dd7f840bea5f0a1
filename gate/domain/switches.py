"""Settings of the environment that are one of a few words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gate.errors import InputError


def word_of(environ: Mapping[str, str], name: str, words: Sequence[str]) -> str:
    """Return the word that a setting is; the first one where it is not set.

    Raises:
        InputError: it is none of them.
    """
    said = environ.get(name, words[0])
    if said not in words:
        raise InputError(f"must be {' or '.join(words)}", where=name)
    return said
