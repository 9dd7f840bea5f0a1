"""Tasks that a rule finds and that the rules file exempts; and one whose author says that it trains."""

from airflow.sdk import DAG
from planted import marked, unmarked

from support.training_shapes import SHAPES

for name, lock in (("exempt", unmarked), ("exempt_no_longer", unmarked), ("exempt_but_marked", marked)):
    with DAG(name, schedule=None, tags=["find-me"]) as dag:
        SHAPES["pod"](lock)
    globals()[name] = dag

with DAG("not_found", schedule=None) as not_found:
    SHAPES["pod"](unmarked)
