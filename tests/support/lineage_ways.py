"""Asks one question about a gate's home in every way there is: command line, HTTP API, page and table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from gate.service.account_history import account_ref
from gate.service.core import Service, open_service
from gate.service.settings import read_settings
from support.pages import site
from support.served import listening
from support.tables import cells

GATE = Path(sys.executable).with_name("gate")
Rows = list[list[str]]


@dataclass(frozen=True)
class Ways:
    """A home, served over HTTP: the API and the pages, as an admin sees them."""

    service: Service
    client: httpx.Client

    def commanded(self, *words: str) -> dict[str, Any]:
        """Return what `gate lineage … --json` says."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("GATE_")}
        environ["GATE_HOME"] = str(self.service.settings.home)
        done = subprocess.run(
            [GATE, "lineage", *words, "--json"], env=environ, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def get(self, path: str, **query: str) -> httpx.Response:
        """Open an address."""
        return self.client.get(path, params=query).raise_for_status()

    def graph(self, direction: str, node: str) -> dict[str, Any]:
        """Return what lies up- or downstream: the one answer that everybody gives."""
        query = {"node": node, "direction": direction}
        answer = self.commanded(direction, node)
        assert self.get("/api/v1/lineage/graph", **query).json() == answer
        assert self.get("/ui/lineage.json", **query).json() == answer
        table = self.get("/ui/lineage/table", **query).text
        labels = {one["id"]: one["label"] for one in answer["nodes"]}
        nodes = [[row[0].removesuffix(" asked"), row[1]] for row in cells(table, "nodes")]
        assert nodes == [[one["label"], one["kind"]] for one in answer["nodes"]]
        links = [[row[0], row[1], row[3].replace(" ", "")] for row in cells(table, "links")]
        assert links == [
            [labels[one["source"]], labels[one["target"]], (one["verdict"] or "") + ",".join(one["reasons"])]
            for one in answer["edges"]
        ]
        return answer

    def impact(self, account: str) -> dict[str, Any]:
        """Return what an account concerns; the ledger grows by one with each look over HTTP, for looks are recorded."""
        ref = account_ref(self.service, account)
        assert ref is not None
        answer = self.commanded("impact", "--account", account)
        size = answer.pop("ledger_size")
        asked = self.client.post("/api/v1/lineage/impact", json={"account": account}).raise_for_status().json()
        by_ref = self.get("/api/v1/lineage/impact", account=ref).json()
        assert [one.pop("ledger_size") - size for one in (asked, by_ref)] == [1, 2]
        assert asked == by_ref == answer
        page = self.get("/ui/impact", account=ref).text
        assert {name: _key(name, cells(page, name)) for name in PARTS} == {
            name: [one(row) for row in answer[name]] for name, one in PARTS.items()
        }
        return answer


def _words(verdict: str | None) -> str:
    return {"allow": "allowed", "block": "blocked"}.get(verdict or "", "cannot tell")


PARTS = {
    "models": lambda one: [one["model"] or "unnamed", one["name"] or "not seen", one["how"]],
    "decisions": lambda one: [str(one["index"]), _words(one["verdict"]), _words(one["now"]["verdict"])],
    "runs": lambda one: [one["dag_id"] or one["job"], one["run_id"] or one["lineage_run"], one["task_id"] or ""],
    "versions": lambda one: [one["version"][:19], one["how"]],
}
_SHOWN = {"models": (0, 1, 4), "decisions": (0, 2, 4), "runs": (0, 1, 2), "versions": (1, 3)}


def _key(part: str, rows: Rows) -> Rows:
    """Return the columns of a part that the answer can be held against; a verdict without the reasons behind it."""
    told = [[row[place] for place in _SHOWN[part]] for row in rows]
    return [[row[0], *(_first(cell) for cell in row[1:])] for row in told] if part == "decisions" else told


def _first(cell: str) -> str:
    return next((word for word in ("allowed", "blocked", "cannot tell") if word in cell), cell)


@contextmanager
def ways_to_ask(home: Path) -> Iterator[Ways]:
    """Serve a gate's home."""
    with (
        open_service(read_settings({"GATE_HOME": str(home)})) as service,
        listening(site(service)) as url,
        httpx.Client(base_url=url, headers={"X-Person": "ada admin"}, timeout=60, trust_env=False) as client,
    ):
        yield Ways(service, client)
