"""The use cases: tag, record consent, decide, permit, redeem; the only writer of the ledger."""
