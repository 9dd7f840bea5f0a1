"""What it takes to call data anonymous: the methods with their sources, and what a measurement of k-anonymity shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from gate.domain.words import Method
from gate.errors import InputError

METHODS: Mapping[Method, str] = {
    Method.K_ANONYMITY: "K-anonymity model, ISO/IEC 20889:2018; Sweeney 2002, doi:10.1142/S0218488502001648",
    Method.AGGREGATION: "Aggregation, a statistical tool of ISO/IEC 20889:2018",
    Method.SAFE_HARBOR: "Safe harbor, 45 CFR 164.514(b)(2): the 18 identifiers removed, and no actual knowledge",
    Method.EXPERT_DETERMINATION: "Expert determination, 45 CFR 164.514(b)(1): an expert documents a very small risk",
}
K_FLOOR = 5  # rows: the "cell size of five" rule, a risk of 0.2 at most (El Emam 2013, doi:10.1201/b14764-29)
MAX_COLUMNS = 1000  # of a table that is called anonymous
_MAX_NAME = 500  # characters of a column's name


@dataclass(frozen=True, slots=True)
class SensitiveColumn:
    """A column that does not help to find anybody but tells something of whoever was found.

    Attributes:
        number: each of its values is a number.
        distinct: how many different values it has, nulls aside.
        rarest: rows in which its rarest value stands, nulls aside; 0 if all are null.
        diversity: the fewest different values in any group, null being one: distinct l-diversity
            (Machanavajjhala et al. 2007, doi:10.1145/1217299.1217302). 1: to know the group is to know the value.
    """

    column: str
    number: bool
    distinct: int
    rarest: int
    diversity: int

    def shortcoming(self, rows: int, k: int) -> str | None:
        """Say why this column names somebody by itself, if it does.

        A number may be rare but not (nearly) every row's own; any other value must stand in `k` rows.
        """
        if self.number and 2 * self.distinct > rows:
            return f"the column {self.column!r} has a number of its own in most rows: round it or leave it out"
        if not self.number and self.distinct and self.rarest < k:
            return f"the column {self.column!r} has values that fewer than {k} rows share: generalize or suppress them"
        return None


@dataclass(frozen=True, slots=True)
class Anonymity:
    """How anonymous a table is. Every column of it is one of `quasi_identifiers` or `sensitive`.

    Attributes:
        digest: of the dataset version that was measured.
        rows, groups: how many rows, in how many groups that are alike in all quasi-identifiers (null is a value).
        k_measured: rows of the smallest group.
    """

    digest: str
    quasi_identifiers: tuple[str, ...]
    sensitive: tuple[SensitiveColumn, ...]
    rows: int
    groups: int
    k_measured: int

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column of the table."""
        return (*self.quasi_identifiers, *(one.column for one in self.sensitive))

    def shortcomings(self, k: int) -> Iterator[str]:
        """Say what keeps the table from being k-anonymous."""
        if self.k_measured < k:
            yield f"the smallest group has {self.k_measured} rows, fewer than {k}"
        yield from filter(None, (one.shortcoming(self.rows, k) for one in self.sensitive))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {
            "digest": self.digest,
            "quasi_identifiers": list(self.quasi_identifiers),
            "sensitive": [{field.name: getattr(one, field.name) for field in fields(one)} for one in self.sensitive],
            "rows": self.rows,
            "groups": self.groups,
            "k_measured": self.k_measured,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote.

        Raises:
            InputError: it is no measurement, or contradicts itself.
        """
        _expect(data, fields(cls))
        names = data["quasi_identifiers"]
        if not isinstance(names, list) or not isinstance(data["sensitive"], list):
            raise InputError("expected lists of columns", where="evidence")
        sensitive = tuple(_sensitive(one) for one in data["sensitive"])
        counts = {name: _count(data[name], name) for name in ("rows", "groups", "k_measured")}
        digest = data["digest"]
        if not isinstance(digest, str):
            raise InputError("expected a digest", where="evidence.digest")
        found = cls(digest, tuple(_column(name) for name in names), sensitive, **counts)
        found._check()
        return found

    def _check(self) -> None:
        """Refuse what no table can show."""
        if not self.quasi_identifiers or len(set(self.columns)) < len(self.columns) or len(self.columns) > MAX_COLUMNS:
            raise InputError(
                f"expected each column once, at most {MAX_COLUMNS}, one of them a quasi-identifier", where="evidence"
            )
        least = self.groups * self.k_measured
        possible = self.k_measured >= 1 and self.groups >= 1 and least <= self.rows
        possible = possible and (self.groups > 1 or least == self.rows)
        if not possible or not all(
            one.distinct * one.rarest <= self.rows
            and (one.distinct == 0) == (one.rarest == 0)
            and 1 <= one.diversity <= min(one.distinct + 1, self.k_measured)
            for one in self.sensitive
        ):
            raise InputError("no table can be so: its counts contradict one another", where="evidence")


def checked_k(k: object) -> int:
    """Return the least size of a group that somebody asks for.

    Raises:
        InputError: not a number, or below `K_FLOOR`.
    """
    if _count(k, "k") < K_FLOOR:
        raise InputError(f"must be at least {K_FLOOR}", where="k", hint="see docs/declassification.md")
    return _count(k, "k")


def _sensitive(data: object) -> SensitiveColumn:
    if not isinstance(data, Mapping):
        raise InputError("expected a column and its counts", where="evidence.sensitive")
    _expect(data, fields(SensitiveColumn))
    if not isinstance(data["number"], bool):
        raise InputError("expected true or false", where="evidence.sensitive")
    counts = {name: _count(data[name], name) for name in ("distinct", "rarest", "diversity")}
    return SensitiveColumn(_column(data["column"]), data["number"], **counts)


def _expect(data: Mapping[str, Any], wanted: Any) -> None:
    names = {field.name for field in wanted}
    if set(data) != names:
        raise InputError(
            "expected exactly " + ", ".join(sorted(names)), where="evidence", hint="gate dataset anonymity"
        )


def _column(name: object) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= _MAX_NAME:
        raise InputError(f"expected names of columns, of 1 to {_MAX_NAME} characters", where="evidence")
    return name


def _count(number: object, name: str) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise InputError("expected a whole number", where=name)
    return number
