"""A declassification says how and on what evidence; what the evidence does not show is refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gate.domain.dataset import Dataset, dataset
from gate.domain.instants import format_instant
from gate.domain.words import Method
from gate.errors import InputError
from gate.ledger.store import Entry
from gate.service.acting import Person
from gate.service.acts import approve, find_proposal, propose
from gate.service.archive import unpack
from gate.service.bundle import Scope, export_bundle
from gate.service.bundle_format import REPORT
from gate.service.bundle_verify import verify_bundle
from gate.service.core import Service
from gate.service.deciding import decide
from gate.service.decision_view import datasets
from gate.service.declassifying import declassification_of, told
from gate.service.tagging import tag_dataset
from gate.service.tags import dataset_key, read_tags
from support.anonymity import VOUCHED, alike, measured, table_file
from support.world import ASKING, RUN, USE, Clock, chat_file, new_service

ALICE, BOB = Person("airflow", "alice"), Person("airflow", "bob")
ROOT = Path(__file__).parents[3]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(tmp_path: Path, clock: Clock) -> Iterator[Service]:
    with new_service(tmp_path / "home", clock) as opened:
        yield opened


@pytest.fixture
def data(service: Service, tmp_path: Path) -> Dataset:
    return tagged(service, table_file(tmp_path, alike(6, 9)))


@pytest.fixture(scope="module")
def unmoved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Dataset, dict[str, Any]]]:
    """A ledger for what is refused, and so leaves it as it is."""
    folder = tmp_path_factory.mktemp("refused")
    with new_service(folder / "home") as opened:
        data = tagged(opened, table_file(folder, alike(6, 9)))
        yield opened, data, measured(data)


def tagged(service: Service, data: Dataset) -> Dataset:
    tag_dataset(service, data, ["telemetry"], by="eve", via="cli")
    return data


def proposed(service: Service, data: Dataset, how: dict[str, Any], digest: str = "") -> int:
    params = {
        "uri": data.uri,
        "digest": digest or how["evidence"]["digest"],
        "removes": ["telemetry"],
        "expires_at": format_instant(service.now() + timedelta(days=90)),
        **how,
    }
    return propose(service, "declassification", params, "ticket 17", by=ALICE)


def version_of(service: Service, data: Dataset) -> str:
    with service.ledger.read() as reader:
        return str(list(reader.entries("tag"))[-1].body["version"]["digest"])


def size(service: Service) -> int:
    with service.ledger.read() as reader:
        return reader.size


def test_measured_evidence_stands_in_the_ledger(service: Service, data: Dataset, clock: Clock) -> None:
    index = proposed(service, data, measured(data, k=6))
    with service.ledger.read() as reader:
        shown = find_proposal(reader, index, clock.now).params
    assert (shown["method"], shown["evidence"]["k"], shown["evidence"]["k_measured"]) == ("k_anonymity", 6, 6)
    effect = approve(service, index, by=BOB)
    assert effect.body["evidence"] == {
        "digest": effect.body["digest"],
        "quasi_identifiers": ["age", "area"],
        "sensitive": [],
        "rows": 15,
        "groups": 2,
        "k": 6,
        "k_measured": 6,
    }
    assert told(effect.body) == "k_anonymity, k = 6 (6 asked) over age, area"
    with service.ledger.read() as reader:
        found = declassification_of(reader, dataset_key(data), effect.body["digest"], clock.now)
    assert found is not None
    assert found.idx == effect.idx


@pytest.mark.parametrize("method", sorted(set(Method) - {Method.K_ANONYMITY}))
def test_where_the_document_is_can_be_erased(service: Service, data: Dataset, clock: Clock, method: str) -> None:
    index = proposed(service, data, {**VOUCHED, "method": method}, version_of(service, data))
    assert proposed(service, data, {**VOUCHED, "method": method}, version_of(service, data)) == index
    effect = approve(service, index, by=BOB)
    with service.ledger.read() as reader:
        assert find_proposal(reader, index, clock.now).params["evidence"] == VOUCHED["evidence"]
        assert b"Ada" not in b"".join(entry.payload for entry in reader.entries())
    assert told(effect.body) == f"{method}, document sha256:{'ab' * 32}"
    with service.ledger.write() as tx:
        assert tx.erase([effect.body["evidence"]["reference_ref"]]) == 1
    with service.ledger.read() as reader:
        assert find_proposal(reader, index, clock.now).params["evidence"]["reference"] is None


@pytest.mark.parametrize(
    "how",
    [
        {"method": "k_anonymity", "evidence": None},
        {"method": "k_anonymity", "evidence": {}},
        {"method": "k_anonymity", "evidence": {"k": 5}},
        {"method": "k_anonymity", "evidence": VOUCHED["evidence"]},
        {"method": "trust_me", "evidence": VOUCHED["evidence"]},
        {"method": ["aggregation"], "evidence": VOUCHED["evidence"]},
        {"method": "aggregation"},
        {"evidence": VOUCHED["evidence"]},
        {"method": "aggregation", "evidence": "see ticket 17"},
        {"method": "aggregation", "evidence": {"reference": "somewhere"}},
        {"method": "aggregation", "evidence": {"document_sha256": "sha256:" + "ab" * 32}},
        {"method": "aggregation", "evidence": {**VOUCHED["evidence"], "reference": ""}},
        {"method": "aggregation", "evidence": {**VOUCHED["evidence"], "reference": 7}},
        {"method": "aggregation", "evidence": {**VOUCHED["evidence"], "document_sha256": "ab" * 32}},
        {"method": "aggregation", "evidence": {"document_sha256": "sha256:" + "ab" * 32, "reference_ref": "ff"}},
    ],
)
def test_without_method_and_evidence_there_is_none(
    unmoved: tuple[Service, Dataset, dict[str, Any]], how: dict[str, Any]
) -> None:
    service, data, _ = unmoved
    before, digest = size(service), version_of(service, data)
    with pytest.raises(InputError):
        proposed(service, data, how, digest)
    assert size(service) == before


SENSITIVE = {"column": "area", "number": False, "distinct": 1, "rarest": 15, "diversity": 1}


@pytest.mark.parametrize(
    "changes",
    [
        {"k": 7},
        {"k": 4},
        {"k": 2, "k_measured": 2},
        {"k": True},
        {"k": 5.5},
        {"k_measured": 9},
        {"k_measured": 0},
        {"rows": 11},
        {"groups": 0},
        {"groups": 1},
        {"rows": "15"},
        {"digest": "sha256:" + "0" * 64},
        {"digest": None},
        {"quasi_identifiers": []},
        {"quasi_identifiers": "age"},
        {"quasi_identifiers": ["age", "age"]},
        {"quasi_identifiers": ["age", ""]},
        {"quasi_identifiers": ["age", 7]},
        {"quasi_identifiers": [f"c{place}" for place in range(1001)]},
        {"sensitive": [SENSITIVE]},
        {"sensitive": ["area"]},
        {"sensitive": {}},
        *(
            {"quasi_identifiers": ["age"], "sensitive": [{**SENSITIVE, **wrong}]}
            for wrong in (
                {"rarest": 3},
                {"number": True, "distinct": 8, "rarest": 1},
                {"number": 1},
                {"distinct": 0},
                {"distinct": 2},
                {"diversity": 0},
                {"diversity": 3},
                {"distinct": -1},
                {"values": ["north"]},
            )
        ),
        {"sampled": True},
    ],
)
def test_evidence_that_does_not_show_it_is_refused(
    unmoved: tuple[Service, Dataset, dict[str, Any]], changes: dict[str, Any]
) -> None:
    service, data, how = unmoved
    digest, before = how["evidence"]["digest"], size(service)
    with pytest.raises(InputError):
        proposed(service, data, {**how, "evidence": {**how["evidence"], **changes}}, digest)
    assert size(service) == before


def test_a_sensitive_column_may_be_shown(service: Service, data: Dataset) -> None:
    how = measured(data)
    shown = {**how["evidence"], "quasi_identifiers": ["age"], "sensitive": [SENSITIVE]}
    assert approve(service, proposed(service, data, {**how, "evidence": shown}), by=BOB).body["evidence"] == shown
    assert measured(data, sensitive=["area"])["evidence"] == shown


class TestAccounts:
    """Data whose rows can be told apart by account is not anonymous, however many rows an account has."""

    def test_of_a_version_whose_rows_name_accounts(self, service: Service, tmp_path: Path) -> None:
        data = tagged(service, chat_file(tmp_path, ["acme"] * 9))
        rows = [("acme", "hi")] * 9
        same = measured(table_file(tmp_path, rows, "same.csv", "person,text"))
        digest = version_of(service, data)
        with pytest.raises(InputError, match="its rows name their accounts"):
            proposed(service, data, {**same, "evidence": {**same["evidence"], "digest": digest}}, digest)

    @pytest.mark.parametrize("locator", ["constant:acme", "path:{account}.csv"])
    def test_of_a_version_that_is_one_accounts(self, service: Service, tmp_path: Path, locator: str) -> None:
        data = table_file(tmp_path, alike(9))
        tagged(service, dataset(data.uri, locator))
        with pytest.raises(InputError, match="its rows name their accounts") as refused:
            proposed(service, data, measured(data))
        assert "acme" not in str(refused.value)

    @pytest.mark.parametrize("sensitive", [(), ("account_id",)])
    def test_of_a_version_that_keeps_the_column_unsaid(
        self, service: Service, tmp_path: Path, sensitive: tuple[str, ...]
    ) -> None:
        """The column names accounts elsewhere: whoever tags without naming it does not make it disappear."""
        tagged(service, chat_file(tmp_path, ["acme", "zeta"]))
        data = tagged(service, table_file(tmp_path, [("acme", "x")] * 9, header="account_id,area"))
        with pytest.raises(InputError, match="'account_id' is one by which accounts are named"):
            proposed(service, data, measured(data, sensitive=sensitive))

    @pytest.mark.parametrize("later", [9, 10])
    def test_when_it_shows_only_later(self, service: Service, tmp_path: Path, later: int) -> None:
        """A tag of this version, or of another one of the same dataset, names the column before the approval."""
        data = tagged(service, table_file(tmp_path, [("acme", "x")] * 9, header="customer,area"))
        index = proposed(service, data, measured(data))
        table_file(tmp_path, [("acme", "x")] * later, header="customer,area")
        tagged(service, dataset(data.uri, "customer"))
        with pytest.raises(InputError, match="accounts"):
            approve(service, index, by=BOB)


class TestBefore:
    """What was recorded before methods were asked for."""

    def old(self, service: Service, data: Dataset, clock: Clock, kind: str, body: dict[str, Any]) -> Entry:
        digest = version_of(service, data)
        subject = f"{dataset_key(data)}/{digest}/7"
        old = {
            "uri": data.uri,
            "digest": digest,
            "removes": ["telemetry"],
            "expires_at": format_instant(clock.now + timedelta(days=1)),
        }
        with service.ledger.write() as tx:
            by = "person:" + tx.commit_ref("person", ALICE.actor)
            said = {**body, "params": old} if kind == "proposal" else {**body, **old}
            return tx.append(kind, subject, said, recorded_at=clock.now, by=by, via="api")[0]

    def test_still_stands(self, service: Service, data: Dataset, clock: Clock) -> None:
        entry = self.old(service, data, clock, "declassification", {"adds": "aggregated_anonymous"})
        with service.ledger.read() as reader:
            found = declassification_of(reader, dataset_key(data), version_of(service, data), clock.now)
            version = tag_dataset(service, data, [], by="eve", via="cli").version
            categories = read_tags(reader, version, clock.now).categories
        assert found is not None
        assert found.idx == entry.idx
        assert categories == {"aggregated_anonymous"}
        assert told(found.body) == "no method on record"

    def test_is_not_approved_any_more(self, service: Service, data: Dataset, clock: Clock) -> None:
        body = {
            "act": "declassification",
            "reason_ref": None,
            "name_ref": None,
            "expires_at": format_instant(clock.now + timedelta(hours=24)),
        }
        entry = self.old(service, data, clock, "proposal", body)
        with service.ledger.read() as reader:
            assert "method" not in find_proposal(reader, entry.idx, clock.now).params
        with pytest.raises(InputError, match="is missing"):
            approve(service, entry.idx, by=BOB)


def test_decision_page_and_report_say_how(service: Service, data: Dataset) -> None:
    index = approve(service, proposed(service, data, measured(data)), by=BOB).idx
    outcome = decide(service, [data], USE, ASKING)
    assert outcome.allowed
    with service.ledger.read() as reader:
        (view,) = datasets(reader, reader.entry(outcome.index))
    assert view.declassified == ((index, "k_anonymity, k = 6 (5 asked) over age, area"),)
    made = export_bundle(service, Scope(run=(RUN.dag_id, RUN.run_id)), by="service:auditor", pdf=False)
    assert "k_anonymity, k = 6 (5 asked) over age, area" in unpack(made.archive)[REPORT].decode()
    found, _ = verify_bundle(made.archive, service.pinned_keys)
    assert found.problems == []


def test_every_method_is_documented() -> None:
    page = (ROOT / "docs" / "declassification.md").read_text("utf-8")
    for method in Method:
        assert f"| `{method}` |" in page
