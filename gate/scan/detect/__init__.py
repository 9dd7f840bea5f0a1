"""Detects from content which categories a file or folder bears, with evidence a person can check."""
