"""What Airflow's provider manager asks of us; imported at every Airflow start, so it imports nothing."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Return the provider information of the package, as `airflow.provider_info.schema.json` asks."""
    return {
        "package-name": "airflow-provider-consent-gate",
        "name": "Consent Gate",
        "description": "Tags datasets, blocks training without recorded admin consent, emits OpenLineage.",
        "versions": ["0.1.0"],
        "connection-types": [
            {
                "connection-type": "consent_gate",
                "hook-class-name": "gate.airflow.hook.ConsentGateHook",
                "hook-name": "Consent Gate",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "port", "login"],
                    "relabeling": {"host": "Decision service (or database) URL", "password": "Token (or password)"},
                    "placeholders": {
                        "host": "https://gate.example  or  postgresql://gate@db.example/gate",
                        "extra": '{"keys": ["what gate keys show prints at the decision service"]}',
                    },
                },
            }
        ],
        "extra-links": ["gate.airflow.links.DecisionLink"],
        "config": {
            "consent_gate": {
                "description": "Consent Gate: nothing trains without a permit.",
                "options": {
                    "training_rules": {
                        "description": (
                            "Absolute path of the YAML file that says which tasks train although nobody marked them, "
                            "and which of these are exempt. Empty: only marked tasks train. A file that is missing "
                            "or malformed rejects every DAG."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "/etc/consent-gate/training-rules.yaml",
                        "default": "",
                    }
                },
            }
        },
        "notifications": ["gate.airflow.notifications.BlockedRunNotifier"],
        "task-decorators": [{"name": "training", "class-name": "gate.airflow.decorator.training"}],
    }
