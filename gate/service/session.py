"""Training that no guard stands in front of: redeem, open exactly what was permitted, look again meanwhile, attest."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gate.domain.dataset import Dataset
from gate.domain.decision import WantedUse
from gate.domain.run import TaskRun
from gate.errors import InputError
from gate.service.ports import Attested, DecisionService, Redeemed
from gate.service.worker import ATTEST_FOR, attest, check_still_standing, redeem

if TYPE_CHECKING:
    from gate.scan.opening import PermittedData

ACTOR = "service:gate-run"  # who redeems outside of a guard, in the embedded mode; a remote service goes by the token

# What Airflow sets for the processes its tasks start. It has no name for the map index; this is how it would spell it.
_VARIABLES = {
    "dag_id": "AIRFLOW_CTX_DAG_ID",
    "run_id": "AIRFLOW_CTX_DAG_RUN_ID",
    "task_id": "AIRFLOW_CTX_TASK_ID",
    "map_index": "AIRFLOW_CTX_MAP_INDEX",
    "try_number": "AIRFLOW_CTX_TRY_NUMBER",
}


@dataclass(frozen=True, slots=True)
class Session:
    """A redeemed permit in the hands of a notebook or script.

    Attributes:
        service: who is asked whether the permission still stands; open as long as this is used.
        redeemed: the permit and its redemption.
    """

    service: DecisionService
    redeemed: Redeemed

    @contextmanager
    def open(self, dataset: Dataset) -> Iterator[PermittedData]:
        """Open the permitted version of a dataset as a private copy, verified on open and again at close.

        Args:
            dataset: one of those that were named when redeeming; its consented subset is opened where there is one.

        Raises:
            PermitRefused: not permitted.
            DatasetError: the bytes are not the permitted ones.
        """
        with open_permitted(self.redeemed, dataset, self.service.settings.private_path) as data:
            yield data

    def check(self) -> None:
        """Look again whether the permission still stands; call it in long trainings.

        Raises:
            PermitRefused: it does not; stop.
            CannotDecide: the service cannot be asked.
        """
        check_still_standing(self.service, self.redeemed)

    def produced(self, path: str | Path, *, patience: float = ATTEST_FOR) -> Attested:
        """Attest a model that is finished, while the task's try is still running; saying it again changes nothing.

        Args:
            path: a file or a folder.
            patience: seconds to wait for a service that does not answer.

        Returns:
            Its ledger entry and the signed in-toto statement about it.

        Raises:
            DatasetError: there is nothing to read there.
            PermitRefused: the try is not running any more.
            CannotDecide: nobody answered in time.
        """
        return attest(lambda: nullcontext(self.service), self.redeemed, path, by=ACTOR, patience=patience)


def begin(service: DecisionService, reads: Sequence[Dataset], wanted: WantedUse, run: TaskRun) -> Session:
    """Redeem the permit of a task's try; doing so again for the same try gets the same redemption.

    Raises:
        PermitRefused: see `gate.service.worker.redeem`.
        CannotDecide: ledger, service or Airflow cannot be asked.
    """
    session = Session(service, redeem(service, run, reads, wanted, by=ACTOR))
    session.check()  # a try that redeemed before gets the answer it got then
    return session


@contextmanager
def open_permitted(redeemed: Redeemed, dataset: Dataset, private: Path) -> Iterator[PermittedData]:
    """Open the permitted version of a dataset below the folder `private`; see `Session.open`."""
    from gate.scan.opening import PermittedData
    from gate.scan.sql.address import is_table

    version = redeemed.version_for(dataset)
    private.mkdir(mode=0o700, parents=True, exist_ok=True)
    if is_table(version.dataset):
        from gate.scan.sql.opening import PermittedTable

        with PermittedTable(version, private) as rows:
            yield rows
        return
    with PermittedData(version, private) as data:
        yield data


def run_of_environment(environ: Mapping[str, str] = os.environ, **given: str | int | None) -> TaskRun:
    """Return the task's try that this process works for.

    It is a claim: whoever redeems asks Airflow whether that try is running now.

    Args:
        environ: holds what Airflow gives the processes of its tasks (`AIRFLOW_CTX_…`). A missing map index is -1.
        given: `dag_id`, `run_id`, `task_id`, `map_index`, `try_number`; these go before the environment.

    Raises:
        InputError: one is missing, or a number is none.
    """
    words = {name: given.get(name) for name in _VARIABLES}
    found = {name: environ.get(_VARIABLES[name]) if word is None else word for name, word in words.items()}
    if found["map_index"] in (None, ""):
        found["map_index"] = -1
    for name, word in found.items():
        if word in (None, ""):
            raise InputError(
                "it is not known for which try of which task this is", where=_VARIABLES[name], hint=f"set it, or {name}"
            )
    return TaskRun(
        str(found["dag_id"]),
        str(found["run_id"]),
        str(found["task_id"]),
        _number(found["map_index"], "map_index"),
        _number(found["try_number"], "try_number"),
    )


def _number(word: str | int | None, name: str) -> int:
    try:
        return int(str(word))
    except ValueError:
        raise InputError("is not a number", where=_VARIABLES[name]) from None
