"""The permit a training function holds: opens exactly what was permitted, and has attested what was produced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gate.airflow.context import WORKER, airflow_errors
from gate.airflow.hook import open_gate
from gate.domain.dataset import Dataset, DatasetVersion
from gate.domain.run import TaskRun
from gate.service.ports import Attested, Redeemed
from gate.service.worker import ATTEST_FOR, attest, check_still_standing, measure_model


@dataclass
class GrantedPermit:
    """A redeemed permit in the hands of a training function.

    Attributes:
        redeemed: the permit and its redemption.
        reads: the declared datasets, as written and as rendered.
        produced_paths: models registered with `produced`, files or folders.
        attested: what the ledger says of them, in the same order; filled when the task's work has ended.
        patience: seconds an attestation waits for a service that does not answer.
    """

    redeemed: Redeemed
    reads: Mapping[Dataset, Dataset]
    gate_conn_id: str
    produced_paths: list[Path] = field(default_factory=list)
    attested: list[Attested] = field(default_factory=list)
    patience: float = ATTEST_FOR
    _ended: bool = False

    @property
    def run(self) -> TaskRun:
        """The try this permit was redeemed for."""
        return self.redeemed.run

    @contextmanager
    def open(self, dataset: Dataset) -> Iterator[Any]:
        """Open the permitted version of a dataset as a private copy, verified on open and again at close.

        Args:
            dataset: one of the declared `reads`; after `on_block="subset"` its consented subset is opened.

        Yields:
            An object with `paths()`, `pandas()`, `arrow()` and `duckdb()`.

        Raises:
            AirflowFailException: not permitted, or the bytes are not the permitted ones.
        """
        from gate.service.session import open_permitted
        from gate.service.settings import read_settings

        wanted = self.reads.get(dataset, dataset)
        with airflow_errors(), open_permitted(self.redeemed, wanted, read_settings().private_path) as data:
            yield data

    def check(self) -> None:
        """Look again whether the permission still stands; call it in long trainings.

        Raises:
            AirflowFailException: it does not.
        """
        with airflow_errors(), open_gate(self.gate_conn_id) as service:
            check_still_standing(service, self.redeemed)

    def produced(self, path: str | Path) -> str:
        """Register a model, file or folder, and return its path; it is hashed and attested when the task's work ends.

        Raises:
            AirflowFailException, AirflowException: the work has ended already, and it cannot be attested now.
        """
        if Path(path) not in self.produced_paths:
            self.produced_paths.append(Path(path))
        if self._ended:
            self.attest()
        return str(path)

    def attest(self) -> None:
        """Have every registered model attested that is not yet. The guard does so when the task's work has ended well.

        Raises:
            AirflowFailException: refused.
            AirflowException: nobody answered in time, or the model cannot be read; retried.
        """
        self._ended = True
        with airflow_errors():
            for path in self.produced_paths[len(self.attested) :]:
                self.attested.append(
                    attest(lambda: open_gate(self.gate_conn_id), self.redeemed, path, by=WORKER, patience=self.patience)
                )

    def models(self) -> list[DatasetVersion]:
        """Return what was produced as dataset versions: as attested, else as it is now."""
        rest = self.produced_paths[len(self.attested) :]
        return [*(one.model for one in self.attested), *map(measure_model, rest)]
