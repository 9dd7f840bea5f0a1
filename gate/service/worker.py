"""Training from the worker's side: what is read and what came of it is hashed here; whoever holds the ledger answers.

It imports neither database nor policy: this is what every training task pays for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from gate.domain.dataset import Dataset, DatasetVersion, dataset
from gate.domain.decision import WantedUse
from gate.domain.run import TaskRun
from gate.errors import CannotDecide, DatasetError, PermitRefused
from gate.permits.permit import open_permit
from gate.permits.receipt import new_nonce
from gate.scan.digest import measure
from gate.service.ports import Attested, DecisionService, Produced, Redeemed, RedemptionRequest

ATTEST_FOR = 300.0  # seconds a trained model waits for a service that does not answer
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds between two attempts; doubled each time


def redeem(service: DecisionService, run: TaskRun, reads: Sequence[Dataset], wanted: WantedUse, *, by: str) -> Redeemed:
    """Exchange the run's permit for the right to train now.

    Args:
        service: the embedded service, or a remote one; the data is hashed here in both cases.
        run: the training task's own try; redeeming is idempotent per try.
        reads: the datasets the task declares to read; exactly these must be permitted.
        wanted: the use the task declares.
        by: who asks; see `recorded_actor`.

    Raises:
        PermitRefused: no permit, not for this, expired, or overtaken by a later entry; recorded before it is raised.
        CannotDecide: Airflow or the ledger cannot be asked.
    """
    measured: dict[str, str | None] = {}
    envelope = service.permit_of(run)
    if envelope is not None:
        try:
            versions = open_permit(envelope, service.pinned_keys).datasets
        except PermitRefused:
            versions = ()  # whoever holds the ledger says no as well, and writes down why
        measured = {version.key: _digest_now(version) for version in versions}
    request = RedemptionRequest(run, tuple(reads), wanted, measured, new_nonce())
    return service.record_redemption(request, by=by)


def check_still_standing(service: DecisionService, redeemed: Redeemed) -> None:
    """Look again, for long trainings: raise if an entry since the decision takes the permission away.

    Raises:
        PermitRefused: with the reason, as at redemption.
    """
    service.record_check(redeemed)


def attest(
    opening: Callable[[], AbstractContextManager[DecisionService]],
    redeemed: Redeemed,
    path: str | Path,
    *,
    by: str,
    patience: float = ATTEST_FOR,
    pause: float = FIRST_PAUSE,
) -> Attested:
    """Have a model attested that a training produced; saying the same again gets the same.

    Hours of training are not thrown away for a minute's outage: a service that cannot answer is asked again.

    Args:
        opening: opens whoever holds the ledger, for one attempt.
        redeemed: what the training redeemed.
        path: the model: a file or a folder.
        by: who asks; see `recorded_actor`.
        patience: seconds after which no further attempt is begun.
        pause: seconds before the second attempt.

    Raises:
        DatasetError: there is no such file, or it changes while it is read.
        PermitRefused: there is no such redemption, or the try is not running any more.
        CannotDecide: nobody answered in time. The model is then not attested.
    """
    produced = Produced(redeemed.index, redeemed.run, measure_model(path))
    until = time.monotonic() + patience
    while True:
        try:
            with opening() as service:
                return service.record_attestation(produced, by=by)
        except CannotDecide as error:
            if time.monotonic() + pause > until:
                raise CannotDecide(
                    f"the model was trained but cannot be attested: {error}",
                    hint="train again when the gate can be reached; nobody may use a model without attestation",
                    reason="cannot_decide",
                ) from None
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def measure_model(path: str | Path) -> DatasetVersion:
    """Hash a model's file or folder.

    Raises:
        DatasetError: missing, empty or unreadable.
    """
    return measure(dataset(str(path) if "://" in str(path) else str(Path(path).absolute())))[0]


def _digest_now(version: DatasetVersion) -> str | None:
    try:
        return measure(version.dataset)[0].digest
    except DatasetError:
        return None
