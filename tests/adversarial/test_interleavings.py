"""Withdrawals race redemptions, transaction by transaction: 10,000 interleavings against a model that knows better.

The actors run the service's own code; a scheduler lets exactly one of them move at a time, from the start of one of its
transactions to the start of the next, so every order in which a database could serve them can come up, on purpose and
again. Deciding is the one part that is played: the gate looks (one transaction) and records decision and permit later
(another), as the real one does; what it would have counted in the data does not matter to the race.

The model reads nothing but the ledger's entries: a redemption is right if no entry between its decision's checkpoint
and itself touches what it rests on, and a refusal if there is one.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gate.domain.canonical import sha256_hex
from gate.domain.consent import Appointment, Profile
from gate.domain.dataset import Dataset
from gate.domain.instants import format_instant
from gate.domain.run import Confirmed, TaskRun
from gate.domain.words import Ownership, Role
from gate.errors import PermitRefused
from gate.ledger import records
from gate.ledger.store import Entry, Reader, open_ledger
from gate.ledger.verify import verify
from gate.permits.keys import SigningKey
from gate.permits.permit import Permit, issue, open_permit
from gate.policy.table import load_policy
from gate.service.consents import record_appointments, record_model, record_profile
from gate.service.core import Service, append_policy_activation
from gate.service.deciding import decide
from gate.service.decisions import permit_subject
from gate.service.ports import Redeemed, RedemptionRequest
from gate.service.redeeming import record_check, record_redemption
from gate.service.standing import Standing, check_nothing_happened
from gate.service.tagging import tag_dataset
from gate.service.tags import dataset_key
from support.turns import SteppedLedger, Turns
from support.world import ASKING, START, TRAIN, USE, Clock, add_account, chat_file, event, new_service, say

ACCOUNTS = 4  # per stage; a permit covers the first two
PERMITTED = 2
PER_STAGE = 40  # interleavings that share accounts, so that their histories stay short
EPOCH = START - timedelta(days=30)

Plan = tuple[list[tuple[str, int]], list[int]]

OPS = (
    *(("withdraw", n) for n in range(ACCOUNTS)),
    *(("refuse", n) for n in range(PERMITTED)),
    *(("grant", n) for n in range(ACCOUNTS)),
    *(("remove", n) for n in range(PERMITTED + 1)),
    *(("profile", n) for n in range(PERMITTED + 1)),
    *(("tag", n) for n in range(2)),
    *(("model", n) for n in range(2)),
    ("policy", 0),
    ("decide", 0),
    *(("redeem", n) for n in (1, 2, 3)),
    ("train", 4),
)
PLANS: st.SearchStrategy[Plan] = st.tuples(
    st.lists(st.sampled_from(OPS), min_size=1, max_size=3, unique=True), st.lists(st.integers(0, 3), max_size=16)
)


@dataclass
class World:
    """A service on one ledger, and what an interleaving needs of it."""

    service: Service
    key: SigningKey
    datasets: tuple[Dataset, Dataset]
    body: dict[str, Any]
    permit: Permit
    refs: tuple[str, ...] = ()  # of the accounts a permit covers
    numbers: Iterator[int] = field(default_factory=partial(count, 1))
    stage: int = -1
    played: int = 0
    spent: bool = False
    redeemed: int = 0
    refused: int = 0

    def account(self, place: int) -> str:
        return f"acme-{self.stage}-{place}"


def make_world(folder: Path, url: str | None) -> World:
    """Let the real gate decide once; every decision after that is a copy of it."""
    with new_service(folder / "home", url=url) as service:
        add_account(service, "acme")
        say(service, event("acme"))
        datasets = (chat_file(folder, ["acme"]), chat_file(folder, ["acme"], "other.jsonl"))
        for data in datasets:
            tag_dataset(service, data, ["chat"], by="service:airflow", via="airflow")
        outcome = decide(service, [datasets[0]], USE, ASKING)
        permit = open_permit(outcome.permits["train"], service.pinned_keys)
        with service.ledger.read() as reader:
            body = reader.entry(outcome.index).body
        where, key = service.settings, service.key
    # No machine of this world holds the key, so nobody publishes checkpoints: that race has a test of its own.
    shutil.rmtree(where.checkpoint_path.parent, ignore_errors=True)
    where.key_path.unlink()
    plain = open_ledger(where.database_url)
    stepped = Service(where, SteppedLedger(plain.engine, "interleavings", lambda: secrets.token_bytes(16)), Clock())
    stepped.confirm = lambda run: Confirmed()
    return World(stepped, key, datasets, body, permit)


# What actors do. Each is the service's own code, or stands in for a person at another machine.


def consent(world: World, action: str, place: int) -> None:
    at = format_instant(EPOCH + timedelta(seconds=next(world.numbers)))
    say(world.service, event(world.account(place), action, effective_at=at), via="import")


def remove_admin(world: World, place: int) -> None:
    account = world.account(place)
    at = EPOCH + timedelta(seconds=next(world.numbers))
    record_appointments(
        world.service, [Appointment(account, f"admin@{account}", "remove", Role.ADMIN, at)], via="import"
    )


def profile(world: World, place: int) -> None:
    region = f"US-{next(world.numbers)}"
    record_profile(world.service, world.account(place), Profile(region, "none", "2023-08-07"), by="eve", via="cli")


def tag(world: World, which: int) -> None:
    body = {"version": world.permit.datasets[0].to_dict(), "statements": [], "n": next(world.numbers)}
    subject = f"{dataset_key(world.datasets[which])}/{next(world.numbers)}"
    with world.service.ledger.write() as tx:
        tx.append("tag", subject, body, recorded_at=START, by="service:airflow", via="airflow")


def model(world: World, which: int) -> None:
    name = ("ms-1", "ms-2")[which]
    evidence = f"card {next(world.numbers)}"
    record_model(world.service, name, Ownership.FIRST_PARTY, ["meeting_summary"], evidence, by="eve", via="cli")


def policy(world: World, _: int) -> None:
    with world.service.ledger.write() as tx:
        active = tx.latest("policy_activation")
        assert active is not None
        other = load_policy("strict" if active.body["name"] == "zoom-2023-08" else "zoom-2023-08")
        append_policy_activation(tx, other, recorded_at=START, by="service:test", via="cli")


def redeem(world: World, attempt: int, run_id: str) -> Redeemed | PermitRefused:
    measured = {version.key: version.digest for version in world.permit.datasets}
    run = replace(TRAIN, run_id=run_id, try_number=attempt)
    try:
        return record_redemption(
            world.service, RedemptionRequest(run, (world.datasets[0],), USE, measured, "0" * 64), by="service:airflow"
        )
    except PermitRefused as refusal:
        return refusal


def train(world: World, attempt: int, run_id: str) -> Redeemed | PermitRefused | tuple[Redeemed, PermitRefused]:
    """Redeem, then look again as training does."""
    redeemed = redeem(world, attempt, run_id)
    if isinstance(redeemed, PermitRefused):
        return redeemed
    try:
        record_check(world.service, redeemed)
    except PermitRefused as refusal:
        return redeemed, refusal
    return redeemed


def gate(world: World, run_id: str, attempt: int) -> None:
    """Look, then record what was seen: the gate's two transactions."""
    service = world.service
    with service.ledger.read() as reader:
        head = reader.head()
        if not all(agreed(reader, ref) for ref in world.refs):
            return
    run = TaskRun(TRAIN.dag_id, run_id, "consent_gate", try_number=attempt)
    with service.ledger.write() as tx:
        members = b"".join(sorted(bytes.fromhex(ref) for ref in world.refs))
        body = world.body | {
            "run": run.to_dict(),
            "checkpoint": {"size": head.size, "root": head.root.hex()},
            "accounts": tx.attach(members, "application/octet-stream"),
        }
        entry, _ = tx.append("decision", run.key, body, recorded_at=START, by="service:airflow", via="airflow")
        permit = replace(
            world.permit,
            permit_id=str(uuid.uuid4()),
            decision_index=entry.idx,
            decision_digest=sha256_hex(entry.payload),
            checkpoint=(head.size, head.root.hex()),
            run_id=run_id,
        )
        said = {"permit_id": permit.permit_id, "decision": entry.idx, "envelope": issue(permit, world.key)}
        subject = permit_subject(TRAIN.dag_id, run_id, "train", decision_index=entry.idx)
        tx.append("permit", subject, said, recorded_at=START, by="service:airflow", via="airflow")


def work(world: World, op: str, number: int, run_id: str) -> Callable[[], Any]:
    simple: dict[str, Callable[[World, int], Any]] = {
        "remove": remove_admin,
        "profile": profile,
        "tag": tag,
        "model": model,
        "policy": policy,
    }
    if op in simple:
        return partial(simple[op], world, number)
    if op == "decide":
        return partial(gate, world, run_id, 2)
    if op in ("redeem", "train"):
        return partial(redeem if op == "redeem" else train, world, number, run_id)
    return partial(consent, world, op, number)


# What the model knows: entries, and nothing of the code that judged them.


def agreed(reader: Reader, ref: str) -> bool:
    """Whether an account's last word is a grant, and nobody was removed from it."""
    last = None
    for entry in reader.entries(account_ref=ref):
        if entry.kind == "consent":
            last = entry.body["action"]
        elif entry.kind == "appointment" and entry.body["action"] == "remove":
            return False
    return last == "grant"


def touches(world: World, entry: Entry, decision: Entry) -> bool:
    """Whether an entry is about something the decision rested on."""
    match entry.kind:
        case "consent" | "appointment" | "profile":
            return entry.account_ref in world.refs
        case "policy_activation" | "mode":
            return True
        case "model":
            return bool(entry.body["model"] == "ms-1")
        case "tag":
            return entry.subject.startswith(dataset_key(world.datasets[0]) + "/")
        case "decision":
            return entry.idx > decision.idx
    return False


def judge(world: World, began: int, results: Sequence[tuple[TaskRun, Any]]) -> None:
    """Hold what happened against the entries from `began` on: all that this interleaving left."""
    with world.service.ledger.read() as reader:
        story = {entry.idx: entry for entry in reader.entries(start=began)}

    def causes(permit: Entry, stop: int) -> list[int]:
        decision = story[permit.body["decision"]]
        start = decision.body["checkpoint"]["size"]
        return [idx for idx in range(start, stop) if touches(world, story[idx], decision)]

    permits = [entry for entry in story.values() if entry.kind == "permit"]
    refusals = {entry.subject: entry for entry in story.values() if entry.kind == "refusal"}
    exposures = [entry for entry in story.values() if entry.kind == "exposure"]
    for run, result in results:
        refusal = refusals.get(run.key)
        redeemed = result[0] if isinstance(result, tuple) else result
        if isinstance(redeemed, PermitRefused):
            assert refusal is not None, "a refusal is on record"
            assert refusal.body["reason"] == redeemed.reason
            known = [permit for permit in permits if permit.idx < refusal.idx]
            assert not known or any(causes(permit, refusal.idx) for permit in known), "a refusal without a cause"
            world.refused += 1
            continue
        assert refusal is None
        entry = story[redeemed.index]
        assert (entry.kind, entry.body["run"]) == ("redemption", run.to_dict())
        permit = story[entry.body["permit"]]
        assert causes(permit, entry.idx) == [], "training started over an entry it ignores"
        assert redeemed.envelope == permit.body["envelope"]
        world.redeemed += 1
        noticed = [exposure for exposure in exposures if exposure.body["redemption"] == entry.idx]
        assert len(noticed) == isinstance(result, tuple)
        assert all(causes(permit, exposure.idx) for exposure in noticed), "training stopped without a cause"


def interleave(world: World, plan: Plan) -> None:
    """Play one interleaving and judge it."""
    ops, schedule = plan
    began = prepare(world)
    run_id = f"run {next(world.numbers)}"
    gate(world, run_id, 1)
    actors = [("redeem", 0), *ops]
    results = Turns().play([work(world, op, number, run_id) for op, number in actors], schedule)
    tried = [
        (replace(TRAIN, run_id=run_id, try_number=number), result)
        for (op, number), result in zip(actors, results, strict=True)
        if op in ("redeem", "train")
    ]
    judge(world, began, tried)
    world.played += 1
    world.spent = any(op == "remove" for op, _ in ops)


def prepare(world: World) -> int:
    """Let an admin's grant be the last word of every account a permit will name; at times with new accounts.

    Returns:
        The size of the ledger then.
    """
    anew = world.spent or world.played % PER_STAGE == 0
    world.stage += anew
    common: dict[str, Any] = {"recorded_at": START, "by": "service:test", "via": "import"}
    since = EPOCH + timedelta(seconds=next(world.numbers))
    grants = []
    with world.service.ledger.write() as tx:
        for place in range(ACCOUNTS if anew else PERMITTED):
            account = world.account(place)
            if anew:
                admin = Appointment(account, f"admin@{account}", "appoint", Role.ADMIN, EPOCH)
                records.record_appointments(tx, [admin], **common)
                records.record_profile(tx, account, Profile("US", "none", "2023-08-07"), **common)
            if anew or not agreed(tx, world.refs[place]):
                grants.append(event(account, effective_at=format_instant(since)))
        records.record_consents(tx, grants, **common)
        if anew:
            refs = tx.commit_refs("account", [world.account(place) for place in range(PERMITTED)])
            world.refs = tuple(refs[world.account(place)] for place in range(PERMITTED))
        return tx.size


@pytest.fixture
def world(ledger_url: str, tmp_path: Path) -> Iterator[World]:
    """A world on each database; the SQLite one in memory where there is room, for no power is cut here."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else tmp_path))
    if ledger_url.startswith("postgresql"):
        hurry(ledger_url)
    made = make_world(folder, None if ledger_url.startswith("sqlite") else ledger_url)
    yield made
    made.service.close()
    shutil.rmtree(folder)


def hurry(url: str) -> None:
    import psycopg

    name = url.rpartition("/")[2]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')


def play(world: World, examples: int) -> None:
    """Let hypothesis make up interleavings and, when one is wrong, the shortest that is."""

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(PLANS)
    def holds(plan: Plan) -> None:
        interleave(world, plan)

    holds()
    assert world.played >= examples * 0.9
    assert world.redeemed > world.played / 10, "withdrawals that always win prove nothing"
    assert world.refused > world.played / 10, "redemptions that always win prove nothing"
    with world.service.ledger.read() as reader:
        report = verify(reader)
    assert (report.ok, report.findings) == (True, ())


def test_some_interleavings(world: World) -> None:
    play(world, 300)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_thousand_interleavings(world: World) -> None:
    play(world, 5_000)  # on each of the two databases


def test_the_model_notices_a_lock_that_does_not_look(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test itself is tried: with the check taken out of the way, the model must object."""
    monkeypatch.setattr("gate.service.redeeming.check_nothing_happened", lambda *_: None)
    with pytest.raises(AssertionError, match="over an entry it ignores"):
        play(world, 300)


def test_the_model_notices_a_lock_that_looks_too_early(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking in another transaction than the one that records is the mistake that only an interleaving shows."""
    service = world.service

    def look_now(run: TaskRun) -> Confirmed:
        with service.ledger.read() as reader:
            newest = reader.latest("permit", permit_subject(run.dag_id, run.run_id, run.task_id))
            if newest is not None:
                envelope = newest.body["envelope"]
                standing = Standing.of(open_permit(envelope, service.pinned_keys), envelope, reader)
                check_nothing_happened(service, reader, standing, START)
        return Confirmed()

    service.confirm = look_now
    monkeypatch.setattr("gate.service.redeeming.check_nothing_happened", lambda *_: None)
    with pytest.raises(AssertionError, match="over an entry it ignores"):
        play(world, 1000)
