"""The scan room: what is in a dataset; the only place that knows engines and formats."""
