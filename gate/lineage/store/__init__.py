"""The lineage store: every event raw, and the run-level graph that follows from them and can be made anew."""
