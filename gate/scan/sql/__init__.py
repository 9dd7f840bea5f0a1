"""Looks at tables of PostgreSQL where they are: who is in them, and the digest of what they hold, in one snapshot."""
