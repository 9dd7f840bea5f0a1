"""Turns our lineage facets into what Airflow's OpenLineage provider wants; runs in its forked child."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gate.domain.dataset import Dataset


def declared_inputs(datasets: Iterable[Dataset]) -> Any:
    """Name datasets before anything is known of them; templated ones are left to the later events."""
    from openlineage.client.event_v2 import InputDataset

    known = [dataset for dataset in datasets if "{{" not in dataset.uri]
    return _lineage(inputs=[InputDataset(namespace=d.namespace, name=d.name) for d in known])


def _lineage(**parts: Any) -> Any:
    from airflow.providers.openlineage.extractors.base import OperatorLineage

    return OperatorLineage(**parts)
