"""The roll-out mode over HTTP: to be read; changing it is a two-person act."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from gate.api.auth import Reads
from gate.api.health import service_of
from gate.api.wire import API
from gate.service.modes import current_mode

router = APIRouter(prefix=API, tags=["records"])


@router.get("/mode")
def mode(request: Request, _: Reads) -> dict[str, Any]:
    """Show whether blocks stop training (`enforce`) or are recorded only (`observe`), and until when."""
    service = service_of(request)
    with service.ledger.read() as reader:
        return current_mode(reader, service.now(reader)).to_dict()
