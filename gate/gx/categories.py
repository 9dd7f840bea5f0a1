"""`ExpectDatasetCategoriesToBe`: the categories of a dataset on record, or of a batch's rows, are those named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from great_expectations.compatibility.pydantic import Field, validator

from gate.domain.dataset import Dataset, dataset
from gate.domain.words import Category, Reason
from gate.errors import DatasetError, InputError
from gate.gx.base import GateExpectation, Sentence, listed, opened
from gate.gx.sampling import SAMPLED_ROWS
from gate.scan.detect.rows import RowsFound, detect_rows

if TYPE_CHECKING:
    from gate.service.tags import Tagged

_SAYABLE = tuple(category.value for category in Category if category is not Category.UNCLASSIFIED)


class ExpectDatasetCategoriesToBe(GateExpectation):
    """Expect that the categories of a dataset version on record, or of a batch's rows, are exactly these.

    With `dataset`: its files are hashed, and the tags of that very version looked up in the ledger: declared,
    detected, inherited, less what was declassified. Tags of other bytes do not count (`stale_tag`), and whatever else
    would block a gate (`tag_conflict`, `unclassified_data`) fails here, too. No tags: fails. The batch is not looked
    into.

    Without: the detection looks into a sample of the batch's rows, in no ledger: at most 1,000, of a pandas frame from
    all over it, of Spark and SQL those that come first. What it cannot tell is `unclassified`, and fails.

    Args:
        categories: all categories the data bears: `["chat"]`, `["audio", "video"]`, `["none"]`, ….
        dataset: the dataset as it was tagged: a URI, or an absolute path; omitted: the batch itself.
        account: the account locator it was tagged with; omitted: the data is about no account.
        category_column: the column with each row's category it was tagged with.

    Raises:
        InputError: an unknown category, a relative path, or a locator that cannot be read.
    """

    categories: list[str] = Field(description="The categories that the version bears.")
    dataset: str | None = Field(default=None, description="URI or absolute path of the dataset; else the batch.")
    account: str | None = Field(default=None, description="The account locator it was tagged with.")
    category_column: str | None = Field(default=None, description="The category column it was tagged with.")

    metric_dependencies: ClassVar[tuple[str, ...]] = (SAMPLED_ROWS,)
    success_keys: ClassVar[tuple[str, ...]] = ("categories", "dataset", "account", "category_column")
    args_keys: ClassVar[tuple[str, ...]] = success_keys

    @validator("categories")
    def _known_categories(cls, categories: list[str]) -> list[str]:
        unknown = [word for word in categories if word not in _SAYABLE]
        if unknown or not categories:
            what = f"{unknown[0]!r} is not a category" if unknown else "names no category"
            raise InputError(what, where="categories", hint="one of: " + listed(_SAYABLE))
        return sorted(set(categories))

    @validator("dataset")
    def _named_dataset(cls, uri: str | None) -> str | None:
        return uri and dataset(uri).uri

    @validator("account")
    def _readable_account(cls, account: str | None) -> str | None:
        return account and str(dataset("/", account).account)

    def get_validation_dependencies(self, *args: Any, **kwargs: Any) -> Any:
        """Sample the batch only where it is what the expectation is about."""
        needed = super().get_validation_dependencies(*args, **kwargs)
        if self.dataset is not None:
            needed.metric_configurations.pop(SAMPLED_ROWS)
        return needed

    def _validate(self, metrics: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        """Return what GX makes a result of; what is raised here is a failed result, too."""
        if self.dataset is None:
            return _found(detect_rows(metrics[SAMPLED_ROWS]), len(metrics[SAMPLED_ROWS]), frozenset(self.categories))
        tagged = _on_record(dataset(self.dataset, self.account, category_column=self.category_column))
        return _result(tagged, frozenset(self.categories))

    @classmethod
    def _sentence(cls, kwargs: Mapping[str, Any]) -> Sentence:
        params = {"categories": listed(kwargs.get("categories") or ())}
        if not kwargs.get("dataset"):
            return "the categories that a sample of the batch's rows bears must be $categories", params
        params["dataset"] = str(kwargs["dataset"])
        return "the categories on record of $dataset, as it is now, must be $categories", params


def _on_record(named: Dataset) -> Tagged:
    """Return what the ledger says of the dataset as its bytes are now."""
    from gate.scan.digest import measure
    from gate.service.tags import read_tags

    with opened() as service:
        try:
            version, _ = measure(named)
        except DatasetError as error:  # it may name a file, and a file's path an account
            raise DatasetError(error.message, where=named.uri, hint=error.hint, reason=error.reason) from None
        with service.ledger.read() as reader:
            return read_tags(reader, version, service.now(reader))


def _found(seen: RowsFound, rows: int, wanted: frozenset[str]) -> dict[str, Any]:
    found = frozenset(seen.categories)
    evidence = [
        {"category": one.category, "signal": one.signal, "where": one.where, "weight": round(one.weight, 3)}
        for one in seen.evidence
    ]
    return {
        "success": found == wanted,
        "result": {
            "observed_value": sorted(found),
            "details": {
                "missing": sorted(wanted - found),
                "unexpected": sorted(found - wanted),
                "problems": [Reason.UNCLASSIFIED_DATA.value] if seen.question else [],
                "question": seen.question,
                "evidence": evidence,
                "rows": rows,
            },
        },
    }


def _result(tagged: Tagged, wanted: frozenset[str]) -> dict[str, Any]:
    found = frozenset(category.value for category in tagged.categories)
    problems = sorted(problem.value for problem in tagged.problems)
    return {
        "success": found == wanted and not problems and bool(tagged.entries),
        "result": {
            "observed_value": sorted(found),
            "details": {
                "missing": sorted(wanted - found),
                "unexpected": sorted(found - wanted),
                "problems": problems,
                "sources": [list(pair) for pair in tagged.sources],
                "tags": list(tagged.entries),
                "version": tagged.version.digest,
            },
        },
    }
