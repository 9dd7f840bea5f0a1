"""Cluster policy: puts the guard in front of every training task, whatever the DAG author wrote."""

from __future__ import annotations
