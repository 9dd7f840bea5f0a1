"""The policy room: a versioned decision table and the one pure function that evaluates it."""

DEFAULT_POLICY = "zoom-2023-08"  # what a new ledger activates, until somebody activates another
