"""Two-person acts: one authenticated person proposes, another approves, and approval and effect are one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from gate.domain.canonical import digest
from gate.domain.instants import format_instant, parse_instant
from gate.errors import ActRefused, InputError
from gate.ledger.store import Entry, Reader, Transaction
from gate.service.acting import MAX_TEXT, Act, Acted, Person, checked_params
from gate.service.activating import activate, keep_policy, read_proposed
from gate.service.actors import PERSON, recorded_actor
from gate.service.anchors import publish, recording
from gate.service.core import Service
from gate.service.declassifying import check_declassification, declassify, opened_params, refuse_known_accounts
from gate.service.keyring import check_revocation, drop_revoked_pins, revoke, rotate, trusted
from gate.service.modes import change_mode, check_mode
from gate.service.overrides import break_glass, check_override, revoke_override

LAPSES = timedelta(hours=24)
ALONE = frozenset({Act.POLICY_ACTIVATION, Act.KEY_ROTATION, Act.KEY_REVOCATION})
"""What one person may do where nobody logs in: at the machine that holds ledger and key."""

_OF_KEYS = (Act.KEY_ROTATION, Act.KEY_REVOCATION)

OPEN, APPROVED, WITHDRAWN, LAPSED = "open", "approved", "withdrawn", "lapsed"
_EFFECTS_WITHIN = 3  # entries after an approval among which its effect is


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposal and what became of it.

    Attributes:
        index: its ledger index.
        params: as recorded; no personal data.
        reason, by, name: opened references; `None` when erased. `by` is `ISSUER|SUBJECT`.
        state: `open`, `approved`, `withdrawn` or `lapsed`.
        approval, approved_by: the approval's index, and who.
        effect: the effect's index; `None` also when all was so before.
    """

    index: int
    act: Act
    params: Mapping[str, Any]
    reason: str | None
    by: str | None
    name: str | None
    proposed_at: datetime
    expires_at: datetime
    state: str
    approval: int | None = None
    approved_by: str | None = None
    effect: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        plain = ("index", "reason", "by", "name", "state", "approval", "approved_by", "effect")
        return {
            **{name: getattr(self, name) for name in plain},
            "act": self.act.value,
            "params": dict(self.params),
            "proposed_at": format_instant(self.proposed_at),
            "expires_at": format_instant(self.expires_at),
        }


def propose(service: Service, act: str, params: Mapping[str, Any], reason: str, *, by: Person, via: str = "api") -> int:
    """Propose an act. The same act by the same person while it is open is the same proposal.

    Args:
        act: one of `Act`.
        params: what it needs; see `docs/two-person-acts.md`.
        reason: why, in words; kept erasable.
        by: the authenticated proposer.
        via: `api` or `ui`.

    Returns:
        The proposal's ledger index.

    Raises:
        InputError: an unknown act, wrong parameters, or no reason.
        CheckFailed: a policy with gaps or contradictions.
    """
    which = _act(act)
    said = _checked_reason(reason)
    given = _prepared(service, which, params)
    with recording(service) as tx:
        now = service.now(tx)
        recorded = _DEEDS[which].check(tx, given, now)
        actor = recorded_actor(tx, by.actor)
        key = f"{which}/{digest([recorded, actor])}/"
        for known in tx.entries("proposal", subject_prefix=key):
            if _state(tx, known, now) == OPEN:
                return known.idx
        body = {
            "act": which.value,
            "params": recorded,
            "reason_ref": tx.commit_ref("text", said),
            "name_ref": _name_ref(tx, by),
            "expires_at": format_instant(now + LAPSES),
        }
        return tx.append("proposal", f"{key}{tx.size}", body, recorded_at=now, by=actor, via=via)[0].idx


def approve(service: Service, index: int, *, by: Person, via: str = "api", act: str | None = None) -> Entry:
    """Approve a proposal as another person than the proposer; its effect takes place in the same transaction.

    Args:
        index: the proposal.
        by: the authenticated approver.
        via: `api` or `ui`.
        act: the act the approver means to approve, so that nobody approves another by a wrong number.

    Returns:
        The effect's entry.

    Raises:
        InputError: no such proposal, one of another act, or an effect that time has made impossible.
        ActRefused: the same log-in proposed it, its proposer was erased, or it is not open.
    """
    with recording(service) as tx:
        now = service.now(tx)
        found = _find(tx, index)
        which = Act(found.body["act"])
        if act is not None and which is not _act(act):
            raise InputError(f"proposal {index} is for {which}", where="index", hint="gate acts list")
        _check_open(tx, found, now)
        actor = recorded_actor(tx, by.actor)
        if _opened_proposer(tx, found) == by.actor or found.by == actor:
            raise ActRefused(
                "whoever proposed it cannot approve it",
                where=f"proposal {index}",
                hint="another person must log in and approve",
            )
        body = {"proposal": index, "act": which.value, "name_ref": _name_ref(tx, by)}
        tx.append("approval", str(index), body, recorded_at=now, by=actor, via=via)
        acted = Acted(now, actor, via, 2, index, found.body["reason_ref"])
        effect = _DEEDS[which].perform(service, tx, found.body["params"], acted)
    if which in _OF_KEYS:
        settle_keys(service)
    return effect


def withdraw(service: Service, index: int, *, by: Person, via: str = "api") -> Entry:
    """Take back an open proposal, as its proposer; or end an approved break-glass early, as anybody.

    Raises:
        InputError: no such proposal.
        ActRefused: somebody else's, or one that is not open any more.
    """
    with recording(service) as tx:
        now = service.now(tx)
        found = _find(tx, index)
        actor = recorded_actor(tx, by.actor)
        state = _state(tx, found, now)
        if state == APPROVED and found.body["act"] == Act.BREAK_GLASS:
            effect = _effect(tx, found, tx.find("approval", str(index)))
            assert effect is not None, "an approved break-glass has its override beside it"
            return revoke_override(tx, effect, Acted(now, actor, via, 1))
        _check_open(tx, found, now)
        if _opened_proposer(tx, found) != by.actor:
            raise ActRefused("only whoever proposed it may withdraw it", where=f"proposal {index}")
        body = {"withdraws": index}
        return tx.append("proposal", _withdrawal(index), body, recorded_at=now, by=actor, via=via)[0]


def act_alone(
    service: Service, act: str, params: Mapping[str, Any], reason: str = "", *, by: str, via: str = "cli"
) -> Entry:
    """Do as one person what would need two where people log in; the entry says that it was one.

    Only for whoever is at the machine that holds ledger and signing key, and only until people have logged in to
    propose anything: from then on there is no way round the second person.

    Args:
        by: the local person; see `recorded_actor`.

    Returns:
        The effect's entry.

    Raises:
        InputError: wrong parameters, or an act that one person can never do.
        ActRefused: this deployment has log-ins.
        KeyLost: the signing key is not here.
    """
    which = _act(act)
    if which not in ALONE:
        raise InputError(
            f"{which} needs two people who log in; the embedded mode has none",
            where="act",
            hint="run `gate serve` or Airflow with the plugin, and set GATE_URL and GATE_TOKEN",
        )
    if which is not Act.KEY_REVOCATION:
        _ = service.key  # who cannot sign is not at the right machine; a lost key must be revocable all the same
    given = _prepared(service, which, params)
    with recording(service) as tx:
        now = service.now(tx)
        if tx.latest("proposal") is not None:
            raise ActRefused(
                f"{which} needs two people here: this ledger knows log-ins",
                hint="propose it through the service: set GATE_URL and GATE_TOKEN",
            )
        recorded = _DEEDS[which].check(tx, given, now)
        ref = tx.commit_ref("text", _checked_reason(reason)) if reason else None
        effect = _DEEDS[which].perform(service, tx, recorded, Acted(now, recorded_actor(tx, by), via, 1, None, ref))
    if which in _OF_KEYS:
        settle_keys(service)
    return effect


def find_proposal(reader: Reader, index: int, now: datetime) -> Proposal:
    """Return one proposal and what became of it.

    Raises:
        InputError: the entry is none.
    """
    return _shown(reader, _find(reader, index), now)


def proposals(reader: Reader, now: datetime, *, act: str | None = None, state: str | None = None) -> list[Proposal]:
    """Return proposals, oldest first.

    Args:
        act: only of this act.
        state: only in this state.
    """
    prefix = None if act is None else f"{_act(act)}/"
    found = (e for e in reader.entries("proposal", subject_prefix=prefix) if "act" in e.body)
    shown = (_shown(reader, entry, now) for entry in found)
    return [proposal for proposal in shown if state in (None, proposal.state)]


def settle_keys(service: Service) -> None:
    """Finish, outside the ledger, what a revocation began: checkpoints signed anew everywhere, then the pin removed.

    Safe to repeat; whatever died or could not be reached in between is put right by it.

    Raises:
        LedgerUnavailable: a checkpoint cannot be published; the revoked key stays pinned, and still redeems nothing.
    """
    with service.ledger.read() as reader:
        pins = service.pinned_keys
        if trusted(pins, reader) == pins:
            return
    publish(service, everywhere=True)
    drop_revoked_pins(service.ledger, service.settings)


def _act(word: str) -> Act:
    try:
        return Act(word)
    except ValueError:
        raise InputError("is not an act", where="act", hint="one of: " + ", ".join(Act)) from None


def _checked_reason(reason: object) -> str:
    text = reason.strip() if isinstance(reason, str) else ""
    if not text or len(text) > MAX_TEXT:
        raise InputError(f"say why, in 1 to {MAX_TEXT} characters", where="reason")
    return text


def _name_ref(tx: Transaction, person: Person) -> str | None:
    return tx.commit_ref("person", person.name) if person.name else None


def _find(reader: Reader, index: int) -> Entry:
    known = 0 <= index < reader.size
    entry = reader.entry(index) if known else None
    if entry is None or entry.kind != "proposal" or "act" not in entry.body:
        raise InputError(f"there is no proposal {index}", where="index", hint="gate acts list")
    return entry


def _withdrawal(index: int) -> str:
    return f"withdrawal/{index}"


def _state(reader: Reader, entry: Entry, now: datetime) -> str:
    if reader.find("approval", str(entry.idx)) is not None:
        return APPROVED
    if reader.find("proposal", _withdrawal(entry.idx)) is not None:
        return WITHDRAWN
    # A clock set back does not open it again.
    return OPEN if entry.recorded_at <= now < parse_instant(entry.body["expires_at"]) else LAPSED


def _check_open(reader: Reader, entry: Entry, now: datetime) -> None:
    state = _state(reader, entry, now)
    if state != OPEN:
        raise ActRefused(
            f"the proposal is {state}", where=f"proposal {entry.idx}", hint="propose it again if it is still wanted"
        )


def _opened_proposer(reader: Reader, entry: Entry) -> str:
    """Return who proposed it; erased, nobody can tell any more whether the approver is somebody else."""
    value = _value(reader, entry.by.removeprefix(PERSON))
    if value is None:
        raise ActRefused(
            "whoever proposed it was erased",
            where=f"proposal {entry.idx}",
            hint="propose it again if it is still wanted",
        )
    return value


def _value(reader: Reader, ref: str | None) -> str | None:
    return None if ref is None else reader.open_ref(ref)


def _effect(reader: Reader, proposal: Entry, approval: Entry | None) -> Entry | None:
    if approval is None:
        return None
    after = reader.entries(start=approval.idx + 1, stop=approval.idx + 1 + _EFFECTS_WITHIN)
    return max((e for e in after if e.body.get("proposal") == proposal.idx), key=lambda e: e.idx, default=None)


def _shown(reader: Reader, entry: Entry, now: datetime) -> Proposal:
    body, approval = entry.body, reader.find("approval", str(entry.idx))
    act, effect = Act(body["act"]), _effect(reader, entry, approval)
    return Proposal(
        index=entry.idx,
        act=act,
        params=opened_params(reader, body["params"]) if act is Act.DECLASSIFICATION else body["params"],
        reason=_value(reader, body["reason_ref"]),
        by=_value(reader, entry.by.removeprefix(PERSON)),
        name=_value(reader, body["name_ref"]),
        proposed_at=entry.recorded_at,
        expires_at=parse_instant(body["expires_at"]),
        state=_state(reader, entry, now),
        approval=None if approval is None else approval.idx,
        approved_by=None if approval is None else _value(reader, approval.by.removeprefix(PERSON)),
        effect=None if effect is None else effect.idx,
    )


def _prepared(service: Service, act: Act, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Do what takes long before the writer lock is taken."""
    if act is Act.DECLASSIFICATION:
        with service.ledger.read() as reader:
            refuse_known_accounts(reader, params)
    return read_proposed(params) if act is Act.POLICY_ACTIVATION else params


def _no_params(_: Transaction, params: Mapping[str, Any], __: datetime) -> dict[str, Any]:
    checked_params(params, ())
    return {}


class _Deed(NamedTuple):
    """How an act's parameters are checked (returning them as recorded), and how it is done."""

    check: Callable[[Transaction, Mapping[str, Any], datetime], dict[str, Any]]
    perform: Callable[[Service, Transaction, Mapping[str, Any], Acted], Entry]


_DEEDS: Mapping[Act, _Deed] = {
    Act.BREAK_GLASS: _Deed(
        lambda _, params, now: check_override(params, now), lambda _, tx, params, acted: break_glass(tx, params, acted)
    ),
    Act.MODE: _Deed(
        lambda _, params, now: check_mode(params, now), lambda _, tx, params, acted: change_mode(tx, params, acted)
    ),
    Act.DECLASSIFICATION: _Deed(check_declassification, lambda _, tx, params, acted: declassify(tx, params, acted)),
    Act.KEY_ROTATION: _Deed(_no_params, lambda s, tx, params, acted: rotate(tx, s.settings, params, acted)),
    Act.KEY_REVOCATION: _Deed(check_revocation, lambda s, tx, params, acted: revoke(tx, s.settings, params, acted)),
    Act.POLICY_ACTIVATION: _Deed(
        lambda tx, given, _: keep_policy(tx, given), lambda _, tx, params, acted: activate(tx, params, acted)
    ),
}
