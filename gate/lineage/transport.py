"""OpenLineage transports that keep what they accept: into our store, or as whole lines of a local file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import attr
from openlineage.client.serde import Serde
from openlineage.client.transport import Config, Transport

from gate.home import default_home, lineage_url
from gate.lineage.intake import Intake
from gate.lineage.observed import observe


@attr.define
class AppendConfig(Config):  # type: ignore[misc]
    """Configuration: `log_file_path`, a path or `file://` URL, as the client's own `file` transport names it."""

    log_file_path: str

    @classmethod
    def from_dict(cls, params: dict[str, Any]) -> AppendConfig:
        """Read the transport's configuration.

        Raises:
            KeyError: no `log_file_path`.
        """
        return cls(params["log_file_path"].removeprefix("file://"))


class AppendTransport(Transport):  # type: ignore[misc]
    """Writes one JSON line per event, so that concurrent writers never interleave.

    One write by construction, where the client's `file` transport has what Python's buffering makes of it, and a
    write that was taken in part is an error, not a broken line that counts as delivered. Its import path is its type:
    `{"type": "gate.lineage.transport.AppendTransport", "log_file_path": "/var/log/events.jsonl"}`.
    Local file systems only: NFS does not append atomically.
    """

    kind = "gate_append"
    config_class = AppendConfig

    def __init__(self, config: AppendConfig) -> None:
        self.config = config

    def emit(self, event: Any) -> None:
        """Append the event.

        Raises:
            OSError: the file cannot be opened, or not all of the line was taken.
        """
        line = (Serde.to_json(event) + "\n").encode()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self.config.log_file_path, flags, 0o666)  # the umask decides, as for any log
        try:
            if os.write(descriptor, line) != len(line):
                raise OSError("the event was written in part; it will be delivered again")
        finally:
            os.close(descriptor)


@attr.define
class GateConfig(Config):  # type: ignore[misc]
    """Configuration: where the lineage store and our home are, unless the environment says so.

    Attributes:
        lineage_url: SQLAlchemy URL of the store; default as `gate` finds it: `GATE_LINEAGE_URL`, the PostgreSQL
            database of `GATE_DATABASE_URL`, or a SQLite file below the home.
        home: folder with the spool; default `GATE_HOME`.
    """

    lineage_url: str
    home: Path

    @classmethod
    def from_dict(cls, params: dict[str, Any]) -> GateConfig:
        """Read the transport's configuration; everything in it may be left out."""
        home = Path(params["home"]).expanduser().absolute() if params.get("home") else default_home()
        return cls(
            params.get("lineage_url") or lineage_url(os.environ, os.environ.get("GATE_DATABASE_URL"), home), home
        )


class GateTransport(Transport):  # type: ignore[misc]
    """Writes each event into the lineage store; while that cannot be written, into a spool that is taken in later.

    Its import path is its type: `{"type": "gate.lineage.transport.GateTransport"}`, alone or inside `composite`.
    """

    kind = "gate"
    config_class = GateConfig

    def __init__(self, config: GateConfig) -> None:
        self.config = config
        self._intake = Intake(config.lineage_url, config.home)

    def emit(self, event: Any) -> None:
        """Keep the event, one of the client's or a dictionary: durable when this returns.

        Raises:
            InputError: it is no event, or the store's URL is none.
            OSError: neither the store nor the spool can be written.
        """
        self._intake.accept(observe(json.loads(Serde.to_json(event))))

    def close(self, timeout: float = -1) -> bool:  # noqa: ARG002 - nothing is on its way
        """Release the store."""
        self._intake.close()
        return True
