"""A columnar copy of what the ledger says about accounts: what consent snapshots are made from."""
