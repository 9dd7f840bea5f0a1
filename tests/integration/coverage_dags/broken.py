"""An airflow DAG file that cannot be imported."""

import no_such_module_anywhere  # noqa: F401
from airflow.sdk import DAG  # noqa: F401
