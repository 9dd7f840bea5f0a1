"""What lineage knows of a dataset's making: its sources, as tags and decisions count them."""

from __future__ import annotations

import re

from gate.domain.dataset import Dataset
from gate.lineage.store.origins import origins
from gate.scan.batch import BATCH
from gate.service.core import Service
from gate.service.inheriting import Source

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def known_sources(service: Service, dataset: Dataset) -> list[Source]:
    """Return what the dataset was made from, as far as the lineage store has heard; rows that are no file came of none.

    Raises:
        LineageUnavailable: it cannot be asked now. Then nothing is decided: what is not known could block.
    """
    if dataset.uri == BATCH:
        return []
    service.intake.catch_up()
    with service.intake.store().read() as connection:
        found = origins(connection, (dataset.namespace, dataset.name))
    return [
        Source(*one.dataset, one.version if one.version and _DIGEST.fullmatch(one.version) else None, one.columns)
        for one in found
    ]
