"""Imports what gate tasks need before Airflow forks them: a platform's choice, paid for with its workers' memory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module

SETTING = "GATE_PRELOAD"
_MODULES = (
    "gate.lineage.facets",
    "gate.lineage.intake",
    "gate.lineage.store.ingest",
    "gate.scan.spark.counting",
    "gate.service.core",
    "gate.service.deciding",
    "gate.service.message",
    "gate.service.subsetting",
    "gate.service.tagging",
    "ibis.backends.duckdb.converter",
    "ibis.expr.types.groupby",
    "pyarrow.parquet",
)


def preload(environ: Mapping[str, str] = os.environ) -> None:
    """Import it where `GATE_PRELOAD` is `on`; what cannot be imported is the task's to complain of, not Airflow's."""
    if environ.get(SETTING) != "on":
        return
    for name in _MODULES:
        with suppress(Exception):
            import_module(name)
