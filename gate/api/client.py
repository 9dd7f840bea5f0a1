"""A decision service far away, as workers see it: no ledger, no signing key, an answer that is verified or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gate.api.sending import Line, Question, asking, bounded, check_type, judging, writing
from gate.api.wire import unintelligible
from gate.domain.contract import ContractOutcome
from gate.domain.dataset import DatasetVersion
from gate.domain.decision import Decision, WantedUse, decision_from_dict
from gate.domain.instants import parse_instant, utc_now
from gate.domain.remedies import refused
from gate.domain.run import TaskRun
from gate.domain.words import Category, Reason
from gate.errors import InputError
from gate.permits.attestation import Artifact, verify_attestation
from gate.permits.keys import PublicKey
from gate.permits.permit import Permit, open_permit
from gate.permits.receipt import UNPERMITTED, new_nonce, verify_receipt
from gate.permits.succession import successors
from gate.service.ports import Attested, Produced, Redeemed, RedemptionRequest, TagStatement, wanted_to_dict
from gate.service.settings import Settings, read_settings

if TYPE_CHECKING:
    from gate.scan.census import Look
    from gate.service.answers import ReviewAnswer
    from gate.service.outcome import Asking, Outcome
    from gate.service.tags import Tagged

TIMEOUT = 30.0  # seconds for an ordinary answer
MAX_PASSING = 536_870_912  # bytes of an answer with accounts that pass

_T = TypeVar("_T")


class RemoteService:
    """A `gate.service.ports.DecisionService` over HTTP. Safe to use from several threads.

    Args:
        url: of `gate serve`; https, or http on a loopback address.
        token: a service token; it never appears in messages, logs or `repr`.
        pinned_keys: the public keys this machine trusts, from its own configuration, at least one.
        settings: this machine's places; read from the environment when omitted.
        clock: returns the present instant.
        timeout: seconds for an ordinary answer.

    Raises:
        InputError: an address without https, no token, or no pinned key.
    """

    def __init__(
        self,
        url: str,
        token: str,
        pinned_keys: Sequence[PublicKey],
        *,
        settings: Settings | None = None,
        clock: Callable[[], datetime] = utc_now,
        timeout: float = TIMEOUT,
    ) -> None:
        if not pinned_keys:
            raise InputError("no public key is pinned", where="pinned keys", hint="what `gate keys show` prints there")
        self.settings = settings or read_settings()
        self._clock = clock
        self._configured_keys = tuple(pinned_keys)
        self._line = Line(url, token, timeout)

    def __repr__(self) -> str:
        return f"RemoteService({self._line.url!r})"

    def __enter__(self) -> RemoteService:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release connections."""
        self._line.close()

    def clock(self) -> datetime:
        """Return the present instant."""
        return self._clock()

    @cached_property
    def pinned_keys(self) -> tuple[PublicKey, ...]:
        """The configured keys, and those they vouch for; asked for once, without any the ledger says is revoked."""
        answer = self._line.json(asking("/keys"))

        def read() -> tuple[PublicKey, ...]:
            revoked = [key["key_id"] for key in answer["keys"] if key["state"] == "revoked"]
            origin = answer["ledger_origin"]
            return successors(self._configured_keys, answer["statements"], ledger_origin=origin, revoked=revoked)

        return _understood(read)

    def ledger_size(self) -> int:
        """Return how many entries the ledger holds."""
        answer = self._line.json(asking("/ledger"))
        return _understood(lambda: _count(answer["size"]))

    def whoami(self) -> dict[str, Any]:
        """Return what this token is to the service: name, kind, issuer and scopes."""
        return self._line.json(asking("/whoami"))

    def record_tag(self, statement: TagStatement, *, by: str, via: str) -> Tagged:  # noqa: ARG002  # the token tells
        """Record what is said of a version, and return everything recorded of it."""
        answer = self._line.json(writing("/tags", statement.to_dict()))
        return _understood(lambda: _tagged(answer))

    def recorded_decision(self, run: TaskRun) -> Outcome | None:
        """Return what was decided for this very try, if it asked before."""
        return self._outcome(asking("/decisions", **run.to_dict()))

    def preview(self, looks: Sequence[Look], wanted: WantedUse) -> tuple[int, Decision]:
        """Return the ledger's size and the decision it would give, recording nothing."""
        answer = self._line.json(judging("/previews", _about(looks, wanted), _censuses(looks)))
        return _understood(lambda: (_count(answer["size"]), decision_from_dict(answer["decision"])))

    def record_decision(self, looks: Sequence[Look], wanted: WantedUse, asking: Asking) -> Outcome:
        """Decide, record, issue permits."""
        body = {**_about(looks, wanted), "asking": asking.to_dict()}
        answer = self._line.json(writing("/decisions", body, _censuses(looks)))
        return _understood(lambda: _outcome(answer, asking.run))

    def record_review(self, answer: ReviewAnswer, *, by: str, via: str) -> int:  # noqa: ARG002  # the token tells
        """Record what a reviewer answered; the service asks Airflow itself whether it stands there."""
        said = self._line.json(judging("/reviews", answer.to_dict()))
        return _understood(lambda: _count(said["index"]))

    def passing(self, looks: Sequence[Look], wanted: WantedUse, folder: Path) -> list[Path]:
        """Write, per dataset, who passes: Parquet as `write_subset` reads it, group 1."""
        packed = folder / "passing.zip"
        with self._line.answer(judging("/passing", _about(looks, wanted), _censuses(looks))) as answer:
            check_type(answer, "application/zip")
            with packed.open("wb") as file:
                for chunk in bounded(answer, MAX_PASSING):
                    file.write(chunk)
        return _unpacked(packed, folder, len(looks))

    def permit_of(self, run: TaskRun) -> Mapping[str, Any] | None:
        """Return the newest permit's envelope of this task of this run."""
        answer = self._line.json(asking("/permits", **run.to_dict()))

        def read() -> Mapping[str, Any] | None:
            envelope = answer["permit"]
            if envelope is not None and not isinstance(envelope, dict):
                raise TypeError
            return envelope

        return _understood(read)

    def record_redemption(self, request: RedemptionRequest, *, by: str) -> Redeemed:  # noqa: ARG002  # the token tells
        """Exchange the permit; the answer counts only with a fresh receipt of this very question by a pinned key.

        Redeeming is idempotent per try by itself, so it is sent again without an idempotency key, and judged anew.

        Raises:
            PermitRefused: the service refuses, or its answer does not hold.
        """
        answer = self._line.json(judging("/redemptions", request.to_dict()))
        envelope = answer.get("envelope")
        permit = None if envelope is None else self._permit(envelope, request)
        redeemed = _understood(lambda: Redeemed.from_dict(answer, permit))
        if redeemed.run != request.run:
            raise refused("the answer is about another try", Reason.PERMIT_MISMATCH)
        self._check_receipt(redeemed.receipt, redeemed, request.nonce)
        if permit is not None and (redeemed.versions, redeemed.use) != (permit.datasets, permit.use):
            raise refused("the answer says other than the permit", Reason.PERMIT_MISMATCH)
        return redeemed

    def record_check(self, redeemed: Redeemed) -> None:
        """Look again; raise if the permission is gone, or nobody with a pinned key says that it stands."""
        nonce = new_nonce()
        body = {"index": redeemed.index, "run": redeemed.run.to_dict(), "nonce": nonce}
        answer = self._line.json(judging("/checks", body))
        if answer.get("standing") is not True:
            raise unintelligible("it does not say whether the permission stands")
        self._check_receipt(answer.get("receipt"), redeemed, nonce)

    def record_attestation(self, produced: Produced, *, by: str) -> Attested:  # noqa: ARG002  # the token tells
        """Have a model attested; the answer counts only as a statement about this very model by a pinned key.

        Raises:
            PermitRefused: the service refuses, or attests something else.
            TamperingFound: no pinned key signed the answer.
        """
        answer = self._line.json(judging("/attestations", produced.to_dict()))
        attested = _understood(lambda: Attested(_count(answer["index"]), produced.model, dict(answer["envelope"])))
        said = verify_attestation(attested.envelope, self.pinned_keys)
        if (said.model, said.run, said.redemption.name) != (
            Artifact.of(produced.model),
            produced.run,
            produced.redemption,
        ):
            raise refused("the answer attests another model or try", Reason.PERMIT_MISMATCH)
        return attested

    def decision_of_run(self, dag_id: str, run_id: str) -> Outcome | None:
        """Return the newest decision of a DAG run."""
        return self._outcome(asking("/runs/decision", dag_id=dag_id, run_id=run_id))

    def refusal_of_run(self, dag_id: str, run_id: str) -> dict[str, Any] | None:
        """Return the newest refused redemption of a DAG run: `index`, `run`, `reason`, `message`."""
        answer = self._line.json(asking("/runs/refusal", dag_id=dag_id, run_id=run_id))
        return _understood(lambda: answer["refusal"] and dict(answer["refusal"]))

    def read(self, path: str, **params: str | int) -> dict[str, Any]:
        """GET anything else below `/api/v1`."""
        return self._line.json(asking(path, **params))

    def write(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST anything else below `/api/v1`, once however often it must be sent."""
        return self._line.json(writing(path, body))

    def _permit(self, envelope: object, request: RedemptionRequest) -> Permit:
        if not isinstance(envelope, dict):
            raise unintelligible("the permit it answers with is none")
        permit = open_permit(envelope, self.pinned_keys)
        wanted = request.wanted
        if (permit.dag_id, permit.task_id) != (request.run.dag_id, request.run.task_id):
            raise refused("the answer holds another task's permit", Reason.PERMIT_MISMATCH)
        if (permit.use.purpose, permit.use.feature, permit.use.model) != (wanted.purpose, wanted.feature, wanted.model):
            raise refused("the answer holds a permit for another use", Reason.PERMIT_MISMATCH)
        if any(request.measured.get(version.key) != version.digest for version in permit.datasets):
            raise refused("the answer holds a permit for other data", Reason.DATASET_CHANGED)
        return permit

    def _check_receipt(self, receipt: Any, redeemed: Redeemed, nonce: str) -> None:
        permit_id = redeemed.permit.permit_id if redeemed.permit else UNPERMITTED
        now = self.clock()
        said = verify_receipt(receipt, self.pinned_keys, permit_id=permit_id, run=redeemed.run, nonce=nonce, now=now)
        if said.index != redeemed.index:
            raise refused("the receipt is for another redemption", Reason.PERMIT_MISMATCH)

    def _outcome(self, question: Question) -> Outcome | None:
        found = self._line.json(question)
        return _understood(lambda: None if found["decision"] is None else _outcome(found["decision"]))


def _understood(read: Callable[[], _T]) -> _T:
    """Read an answer's fields; one that has them not, or has them wrong, is none."""
    try:
        return read()
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, InputError) as error:
        raise unintelligible(f"its answer lacks something ({type(error).__name__})") from None


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError
    return value


def _outcome(answer: Any, run: TaskRun | None = None) -> Outcome:
    """Touch everything a caller will look at, so that a broken answer shows here and not there."""
    from gate.service.outcome import Outcome

    outcome = Outcome.from_dict(answer)
    _count(outcome.index)
    _ = outcome.decision, outcome.versions, outcome.checkpoint, outcome.reasons, outcome.passes
    if not isinstance(outcome.permits, dict) or not all(
        isinstance(permit, dict) for permit in outcome.permits.values()
    ):
        raise TypeError
    if run is not None and TaskRun.from_dict(outcome.record["run"]) != run:
        raise unintelligible("it decided about another run")
    return outcome


def _tagged(answer: Mapping[str, Any]) -> Tagged:
    from gate.service.tags import Tagged

    return Tagged(
        version=DatasetVersion.from_dict(answer["version"]),
        categories=frozenset(Category(word) for word in answer["categories"]),
        sources=tuple((category, source) for category, source in answer["sources"]),
        problems=frozenset(Reason(word) for word in answer["problems"]),
        notes=tuple(str(note) for note in answer["notes"]),
        entries=tuple(_count(index) for index in answer["entries"]),
        declassified_until=parse_instant(until) if (until := answer["declassified_until"]) else None,
        questions=tuple(str(question) for question in answer["questions"]),
        contract=ContractOutcome.from_dict(answer["contract"]) if answer["contract"] else None,
    )


def _about(looks: Sequence[Look], wanted: WantedUse) -> dict[str, Any]:
    return {"versions": [look.version.to_dict() for look in looks], "wanted": wanted_to_dict(wanted)}


def _censuses(looks: Sequence[Look]) -> list[Path]:
    return [look.census.path for look in looks]


def _unpacked(packed: Path, folder: Path, expected: int) -> list[Path]:
    import zipfile

    paths = []
    try:
        with zipfile.ZipFile(packed) as archive:
            if archive.namelist() != [f"{number}.parquet" for number in range(expected)]:
                raise unintelligible("its answer holds other files than asked for")
            if sum(item.file_size for item in archive.infolist()) > MAX_PASSING:
                raise unintelligible("its answer is too large")
            for number in range(expected):
                path = folder / f"passing-{number}.parquet"
                path.write_bytes(archive.read(f"{number}.parquet"))
                paths.append(path)
    except zipfile.BadZipFile:
        raise unintelligible("its answer is no ZIP archive") from None
    finally:
        packed.unlink(missing_ok=True)
    return paths
