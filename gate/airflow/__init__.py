"""The Airflow surface: operators, the training guard and their helpers; names are imported on first use.

from gate.airflow import ConsentGateOperator, ConsentSensor, TagDatasetOperator, dataset, mark_training, training, use
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gate.airflow.decorator import training
    from gate.airflow.guard import mark_training
    from gate.airflow.operators import ConsentGateOperator, TagDatasetOperator
    from gate.airflow.sensor import ConsentSensor
    from gate.domain.dataset import dataset
    from gate.domain.decision import wanted_use as use

__all__ = [
    "ConsentGateOperator",
    "ConsentSensor",
    "TagDatasetOperator",
    "dataset",
    "mark_training",
    "training",
    "use",
]

_HOMES = {
    "ConsentGateOperator": ("gate.airflow.operators", "ConsentGateOperator"),
    "ConsentSensor": ("gate.airflow.sensor", "ConsentSensor"),
    "TagDatasetOperator": ("gate.airflow.operators", "TagDatasetOperator"),
    "dataset": ("gate.domain.dataset", "dataset"),
    "mark_training": ("gate.airflow.guard", "mark_training"),
    "training": ("gate.airflow.decorator", "training"),
    "use": ("gate.domain.decision", "wanted_use"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gate.airflow' has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)
