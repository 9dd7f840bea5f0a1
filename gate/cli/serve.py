"""`gate serve`: run the decision service over HTTP."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from gate.cli.output import JSON

app = typer.Typer(add_completion=False, help="Run the decision service.")

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
GRACE = 20  # seconds running requests get at shutdown
KEEP_ALIVE = 30  # seconds an idle connection stays open
DOCS = "docs/service.md"


@app.command()
def serve(
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on.")] = 8686,
    workers: Annotated[int, typer.Option("--workers", min=1, max=64, help="Processes that answer.")] = 1,
    tls_cert: Annotated[Path | None, typer.Option("--tls-cert", help="Certificate chain (PEM).")] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", help="Its private key (PEM).")] = None,
    behind_proxy: Annotated[bool, typer.Option("--behind-proxy", help="A proxy in front does TLS.")] = False,
    airflow_url: Annotated[
        str | None, typer.Option("--airflow-url", help="Airflow that knows which tasks run; or GATE_AIRFLOW_URL.")
    ] = None,
    as_json: bool = JSON,
) -> None:
    """Run the decision service until it is told to stop (TERM or Ctrl-C); running requests are finished.

    Ledger and key are those of GATE_HOME and GATE_DATABASE_URL. Workers reach it by its URL and a token of
    `gate tokens create`; only where Airflow can be asked (GATE_AIRFLOW_USER with GATE_AIRFLOW_PASSWORD, or
    GATE_AIRFLOW_TOKEN) are permits redeemed. GATE_OIDC_ISSUER lets people log in.
    """
    import uvicorn

    from gate.api.airflow_identity import AIRFLOW_URL

    _check_reachable(host, tls_cert, tls_key, behind_proxy)
    if airflow_url:
        os.environ[AIRFLOW_URL] = airflow_url
    scheme = "http" if tls_cert is None else "https"
    _announce(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}", as_json)
    with _shared_metrics(workers):
        uvicorn.run(
            "gate.web.site:served",
            factory=True,
            host=host,
            port=port,
            workers=workers,
            ssl_certfile=tls_cert,
            ssl_keyfile=tls_key,
            access_log=False,  # our own metrics count; addresses never reach a log
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=GRACE,
        )


def _check_reachable(host: str, tls_cert: Path | None, tls_key: Path | None, behind_proxy: bool) -> None:
    """Refuse to send tokens over a network in the clear."""
    from gate.errors import InputError

    if (tls_cert is None) != (tls_key is None):
        raise InputError("certificate and key belong together", where="--tls-cert", hint="give --tls-key as well")
    for path in filter(None, (tls_cert, tls_key)):
        if not path.is_file():
            raise InputError("is not a file", where=str(path))
    if host not in LOOPBACK and tls_cert is None and not behind_proxy:
        raise InputError(
            "would take tokens over the network in the clear",
            where="--host",
            hint="give --tls-cert and --tls-key, or --behind-proxy when a proxy in front does TLS",
        )


def _announce(url: str, as_json: bool) -> None:
    """Open everything once before the workers do: what is missing shows here, and the banner tells what is there."""
    from gate.api.airflow_identity import AIRFLOW_URL
    from gate.api.health import check_ready
    from gate.api.oidc import read_oidc_settings
    from gate.api.serving import open_served

    oidc = read_oidc_settings(os.environ)
    with open_served() as service:
        check_ready(service)
        facts: dict[str, Any] = {
            "url": url,
            "entries": service.ledger_size(),
            "signing_key": service.key.key_id,
            "pinned_keys": [key.key_id for key in service.pinned_keys],
            "airflow": os.environ.get(AIRFLOW_URL),
            "oidc_issuer": oidc and oidc.issuer,
            "docs": DOCS,
        }
    if as_json:
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()
    else:
        _banner(facts)


def _banner(facts: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.panel import Panel
    from rich.table import Table

    rows = Table.grid(padding=(0, 2))
    rows.add_row("listening on", f"[bold]{facts['url']}[/bold]")
    rows.add_row("ledger", f"{facts['entries']:,} entries")
    rows.add_row("signing key", f"{facts['signing_key'][:16]}…")
    rows.add_row("pinned keys", ", ".join(f"{key_id[:16]}…" for key_id in facts["pinned_keys"]))
    rows.add_row("Airflow", facts["airflow"] or "[yellow]none: nothing can be redeemed (--airflow-url)[/yellow]")
    rows.add_row("log-ins", facts["oidc_issuer"] or "none: service tokens only (GATE_OIDC_ISSUER)")
    rows.add_row("docs", facts["docs"])
    Console(stderr=True).print(Panel(rows, title="Consent Gate decision service", expand=False))


@contextmanager
def _shared_metrics(workers: int) -> Iterator[None]:
    """Let several processes count together, in a folder that lives as long as the service."""
    if workers == 1:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="gate-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        yield
