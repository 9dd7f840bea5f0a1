"""Reads what a file's path says: the account of a path pattern, and the values of hive partitions."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote

HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
_TOKEN = re.compile(r"\{account\}|\*\*/|\*\*|\*|\?|[^*?{]+|\{")


def path_reader(pattern: str) -> Callable[[str], str | None]:
    """Return a function from relative path to account, for a pattern with `{account}` once.

    `*` and `?` match within one path part, `**` across parts; `{account}` matches one part or some of it. The whole
    path must match. A path that can be read in two ways (`{account}-*.wav` with `a-b-1.wav`) names no account.
    """
    greedy, lazy = (re.compile(_regex(pattern, suffix), re.DOTALL) for suffix in ("", "?"))

    def account_of(path: str) -> str | None:
        most, least = greedy.fullmatch(path), lazy.fullmatch(path)
        if most is None or least is None or most["account"] != least["account"]:
            return None
        return most["account"]

    return account_of


def partitions_of_path(path: str) -> dict[str, str | None]:
    """Return the `name=value` folders of a relative path, values unquoted; hive's mark for null is `None`."""
    found: dict[str, str | None] = {}
    for part in path.split("/")[:-1]:
        name, equals, value = part.partition("=")
        if equals and name:
            found[unquote(name)] = None if value == HIVE_NULL else unquote(value)
    return found


def _regex(pattern: str, lazy: str) -> str:
    tokens = {
        "{account}": f"(?P<account>[^/]+{lazy})",
        "**/": f"(?:.*{lazy}/)?{lazy}",
        "**": f".*{lazy}",
        "*": f"[^/]*{lazy}",
        "?": "[^/]",
    }
    return "".join(tokens.get(token) or re.escape(token) for token in _TOKEN.findall(pattern))
