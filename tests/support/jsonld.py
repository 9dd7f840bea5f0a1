"""Expands JSON-LD with an inline context, as far as our documents need it; fetches nothing, guesses nothing."""

from __future__ import annotations

import re
from typing import Any

IRI = re.compile(r"[a-z][a-z0-9+.-]*:[^\s<>\"{}|\\^`]+")
_GENERIC = ("#", "/", "?")


def expand(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the nodes with absolute IRIs for all properties and types; fails where a word has no meaning."""
    context = document["@context"]
    assert isinstance(context, dict), "a context that would have to be fetched"
    nodes = document.get("@graph", [{key: value for key, value in document.items() if key != "@context"}])
    return [_node(node, context) for node in nodes]


def _node(value: dict[str, Any], context: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, item in value.items():
        if key == "@id":
            found[key] = _iri(item, context, vocabulary=False)
        elif key == "@type":
            found[key] = [_iri(one, context) for one in ([item] if isinstance(item, str) else item)]
        elif key == "@value":
            return {"@value": item, "@type": _iri(value["@type"], context)}
        else:
            term = context.get(key)
            kind = term.get("@type") if isinstance(term, dict) else None
            items = item if isinstance(item, list) else [item]
            if kind == "@json":
                found[_iri(key, context)] = [{"@value": item, "@type": "@json"}]
            else:
                found[_iri(key, context)] = [_value(one, kind, context) for one in items]
    return found


def _value(value: Any, kind: str | None, context: dict[str, Any]) -> dict[str, Any]:
    if isinstance(value, dict):
        return _node(value, context)
    if kind in ("@id", "@vocab"):
        return {"@id": _iri(value, context)}
    return {"@value": value} | ({"@type": _iri(kind, context)} if kind else {})


def _iri(word: str, context: dict[str, Any], *, vocabulary: bool = True) -> str:
    term = context.get(word)
    named = term.get("@id") if isinstance(term, dict) else term
    if vocabulary and named and named != word:
        return _iri(named, context)
    prefix, colon, rest = word.partition(":")
    if colon and isinstance(context.get(prefix), str) and not rest.startswith("//"):
        assert context[prefix].endswith(_GENERIC), f"{prefix} is no prefix"
        return context[prefix] + rest
    if not colon and vocabulary and "@vocab" in context:
        return str(context["@vocab"]) + word
    if not colon and not vocabulary:
        return word  # relative to the document
    assert IRI.fullmatch(word), f"{word!r} means nothing here"
    return word
