"""The Airflow surface: the only place that imports airflow."""
