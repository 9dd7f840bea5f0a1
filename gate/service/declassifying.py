"""Declassification: two people vouch that one dataset version is aggregated and anonymous, for a while."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from gate.domain.dataset import dataset
from gate.domain.instants import format_instant, parse_instant
from gate.domain.words import Category
from gate.errors import InputError
from gate.ledger.store import Entry, Reader, Transaction
from gate.service.acting import Acted, checked_params, text_param

MAX_DECLASSIFIED = timedelta(days=366)
REMOVABLE = frozenset(Category) - {Category.UNCLASSIFIED, Category.NONE, Category.AGGREGATED_ANONYMOUS}


def declassification_of(reader: Reader, dataset_key: str, digest: str, now: datetime) -> Entry | None:
    """Return the newest declassification of exactly this version that stands at `now`.

    Its body's `removes` are the categories that `aggregated_anonymous` stands in the place of.

    Args:
        dataset_key: see `gate.service.tagging.dataset_key`.
        digest: the version's digest.
    """
    newest = reader.latest("declassification", f"{dataset_key}/{digest}/")
    if newest is None or not newest.recorded_at <= now < parse_instant(newest.body["expires_at"]):
        return None
    return newest


def check_declassification(tx: Transaction, params: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return the parameters of a declassification as they are recorded.

    Args:
        params: `uri` and `digest` of a version that is tagged, `removes` (categories), `expires_at`.

    Raises:
        InputError: not so.
    """
    checked_params(params, ("uri", "digest", "removes", "expires_at"))
    uri, digest = text_param(params, "uri"), text_param(params, "digest")
    expires_at = parse_instant(params["expires_at"], "expires_at")
    if not now < expires_at <= now + MAX_DECLASSIFIED:
        raise InputError("a declassification must end, within a year", where="expires_at")
    if not any(tx.entries("tag", subject_prefix=f"{_key(uri)}/{digest}/")):
        raise InputError("no such version is tagged", where="digest", hint="gate dataset tag, then gate dataset show")
    removes = _categories(params["removes"])
    return {"uri": uri, "digest": digest, "removes": removes, "expires_at": format_instant(expires_at)}


def declassify(tx: Transaction, params: Mapping[str, Any], acted: Acted) -> Entry:
    """Record a declassification that two people agreed on.

    Raises:
        InputError: its end has passed meanwhile.
    """
    body = check_declassification(tx, params, acted.at)
    named = dataset(body["uri"])
    body["dataset"] = {"namespace": named.namespace, "name": named.name}
    subject = f"{_key(body['uri'])}/{body['digest']}/{acted.proposal}"
    return acted.append(tx, "declassification", subject, {**body, "adds": Category.AGGREGATED_ANONYMOUS.value})


def _key(uri: str) -> str:
    from gate.service.tags import dataset_key  # tagging reads declassifications

    return dataset_key(dataset(uri))


def _categories(words: object) -> list[str]:
    hint = "some of: " + ", ".join(sorted(REMOVABLE))
    if not isinstance(words, list | tuple) or not words:
        raise InputError("expected categories", where="removes", hint=hint)
    for word in words:
        if word not in REMOVABLE:
            raise InputError("is not a category that can be removed", where="removes", hint=hint)
    return sorted(set(words))
