"""Where people reach this Airflow, as its configuration says."""

from __future__ import annotations

from urllib.parse import urlsplit


def base_path() -> str:
    """Return the path below which Airflow is reached, such as `/airflow`; empty for most."""
    return urlsplit(_base_url()).path.rstrip("/")


def origin() -> str | None:
    """Return scheme and host, such as `https://airflow.example`; `None` when nobody said."""
    said = urlsplit(_base_url())
    return f"{said.scheme}://{said.netloc}" if said.netloc else None


def _base_url() -> str:
    from airflow.configuration import conf

    return conf.get("api", "base_url", fallback="") or ""
