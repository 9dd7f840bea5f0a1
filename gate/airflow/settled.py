"""Which ledger counts is settled when Airflow starts: an environment that a DAG file changed opens no lock.

Airflow imports the cluster policy, and with it this module, before any DAG file runs. Without this, one line in a DAG
file (`os.environ["GATE_HOME"] = …`) leads gate and lock to a ledger of the author's own, where everybody agreed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from gate.errors import PermitRefused

CONNECTION = "AIRFLOW_CONN_"
_PREFIXES = ("GATE_", CONNECTION, "AIRFLOW__SECRETS__", "AIRFLOW__WORKERS__SECRETS_")
_NAMES = ("AIRFLOW_HOME", "HOME", "XDG_DATA_HOME")  # where a ledger without further settings lies


def check_settled(gate_conn_id: str) -> None:
    """Refuse if what leads to the ledger changed in this process since Airflow started.

    Args:
        gate_conn_id: the connection that is about to be used; authors may set others as they like.

    Raises:
        PermitRefused: `permit_mismatch`; it names the variables, never their values.
    """
    now, ours = _leading_there(), CONNECTION + gate_conn_id.upper()
    different = sorted(name for name in now.keys() | _AT_START.keys() if now.get(name) != _AT_START.get(name))
    if changed := [name for name in different if name == ours or not name.startswith(CONNECTION)]:
        raise PermitRefused(
            f"{', '.join(changed)} changed after Airflow started",
            where="environment",
            hint="a DAG file does not choose the ledger: set it where Airflow is started",
            reason="permit_mismatch",
        )


def _leading_there() -> Mapping[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(_PREFIXES) or name in _NAMES}


_AT_START = _leading_there()
