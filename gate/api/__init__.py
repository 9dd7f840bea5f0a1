"""HTTP API over the service."""
