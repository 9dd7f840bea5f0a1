"""The lineage room: facets, events and their delivery; the only place that knows OpenLineage."""
