"""Declassification: two people vouch that one dataset version is aggregated and anonymous, for a while."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from gate.domain.anonymity import Anonymity, checked_k
from gate.domain.canonical import canonical
from gate.domain.dataset import AccountLocator, dataset, parse_locator
from gate.domain.instants import format_instant, parse_instant
from gate.domain.words import Category, Method
from gate.errors import InputError
from gate.ledger.store import Entry, Reader, Transaction
from gate.service.acting import Acted, checked_params, text_param

PARAMS = ("uri", "digest", "removes", "expires_at", "method", "evidence")
MAX_DECLASSIFIED = timedelta(days=366)
REMOVABLE = frozenset(Category) - {Category.UNCLASSIFIED, Category.NONE, Category.AGGREGATED_ANONYMOUS}
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def declassification_of(reader: Reader, dataset_key: str, digest: str, now: datetime) -> Entry | None:
    """Return the newest declassification of exactly this version that stands at `now`.

    Its body's `removes` are the categories that `aggregated_anonymous` stands in the place of.

    Args:
        dataset_key: see `gate.service.tags.dataset_key`.
        digest: the version's digest.
    """
    newest = reader.latest("declassification", f"{dataset_key}/{digest}/")
    if newest is None or not newest.recorded_at <= now < parse_instant(newest.body["expires_at"]):
        return None
    return newest


def refuse_known_accounts(reader: Reader, params: Mapping[str, Any]) -> None:
    """Refuse a measured table that still has a column by which any dataset on record names its accounts.

    Looks through every tag, so it is done before the writer lock is taken.

    Raises:
        InputError: it has one, or the evidence is no measurement.
    """
    if params.get("method") != Method.K_ANONYMITY:
        return
    columns = _measurement(params.get("evidence"))[0].columns
    said = {b'"account":' + canonical(str(AccountLocator("column", name))): name for name in columns}
    for entry in reader.entries("tag"):
        if found := next((name for words, name in said.items() if words in entry.payload), None):
            raise _names_accounts(found)


def check_declassification(tx: Transaction, params: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return the parameters of a declassification as they are recorded.

    Args:
        params: `uri` and `digest` of a version that is tagged, `removes` (categories), `expires_at`, `method`, and as
            `evidence` of `k_anonymity` what `Anonymity.to_dict` says and `k`, the size asked for; of the other methods
            `document_sha256` and `reference`, which is kept erasable.

    Raises:
        InputError: not so, or the evidence does not show what the method says.
    """
    checked_params(params, PARAMS)
    if not isinstance(params["evidence"], Mapping):
        raise InputError("expected an object", where="evidence")
    evidence = dict(params["evidence"])
    if _method(params["method"]) is not Method.K_ANONYMITY:
        checked_params(evidence, ("document_sha256", "reference"))
        reference = text_param(evidence, "reference")
        evidence = {**evidence, "reference_ref": tx.commit_ref("text", reference)}
        del evidence["reference"]
    return _checked(tx, {**params, "evidence": evidence}, now)


def declassify(tx: Transaction, params: Mapping[str, Any], acted: Acted) -> Entry:
    """Record a declassification that two people agreed on.

    Raises:
        InputError: its end has passed meanwhile, or it was proposed without method and evidence.
    """
    body = _checked(tx, params, acted.at)
    named = dataset(body["uri"])
    body["dataset"] = {"namespace": named.namespace, "name": named.name}
    subject = f"{_key(body['uri'])}/{body['digest']}/{acted.proposal}"
    return acted.append(tx, "declassification", subject, {**body, "adds": Category.AGGREGATED_ANONYMOUS.value})


def opened_params(reader: Reader, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return recorded parameters as people read them: where the document is in its own words, null once erased."""
    evidence = params.get("evidence")
    if not evidence or "reference_ref" not in evidence:
        return dict(params)
    ref = evidence["reference_ref"]
    kept = {name: value for name, value in evidence.items() if name != "reference_ref"}
    return {**params, "evidence": {**kept, "reference": reader.open_ref(ref)}}


def told(body: Mapping[str, Any]) -> str:
    """Say by which method and on which evidence something was declassified, in one line without personal data."""
    method, evidence = body.get("method"), body.get("evidence")
    if method is None or evidence is None:
        return "no method on record"
    if method != Method.K_ANONYMITY:
        return f"{method}, document {evidence['document_sha256']}"
    over = ", ".join(evidence["quasi_identifiers"])
    return f"{method}, k = {evidence['k_measured']} ({evidence['k']} asked) over {over}"


def _checked(tx: Transaction, params: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Check parameters as they are recorded, when proposed and again when approved."""
    checked_params(params, PARAMS)
    uri, digest = text_param(params, "uri"), text_param(params, "digest")
    expires_at = parse_instant(params["expires_at"], "expires_at")
    if not now < expires_at <= now + MAX_DECLASSIFIED:
        raise InputError("a declassification must end, within a year", where="expires_at")
    tags = [entry.body["version"] for entry in tx.entries("tag", subject_prefix=f"{_key(uri)}/")]
    if not any(tag["digest"] == digest for tag in tags):
        raise InputError("no such version is tagged", where="digest", hint="gate dataset tag, then gate dataset show")
    if _method(params["method"]) is Method.K_ANONYMITY:
        _check_measurement(params["evidence"], digest, tags)
    else:
        _check_document(params["evidence"])
    return {
        "uri": uri,
        "digest": digest,
        "removes": _categories(params["removes"]),
        "expires_at": format_instant(expires_at),
        "method": params["method"],
        "evidence": params["evidence"],
    }


def _check_measurement(evidence: object, digest: str, tags: Iterable[Mapping[str, Any]]) -> None:
    """Hold a measurement against what was asked for, the version, and how its dataset was said to name accounts."""
    found, k = _measurement(evidence)
    if found.digest != digest:
        raise InputError("was measured on another version", where="evidence.digest", hint="measure this one")
    if problem := next(found.shortcomings(k), None):
        raise InputError(problem, where="evidence", hint="make the data coarser, or leave rows out")
    for tag in tags:
        locator = parse_locator(tag["account"])
        if tag["digest"] == digest and locator.kind != "nobody":
            raise InputError(
                "its rows name their accounts, so it is not anonymous",
                where="uri",
                hint="leave accounts out, and tag what remains without an account locator",
            )
        if locator.kind == "column" and locator.value in found.columns:
            raise _names_accounts(locator.value)


def _measurement(evidence: object) -> tuple[Anonymity, int]:
    if not isinstance(evidence, Mapping) or "k" not in evidence:
        raise InputError("expected a measurement and k", where="evidence", hint="gate dataset declassify measures")
    counts = {name: value for name, value in evidence.items() if name != "k"}
    return Anonymity.from_dict(counts), checked_k(evidence["k"])


def _check_document(evidence: Mapping[str, Any]) -> None:
    checked_params(evidence, ("document_sha256", "reference_ref"))
    if not _DIGEST.fullmatch(text_param(evidence, "document_sha256")):
        raise InputError("expected sha256: and 64 hex digits", where="evidence.document_sha256")


def _names_accounts(column: str) -> InputError:
    return InputError(
        f"its column {column!r} is one by which accounts are named, so it is not anonymous",
        where="evidence",
        hint="leave the column out",
    )


def _method(word: object) -> Method:
    if isinstance(word, str) and word in set(Method):
        return Method(word)
    raise InputError("is not a method", where="method", hint="one of: " + ", ".join(Method))


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
