"""A ledger entry's page: readable, provable without us, and closed where the run's DAG is."""

from __future__ import annotations

import hashlib
import json
from html import unescape
from typing import Any

import pytest

from gate.ledger.merkle import verify_inclusion
from gate.service.access import record_access
from gate.service.core import Service
from gate.web.host import ALONE
from support.pages import HIDDEN

Visits = Any  # of the conftest


def index_of(service: Service, kind: str, dag_id: str | None = None) -> int:
    with service.ledger.read() as reader:
        found = reader.entries(kind)
        return next(e.idx for e in found if dag_id is None or e.body["run"]["dag_id"] == dag_id)


@pytest.mark.parametrize(
    ("role", "status"), [("", 401), ("viewer", 200), ("auditor", 200), ("admin", 200), ("stranger", 403)]
)
def test_who_may_read_the_ledger(visits: Visits, role: str, status: int) -> None:
    assert visits(role).get("/ui/ledger/0").status_code == status
    assert visits(role).get("/ui/ledger/0.json").status_code == status


def test_every_kind_of_entry_has_a_page(service: Service, visits: Visits) -> None:
    with service.ledger.read() as reader:
        kinds = {entry.kind: entry.idx for entry in reader.entries()}
    for kind, index in kinds.items():
        answer = visits("auditor").get(f"/ui/ledger/{index}")
        assert answer.status_code == 200, kind
        assert "Check it yourself" in answer.text


def test_the_proof_holds_without_us(service: Service, visits: Visits) -> None:
    found = visits("viewer").get("/ui/ledger/5.json").json()
    leaf = hashlib.sha256(b"\x00" + found["payload"].encode()).digest()
    assert leaf.hex() == found["leaf_hash"]
    with service.ledger.read() as reader:
        root = reader.root_at(found["size"])
    path = [bytes.fromhex(node) for node in found["inclusion"]]
    assert verify_inclusion(found["index"], found["size"], leaf, path, root)


@pytest.mark.parametrize("index", ["99999999", str(1 << 61)])
def test_there_is_nothing_beyond_the_end(visits: Visits, index: str) -> None:
    assert visits("admin").get(f"/ui/ledger/{index}").status_code == 404
    assert visits("admin").get(f"/ui/ledger/{index}.json").status_code == 404


def test_entries_about_a_hidden_dag_are_not_there(service: Service, visits: Visits, monkeypatch) -> None:
    """The stranger may not read the ledger at all, so give somebody who may the stranger's eyes."""
    from support import pages

    monkeypatch.setitem(pages.PEOPLE, "stranger", frozenset({"read", "runs"}))
    secret, other = index_of(service, "decision", HIDDEN), index_of(service, "decision", "train_for_vendor")
    looked = record_access(service, by="service:test", what={"page": "decision", "decision": secret})
    for hidden in (secret, looked):  # the entry itself, and one that only names it
        assert visits("stranger").get(f"/ui/ledger/{hidden}").status_code == 404
        assert visits("stranger").get(f"/ui/ledger/{hidden}.json").status_code == 404
        assert visits("viewer").get(f"/ui/ledger/{hidden}").status_code == 200
        proof = f"/api/v1/ledger/entries/{hidden}/proof"
        assert (visits("stranger").get(proof).status_code, visits("viewer").get(proof).status_code) == (404, 200)
    assert visits("stranger").get(f"/ui/ledger/{other}").status_code == 200
    assert f'/ui/ledger/{secret}"' not in visits("stranger").get(f"/ui/ledger/{secret - 1}").text


def test_names_of_people_only_for_who_handles_accounts(service: Service, visits: Visits) -> None:
    index = record_access(service, by="airflow|<b>olga</b>", what={"page": "accounts"})
    assert "olga" not in visits("viewer").get(f"/ui/ledger/{index}").text
    shown = visits("auditor").get(f"/ui/ledger/{index}").text
    assert "<b>olga</b>" in unescape(shown)
    assert "<b>olga</b>" not in shown
    with service.ledger.write() as tx:
        tx.erase([tx.commit_ref("person", "airflow|<b>olga</b>")])
    assert "whose name was erased" in visits("auditor").get(f"/ui/ledger/{index}").text


def test_the_payload_is_shown_as_text(service: Service, visits: Visits) -> None:
    hostile = "<script>alert(1)</script>"
    index = record_access(service, by="service:test", what={"page": hostile})
    shown = visits("admin").get(f"/ui/ledger/{index}").text
    assert hostile not in shown
    assert json.dumps(hostile) in unescape(shown)


def test_reading_an_entry_changes_nothing(service: Service, visits: Visits) -> None:
    before = service.ledger_size()
    visits("admin").get("/ui/ledger/3")
    assert service.ledger_size() == before


def test_pages_stand_without_airflow(service: Service) -> None:
    from fastapi.testclient import TestClient

    from support.pages import site

    client = TestClient(site(service, ALONE), headers={"X-Person": "ada admin"})
    html = client.get(f"/ui/decisions/{index_of(service, 'decision')}").text
    assert "data-leaves" not in html
    assert "What would unblock this" in html
