"""The ledger room: one append-only log, its Merkle tree, and what can be read from it."""
