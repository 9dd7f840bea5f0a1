"""Checks that what a bundle's entries say fits together: policies, permits, trainings, consents, openings, lineage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gate.domain.canonical import sha256_hex
from gate.errors import TamperingFound
from gate.ledger.format import opens, refs_in
from gate.permits.attestation import Attestation, Named, verify_attestation
from gate.permits.permit import open_permit
from gate.service import bundle_format as form
from gate.service.bundle_opened import UNREADABLE, Findings, Opened, Said, read_events

_PERSON = "person:"
_NEVER = (
    "that nothing else concerns this: a bundle shows what is in it; `gate ledger verify` and a witness show the rest",
    "the verdicts themselves: what each account had agreed to when was weighed by the gate and is not evaluated again",
    "what workers reported: which accounts and categories are in the data, and that a model came of that alone",
    "that lineage events are true or complete: they are claims of whoever sent them, signed here as they came",
    "that report and pictures render the record rightly: they are signed as part of the bundle, not made anew",
    "anything recorded after the checkpoint, such as a later withdrawal, or that a key was revoked since",
)


def check_contents(opened: Opened, found: Findings) -> None:
    """Check every entry against those it names, and everything else in the bundle against the entries."""
    checks = {
        "decision": _check_decision,
        "permit": _check_permit,
        "redemption": _check_redemption,
        "attestation": _check_attestation,
    }
    for said in opened.of(*checks):
        found.check(f"entry {said.index}", lambda said=said: _check_rests(opened, said))  # type: ignore[misc]
        found.check(f"entry {said.index}", lambda said=said: checks[said.kind](opened, said))  # type: ignore[misc]
    found.check("attachments", lambda: _check_attachments(opened))
    found.check("consents", lambda: _check_accounts(opened, found))
    found.check(form.OPENINGS, lambda: _check_openings(opened, found))
    found.check(form.EVENTS, lambda: _check_lineage(opened, found))
    _tell(opened, found)
    found.not_proved.extend(_NEVER)


def _tell(opened: Opened, found: Findings) -> None:
    if not found.ok:
        return
    many = {kind: sum(1 for _ in opened.of(kind)) for kind in ("decision", "permit", "redemption", "attestation")}
    found.proved.append(f"{many['decision']} decisions follow the policies included here, in force when they were made")
    if many["permit"]:
        permits, redeemed = many["permit"], many["redemption"]
        found.proved.append(f"{permits} permits and {redeemed} redemptions are about those decisions and their data")
    if many["attestation"]:
        models = many["attestation"]
        found.proved.append(f"{models} attestations of models are signed and name exactly those entries and policies")
    signers = {one["keyid"] for said in opened.of("permit", "attestation") for one in _signatures(said)}
    for key_id in sorted(signers & opened.revoked):
        found.not_proved.append(
            f"who signed with the key {key_id[:16]}…: it was revoked; the ledger holds what it signed, that is all"
        )
    left_out = opened.manifest["left_out"]
    found.not_proved.extend(f"what was left out: {one['what']} ({one['why']})" for one in left_out)


def _signatures(said: Said) -> Sequence[Mapping[str, Any]]:
    signatures: Sequence[Mapping[str, Any]] = said.body["envelope"]["signatures"]
    return signatures


def _check_rests(opened: Opened, said: Said) -> None:
    rests = form.rests_on(said.kind, said.body)
    if rests is not None and (rests[0] > said.index or opened.roots.get(rests[0]) != rests[1]):
        raise TamperingFound("the ledger is not shown to have had the checkpoint that it rests on")


def _check_decision(opened: Opened, said: Said) -> None:
    body, policy = said.body, said.body["decision"]["policy"]
    if form.attachment_file(policy["digest"]) not in opened.files and not _left_out(
        opened, f"policy {policy['digest']}"
    ):
        raise TamperingFound("its policy is not in the bundle")
    before = [one for one in opened.of("policy_activation") if one.index < body["checkpoint"]["size"]]
    if not before or before[-1].body["digest"] != policy["digest"]:
        raise TamperingFound("it follows another policy than the one that was active")
    for index in (*_grounds(body), *([] if body.get("override") is None else [body["override"]])):
        if index not in opened.entries or index >= said.index:
            raise TamperingFound(f"entry {index}, which it rests on, is not in the bundle")
    for name in ("accounts", "detail"):
        missing = form.attachment_file(body[name]) not in opened.files
        if missing and not _left_out(opened, f"{name} of decision {said.index}"):
            raise TamperingFound(f"its {name} are not in the bundle")


def _grounds(body: Mapping[str, Any]) -> Iterator[int]:
    return (index for dataset in body["datasets"] for index in dataset["tags"])


def _left_out(opened: Opened, what: str) -> bool:
    return any(what == one["what"] for one in opened.manifest["left_out"])


def _check_permit(opened: Opened, said: Said) -> None:
    permit = open_permit(said.body["envelope"], opened.keys)
    decision = _named(opened, Named(permit.decision_index, permit.decision_digest), "decision", before=said.index)
    versions = {one["version"]["digest"] for one in decision.body["datasets"]}
    wrong = (
        permit.permit_id != said.body["permit_id"]
        or permit.decision_index != said.body["decision"]
        or permit.ledger_origin != opened.manifest["ledger_origin"]
        or permit.policy_digest != decision.body["decision"]["policy"]["digest"]
        or not versions.issuperset(version.digest for version in permit.datasets)
        or permit.use.to_dict() != decision.body["decision"]["use"]
    )
    if wrong:
        raise TamperingFound("the permit says other than its decision")


def _check_redemption(opened: Opened, said: Said) -> None:
    entry = opened.entries.get(said.body["permit"])
    if entry is None or entry.kind != "permit" or entry.index >= said.index:
        raise TamperingFound("its permit is not in the bundle")
    permit = open_permit(entry.body["envelope"], opened.keys)
    told = (said.body["permit_id"], said.body["decision"], said.body["datasets"])
    if told != (permit.permit_id, permit.decision_index, [version.digest for version in permit.datasets]):
        raise TamperingFound("it redeems other than its permit permits")


def _check_attestation(opened: Opened, said: Said) -> None:
    attested = verify_attestation(said.body["envelope"], opened.keys)
    decision = _named(opened, attested.decision, "decision", before=said.index)
    _named(opened, attested.redemption, "redemption", "refusal", before=said.index)
    model = {name: getattr(attested.model, name) for name in ("uri", "digest", "files", "size")}
    policy = decision.body["decision"]["policy"]
    wrong = (
        said.body["model"] != model
        or (said.body["decision"], said.body["redemption"]) != (attested.decision.name, attested.redemption.name)
        or said.body["unpermitted"] != attested.unpermitted
        or said.body["run"] != attested.run.to_dict()
        or attested.ledger_origin != opened.manifest["ledger_origin"]
        or (attested.policy.name, attested.policy.digest) != (policy["name"], policy["digest"])
    )
    if wrong:
        raise TamperingFound("the entry says other than the attestation, or than its decision")


def _named(opened: Opened, named: Named, *kinds: str, before: int) -> Said:
    """Return the entry that a signed statement names by place and digest."""
    said = opened.entries.get(int(named.name))
    if said is None or said.kind not in kinds or said.index >= before or sha256_hex(said.payload) != named.digest:
        raise TamperingFound(f"the {kinds[0]} it names is not entry {named.name} of this bundle")
    return said


def _check_attachments(opened: Opened) -> None:
    named = {said.body.get(name) for said in opened.of("decision") for name in ("accounts", "detail")}
    named |= {said.body["decision"]["policy"]["digest"] for said in opened.of("decision")}
    for name in (one for one in opened.files if one.startswith(form.ATTACHED)):
        digest = sha256_hex(opened.files[name])
        if form.attachment_file(digest) != name:
            raise TamperingFound("its content has another digest", where=name)
        if digest not in named:
            raise TamperingFound("nothing in the bundle names it", where=name)


def _check_accounts(opened: Opened, found: Findings) -> None:
    """Check that every consent, profile and appointment is of an account that a decision here is about."""
    about, erased = set[str](), 0
    for said in opened.of("decision"):
        for name in ("accounts", "detail"):
            content = opened.files.get(form.attachment_file(said.body[name]))
            erased += content is None
            about.update(() if content is None else form.refs_in_attachment(name, content))
    others = [
        one.index for one in opened.of("consent", "profile", "appointment") if one.body["account_ref"] not in about
    ]
    if others and not erased:
        raise TamperingFound("it is about an account that no decision here concerns", where=f"entry {others[0]}")
    consents = sum(1 for _ in opened.of("consent"))
    if erased:
        found.not_proved.append(f"whose all {consents} consents are: lists of accounts were erased")
    else:
        found.proved.append(f"{consents} consents are of the {len(about)} accounts that decisions name by reference")


def _check_openings(opened: Opened, found: Findings) -> None:
    content = opened.files.get(form.OPENINGS)
    if content is None:
        return
    mentioned = {ref for said in opened.entries.values() for ref in refs_in(said.body)}
    for said in opened.of("decision"):
        for name in ("accounts", "detail"):
            kept = opened.files.get(form.attachment_file(said.body[name]))
            mentioned.update(() if kept is None else form.refs_in_attachment(name, kept))
    openings = form.read_json(content, form.OPENINGS)
    for one in openings:
        if opens(one["opening"], one["kind"], one["value"], bytes.fromhex(one["salt"])) is None:
            raise TamperingFound(f"what is said of {str(one['opening'])[:12]}… does not belong to that reference")
        if one["opening"] not in mentioned:
            raise TamperingFound(f"nothing in the bundle mentions {str(one['opening'])[:12]}…")
    found.proved.append(f"{len(openings)} names and texts that were opened are what their references stand for")


def _check_lineage(opened: Opened, found: Findings) -> None:
    """Hold the digests that lineage events name against the attestations. Events are claims: a gap is told, no more."""
    written, read = _versions(read_events(opened.files.get(form.EVENTS, b"")))
    borne_out = 0
    for said in opened.of("attestation"):
        attested = verify_attestation(said.body["envelope"], opened.keys)
        runs = written.get(attested.model.digest, set())
        told = set[str]().union(*(read.get(run, set()) for run in runs))
        gap = _gap(attested, told, known=bool(runs))
        borne_out += gap is None
        if gap is not None:
            found.not_proved.append(f"attestation {said.index} by lineage: {gap}")
    if borne_out:
        found.proved.append(f"lineage events name the digests of {borne_out} attestations, model and data alike")


def _gap(attested: Attestation, told: set[str], *, known: bool) -> str | None:
    if not known:
        return "no event names the model"
    permitted = {version.digest for version in attested.datasets}
    if told - permitted:
        return f"its run also read {len(told - permitted)} dataset versions that no permit names"
    return None if told >= permitted else f"no event names {len(permitted - told)} of its dataset versions"


def _versions(events: Sequence[Mapping[str, Any]]) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Return digest → runs that wrote it, and run → digests that it read."""
    written, read = dict[str, set[str]](), dict[str, set[str]]()
    for event in events:
        run = str((event.get("run") or {}).get("runId"))
        for digest in _digests(event.get("outputs")):
            written.setdefault(digest, set()).add(run)
        read.setdefault(run, set()).update(_digests(event.get("inputs")))
    return written, read


def _digests(datasets: Any) -> Iterator[str]:
    for dataset in datasets or ():
        try:
            yield str(dataset["facets"]["version"]["datasetVersion"])
        except UNREADABLE:
            continue
