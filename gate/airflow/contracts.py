"""Whether tag tasks check data contracts: a platform's choice, for Great Expectations takes seconds to load."""

from __future__ import annotations

import os
from collections.abc import Mapping

from gate.domain.switches import word_of

SETTING = "GATE_CONTRACTS"


def contracts_are_checked(environ: Mapping[str, str] = os.environ) -> bool:
    """Return what `GATE_CONTRACTS` says: `on` (the default) or `off`.

    Off, nothing is said of a contract: a tag without one neither passes nor fails it.

    Raises:
        InputError: it says something else.
    """
    return word_of(environ, SETTING, ("on", "off")) == "on"
