"""Data contracts checked when a dataset is tagged: what is kept, what blocks, what lineage is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gate.airflow.contracts import contracts_are_checked
from gate.domain.contract import ContractOutcome, Outcome
from gate.domain.dataset import Dataset, dataset
from gate.errors import DatasetError, InputError
from gate.lineage.facets import Tagging, tag_facets
from gate.service import tagging
from gate.service.core import Service
from gate.service.deciding import check
from gate.service.ports import TagStatement
from gate.service.tagging import tag_dataset
from gate.service.tags import Tagged
from support.world import USE, Clock, add_account, event, new_service, say

pytestmark = pytest.mark.xdist_group("great_expectations")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with new_service(tmp_path / "home", Clock()) as opened:
        add_account(opened, "acme")
        say(opened, event("acme"))
        yield opened


def chat(folder: Path, **changes: Any) -> Dataset:
    rows = [
        {"account_id": "acme", "sender": f"guest-{n % 3}", "text": f"could you send me number {n}?", "reply_minutes": n}
        for n in range(20)
    ]
    rows.append(rows[-1] | changes)
    (folder / "chat.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return dataset(str(folder / "chat.jsonl"), "account_id")


def tag(service: Service, data: Dataset) -> Tagged:
    return tag_dataset(service, data, ["chat"], by="service:airflow", via="airflow", contracts=True)


def reasons(service: Service, data: Dataset) -> list[str]:
    return [reason.value for reason in check(service, [data], USE)[0].reasons]


def test_a_contract_that_holds_is_kept_with_the_tag_and_told(service: Service, tmp_path: Path) -> None:
    data = chat(tmp_path)
    found = tag(service, data)
    assert found.contract is not None
    assert found.contract.outcome is Outcome.PASSED
    assert reasons(service, data) == []
    with service.ledger.read() as reader:
        kept = reader.latest("tag")
    assert kept is not None
    assert ContractOutcome.from_dict(kept.body["contract"]) == found.contract
    facet = tag_facets(found.version, Tagging(found.sources, found.entries), contract=found.contract)
    assert {one.success for one in facet.inputFacets["dataQualityAssertions"].assertions} == {True}


def test_one_that_is_broken_blocks(service: Service, tmp_path: Path) -> None:
    data = chat(tmp_path, reply_minutes=-5)
    found = tag(service, data)
    assert "contract of chat, reply-time: failed on column 'reply_minutes'" in found.notes
    assert "tag_conflict" in reasons(service, data)
    tag_dataset(service, data, ["chat", "telemetry"], by="service:airflow", via="airflow")
    assert "tag_conflict" in reasons(service, data), "a tag that checks no contract mends none"


def test_a_warning_is_told_and_blocks_nothing(service: Service, tmp_path: Path) -> None:
    data = chat(tmp_path)
    lines = [json.loads(line) | {"sender": None} for line in Path(data.name).read_text("utf-8").splitlines()]
    Path(data.name).write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    found = tag(service, data)
    assert "contract of chat, sender: failed on column 'sender'" in found.notes
    assert reasons(service, data) == []


def test_an_errored_outcome_blocks(service: Service, tmp_path: Path) -> None:
    data = chat(tmp_path)
    found = tag(service, data)
    assert found.contract is not None
    said = found.contract.to_dict()
    said["rules"][0] |= {"outcome": "errored", "error": "RuntimeError"}
    statement = TagStatement(found.version, declared=("chat",), contract=ContractOutcome.from_dict(said))
    service.record_tag(statement, by="service:airflow", via="airflow")
    assert "contract_errored" in reasons(service, data)
    tag(service, data)
    assert reasons(service, data) == []
    size = service.ledger_size()
    tag(service, data)
    assert service.ledger_size() == size


def test_without_great_expectations_nothing_is_said(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tagging, "find_spec", lambda _: None)
    data = chat(tmp_path)
    assert tag(service, data).contract is None
    assert reasons(service, data) == []


def test_what_changes_while_it_is_looked_into_is_not_tagged(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = tagging.examine

    def swap(source: Dataset, *more: Any) -> Any:
        found = looked(source, *more)
        chat(tmp_path, text="another thing altogether")
        return found

    monkeypatch.setattr(tagging, "examine", swap)
    with pytest.raises(DatasetError) as caught:
        tag(service, chat(tmp_path))
    assert caught.value.reason == "dataset_changed"


def test_the_setting_is_on_or_off() -> None:
    assert [contracts_are_checked({}), contracts_are_checked({"GATE_CONTRACTS": "off"})] == [True, False]
    with pytest.raises(InputError, match="on or off"):
        contracts_are_checked({"GATE_CONTRACTS": "false"})
