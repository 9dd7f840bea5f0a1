"""Tag a dataset version: measure it, look into it, record which categories it bears and where we know that from."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from importlib.util import find_spec
from typing import Any

from gate.domain.canonical import digest
from gate.domain.contract import ContractOutcome
from gate.domain.dataset import Dataset, DatasetVersion, dataset
from gate.domain.run import TaskRun
from gate.domain.words import Category, TagSource
from gate.errors import InputError
from gate.ledger.store import Transaction
from gate.scan.contracts.checking import Held, check_held_contract
from gate.scan.copying import at_hand
from gate.scan.detect.examination import Examination, examine
from gate.scan.spark.cluster import Spark
from gate.scan.sql.address import is_table
from gate.service.actors import PERSONAL_VIA, recorded_actor
from gate.service.anchors import recording
from gate.service.core import Service
from gate.service.inheriting import Source
from gate.service.origins import known_sources
from gate.service.ports import DecisionService, TagStatement
from gate.service.tags import Tagged, dataset_key, read_tags

_SHOWN = 6  # columns named in a sentence


def parse_categories(words: Iterable[str]) -> frozenset[Category]:
    """Read category words a person may declare.

    Raises:
        InputError: unknown, or one that only we may set.
    """
    allowed = [c.value for c in Category if c not in (Category.UNCLASSIFIED, Category.AGGREGATED_ANONYMOUS)]
    for word in (chosen := list(words)):
        if word not in allowed:
            raise InputError(
                f"{word!r} is not a category that can be declared",
                where="categories",
                hint="one of: " + ", ".join(allowed),
            )
    return frozenset(Category(word) for word in chosen)


def tag_dataset(
    service: DecisionService,
    dataset: Dataset,
    declare: Collection[str],
    *,
    by: str,
    via: str,
    run: TaskRun | None = None,
    source: DatasetVersion | None = None,
    made_from: Sequence[str] = (),
    resolve: Collection[str] = (),
    contracts: bool = False,
    spark: Spark | None = None,
) -> Tagged:
    """Record the categories of the dataset as its bytes are now.

    Args:
        service: the embedded service, or a remote one.
        dataset: where it is and how its rows name their accounts.
        declare: category words the caller vouches for; `none` means examined, and nothing of these.
        by: who says so; see `recorded_actor`.
        via: `cli`, `api`, `ui` or `airflow`.
        run: the task that tags, if one does.
        source: the version this one was cut from; its categories are inherited, and it stands for that dataset.
        made_from: URIs of the datasets it was made from, beside those that lineage knows; it bears what they bear.
        resolve: a person's answer to everything that is asked about this version: category words, or `none` for
            nothing beyond what is on record.
        contracts: check the data contracts of what is declared and found, where Great Expectations is installed.
        spark: look into the files, and check their contracts, on its executors.

    Returns:
        Everything recorded of this version so far, this tag included. Tagging twice with the same words adds nothing.

    Raises:
        InputError: an unknown category; or an answer to nothing, or by nobody who may answer.
        DatasetError: missing, empty, unreadable, or changing while it is read.
        CannotDecide: the engine or the table's database failed.
        LineageUnavailable: nobody can say now what it was made from.
    """
    declared, answer, contract = parse_categories(declare), parse_categories(resolve), None
    with _looked_into(dataset, spark) as (held, measured, seen):
        if contracts and _checkable():
            words = sorted(declared | answer | seen.categories - {Category.NONE})
            contract = check_held_contract(held, words, service.clock(), spark=spark)
    version = replace(measured, subset_of=None if source is None else source.dataset.uri)
    statement = TagStatement(
        version,
        declared=tuple(sorted(c.value for c in declared)),
        detected=tuple(sorted(c.value for c in seen.categories)),
        source=source,
        evidence=seen.evidence,
        columns=_columns(seen, dataset),
        contradictions=tuple(_contradictions(declared | answer, seen, _columns(seen, dataset))),
        unreadable=seen.unread,
        questions=(seen.question,) if seen.question else (),
        made_from=tuple(made_from),
        resolve=tuple(sorted(c.value for c in answer)),
        run=run,
        contract=contract,
    )
    return service.record_tag(statement, by=by, via=via)


@contextmanager
def _looked_into(dataset: Dataset, spark: Spark | None) -> Iterator[tuple[Held, DatasetVersion, Examination]]:
    """Give what of a dataset stays as it is while it is looked into: the files at hand, or a table's snapshot."""
    from gate.scan.sql.sampling import examine_table
    from gate.scan.sql.snapshot import snapshot

    if is_table(dataset):
        with snapshot(dataset) as table:
            yield table, *examine_table(table)
    else:
        with at_hand(dataset, shared=spark is not None) as (here, measured):
            yield here, measured, examine(here, spark)


def record_tag(service: Service, statement: TagStatement, *, by: str, via: str) -> Tagged:
    """Append what is said of a version; saying it again adds nothing.

    Raises:
        InputError: a category that nobody may say, or an answer that is none.
        LineageUnavailable: nobody can say now what it was made from.
    """
    version = statement.version
    if (version.subset_of is None) != (statement.source is None):
        raise InputError("must name the version it was cut from", where="tag.source")
    if statement.resolve and via not in PERSONAL_VIA:
        raise InputError(
            "only a person answers what detection asks",
            where="tag.resolve",
            hint="gate dataset tag --resolve, where the ledger is",
        )
    sources = _sources(service, statement)
    now = service.now()
    with recording(service) as tx:
        before = read_tags(tx, version, now, sources)
        answers = _answers(statement, before)
        body: dict[str, Any] = {
            "dataset": {"namespace": version.dataset.namespace, "name": version.dataset.name},
            "version": version.to_dict(),
            "statements": _statements(tx, statement, before, now),
            "evidence": [list(item) for item in statement.evidence],
            "columns": [list(pair) for pair in statement.columns],
            "contradictions": list(statement.contradictions),
            "unreadable": statement.unreadable,
            "questions": list(statement.questions),
            "answers": answers,
            "made_from": [source.to_dict() for source in sources],
            "run": statement.run and statement.run.to_dict(),
        }
        if statement.contract is not None:
            body["contract"] = statement.contract.to_dict()
        told_apart = ("statements", "contradictions", "unreadable", "version", "questions", "answers", "made_from")
        what = digest([*(body[name] for name in told_apart), via in PERSONAL_VIA, _outcomes(statement.contract)])
        tx.append("tag", _subject(tx, version, what), body, recorded_at=now, by=recorded_actor(tx, by), via=via)
        return read_tags(tx, version, now)


def _subject(tx: Transaction, version: DatasetVersion, what: str) -> str:
    """Return the subject of a tag: that of the newest if it says the same, for then nothing is added.

    What was said before the newest is said anew, or an outcome that has been mended would block for ever.
    """
    mine = f"{dataset_key(version.dataset)}/{version.digest}/"
    newest = tx.latest("tag", mine)
    if newest is not None and newest.subject.removeprefix(mine).partition("@")[0] == what:
        return newest.subject
    return f"{mine}{what}" if tx.find("tag", f"{mine}{what}") is None else f"{mine}{what}@{tx.size}"


def _statements(tx: Transaction, statement: TagStatement, before: Tagged, now: datetime) -> list[list[str]]:
    """Return (category, source) pairs; an answer counts as declared by whoever gives it."""
    said = {(c.value, TagSource.DECLARED.value) for c in parse_categories(statement.declared)}
    said |= {(c.value, TagSource.DETECTED.value) for c in _known(statement.detected)}
    if statement.source is not None:
        inherited = read_tags(tx, statement.source, now).categories or {Category.UNCLASSIFIED}
        said |= {(c.value, TagSource.INHERITED.value) for c in inherited}
    answered = {c.value for c in parse_categories(statement.resolve)}
    if answered == {Category.NONE.value} and (said or before.categories):
        answered = set()  # nothing beyond what is on record
    said |= {(word, TagSource.DECLARED.value) for word in answered}
    return [list(pair) for pair in sorted(said)]


def _answers(statement: TagStatement, before: Tagged) -> list[str]:
    if not statement.resolve:
        return []
    asked = [*statement.questions, *before.questions]
    if not asked:
        raise InputError("nothing is asked about this version", where="--resolve", hint="gate dataset show")
    return list(dict.fromkeys(asked))


def _sources(service: Service, statement: TagStatement) -> list[Source]:
    """Return what it was made from: what was declared, what it was cut from, what the lineage store knows."""
    declared = [dataset(uri) for uri in statement.made_from]
    found = [Source(one.namespace, one.name) for one in declared]
    if statement.source is not None:
        cut = statement.source
        found.append(Source(cut.dataset.namespace, cut.dataset.name, cut.digest))
    return sorted({*found, *known_sources(service, statement.version.dataset)}, key=Source.sort_key)


def _checkable() -> bool:
    return find_spec("great_expectations") is not None


def _outcomes(contract: ContractOutcome | None) -> list[Any]:
    """Return what tells two checks apart: not when they were made."""
    if contract is None:
        return []
    return [contract.suite, *([one.category, one.rule, one.column, one.outcome.value] for one in contract.rules)]


def _known(words: Iterable[str]) -> frozenset[Category]:
    """Read words that nobody chose: any category may be found, or come from a source."""
    try:
        return frozenset(Category(word) for word in words)
    except ValueError:
        raise InputError("names an unknown category", where="tag") from None


def _columns(seen: Examination, of: Dataset) -> tuple[tuple[str, str], ...]:
    """Return the columns a category shows in; whoever drops them keeps the account and category columns."""
    kept = {of.account.value if of.account.kind == "column" else None, of.category_column}
    return tuple(pair for pair in seen.columns if pair[1] not in kept)


def _contradictions(
    declared: Collection[Category], seen: Examination, columns: Sequence[tuple[str, str]]
) -> Iterable[str]:
    """Say where the bytes hold something that the declaration leaves out: it is tagged all the same.

    Declaring more than the bytes show contradicts nothing, and neither does declaring nothing at all.
    """
    said = ", ".join(sorted(declared))
    for category in sorted(seen.categories - set(declared)) if declared else ():
        files = max(n for word, _, n in seen.evidence if word == category)
        found = f"declared as {said}, but {files} of its files hold {category}"
        names = [repr(name) for word, name in columns if word == category]
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        yield f"{found}: columns {', '.join(names[:_SHOWN])}{more}" if names else found
