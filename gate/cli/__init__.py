"""The gate command line: one module per command group, nothing decided here."""
