"""Data contracts: what must hold of tables of a category, checked by Great Expectations where the data is."""
