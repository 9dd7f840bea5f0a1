"""From the words a dataset bears to the categories the policy knows; what is not known is unclassified."""

from __future__ import annotations

from collections.abc import Iterable

from gate.domain.words import Category
from gate.policy.rows import Kind, Policy, fold

_BY_WORD = {category.value: category for category in Category}


def categories_of(
    policy: Policy, words: Iterable[str], *, declared_none: bool = False, declassified: bool = False
) -> frozenset[Category]:
    """Return the categories that a set of words amounts to; never empty.

    Args:
        policy: its `kinds` translate finer words, such as `transcript`.
        words: categories or kinds, all of one dataset version or all of one row.
        declared_none: without it, `none` is nothing anybody vouches for.
        declassified: without it, `aggregated_anonymous` is still what its source was.
    """
    found: set[Category] = set()
    derived: list[Kind] = []
    for word in words:
        category = _BY_WORD.get(word)
        kind = policy.kinds.get(fold(word)) if category is None else None
        if kind is not None and kind.needs_one_of:
            derived.append(kind)
        elif kind is not None:
            found.update(kind.categories)
        elif category is None or _unfounded(category, declared_none, declassified):
            found.add(Category.UNCLASSIFIED)
        else:
            found.add(category)
    # Only what was named by itself counts as a source: two transcripts do not vouch for each other.
    sources = frozenset(found)
    for kind in derived:
        found.update(kind.categories if kind.needs_one_of & sources else (Category.UNCLASSIFIED,))
    return frozenset(found) or frozenset({Category.UNCLASSIFIED})


def _unfounded(category: Category, declared_none: bool, declassified: bool) -> bool:
    if category is Category.NONE:
        return not declared_none
    return category is Category.AGGREGATED_ANONYMOUS and not declassified
