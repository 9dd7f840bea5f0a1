"""Opens the service: ledger, signing key and pinned keys together, set up on first use or not at all."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gate import __version__
from gate.domain.canonical import canonical
from gate.domain.instants import utc_now
from gate.domain.run import Confirmed, TaskRun
from gate.errors import CannotDecide, LedgerUnavailable
from gate.ledger.store import Entry, Ledger, Reader, Transaction, create_ledger, open_ledger
from gate.permits.keys import (
    PublicKey,
    SigningKey,
    create_key,
    load_key,
    public_key_to_text,
)
from gate.policy import DEFAULT_POLICY
from gate.policy.table import Policy, load_policy, parse_policy
from gate.service.actors import recorded_actor
from gate.service.clock import steady_now
from gate.service.keyring import read_pins, signing_key
from gate.service.settings import Settings, read_settings
from gate.service.together import Together

if TYPE_CHECKING:
    from gate.domain.decision import Decision, WantedUse
    from gate.lineage.intake import Intake
    from gate.scan.census import Look
    from gate.service.answers import ReviewAnswer
    from gate.service.outcome import Asking, Outcome
    from gate.service.ports import Attested, Produced, Redeemed, RedemptionRequest, TagStatement
    from gate.service.tags import Tagged

SETUP = "service:setup"


def _nobody_confirms(run: TaskRun) -> Confirmed:
    raise CannotDecide(
        "nobody can confirm that this task is running",
        where=f"{run.dag_id}.{run.task_id}",
        hint="redeem from a task of Airflow, or through a decision service that can ask Airflow",
        reason="cannot_decide",
    )


def _nobody_confirms_review(answer: ReviewAnswer) -> None:
    raise CannotDecide(
        "nobody can confirm what a reviewer answered",
        where=f"{answer.run.dag_id}.{answer.run.task_id}",
        hint="the decision service needs an Airflow to ask: see GATE_AIRFLOW_URL",
        reason="cannot_decide",
    )


def _no_policy() -> LedgerUnavailable:
    return LedgerUnavailable("no policy is active", hint="gate policy activate NAME", reason="cannot_decide")


@dataclass
class Service:
    """An open ledger with the keys that belong to it. Use it as a context manager.

    Attributes:
        clock: returns the present instant; asked once per operation.
        confirm: asks Airflow whether that very try is running now; raises `PermitRefused` when it is not, and
            `CannotDecide` when Airflow cannot be asked.
        confirm_review: makes sure that a reviewer gave an answer; raises as `confirm` does.
        together: lets redemptions that come at the same time share transactions; for a service that has many callers.

    It is a `gate.service.ports.DecisionService`: the methods below the keys are what a worker asks of it.
    """

    settings: Settings
    ledger: Ledger
    clock: Callable[[], datetime] = utc_now
    confirm: Callable[[TaskRun], Confirmed] = _nobody_confirms
    confirm_review: Callable[[ReviewAnswer], None] = _nobody_confirms_review
    together: Together | None = None
    _policies: dict[tuple[str, str], Policy] = field(default_factory=dict, init=False, repr=False)
    _intake: Intake | None = field(default=None, init=False, repr=False)

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the databases."""
        self.ledger.close()
        if self._intake is not None:
            self._intake.close()

    @property
    def intake(self) -> Intake:
        """The way into the lineage store; opened when first used."""
        from gate.lineage.intake import Intake

        if self._intake is None:
            self._intake = Intake(self.settings.lineage_url, self.settings.home)
        return self._intake

    @property
    def key(self) -> SigningKey:
        """The signing key the ledger names now; asked anew each time, for it may be rotated while we run.

        Raises:
            KeyLost: it is not where it should be, or is another one.
        """
        return self.ledger.look(lambda reader: signing_key(self.settings, reader))

    @property
    def pinned_keys(self) -> tuple[PublicKey, ...]:
        """The public keys we verify with, from our own configuration and not from the database.

        Raises:
            KeyLost: the file is missing.
        """
        return read_pins(self.settings)

    def policy(self, reader: Reader, active: Entry | None = None) -> Policy:
        """Return the policy that was last activated, exactly as it was then.

        Args:
            reader: the ledger.
            active: its newest activation, if it was read before.

        Raises:
            LedgerUnavailable: none is active, or its text was removed.
        """
        active = active or reader.latest("policy_activation")
        if active is None:
            raise _no_policy()
        digest, name = active.body["digest"], active.body["name"]
        if (digest, name) not in self._policies:  # a digest stands for one text for ever
            table = reader.attachment(digest)
            if table is None:
                raise _no_policy()
            self._policies = {(digest, name): parse_policy(table, name)}
        return self._policies[digest, name]

    def now(self, reader: Reader | None = None) -> datetime:
        """Return the instant an operation happens at, never before the newest entry was recorded.

        Args:
            reader: the state of the ledger the operation works on, if it has one open.

        Raises:
            CannotDecide: this machine's clock cannot be right.
        """
        if reader is not None:
            return steady_now(self.clock, reader)
        with self.ledger.read() as fresh:
            return steady_now(self.clock, fresh)

    def ledger_size(self) -> int:
        """Return how many entries the ledger holds."""
        with self.ledger.read() as reader:
            return reader.size

    def record_tag(self, statement: TagStatement, *, by: str, via: str) -> Tagged:
        """See `gate.service.tagging.record_tag`."""
        from gate.service.tagging import record_tag

        return record_tag(self, statement, by=by, via=via)

    def recorded_decision(self, run: TaskRun) -> Outcome | None:
        """See `gate.service.decisions.recorded_decision`."""
        from gate.service.decisions import recorded_decision

        with self.ledger.read() as reader:
            return recorded_decision(reader, run)

    def preview(self, looks: Sequence[Look], wanted: WantedUse) -> tuple[int, Decision]:
        """See `gate.service.deciding.preview`."""
        from gate.service.deciding import evaluate_looks
        from gate.service.facts import scratch

        with scratch() as folder:
            gathered, decision = evaluate_looks(self, looks, wanted, Path(folder))
            return gathered.size, decision

    def record_decision(self, looks: Sequence[Look], wanted: WantedUse, asking: Asking) -> Outcome:
        """See `gate.service.deciding.record_decision`."""
        from gate.service.deciding import record_decision

        return record_decision(self, looks, wanted, asking)

    def record_review(self, answer: ReviewAnswer, *, by: str, via: str) -> int:
        """See `gate.service.reviewing.record_review`."""
        from gate.service.reviewing import record_review

        return record_review(self, answer, by=by, via=via)

    def passing(self, looks: Sequence[Look], wanted: WantedUse, folder: Path) -> list[Path]:
        """See `gate.service.deciding.passing`."""
        from gate.service.deciding import passing

        return passing(self, looks, wanted, folder)

    def permit_of(self, run: TaskRun) -> Mapping[str, Any] | None:
        """See `gate.service.redeeming.permit_of`."""
        from gate.service.redeeming import permit_of

        return permit_of(self, run)

    def record_redemption(self, request: RedemptionRequest, *, by: str) -> Redeemed:
        """See `gate.service.redeeming.record_redemption`."""
        from gate.service.redeeming import record_redemption

        return record_redemption(self, request, by=by)

    def record_check(self, redeemed: Redeemed) -> None:
        """See `gate.service.redeeming.record_check`."""
        from gate.service.redeeming import record_check

        record_check(self, redeemed)

    def record_attestation(self, produced: Produced, *, by: str) -> Attested:
        """See `gate.service.attesting.record_attestation`."""
        from gate.service.attesting import record_attestation

        return record_attestation(self, produced, by=by)

    def decision_of_run(self, dag_id: str, run_id: str) -> Outcome | None:
        """See `gate.service.decisions.decision_of_run`."""
        from gate.service.decisions import decision_of_run

        with self.ledger.read() as reader:
            return decision_of_run(reader, dag_id, run_id)

    def refusal_of_run(self, dag_id: str, run_id: str) -> Mapping[str, Any] | None:
        """See `gate.service.decisions.refusal_of_run`."""
        from gate.service.decisions import refusal_of_run

        with self.ledger.read() as reader:
            entry = refusal_of_run(reader, dag_id, run_id)
        return None if entry is None else {"index": entry.idx, **entry.body}


def open_service(settings: Settings | None = None, *, clock: Callable[[], datetime] = utc_now) -> Service:
    """Open the service; an embedded one is set up on first use.

    Raises:
        LedgerUnavailable: the database is missing (and not ours to make), locked, or of another version.
        KeyLost: the ledger names a key that is gone.
    """
    settings = settings or read_settings()
    if settings.embedded and not settings.pinned_keys_path.exists():
        return set_up(settings, clock=clock)
    with _closed_on_failure(Service(settings, _opened(settings), clock)) as service:
        with service.ledger.read() as reader:
            if not reader.size:
                raise LedgerUnavailable("the ledger is empty", hint="gate db upgrade", reason="cannot_decide")
        return service


def set_up(settings: Settings, *, clock: Callable[[], datetime] = utc_now) -> Service:
    """Create or upgrade the database, and give an empty ledger its first entries: genesis, key, policy.

    The pinned keys are written last: where they are, a ledger was. If that one is gone, nothing is made in its place.

    Raises:
        KeyLost: the ledger already names a key that is gone.
        LedgerUnavailable: there was a ledger, and now there is none.
    """
    pinned = settings.pinned_keys_path
    with _exclusive(settings):
        if pinned.exists() and settings.embedded and not settings.embedded_database.exists():
            raise _gone(settings)
        create_ledger(settings.database_url)
        with _closed_on_failure(Service(settings, _opened(settings), clock)) as service:
            with service.ledger.read() as reader:
                first_time = reader.size == 0
            if first_time and pinned.exists():
                raise _gone(settings)
            if first_time:
                _write_genesis(service)
            public = service.key.public_key  # a lost key must show now, not at the first decision
            if not pinned.exists():
                pinned.write_text(public_key_to_text(public) + "\n", "ascii")
            return service


def _opened(settings: Settings) -> Ledger:
    return open_ledger(settings.database_url, replica=settings.replica_url)


@contextmanager
def _closed_on_failure(service: Service) -> Iterator[Service]:
    try:
        yield service
    except BaseException:
        service.close()
        raise


def _gone(settings: Settings) -> LedgerUnavailable:
    return LedgerUnavailable(
        "the ledger is gone, but the keys of one are here",
        where=str(settings.home),
        hint="restore the database from backup, or start with another GATE_HOME",
        reason="cannot_decide",
    )


@contextmanager
def _exclusive(settings: Settings) -> Iterator[None]:
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (settings.home / "setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write_genesis(service: Service) -> None:
    settings, now = service.settings, service.clock()
    # A key left by a set-up that died before its first entry belongs to no ledger yet: use it.
    key = load_key(settings.key_path) if settings.key_path.exists() else create_key(settings.key_path)
    with service.ledger.write() as tx:
        append = partial(tx.append, recorded_at=now, by=SETUP, via="setup")
        append("genesis", tx.origin, {"origin": tx.origin, "product": f"consent-gate {__version__}"})
        public = public_key_to_text(key.public_key)
        append("key", key.key_id, {"key_id": key.key_id, "public_key": public, "state": "signing"})
        append_policy_activation(tx, load_policy(DEFAULT_POLICY), recorded_at=now, by=SETUP, via="setup")


def append_policy_activation(
    tx: Transaction,
    policy: Policy,
    *,
    recorded_at: datetime,
    by: str,
    via: str,
    acted: Mapping[str, Any] | None = None,
) -> Entry:
    """Record that decisions follow `policy` from here on; the table itself is kept beside the entry.

    Args:
        acted: how it came about, where people activated it; see `gate.service.acting`.
    """
    current = tx.latest("policy_activation")
    if current and current.body["digest"] == policy.digest:
        return current
    kept = tx.attach(canonical(policy.table), "application/json")  # its digest is the policy's
    body = {"name": policy.name, "version": policy.version, "digest": kept, **(acted or {})}
    subject = f"{policy.digest}@{tx.size}"  # the same policy may be activated again after another
    return tx.append("policy_activation", subject, body, recorded_at=recorded_at, by=by, via=via)[0]


def activate_policy(service: Service, policy: Policy, *, by: str, via: str) -> int:
    """Activate a policy; activating the active one adds nothing.

    Returns:
        The ledger index since which it is active.
    """
    now = service.clock()
    with service.ledger.write() as tx:
        return append_policy_activation(tx, policy, recorded_at=now, by=recorded_actor(tx, by), via=via).idx
