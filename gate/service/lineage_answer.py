"""Writes an answer about lineage as JSON-ready values: the one format that command line, API and page share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gate.lineage.store import graph, lookup
from gate.lineage.store.graph import Edge, Node, Part, Reading
from gate.service.lineage_names import instant_text
from gate.service.lineage_reach import outer, projected
from gate.service.lineage_sight import Sight

COVERAGE = "coverage "  # a fact's name, before the ledger index of the decision

Json = dict[str, Any]
Said = tuple[str | None, list[str]]  # verdict and reasons


def answer_of(
    connection: Reading, part: Part, roots: Sequence[int], sight: Sight, at: int, *, level: str
) -> dict[str, Any]:
    """Return roots, nodes and edges of an answer.

    Args:
        part: what was found; distances below 0 mark what is shown only because something else is of it.
    """
    decided, decisions = _decisions(connection, part, at, sight)
    dags = sight.dags(part.nodes)
    told = {edge: _said(edge, part.nodes, decided, decisions) for edge in part.edges}
    shown = {decision.name[0] for decision in decisions.values()}
    nodes = [_node(node, part.nodes, dags, shown) for node in part.nodes.values()]
    if level == "dataset":
        edges = _projected_edges(part, told)
        nodes = _projected_nodes(nodes, part.nodes)
        roots = list(dict.fromkeys(outer(part.nodes, root) for root in roots))
    else:
        edges = [_edge(edge, told[edge]) for edge in part.edges]
    return {
        "roots": list(roots),
        "nodes": sorted(nodes, key=lambda node: int(node["id"])),
        "edges": sorted(edges, key=lambda edge: (edge["source"], edge["target"])),
        "complete": part.complete,
    }


def _decisions(connection: Reading, part: Part, at: int, sight: Sight) -> tuple[dict[int, list[int]], dict[int, Node]]:
    """Return what each run decided, oldest first, and those decisions with their facts: also where no link shows it."""
    runs = [node.id for node in part.nodes.values() if node.kind in ("run", "job") and node.depth >= 0]
    found = lookup.decisions_of(connection, runs, at=at)
    wanted = {one for some in found.values() for one in some}
    wanted.update(node.id for node in part.nodes.values() if node.kind == "decision")
    all_ = graph.part(connection, dict.fromkeys(wanted, 0), at=at).nodes
    hidden = sight.hidden(all_)
    decisions = {id_: node for id_, node in all_.items() if id_ not in hidden}
    decided = {
        run: sorted(some & decisions.keys(), key=lambda one: _index(decisions[one])) for run, some in found.items()
    }
    return {run: some for run, some in decided.items() if some}, decisions


def _index(decision: Node) -> int:
    return int(decision.name[0]) if decision.name[0].isdecimal() else -1


def _said(
    edge: Edge, nodes: Mapping[int, Node], decided: Mapping[int, list[int]], decisions: Mapping[int, Node]
) -> Said:
    """Return what a link into a decision, or into the run that decided, says of the verdict."""
    src, dst = nodes[edge.src], nodes[edge.dst]
    if dst.kind == "decision":
        facts = decisions[dst.id].facts
        return facts.get("verdict"), facts.get("reasons", "").split()
    if src.kind != "version" or dst.id not in decided:
        return None, []
    for one in reversed(decided[dst.id]):  # the newest that says something of this input
        coverage = src.facts.get(COVERAGE + decisions[one].name[0])
        if coverage is not None:
            return _of_coverage(json.loads(coverage), decisions[one])
    facts = decisions[decided[dst.id][-1]].facts
    return facts.get("verdict"), facts.get("reasons", "").split()


def _of_coverage(coverage: Any, decision: Node) -> Said:
    rows = [row for row in coverage if isinstance(row, dict)] if isinstance(coverage, list) else []
    verdicts = {row.get("verdict") for row in rows}
    if not verdicts <= {"allow", "block"} or not verdicts:
        return decision.facts.get("verdict"), decision.facts.get("reasons", "").split()
    blocked = [row for row in rows if row["verdict"] == "block"]
    reasons = {str(reason) for row in blocked for reason in row.get("reasons") or ()}
    return ("block" if blocked else "allow"), sorted(reasons)


def _edge(edge: Edge, said: Said) -> Json:
    return {
        "source": edge.src,
        "target": edge.dst,
        "at": instant_text(edge.at),
        "assumed": edge.assumed,
        "verdict": said[0],
        "reasons": said[1],
    }


def _node(node: Node, nodes: Mapping[int, Node], dags: Mapping[int, str | None], shown: set[str]) -> Json:
    facts = _decoded(node.facts, shown)
    dataset = nodes.get(node.of) if node.of is not None and node.kind == "version" else None
    is_model = "MODEL" in (node.facts.get("type"), dataset.facts.get("type") if dataset else None)
    kind = "model" if is_model else node.kind
    namespace, name, version = _names(node)
    return {
        "id": node.id,
        "kind": kind,
        "namespace": namespace,
        "name": name,
        "version": version,
        "label": _label(node, facts, nodes),
        "of": node.of,
        "depth": node.depth if node.depth >= 0 else None,
        "dag_id": dags.get(node.id),
        "facts": facts,
    }


def _names(node: Node) -> tuple[str | None, str, str | None]:
    if node.kind in ("run", "decision"):
        return None, node.name[0], None
    if node.kind == "version":
        return node.name[0], "\x1f".join(node.name[1:-1]), node.name[-1] or None
    return node.name[0], "\x1f".join(node.name[1:]), None


def _decoded(facts: Mapping[str, str], shown: set[str]) -> Json:
    found: Json = {}
    for name, value in sorted(facts.items()):
        if name.startswith(COVERAGE):  # of another decision than those here it tells nothing: that may be hidden
            if name.removeprefix(COVERAGE) in shown:
                found.setdefault("coverage", {})[name.removeprefix(COVERAGE)] = json.loads(value)
        elif name in ("categories", "reasons"):
            found[name] = value.split()
        else:
            found[name] = json.loads(value) if name == "airflow" else value
    return found


def _label(node: Node, facts: Json, nodes: Mapping[int, Node]) -> str:
    if node.kind == "decision":
        return f"decision {node.name[0]}" + (f": {facts['verdict']}" if "verdict" in facts else "")
    if node.kind == "run":
        job = nodes[node.of].name[-1] if node.of is not None and node.of in nodes else f"run {node.name[0][:8]}"
        said = facts.get("airflow", {})
        mapped = said.get("map_index", -1)
        which = f"[{mapped}]" if isinstance(mapped, int) and mapped >= 0 else ""
        return f"{job}{which} · {said['run_id']}" if "run_id" in said else f"{job}{which}"
    if node.kind == "job":
        return node.name[-1]
    name = "\x1f".join(node.name[1:-1] if node.kind == "version" else node.name[1:])
    short = name.rstrip("/").rpartition("/")[2] or name
    if "model" in facts:
        short = f"{facts['model']} ({short})"
    return short if node.kind == "dataset" else f"{short} @ {_short_version(node.name[-1])}"


def _short_version(version: str) -> str:
    if version.startswith("run:"):
        return f"written by {version[4:12]}"
    return version.removeprefix("sha256:")[:8] if version else "not named"


def _projected_edges(part: Part, told: Mapping[Edge, Said]) -> list[Json]:
    found = []
    for (src, dst), edges in projected(part.nodes, part.edges).items():
        newest = max((edge for edge in edges if told[edge][0]), key=lambda edge: (edge.at, edge.dst), default=edges[0])
        one = Edge(src, dst, min(edge.at for edge in edges), all(edge.assumed for edge in edges))
        found.append(_edge(one, told[newest]))
    return found


def _projected_nodes(written: Iterable[Json], nodes: Mapping[int, Node]) -> list[Json]:
    """Merge versions into their dataset and runs into their job: nearest distance, all categories, newest facts."""
    by_id = {node["id"]: node for node in written}
    members: dict[int, list[Json]] = {}
    for id_, node in by_id.items():
        if node["depth"] is not None:
            members.setdefault(outer(nodes, id_), []).append(node)
    found = []
    for id_, some in members.items():
        one, some = dict(by_id[id_]), sorted(some, key=lambda node: int(node["id"]))
        one["depth"] = min(int(node["depth"]) for node in some)
        one["facts"] = dict(one["facts"])
        if one["kind"] in ("dataset", "model"):
            _merge_versions(one, some)
        elif one["kind"] == "job":
            one["dag_id"] = one["dag_id"] or next((node["dag_id"] for node in some if node["dag_id"]), None)
            states = [node["facts"]["state"] for node in some if "state" in node["facts"]]
            one["facts"] |= {"runs": len([node for node in some if node["kind"] == "run"])}
            one["facts"] |= {"state": states[-1]} if states else {}
        found.append(one)
    return found


def _merge_versions(one: Json, versions: Sequence[Json]) -> None:
    one["kind"] = "model" if any(version["kind"] == "model" for version in versions) else one["kind"]
    categories: set[str] = set(one["facts"].get("categories", ()))
    for version in versions:
        categories.update(version["facts"].get("categories", ()))
        told = {name: value for name, value in version["facts"].items() if name not in ("categories", "coverage")}
        one["facts"] |= told
    if categories:
        one["facts"]["categories"] = sorted(categories)
    if "model" in one["facts"]:
        short = one["name"].rstrip("/").rpartition("/")[2]
        one["label"] = f"{one['facts']['model']} ({short})"
    one["facts"]["versions"] = len([version for version in versions if version["kind"] != "dataset"])
