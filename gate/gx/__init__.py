"""Expectations about consent for any suite or checkpoint of Great Expectations 1.x; importing this registers them."""

from __future__ import annotations

from gate.gx.categories import ExpectDatasetCategoriesToBe
from gate.gx.consent import ExpectAccountsToHaveConsent

__all__ = ["ExpectAccountsToHaveConsent", "ExpectDatasetCategoriesToBe"]
