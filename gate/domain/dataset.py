"""Datasets, their versions, and how a row or file names its account."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gate.domain.canonical import digest
from gate.errors import InputError

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://")
TABLES = "postgres://"  # of OpenLineage's naming: postgres://HOST:PORT/DATABASE.SCHEMA.TABLE


@dataclass(frozen=True, slots=True)
class AccountLocator:
    """How a row or file names its account.

    kind `column`: a column, scalar or list (hive partitions are columns); `path`: a pattern of the file's path
    relative to the dataset with `{account}` once, e.g. `{account}/*.wav`; `constant`: one account owns it all;
    `nobody`: the data is about no account (only `none` and declassified data may say so).
    """

    kind: Literal["column", "path", "constant", "nobody"]
    value: str = ""

    def __str__(self) -> str:
        """Return the text form that `parse_locator` reads."""
        if self.kind == "nobody":
            return "nobody:"
        return self.value if self.kind == "column" and ":" not in self.value else f"{self.kind}:{self.value}"


def parse_locator(text: str) -> AccountLocator:
    """Read `COLUMN`, `column:NAME`, `path:{account}/*.wav`, `constant:ACCOUNT` or `nobody:`.

    Raises:
        InputError: empty, or a path pattern without exactly one `{account}`.
    """
    head, colon, rest = text.partition(":")
    if not colon or head not in ("column", "path", "constant", "nobody"):
        head, rest = "column", text
    if head == "nobody":
        return AccountLocator("nobody")
    if not rest.strip():
        raise InputError("names no column, path pattern or account", where="account locator", hint="like account_id")
    if head == "path":
        if rest.count("{account}") != 1:
            raise InputError("must hold {account} exactly once", where="account locator", hint="like {account}/*.wav")
        return AccountLocator("path", rest)
    return AccountLocator("constant" if head == "constant" else "column", rest)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset as a DAG author names it: where it is and how its rows name their accounts.

    Attributes:
        uri: a location any of fsspec's protocols opens: file, folder or glob; local paths become `file://`. Or a table
            of PostgreSQL: `postgres://HOST:PORT/DATABASE.SCHEMA.TABLE`.
        account: the account locator.
        category_column: column with each row's own category, when rows differ.
    """

    uri: str
    account: AccountLocator
    category_column: str | None = None

    @property
    def namespace(self) -> str:
        """OpenLineage namespace: `file`, or scheme and authority such as `s3://bucket`."""
        if self.uri.startswith("file://"):
            return "file"
        scheme, _, rest = self.uri.partition("://")
        return f"{scheme}://{rest.split('/', 1)[0]}"

    @property
    def name(self) -> str:
        """OpenLineage name: the path within the namespace."""
        if self.uri.startswith("file://"):
            return self.uri.removeprefix("file://")
        _, _, rest = self.uri.partition("://")
        return rest.split("/", 1)[1] if "/" in rest else "/"

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {"uri": self.uri, "account": str(self.account), "category_column": self.category_column}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Dataset:
        """Read what `to_dict` wrote."""
        return dataset(data["uri"], account=data["account"], category_column=data.get("category_column"))


def dataset(uri: str, account: str | None = None, *, category_column: str | None = None) -> Dataset:
    """Name a dataset.

    Args:
        uri: `file:///lake/meetings`, an absolute local path, `s3://bucket/key`, …; a table of PostgreSQL by
            `postgres://db:5432/lake.public.calls`.
        account: account locator text (see `parse_locator`); omitted: the data is about no account.
        category_column: column with each row's category, when rows differ.

    Raises:
        InputError: a relative path, a database's URL with a password in it, or a locator that cannot be read.
    """
    if uri.startswith((TABLES, "postgresql")) and ("@" in uri or not uri.startswith(TABLES)):  # lineage would tell it
        raise InputError(
            "a table is named without user and password",
            where="dataset",
            hint="like postgres://db.example:5432/lake.public.calls; log in by PGUSER, PGPASSFILE or a connection",
        )
    if not _SCHEME.match(uri):
        if not uri.startswith("/"):
            raise InputError(f"{uri!r} is neither a URI nor an absolute path", where="dataset")
        uri = "file://" + uri
    stem = uri.rstrip("/") or uri
    return Dataset(stem, parse_locator(account or "nobody:"), category_column)


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """A dataset with the digest of its bytes: what tags, decisions and permits are about.

    Attributes:
        digest: `sha256:` of the canonical manifest (relative path, size and SHA-256 of every file).
        files: how many files.
        size: bytes in all.
        subset_of: for a consented subset, the URI of the dataset it was cut from: it stands for that one.
    """

    dataset: Dataset
    digest: str
    files: int
    size: int
    subset_of: str | None = None

    @property
    def key(self) -> str:
        """One text per version: namespace, name and digest, hashed."""
        return digest([self.dataset.namespace, self.dataset.name, self.digest])

    def stands_for(self, wanted: Dataset) -> bool:
        """Whether a job that asked for `wanted` may read this version: the same dataset, or a subset cut from it."""
        return self.dataset == wanted or self.subset_of == wanted.uri

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            **self.dataset.to_dict(),
            "digest": self.digest,
            "files": self.files,
            "size": self.size,
            "subset_of": self.subset_of,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DatasetVersion:
        """Read what `to_dict` wrote."""
        return cls(Dataset.from_dict(data), data["digest"], data["files"], data["size"], data["subset_of"])
