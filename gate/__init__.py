"""Consent Gate: no training on customer data without recorded admin consent."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# For scripts and notebooks. Looked up when asked for: verifying a permit on a GPU node needs none of the rest.
_EXPORTS = {
    "dataset": ("gate.domain.dataset", "dataset"),
    "redeemed": ("gate.cli.opening", "redeemed"),
    "use": ("gate.domain.decision", "wanted_use"),
    "verify_permit": ("gate.permits.permit", "verify_permit"),
}


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'gate' has no attribute {name!r}")
    module, attribute = _EXPORTS[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
