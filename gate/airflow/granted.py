"""The permit a training function holds: opens exactly what was permitted, and remembers what was produced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gate.airflow.context import airflow_errors
from gate.airflow.hook import open_gate
from gate.domain.dataset import Dataset, DatasetVersion, dataset
from gate.domain.run import TaskRun
from gate.service.ports import Redeemed
from gate.service.worker import check_still_standing


@dataclass
class GrantedPermit:
    """A redeemed permit in the hands of a training function.

    Attributes:
        redeemed: the permit and its redemption.
        reads: the declared datasets, as written and as rendered.
        produced_paths: model files registered with `produced`.
    """

    redeemed: Redeemed
    reads: Mapping[Dataset, Dataset]
    gate_conn_id: str
    produced_paths: list[Path] = field(default_factory=list)

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
        """Register a model file for lineage and return its path."""
        self.produced_paths.append(Path(path))
        return str(path)

    def model(self) -> DatasetVersion | None:
        """Return the produced files as a dataset version named after the model; `None` when nothing was produced."""
        from gate.scan.digest import measure

        if not self.produced_paths:
            return None
        return measure(dataset(str(self.produced_paths[-1].absolute())))[0]
