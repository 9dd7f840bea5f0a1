"""Redemption from the worker's side: the lock in front of training hashes the data and asks whoever holds the ledger.

It imports neither database nor policy: this is what every training task pays for.
"""

from __future__ import annotations

from collections.abc import Sequence

from gate.domain.dataset import Dataset, DatasetVersion
from gate.domain.decision import WantedUse
from gate.domain.run import TaskRun
from gate.errors import DatasetError, PermitRefused
from gate.permits.permit import open_permit
from gate.permits.receipt import new_nonce
from gate.scan.digest import measure
from gate.service.ports import DecisionService, Redeemed, RedemptionRequest


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


def _digest_now(version: DatasetVersion) -> str | None:
    try:
        return measure(version.dataset)[0].digest
    except DatasetError:
        return None
