"""The demo: a small lake in real formats, eight consent histories, and a real Airflow that runs the example DAGs."""
