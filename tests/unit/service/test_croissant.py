"""Croissant metadata: what the format asks for, readable offline, true to the ledger, silent about accounts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gate.domain.dataset import dataset
from gate.errors import DatasetError
from gate.service.core import Service
from gate.service.croissant import croissant
from gate.service.deciding import decide
from gate.service.tagging import tag_dataset
from support.jsonld import expand
from support.world import ASKING, USE, add_account, chat_file, event, new_service, say

SCHEMA_ORG, ODRL = "https://schema.org/", "http://www.w3.org/ns/odrl/2/"
REQUIRED = ("description", "license", "name", "url", "creator", "datePublished", "distribution", "version", "usageInfo")


@pytest.fixture
def service(tmp_path: Path, ledger_url: str) -> Iterator[Service]:
    with new_service(tmp_path / "home", url=ledger_url) as opened:
        add_account(opened, "acme")
        add_account(opened, "bolt")
        yield opened


def node(document: dict[str, Any]) -> dict[str, Any]:
    [found] = expand(document)
    assert found["@type"] == [f"{SCHEMA_ORG}Dataset"]
    assert found["http://purl.org/dc/terms/conformsTo"] == [{"@value": "http://mlcommons.org/croissant/1.1"}]
    assert all(SCHEMA_ORG + name in found for name in REQUIRED)
    return found


def test_decisions_that_allowed_and_blocked_are_told(service: Service, tmp_path: Path) -> None:
    chat = chat_file(tmp_path, ["acme", "bolt"])
    tag_dataset(service, chat, ["chat"], by="eve", via="cli")
    say(service, event("acme"))
    blocked = decide(service, [chat], USE, ASKING)
    document = croissant(service, chat)
    found = node(document)
    category, decision = found[f"{SCHEMA_ORG}usageInfo"]
    assert category["@type"] == [f"{SCHEMA_ORG}DefinedTerm"]
    assert category[f"{SCHEMA_ORG}termCode"] == [{"@value": "chat"}]
    [rule] = decision[f"{ODRL}prohibition"]
    assert rule[f"{ODRL}action"][0]["@id"] == "https://consent-gate.dev/ns#purpose/train"
    assert document["usageInfo"][1]["gate:reasons"] == ["no_consent"]
    assert document["usageInfo"][1]["gate:ledgerEntry"] == blocked.index
    say(service, event("bolt"))
    allowed = decide(service, [chat], USE, _again())
    [_, newer] = croissant(service, chat)["usageInfo"]
    assert (newer["gate:verdict"], newer["gate:ledgerEntry"]) == ("allow", allowed.index)
    assert (newer["gate:timesDecided"], newer["gate:reasons"]) == (2, [])
    assert newer["odrl:permission"]["@type"] == "odrl:Permission"


def _again() -> Any:
    return replace(ASKING, run=replace(ASKING.run, run_id="manual__2"))


def test_a_file_has_its_hash_and_a_folder_names_no_files(service: Service, tmp_path: Path) -> None:
    chat = chat_file(tmp_path, ["acme"])
    [one] = croissant(service, chat)["distribution"]
    assert one["sha256"] == hashlib.sha256((tmp_path / "chat.jsonl").read_bytes()).hexdigest()
    assert one["encodingFormat"] == "application/jsonlines"
    calls = tmp_path / "calls"
    for account in ("acme", "bolt"):
        (calls / account).mkdir(parents=True)
        (calls / account / "a.wav").write_bytes(account.encode())
        (calls / account / "a.txt").write_bytes(account.encode())
    named = dataset(str(calls), "path:{account}/*")
    document = croissant(service, named)
    node(document)
    assert "acme" not in json.dumps(document)
    folder, *sets = document["distribution"]
    assert f"sha256:{folder['sha256']}" == document["gate:digest"]
    assert [item["includes"] for item in sets] == ["**/*.txt", "**/*.wav"]
    listed = croissant(service, named, files=True)
    node(listed)
    assert [item["@id"] for item in listed["distribution"]][1:] == [
        "acme/a.txt",
        "acme/a.wav",
        "bolt/a.txt",
        "bolt/a.wav",
    ]
    assert "acme" not in json.dumps(croissant(service, dataset(str(calls), "constant:acme")))


def test_versions_are_counted_as_the_ledger_has_them(service: Service, tmp_path: Path) -> None:
    for number, accounts in enumerate((["acme"], ["acme", "bolt"]), 1):
        chat = chat_file(tmp_path, accounts)
        assert croissant(service, chat)["version"].startswith(f"{number}.0.0+sha256.")
        tag_dataset(service, chat, ["chat"], by="eve", via="cli")
        assert croissant(service, chat)["version"].startswith(f"{number}.0.0+sha256.")
    assert croissant(service, chat_file(tmp_path, ["acme"]))["version"].startswith("1.0.0+")


def test_what_nobody_recorded_is_said_so(service: Service, tmp_path: Path) -> None:
    chat = chat_file(tmp_path, ["acme"])
    document = croissant(service, chat)
    assert "nobody recorded" in document["description"]
    assert document["usageInfo"] == []
    assert document["creator"]["name"] == "not recorded"
    given = croissant(service, chat, title="t", creator="c", license_="https://example.org/l")
    assert (given["name"], given["creator"]["name"], given["license"]) == ("t", "c", "https://example.org/l")


def test_a_dataset_that_is_not_there(service: Service, tmp_path: Path) -> None:
    with pytest.raises(DatasetError):
        croissant(service, dataset(str(tmp_path / "nothing"), "account_id"))
