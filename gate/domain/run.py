"""Which attempt of which task is asking: the names Airflow gives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gate.domain.canonical import canonical


@dataclass(frozen=True, slots=True)
class TaskRun:
    """One try of one task instance.

    Attributes:
        map_index: -1 for a task that is not mapped.
        try_number: 1 for the first try.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
    try_number: int = 1

    @property
    def key(self) -> str:
        """One text per try, unambiguous whatever the ids contain."""
        return canonical([self.dag_id, self.run_id, self.task_id, self.map_index, self.try_number]).decode()

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TaskRun:
        """Read what `to_dict` wrote."""
        return cls(**data)


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What Airflow itself says of a try that is running now.

    Attributes:
        triggered_by: (DAG id, run id) of the runs whose asset events triggered this try's run; empty otherwise.
    """

    triggered_by: tuple[tuple[str, str], ...] = ()
