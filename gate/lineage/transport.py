"""An OpenLineage transport that appends each event to a local file as one whole line."""

from __future__ import annotations

import os
from typing import Any

import attr
from openlineage.client.serde import Serde
from openlineage.client.transport import Config, Transport


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
