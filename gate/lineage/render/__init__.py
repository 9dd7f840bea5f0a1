"""Writes an answer about lineage for others to read: as text, as a picture, as W3C PROV."""
