"""Commands a person can copy: whatever ids hold, a shell takes each as one word."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from gate.domain.dataset import DatasetVersion
from gate.service.steps import Concerned


def tag_command(version: DatasetVersion, how: str = "--declare") -> str:
    """Return the command that tags a dataset, or with `--resolve` answers what is asked; the category is a person's."""
    one = version.dataset
    words = ["gate", "dataset", "tag", *flag("--account", str(one.account)), how, "CATEGORY"]
    words += flag("--category-column", one.category_column) if one.category_column else []
    return " ".join([*words, positional(one.uri)])


def account_word(accounts: Sequence[Concerned]) -> str:
    """Return the first account that may be named, else a word that stands for it."""
    name = next((account.name for account in accounts if account.name), None)
    return "ACCOUNT" if name is None else positional(name)


def flag(name: str, value: str) -> list[str]:
    """Return an option with its quoted value."""
    return [name, shlex.quote(value)]


def positional(value: str) -> str:
    """Quote an argument; one that looks like an option comes after `--`."""
    return ("-- " if value.startswith("-") else "") + shlex.quote(value)
