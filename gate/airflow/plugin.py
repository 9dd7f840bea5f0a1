"""The Airflow plugin: registers the operator link (pages for reviewers join it later)."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin


class ConsentGatePlugin(AirflowPlugin):
    """Found through the entry point group `airflow.plugins`; nothing to configure."""

    name = "consent_gate"
