"""Counts and cuts on a Spark cluster, with the very answers of DuckDB; nothing here decides anything."""
