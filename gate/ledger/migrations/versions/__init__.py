"""The ledger's schema, one Alembic revision per change."""
