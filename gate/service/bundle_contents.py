"""Chooses the ledger's entries that answer an audit: decisions, and everything they rest on or that came of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gate.domain.instants import format_instant
from gate.errors import InputError
from gate.ledger.reading import Entry, Reader
from gate.ledger.state import model_record
from gate.service.attesting import attestations_of
from gate.service.bundle_format import refs_in_attachment
from gate.service.decisions import run_prefix

Run = tuple[str, str]

ACCOUNT_KINDS = ("consent", "profile", "appointment")
_ALWAYS = ("genesis", "key", "clock", "mode", "policy_activation")
_FOLLOWING = ("permit", "redemption", "refusal", "review", "attestation", "exposure", "override", "obligation")
_FEW = 200  # accounts that are looked up one by one; of more, everything is read once


@dataclass(frozen=True, slots=True)
class Scope:
    """What is audited: one of a model (its id, or the digest of one version), a DAG run, or a span of time.

    Raises:
        InputError: not exactly one of them, or a span that is none.
    """

    model: str | None = None
    run: Run | None = None
    period: tuple[datetime, datetime] | None = None

    def __post_init__(self) -> None:
        if sum(one is not None for one in (self.model, self.run, self.period)) != 1:
            raise InputError("say what to audit", hint="one of --model, --run DAG/RUN_ID and --period FROM/TO")
        if self.period is not None and not self.period[0] < self.period[1]:
            raise InputError("ends before it begins", where="--period")

    @property
    def digest(self) -> str | None:
        """The model's digest, where that was named."""
        return self.model if self.model is not None and self.model.startswith("sha256:") else None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "model": self.model,
            "run": None if self.run is None else {"dag_id": self.run[0], "run_id": self.run[1]},
            "period": None if self.period is None else [format_instant(one) for one in self.period],
        }

    def told(self) -> str:
        """Say it in words."""
        if self.run is not None:
            return f"run {self.run[1]} of {self.run[0]}"
        if self.period is not None:
            return f"the decisions from {format_instant(self.period[0])} until {format_instant(self.period[1])}"
        return f"model {self.model}"


@dataclass
class Chosen:
    """What was chosen.

    Attributes:
        entries: by ledger index.
        attachments: content by digest.
        accounts: the references of the accounts the decisions are about.
        left_out: what is missing, and why.
    """

    entries: dict[int, Entry] = field(default_factory=dict)
    attachments: dict[str, bytes] = field(default_factory=dict)
    accounts: set[str] = field(default_factory=set)
    left_out: list[dict[str, str]] = field(default_factory=list)

    def add(self, entries: Iterable[Entry]) -> None:
        """Choose entries."""
        self.entries.update((entry.idx, entry) for entry in entries)

    def leave(self, what: str, why: str) -> None:
        """Say that something is left out."""
        self.left_out.append({"what": what, "why": why})

    def of(self, *kinds: str) -> list[Entry]:
        """Return the chosen entries of some kinds, in the ledger's order."""
        return [self.entries[idx] for idx in sorted(self.entries) if self.entries[idx].kind in kinds]


def decisions_of(reader: Reader, scope: Scope, size: int) -> list[Entry]:
    """Return the decisions that a scope names, among the first `size` entries."""
    if scope.run is not None:
        own = reader.entries("decision", subject_prefix=run_prefix(*scope.run), stop=size)
        redeemed = (one for one in reader.entries("redemption", stop=size) if _run(one.body) == scope.run)
        return _once([*own, *(reader.entry(one.body["decision"]) for one in redeemed)])
    if scope.digest is not None:
        return _once(reader.entry(one.body["decision"]) for one in attestations_of(reader, scope.digest))
    return [entry for entry in reader.entries("decision", stop=size) if _within(entry, scope)]


def choose(reader: Reader, decisions: Iterable[Entry], scope: Scope, size: int) -> Chosen:
    """Choose what decisions rest on and what came of them, among the first `size` entries."""
    chosen = Chosen()
    chosen.add(decisions)
    chosen.add(reader.entries(_ALWAYS, stop=size))
    _follow(reader, chosen, scope, size)
    for decision in chosen.of("decision"):
        _add_grounds(reader, chosen, decision)
    _add_policies(reader, chosen)
    _add_accounts(reader, chosen, size)
    _add_acts(reader, chosen, size)
    return chosen


def _within(entry: Entry, scope: Scope) -> bool:
    if scope.period is not None:
        return scope.period[0] <= entry.recorded_at < scope.period[1]
    return bool(entry.body["decision"]["use"]["model"] == scope.model)


def _follow(reader: Reader, chosen: Chosen, scope: Scope, size: int) -> None:
    """Add what came of the decisions: permits, redemptions, refusals, reviews, models, overrides, obligations."""
    decisions = {entry.idx: entry for entry in chosen.of("decision")}
    overrides = {entry.body.get("override") for entry in decisions.values()}
    runs = {_run(entry.body) for entry in decisions.values()} | {scope.run}
    redeemed: set[int] = set()
    for entry in reader.entries(_FOLLOWING, stop=size):
        body = entry.body
        about = body.get("decision") in decisions or entry.idx in overrides
        if about or (entry.kind in ("refusal", "override") and _run(body) in runs):
            chosen.add([entry])
            redeemed.update([entry.idx] if entry.kind == "redemption" else [])
            runs.update([_run(body)] if entry.kind in ("redemption", "attestation") else [])
        elif (
            (entry.kind == "exposure" and body["redemption"] in redeemed)
            or (entry.kind == "obligation" and _run(body) in runs)
            or (entry.kind == "override" and body.get("revokes") in chosen.entries)
        ):
            chosen.add([entry])


def _add_grounds(reader: Reader, chosen: Chosen, decision: Entry) -> None:
    """Add the tags, the model's registration and the accounts of one decision."""
    body = decision.body
    for dataset in body["datasets"]:
        chosen.add(reader.entry(index) for index in dataset["tags"])
    model = body["decision"]["use"]["model"]
    registered = model_record(reader, model, body["checkpoint"]["size"]) if model else None
    if registered is not None:
        chosen.add([reader.entry(registered.index)])
    named: dict[str, set[str]] = {}
    for name in ("accounts", "detail"):
        content = _attach(reader, chosen, body[name], f"{name} of decision {decision.idx}")
        named[name] = set() if content is None else set(refs_in_attachment(name, content))
        chosen.accounts |= named[name]
    unnamed = body["accounts_blocked"] - len(named["detail"])
    if unnamed > 0 and not named["accounts"]:
        chosen.leave(
            f"{unnamed} of the accounts that decision {decision.idx} blocked, and all that passed",
            "of a block the ledger names those with the most rows",
        )


def _attach(reader: Reader, chosen: Chosen, digest: str, what: str) -> bytes | None:
    content = reader.attachment(digest)
    if content is None:
        chosen.leave(what, "it was erased; its digest stands in the entry")
    else:
        chosen.attachments[digest] = content
    return content


def _add_policies(reader: Reader, chosen: Chosen) -> None:
    used = {entry.body["decision"]["policy"]["digest"] for entry in chosen.of("decision")}
    for digest in sorted(used):
        _attach(reader, chosen, digest, f"policy {digest}")


def _add_accounts(reader: Reader, chosen: Chosen, size: int) -> None:
    """Add the consents, profiles and appointments of the accounts that the decisions are about."""
    refs = chosen.accounts
    if len(refs) <= _FEW:
        for ref in refs:
            chosen.add(reader.entries(ACCOUNT_KINDS, account_ref=ref, stop=size))
    else:
        chosen.add(entry for entry in reader.entries(ACCOUNT_KINDS, stop=size) if entry.account_ref in refs)
    erasures = reader.entries("erasure", stop=size)
    chosen.add(entry for entry in erasures if refs.intersection(entry.body.get("account_refs", ())))


def _add_acts(reader: Reader, chosen: Chosen, size: int) -> None:
    """Add what two persons proposed and approved for the acts that are in it."""
    acts = chosen.of("policy_activation", "declassification", "mode", "override", "key")
    proposals = {entry.body["proposal"] for entry in acts if entry.body.get("proposal") is not None}
    chosen.add(reader.entry(index) for index in proposals)
    if proposals:
        approvals = reader.entries("approval", stop=size)
        chosen.add(entry for entry in approvals if entry.body["proposal"] in proposals)


def _run(body: Mapping[str, Any]) -> Run | None:
    run = body if "dag_id" in body else body.get("run") or {}
    return (run["dag_id"], run["run_id"]) if "dag_id" in run else None


def _once(entries: Iterable[Entry]) -> list[Entry]:
    found = {entry.idx: entry for entry in entries}
    return [found[idx] for idx in sorted(found)]
