"""The contracts of categories, for users of Great Expectations: as a suite of their own, or checked at once."""

from __future__ import annotations

from gate.scan.contracts.checking import check_contract, check_dataset_contract, sql_table
from gate.scan.contracts.suite import Column, contract_suite

__all__ = ["Column", "check_contract", "check_dataset_contract", "contract_suite", "sql_table"]
