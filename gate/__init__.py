"""Consent Gate: no training on customer data without recorded admin consent."""

__version__ = "0.1.0"
