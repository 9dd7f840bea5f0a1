"""Every recorded decision and refusal in few words, kept in memory and extended by what the ledger gained since."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from sys import intern
from threading import Lock
from typing import Any, NamedTuple

from gate.domain.canonical import digest
from gate.domain.words import Verdict
from gate.ledger.store import Entry, Ledger, Reader, TreeHead

REFUSED = "refused"  # the verdict of a training task that was turned away
STARTED = "started"  # … and of one that the mode `observe` let start without a permit
DECIDED = frozenset(Verdict)
REF_BYTES = 32  # bytes of an account's reference in a list of permitted accounts
KEY_LENGTH = 16  # hex digits of a cause
KEPT_ACCOUNTS = 64  # accounts whose decisions are remembered


@dataclass(frozen=True, slots=True)
class Row:
    """A decision, or the refusal of a training task.

    Attributes:
        index: its ledger index.
        verdict: `allow`, `block`, `refused` when a training task was turned away, or `started` when the mode
            `observe` let it start without a permit.
        task_id: without our suffixes for decisions about subsets and reviews.
        categories: of the datasets, sorted; of a refusal, those of its run's decision, if that is known.
        datasets: their addresses, sorted; of a refusal as for categories.
        reasons: reason codes of what blocks, sorted.
        cause: equal for blocks that the same act would lift; empty for everything else.
        accounts: digest of the list of permitted accounts; empty for a refusal.
        detail: digest of the list of accounts that lack something; empty for a refusal.
    """

    index: int
    recorded_at: datetime
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int
    verdict: str
    purpose: str
    feature: str | None
    model: str | None
    ownership: str
    categories: tuple[str, ...]
    datasets: tuple[str, ...]
    reasons: tuple[str, ...]
    rows_blocked: int
    accounts_blocked: int
    observed: bool
    override: int | None
    subset: bool
    cause: str
    accounts: str = ""
    detail: str = ""

    @property
    def stopped(self) -> bool:
        """Whether the run really stopped here: a block that nothing let pass."""
        return self.verdict == Verdict.BLOCK and not self.observed and self.override is None

    @property
    def question(self) -> tuple[object, ...]:
        """What its gate asks again and again; the newest answer is the one that counts.

        Who owns the model is no part of it: registering the model answers the question anew.
        """
        return self.dag_id, self.task_id, self.map_index, self.purpose, self.feature, self.model


class _State(NamedTuple):
    """What was read, and the head of the ledger it was read up to."""

    origin: str = ""
    head: TreeHead | None = None
    rows: tuple[Row, ...] = ()


class DecisionIndex:
    """What the ledger holds of decisions; the ledger only grows, so nothing here is ever out of date, only behind.

    It may be asked from any thread. The first question reads all decisions; the others what is new since.
    """

    def __init__(self, ledger: Callable[[], Ledger]) -> None:
        self._ledger = ledger
        self._lock = Lock()
        self._state = _State()
        self._shared: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._runs: dict[tuple[str, str], Row] = {}  # newest decision of each run: a refusal does not say its use
        self._affecting: dict[str, tuple[int, frozenset[int]]] = {}  # account -> read up to, and found

    def rows(self) -> Sequence[Row]:
        """Return all rows, newest first, up to the ledger's newest entry.

        Raises:
            LedgerUnavailable: it cannot be read.
        """
        ledger, state = self._ledger(), self._state
        if ledger.look(lambda reader: (reader.origin, reader.head())) == (state.origin, state.head):
            return state.rows
        with self._lock, ledger.read() as reader:
            self._catch_up(reader)
            return self._state.rows

    def affecting(self, ref: str) -> frozenset[int]:
        """Return the indices of the decisions that an account is known to be in: permitted, or lacking something.

        Of the accounts that lack something a decision keeps those with the most rows; see `TOP_ACCOUNTS`.

        Args:
            ref: the account's reference.
        """
        self.rows()
        with self._lock:
            rows = self._state.rows
            newest, found = self._affecting.pop(ref, (-1, frozenset[int]()))
            fresh = list(takewhile(lambda row: row.index > newest, rows))
            if fresh:
                with self._ledger().read() as reader:
                    found |= _naming(reader, fresh, ref)
            self._affecting[ref] = (rows[0].index if rows else -1, found)
            for forgotten in list(self._affecting)[:-KEPT_ACCOUNTS]:
                del self._affecting[forgotten]
            return found

    def _catch_up(self, reader: Reader) -> None:
        """Read what is new; everything, when this is not the ledger that was read before, or no longer."""
        known = self._state
        if known.head is None or known.origin != reader.origin or not reader.had(known.head):
            known = _State(reader.origin, TreeHead(0, b""))
            self._shared, self._runs, self._affecting = {}, {}, {}
        start = known.head.size if known.head else 0
        fresh = [self._row(entry) for entry in reader.entries(("decision", "refusal"), start=start)]
        self._state = _State(reader.origin, reader.head(), (*reversed(fresh), *known.rows))

    def _row(self, entry: Entry) -> Row:
        return self._decision(entry) if entry.kind == "decision" else self._refusal(entry)

    def _decision(self, entry: Entry) -> Row:
        body = entry.body
        decision = body["decision"]
        use, blocks = decision["use"], decision["verdict"] == Verdict.BLOCK
        datasets = self._words(item["version"]["uri"] for item in body["datasets"])
        reasons = self._words(decision["reasons"])
        asked = body["run"]
        task_id, _, suffix = asked["task_id"].partition("#")
        row = Row(
            index=entry.idx,
            recorded_at=entry.recorded_at,
            dag_id=intern(asked["dag_id"]),
            run_id=intern(asked["run_id"]),
            task_id=intern(task_id),
            map_index=asked["map_index"],
            try_number=asked["try_number"],
            verdict=intern(decision["verdict"]),
            purpose=intern(use["purpose"]),
            feature=_word(use["feature"]),
            model=_word(use["model"]),
            ownership=intern(use["ownership"]),
            categories=self._words(category for item in body["datasets"] for category in item["categories"]),
            datasets=datasets,
            reasons=reasons,
            rows_blocked=body["rows_blocked"],
            accounts_blocked=body["accounts_blocked"],
            observed=body.get("observed", False),
            override=body.get("override"),
            subset=suffix.endswith("subset"),
            cause=_cause(use, reasons, datasets, decision["findings"]) if blocks else "",
            accounts=intern(body["accounts"]),
            detail=intern(body["detail"]),
        )
        self._runs[row.dag_id, row.run_id] = row
        return row

    def _refusal(self, entry: Entry) -> Row:
        body = entry.body
        asked, observed = body["run"], body.get("observed", False)
        decided = self._runs.get((asked["dag_id"], asked["run_id"]))
        return Row(
            index=entry.idx,
            recorded_at=entry.recorded_at,
            dag_id=intern(asked["dag_id"]),
            run_id=intern(asked["run_id"]),
            task_id=intern(asked["task_id"].partition("#")[0]),
            map_index=asked["map_index"],
            try_number=asked["try_number"],
            verdict=STARTED if observed else REFUSED,
            purpose=decided.purpose if decided else "",
            feature=decided.feature if decided else None,
            model=decided.model if decided else None,
            ownership=decided.ownership if decided else "",
            categories=decided.categories if decided else (),
            datasets=decided.datasets if decided else (),
            reasons=self._words(body.get("reasons", ()) if observed else filter(None, [body["reason"]])),
            rows_blocked=0,
            accounts_blocked=0,
            observed=observed,
            override=None,
            subset=False,
            cause="",
        )

    def _words(self, words: Iterable[str]) -> tuple[str, ...]:
        """Return words sorted, each once; equal lists are one object, for most decisions resemble another."""
        found = tuple(sorted(set(map(intern, words))))
        return self._shared.setdefault(found, found)


def _word(text: str | None) -> str | None:
    return None if text is None else intern(text)


def _cause(
    use: Mapping[str, Any], reasons: Sequence[str], datasets: Sequence[str], findings: Iterable[Mapping[str, Any]]
) -> str:
    """Return one short text for everything that the same act would lift."""
    blocking = sorted({finding["row"] or "" for finding in findings if finding["verdict"] == Verdict.BLOCK})
    found = digest([dict(use), list(reasons), list(datasets), blocking])
    return intern(found.rpartition(":")[2][:KEY_LENGTH])


def _naming(reader: Reader, rows: Iterable[Row], ref: str) -> frozenset[int]:
    """Return the decisions whose lists name an account; equal lists are read once."""
    known: dict[str, bool] = {"": False}
    lists = ((row, name) for row in rows for name in (row.accounts, row.detail))
    found = set()
    for row, name in lists:
        if name not in known:
            content = reader.attachment(name) or b""
            known[name] = _permits(content, ref) if name == row.accounts else f'"{ref}"'.encode() in content
        if known[name]:
            found.add(row.index)
    return frozenset(found)


def _permits(members: bytes, ref: str) -> bool:
    """Whether a sorted list of references holds one."""
    wanted = bytes.fromhex(ref)
    places = range(0, len(members), REF_BYTES)
    at = bisect_left(places, wanted, key=lambda place: members[place : place + REF_BYTES])
    return at < len(places) and members[places[at] : places[at] + REF_BYTES] == wanted
