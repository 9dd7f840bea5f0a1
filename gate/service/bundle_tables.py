"""Reads the entries of an audit bundle as the tables of its report: models, data, clauses, consents, who let it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from gate.domain.dataset import Dataset
from gate.domain.instants import format_instant
from gate.ledger.reading import Entry
from gate.service.bundle_contents import Chosen
from gate.service.declassifying import told

_AUTHORITIES = ("terms", "law", "blog", "spokesperson", "press", "default")  # what is quoted first
_SHORT = 12  # characters of a reference or digest that people compare


class Table(NamedTuple):
    """A table of the report."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


def models(chosen: Chosen) -> Table:
    """Return which models were attested, by which training, under which decision."""
    rows = []
    for entry in chosen.of("attestation"):
        body, run = entry.body, entry.body["run"]
        permit = "NONE: unpermitted" if body["unpermitted"] else f"redeemed in entry {body['redemption']}"
        task = f"{run['dag_id']}.{run['task_id']} in {run['run_id']}"
        model = body["model"]
        said = (model["uri"], model["digest"], task, f"entry {body['decision']}", permit)
        rows.append((entry.idx, *said, when(entry.recorded_at)))
    columns = ("entry", "model", "digest", "trained by", "decision", "permit", "attested at")
    return Table("Models and the trainings that produced them", columns, rows)


def decisions(chosen: Chosen) -> Table:
    """Return every decision with its verdict and why."""
    rows = []
    for entry in chosen.of("decision"):
        body, said, run = entry.body, entry.body["decision"], entry.body["run"]
        use = said["use"]
        verdict = said["verdict"] + (" (observed only)" if body.get("observed") else "")
        verdict += "" if body.get("override") is None else f" (overridden by entry {body['override']})"
        wanted = ", ".join(str(use[name]) for name in ("purpose", "feature", "model", "ownership") if use[name])
        asked = (f"{run['dag_id']} / {run['run_id']}", wanted, verdict, ", ".join(said["reasons"]))
        rows.append((entry.idx, *asked, said["policy"]["name"], when(said["decided_at"])))
    columns = ("entry", "run", "use", "verdict", "reasons", "policy", "decided at")
    return Table("Decisions of the gate", columns, rows)


def sources(chosen: Chosen) -> Table:
    """Return the summary of data sources that art. 10 and art. 53(1)(d) of the EU AI Act ask for."""
    rows = []
    for entry in chosen.of("decision"):
        said = entry.body["decision"]
        bases = _bases(said["findings"])
        versions = {_name(one): one["version"] for one in entry.body["datasets"]}
        for cover in said["coverage"]:
            version = versions.get(cover["dataset"], {})
            basis = bases.get((cover["dataset"], cover["category"]), ())
            rows.append(
                (
                    entry.idx,
                    cover["dataset"],
                    version.get("digest", ""),
                    cover["category"],
                    _origin(version),
                    f"{_first_tag(chosen, entry, cover['dataset'])} to {when(said['decided_at'])}",
                    cover["rows"] - cover["rows_blocked"],
                    cover["rows_blocked"],
                    cover["accounts"] - cover["accounts_blocked"],
                    cover["accounts_blocked"],
                    "; ".join(basis) or "none applies",
                )
            )
    columns = (
        "decision",
        "dataset",
        "version",
        "category",
        "origin",
        "on record (first tag to decision)",
        "rows with",
        "rows without",
        "accounts with",
        "accounts without",
        "clause",
    )
    return Table(
        "Data sources (EU AI Act, art. 10 and art. 53(1)(d)): with and without what is required", columns, rows
    )


def clauses(chosen: Chosen) -> Table:
    """Return the clauses that decisions rest on, as quoted in the policies."""
    found: dict[tuple[str, ...], set[int]] = {}
    for entry in chosen.of("decision"):
        for finding in entry.body["decision"]["findings"]:
            for one in finding["citations"]:
                place = _place(one)
                key = (finding["row"] or "", finding["requirement"] or "", one["authority"], place, one["quote"])
                found.setdefault(key, set()).add(entry.idx)
    ordered = sorted(found.items(), key=lambda one: (one[0][0], _rank(one[0][2]), one[0]))
    rows = [(*key, ", ".join(map(str, sorted(where)))) for key, where in ordered]
    return Table("Clauses", ("policy row", "requires", "authority", "source", "quote", "decisions"), rows)


def cited(chosen: Chosen) -> Table:
    """Return what the short names of sources stand for, as the policies say it."""
    found: dict[tuple[str, ...], set[str]] = {}
    for entry in chosen.of("decision"):
        policy = entry.body["decision"]["policy"]
        for name, one in _sources_of(chosen, policy["digest"]).items():
            dates = "; ".join(f"{date['about']}: “{date['as_given']}”" for date in one.get("dates", ()))
            found.setdefault((name, one["title"], one.get("medium", ""), dates), set()).add(policy["name"])
    rows = [(*key, ", ".join(sorted(policies))) for key, policies in sorted(found.items())]
    return Table("Sources of the clauses", ("source", "title", "medium", "dates, as given there", "policy"), rows)


def consents(chosen: Chosen) -> Table:
    """Count the consents on record of the accounts concerned; of whom stays with the references."""
    counted: Counter[tuple[str, ...]] = Counter()
    accounts: dict[tuple[str, ...], set[str | None]] = {}
    for entry in chosen.of("consent"):
        body = entry.body
        terms = str((body.get("notice") or {}).get("terms_version", ""))
        named = (", ".join(body.get(name) or ()) for name in ("categories", "purposes"))
        key = (body["action"], body.get("toggle", "any"), *named, terms)
        counted[key] += 1
        accounts.setdefault(key, set()).add(entry.account_ref)
    rows = [(*key, number, len(accounts[key])) for key, number in sorted(counted.items())]
    columns = ("event", "toggle", "categories", "purposes", "notice of terms", "events", "accounts")
    return Table("Consents of the accounts concerned, up to the checkpoint", columns, rows)


def persons(chosen: Chosen) -> Table:
    """Return who let it: people by reference and role, never by name."""
    rows: list[tuple[object, ...]] = []
    titles = {
        "policy_activation": "put a policy in force",
        "override": "break-glass",
        "mode": "set the mode",
        "declassification": "declassified data",
        "proposal": "proposed",
        "approval": "approved",
        "review": "reviewed a block",
        "key": "acted on keys",
    }
    for entry in chosen.of(*titles):
        rows.append((entry.idx, titles[entry.kind], _actor(entry.by), _what(entry), when(entry.recorded_at)))
    roles = Counter((entry.body["action"], entry.body["role"]) for entry in chosen.of("appointment"))
    rows += [("", f"{action}: {role} of an account", f"{n} statements", "", "") for (action, role), n in roles.items()]
    said = Counter((entry.body["action"], entry.body["principal"]["role"]) for entry in chosen.of("consent"))
    rows += [("", f"consent: {action}", f"{n} × {role} (as claimed)", "", "") for (action, role), n in said.items()]
    return Table("Who let it (references, no names)", ("entry", "act", "by", "what", "at"), rows)


def refused(chosen: Chosen) -> Table:
    """Return what was refused, and trainings that went on after they should not have."""
    rows: list[tuple[object, ...]] = []
    for entry in chosen.of("refusal", "exposure"):
        run = entry.body["run"]
        task = f"{run['dag_id']}.{run['task_id']} in {run['run_id']}"
        what = "exposure" if entry.kind == "exposure" else "started unpermitted" if _observed(entry) else "refused"
        rows.append((entry.idx, what, task, entry.body["reason"], when(entry.recorded_at)))
    return Table("Refused trainings and exposures", ("entry", "what", "task", "reason", "at"), rows)


def when(moment: datetime | str) -> str:
    """Write an instant, or the RFC 3339 text of one, as people read it: to the second."""
    text = moment if isinstance(moment, str) else format_instant(moment)
    return f"{text[:10]} {text[11:19]} UTC"


def warnings(chosen: Chosen) -> Iterator[str]:
    """Yield what a reader must not miss: overrides, use in the mode observe, models without permit, exposures."""
    for entry in chosen.of("decision"):
        if entry.body.get("override") is not None:
            yield f"Break-glass: decision {entry.idx} blocked, and entry {entry.body['override']} overrode it."
        if entry.body.get("observed"):
            yield f"Observe mode: decision {entry.idx} blocked, and the run was let through."
    for entry in chosen.of("attestation"):
        if entry.body["unpermitted"]:
            yield f"Unpermitted: the model of entry {entry.idx} was trained without a permit."
    for entry in chosen.of("exposure"):
        yield f"Exposure: a training went on after its permission ended (entry {entry.idx})."
    for entry in chosen.of("key"):
        if entry.body["state"] == "revoked":
            yield f"A signing key was revoked in entry {entry.idx}."


def _place(citation: Mapping[str, Any]) -> str:
    return f"{citation['source']} {citation['section'] or ''}".strip()


def _observed(entry: Entry) -> bool:
    return bool(entry.body.get("observed"))


def _bases(findings: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], tuple[str, ...]]:
    found: dict[tuple[str, str], dict[str, None]] = {}
    for one in findings:
        told = f"{one['row'] or 'no row'}: {one['requirement'] or one['verdict']} ({_best(one['citations'])})"
        found.setdefault((one["dataset"], one["category"]), {})[told] = None
    return {key: tuple(told) for key, told in found.items()}


def _sources_of(chosen: Chosen, digest: str) -> Mapping[str, Mapping[str, Any]]:
    """Return the sources that a policy names; none of one that was erased."""
    content = chosen.attachments.get(digest)
    sources: Mapping[str, Mapping[str, Any]] = {} if content is None else json.loads(content).get("sources", {})
    return sources


def _best(citations: Sequence[Mapping[str, Any]]) -> str:
    """Name the highest authority that is cited, and where it says so."""
    if not citations:
        return "nothing cited"
    authority = min((one["authority"] for one in citations), key=_rank)
    places = sorted({_place(one) for one in citations if one["authority"] == authority})
    return f"{authority}: {', '.join(places)}"


def _rank(authority: str) -> int:
    return _AUTHORITIES.index(authority) if authority in _AUTHORITIES else len(_AUTHORITIES)


def _name(dataset: Mapping[str, Any]) -> str:
    return Dataset.from_dict(dataset["version"]).name


def _origin(version: Mapping[str, Any]) -> str:
    cut = f", a consented subset of {version['subset_of']}" if version.get("subset_of") else ""
    return f"{version.get('uri', '')}{cut}"


def _first_tag(chosen: Chosen, decision: Entry, name: str) -> str:
    indices = [idx for one in decision.body["datasets"] if _name(one) == name for idx in one["tags"]]
    return when(chosen.entries[min(indices)].recorded_at) if indices else "untagged"


def _actor(by: str) -> str:
    kind, colon, ref = by.partition(":")
    return f"person {ref[:_SHORT]}…" if colon and kind == "person" else by


def _what(entry: Entry) -> str:
    body = entry.body
    names = ("name", "act", "mode", "answer", "state", "removes", "revokes", "proposal", "expires_at")
    said = [f"{name} {body[name]}" for name in names if body.get(name) is not None]
    if entry.kind == "declassification":
        said.append(told(body))
    return ", ".join(said)
