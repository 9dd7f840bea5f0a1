"""Audit bundles: what they hold, what verifying proves, and that an operator's own lies show as well."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gate.domain.canonical import canonical
from gate.domain.instants import format_instant
from gate.domain.words import Ownership
from gate.errors import InputError, TamperingFound
from gate.permits import create_key
from gate.service import bundle_format as form
from gate.service.acting import Person
from gate.service.acts import act_alone, approve, propose
from gate.service.archive import pack, unpack
from gate.service.bundle import Scope, export_bundle
from gate.service.bundle_verify import verify_bundle
from gate.service.consents import record_model
from gate.service.core import Service
from gate.service.cosigning import Witness, cosign
from gate.service.deciding import TOP_ACCOUNTS, decide
from gate.service.ports import Produced
from gate.service.publishing import sign_checkpoint
from gate.service.tagging import tag_dataset
from gate.service.worker import measure_model, redeem
from support.audited import BLOCKED, audited, bundle, resealed
from support.permits import signing_key
from support.world import ASKING, START, TRAIN, USE, add_account, chat_file, event, new_service, say, use
from support.world import RUN as RUN_OF

ALICE, BOB = Person("airflow", "alice"), Person("airflow", "bob")
RUN = Scope(run=(TRAIN.dag_id, TRAIN.run_id))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with audited(tmp_path_factory.mktemp("audited")) as opened:
        yield opened


def entries(archive: bytes) -> list[dict[str, Any]]:
    lines = [json.loads(one) for one in unpack(archive)[form.ENTRIES].splitlines()]
    return [{**json.loads(one["payload"]), "index": one["index"]} for one in lines]


def kinds(archive: bytes) -> set[str]:
    return {one["kind"] for one in entries(archive)}


def problems(service: Service, archive: bytes) -> list[str]:
    found, _ = verify_bundle(archive, service.pinned_keys)
    assert found.ok == (not found.problems)
    return found.problems


def test_the_same_ledger_gives_the_same_bundle(service: Service) -> None:
    assert bundle(service) == bundle(service)


@pytest.mark.parametrize(
    "scope",
    [
        Scope(model="ms-1"),
        RUN,
        Scope(run=(BLOCKED.dag_id, BLOCKED.run_id)),
        Scope(period=(START, START + timedelta(days=1))),
    ],
    ids=["model", "run", "blocked run", "period"],
)
def test_what_was_written_is_proved(service: Service, scope: Scope) -> None:
    found, manifest = verify_bundle(bundle(service, scope), service.pinned_keys)
    assert found.problems == []
    assert any("stand, unaltered" in one for one in found.proved)
    assert any("verdicts themselves" in one for one in found.not_proved)
    assert manifest["scope"] == scope.to_dict()


def test_a_model_comes_with_everything_it_rests_on(service: Service) -> None:
    archive = bundle(service)
    wanted = {"genesis", "key", "policy_activation", "model", "tag", "decision", "permit", "redemption", "attestation"}
    assert kinds(archive) >= wanted | {"consent", "profile", "appointment"}
    verdicts = [one["body"]["decision"]["verdict"] for one in entries(archive) if one["kind"] == "decision"]
    assert verdicts == ["allow", "block"]
    found, _ = verify_bundle(archive, service.pinned_keys)
    assert "lineage events name the digests of 1 attestations, model and data alike" in found.proved


def test_a_model_is_found_by_its_digest(service: Service) -> None:
    [attested] = [one for one in entries(bundle(service)) if one["kind"] == "attestation"]
    archive = bundle(service, Scope(model=attested["body"]["model"]["digest"]))
    assert [one["index"] for one in entries(archive) if one["kind"] == "attestation"] == [attested["index"]]
    assert form.PICTURE in unpack(archive)


def test_a_blocked_run_says_so(service: Service) -> None:
    archive = bundle(service, Scope(run=(BLOCKED.dag_id, BLOCKED.run_id)))
    assert "permit" not in kinds(archive)
    report = unpack(archive)[form.REPORT].decode()
    assert "1 decision: 0 allowed, 1 blocked." in report
    assert "no_consent" in report


def test_nothing_in_it_names_an_account_or_a_person(service: Service) -> None:
    content = b"".join(unpack(bundle(service)).values())
    for name in (b"acme", b"bigco", b"nono", b"form 12"):
        assert name not in content


def test_opening_shows_exactly_one_account_and_is_recorded_first(tmp_path: Path) -> None:
    with audited(tmp_path) as service:
        archive = bundle(service, opened=["acme"])
        with service.ledger.read() as reader:
            newest = reader.newest()
        size = unpack(archive)[form.NOTE].decode().splitlines()[1]
        assert newest is not None
        assert (newest.kind, newest.body["page"], newest.idx) == ("access", "audit_export", int(size) - 1)
        values = {json.loads(one["value"]) for one in json.loads(unpack(archive)[form.OPENINGS])}
        assert values == {"acme", "admin@acme", "form 12", "admin console"}
        content = b"".join(unpack(archive).values())
        assert b"bigco" not in content
        assert b"nono" not in content
        found, _ = verify_bundle(archive, service.pinned_keys)
        assert found.problems == []
        assert "4 names and texts that were opened are what their references stand for" in found.proved


def test_an_unknown_account_is_not_looked_for_in_the_record(service: Service) -> None:
    before = service.ledger_size()
    with pytest.raises(InputError, match="knows no such account"):
        bundle(service, opened=["stranger"])
    assert service.ledger_size() == before


@pytest.mark.parametrize(
    "scope", [Scope(model="other"), Scope(model="sha256:" + "0" * 64), Scope(run=("no", "run"))], ids=str
)
def test_nothing_is_signed_about_nothing(service: Service, scope: Scope) -> None:
    with pytest.raises(InputError, match="holds no decision about"):
        bundle(service, scope)


def test_one_thing_is_audited_at_a_time() -> None:
    with pytest.raises(InputError, match="say what to audit"):
        Scope(model="m", run=("d", "r"))
    with pytest.raises(InputError, match="ends before it begins"):
        Scope(period=(START, START))


def test_another_key_proves_nothing(service: Service) -> None:
    found, manifest = verify_bundle(bundle(service), [signing_key(b"\2" * 32).public_key])
    assert not found.ok
    assert found.proved == []
    assert manifest == {}
    assert "not pinned" in found.problems[0]


def test_a_witness_must_have_cosigned_what_is_in_it(service: Service, tmp_path: Path) -> None:
    witness = Witness("witness.example", create_key(tmp_path / "witness.pem"), tmp_path / "memory")
    note = sign_checkpoint(service, size=10).note
    cosigned = cosign(witness, note, service.pinned_keys, at=datetime(2024, 1, 2, tzinfo=UTC))
    mine = {"witness.example": witness.key.public_key}
    archive = bundle(service, cosigned=[cosigned])
    found, _ = verify_bundle(archive, service.pinned_keys, mine)
    assert found.problems == []
    assert any(one.startswith("witness.example cosigned the state of 10 entries") for one in found.proved)
    for keys in ({"witness.example": signing_key(b"\2" * 32).public_key}, {"other": witness.key.public_key}):
        assert not verify_bundle(archive, service.pinned_keys, keys)[0].ok
    assert not verify_bundle(bundle(service), service.pinned_keys, mine)[0].ok


def test_a_checkpoint_of_another_ledger_is_not_included(service: Service, tmp_path: Path) -> None:
    with new_service(tmp_path) as other:
        note = sign_checkpoint(other).note
    with pytest.raises(TamperingFound):
        bundle(service, cosigned=[note])


def lines(archive: bytes, change: Callable[[list[dict[str, Any]]], object], file: str = form.ENTRIES) -> bytes:
    said = [json.loads(one) for one in unpack(archive)[file].splitlines()]
    change(said)
    return b"".join(map(form.line, said))


def place(archive: bytes, kind: str) -> int:
    return next(number for number, one in enumerate(entries(archive)) if one["kind"] == kind)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("genesis", "does not name this ledger"),
        ("policy_activation", "another policy than the one that was active"),
        ("tag", "which it rests on, is not in the bundle"),
        ("decision", "is not entry"),
        ("permit", "its permit is not in the bundle"),
        ("redemption", "is not entry"),
    ],
)
def test_an_operator_who_leaves_an_entry_out_is_found(service: Service, kind: str, told: str) -> None:
    archive = bundle(service, RUN)
    without = lines(archive, lambda said: said.pop(place(archive, kind)))
    found = problems(service, resealed(service, archive, **{form.ENTRIES: without}))
    assert any(told in one for one in found), found


def test_an_operator_who_alters_an_entry_is_found(service: Service) -> None:
    archive = bundle(service, RUN)

    def lie(said: list[dict[str, Any]]) -> None:
        one = said[place(archive, "consent")]
        one["payload"] = one["payload"].replace("grant", "refuse")

    found = problems(service, resealed(service, archive, **{form.ENTRIES: lines(archive, lie)}))
    assert found
    assert all("is not shown to stand below the checkpoint" in one for one in found)


def test_an_operator_who_signs_other_earlier_states_is_found(service: Service) -> None:
    archive = bundle(service, RUN)
    forged = lines(archive, lambda said: said[0].update(root="0" * 64), form.SIZES)
    found = problems(service, resealed(service, archive, **{form.SIZES: forged}))
    assert any("is not shown to be a beginning of the ledger" in one for one in found)
    none = problems(service, resealed(service, archive, **{form.SIZES: b""}))
    assert any("not shown to have had the checkpoint" in one for one in none)


def test_an_operator_who_puts_another_policy_in_is_found(service: Service) -> None:
    archive = bundle(service, RUN)
    [policy] = [one["body"]["digest"] for one in entries(archive) if one["kind"] == "policy_activation"]
    name = form.attachment_file(policy)
    assert any("another digest" in one for one in problems(service, resealed(service, archive, **{name: b"{}"})))
    assert any("its policy is not" in one for one in problems(service, resealed(service, archive, **{name: None})))


def test_a_true_entry_of_another_account_does_not_belong(service: Service) -> None:
    whole, archive = bundle(service), bundle(service, RUN)
    mine = {one["index"] for one in entries(archive)}
    [number, *_] = [
        number for number, one in enumerate(entries(whole)) if one["kind"] == "profile" and one["index"] not in mine
    ]
    stranger = json.loads(unpack(whole)[form.ENTRIES].splitlines()[number])
    more = lines(archive, lambda said: (said.append(stranger), said.sort(key=lambda one: one["index"])))
    found = problems(service, resealed(service, archive, **{form.ENTRIES: more}))
    assert any("no decision here concerns" in one for one in found), found


def test_an_opening_must_belong_to_its_reference(tmp_path: Path) -> None:
    with audited(tmp_path) as service:
        archive = bundle(service, opened=["acme"])
        openings = json.loads(unpack(archive)[form.OPENINGS])
        account = next(number for number, one in enumerate(openings) if one["kind"] == "account")
        openings[account]["value"] = '"innocent"'
        found = problems(service, resealed(service, archive, **{form.OPENINGS: canonical(openings)}))
        assert any("does not belong to that reference" in one for one in found)


def test_what_lineage_does_not_bear_out_is_told_not_hidden(service: Service) -> None:
    archive = resealed(service, bundle(service), **{form.EVENTS: b""})
    found, _ = verify_bundle(archive, service.pinned_keys)
    assert found.ok
    assert any("no event names the model" in one for one in found.not_proved)
    broken = resealed(service, bundle(service), **{form.EVENTS: b"{\n"})
    assert problems(service, broken) == [f"{form.EVENTS}: cannot be read"]


def test_hostile_names_stay_text_in_the_report(tmp_path: Path) -> None:
    with audited(tmp_path, name="<img src=x onerror=alert(1)>\"'&.jsonl") as service:
        files = unpack(bundle(service))
    for name in (form.REPORT, form.PICTURE):
        page = files[name].decode()
        assert "<img" not in page
        assert "&lt;img src=x" in page
    assert "<script" not in files[form.REPORT].decode()


def test_the_report_names_what_a_reader_must_not_miss(tmp_path: Path) -> None:
    """A model that was trained in the mode observe is unpermitted for ever."""
    with new_service(tmp_path / "home") as service:
        params = {"mode": "observe", "until": format_instant(START + timedelta(days=3))}
        approve(service, propose(service, "mode", params, "roll-out", by=ALICE), by=BOB)
        add_account(service, "acme")
        data = chat_file(tmp_path, ["acme"])
        tag_dataset(service, data, ["chat"], by="service:airflow", via="airflow")
        assert decide(service, [data], USE, ASKING).observed
        right = redeem(service, TRAIN, [data], USE, by="service:airflow")
        service.record_attestation(Produced(right.index, TRAIN, measure_model(data.name)), by="service:airflow")
        archive = bundle(service)
        assert problems(service, archive) == []
    report = unpack(archive)[form.REPORT].decode()
    for words in ("Observe mode: decision", "Unpermitted: the model of entry", "NONE: unpermitted"):
        assert words in report, words
    assert {"mode", "proposal", "approval", "refusal"} <= kinds(archive)
    assert "alice" not in report


def test_a_break_glass_is_told_first(tmp_path: Path) -> None:
    scan = use(feature="spam_scanning", model="ss-1")
    with new_service(tmp_path / "home") as service:
        record_model(service, "ss-1", Ownership.FIRST_PARTY, ["spam_scanning"], "registry", by="eve", via="cli")
        add_account(service, "acme")
        say(service, event("acme", features=["spam_scanning"]))
        data = chat_file(tmp_path, ["acme"])
        tag_dataset(service, data, ["chat"], by="service:airflow", via="airflow")
        until = format_instant(START + timedelta(hours=4))
        params = {"dag_id": RUN_OF.dag_id, "run_id": RUN_OF.run_id, "expires_at": until}
        approve(service, propose(service, "break_glass", params, "outage", by=ALICE), by=BOB)
        assert decide(service, [data], scan, ASKING).override is not None
        archive = bundle(service, Scope(model="ss-1"))
        assert problems(service, archive) == []
    report = unpack(archive)[form.REPORT].decode()
    assert 'role="alert">Break-glass: decision' in report
    assert "outage" not in report


def test_who_pins_the_first_key_follows_its_successors(tmp_path: Path) -> None:
    with audited(tmp_path) as service:
        first = service.pinned_keys
        act_alone(service, "key_rotation", {}, by="root")
        archive = bundle(service)
        second = service.key.public_key
        for keys in (first, (second,), (*first, second)):
            found, _ = verify_bundle(archive, keys)
            assert found.problems == []
        act_alone(service, "key_revocation", {"key_id": first[0].key_id}, "laptop stolen", by="root")
        later = bundle(service)
        found, _ = verify_bundle(later, (second,))
        assert found.problems == []
        assert any(f"who signed with the key {first[0].key_id[:16]}" in one for one in found.not_proved)
        assert not verify_bundle(later, first)[0].ok  # the revoked key vouches for nobody


def test_the_report_needs_nothing_and_tells_the_sources(service: Service) -> None:
    page = unpack(bundle(service))[form.REPORT].decode()
    assert "default-src 'none'" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    for words in ("EU AI Act", "art. 10", "What it cannot prove", "worker asserted", "<svg", "Clauses", "10.4"):
        assert words in page, words


def test_without_it_the_bundle_says_so(service: Service) -> None:
    made = export_bundle(service, Scope(model="ms-1"), by="service:auditor", pdf=False)
    assert {"what": form.PDF, "why": "it was not asked for"} in made.manifest["left_out"]


def test_later_withdrawals_are_in_it(tmp_path: Path) -> None:
    with audited(tmp_path) as service:
        say(service, event("acme", "withdraw", effective_at="2024-01-01T00:00:00Z"))
        actions = [one["body"]["action"] for one in entries(bundle(service)) if one["kind"] == "consent"]
        assert actions == ["grant", "grant", "withdraw"]
        assert problems(service, bundle(service)) == []


def test_erased_names_cannot_be_opened(tmp_path: Path) -> None:
    with audited(tmp_path) as service:
        with service.ledger.write() as tx:
            ref = tx.ref("account", "acme")
            assert ref is not None
            tx.erase([ref])
        assert problems(service, bundle(service)) == []
        with pytest.raises(InputError):
            bundle(service, opened=["acme"])


def test_what_was_erased_is_told_and_what_is_merely_missing_is_not_taken(tmp_path: Path) -> None:
    with audited(tmp_path) as service:
        whole = bundle(service, RUN)
        [decision] = [one for one in entries(whole) if one["kind"] == "decision"]
        digests = [decision["body"]["accounts"], decision["body"]["decision"]["policy"]["digest"]]
        with service.ledger.write() as tx:
            for digest in digests:
                tx.connection.exec_driver_sql("DELETE FROM attachment WHERE digest = ?", (digest,))
        found, manifest = verify_bundle(bundle(service, RUN), service.pinned_keys)
        missing = [resealed(service, whole, **{form.attachment_file(digest): None}) for digest in digests]
        assert all(problems(service, archive) for archive in missing)
    assert found.problems == []
    assert any("lists of accounts were erased" in one for one in found.not_proved)
    told = [one["what"] for one in manifest["left_out"]]
    assert {f"accounts of decision {decision['index']}", f"policy {digests[1]}"} <= set(told)


def test_a_block_that_names_only_some_accounts_says_so(tmp_path: Path) -> None:
    with new_service(tmp_path / "home") as service:
        data = chat_file(tmp_path, [f"account-{number}" for number in range(TOP_ACCOUNTS + 2)])
        tag_dataset(service, data, ["chat"], by="service:airflow", via="airflow")
        index = decide(service, [data], USE, ASKING).index
        found, manifest = verify_bundle(bundle(service), service.pinned_keys)
    assert found.problems == []
    told = [one["what"] for one in manifest["left_out"]]
    assert f"2 of the accounts that decision {index} blocked, and all that passed" in told


def test_the_archive_has_one_form_only() -> None:
    files = {"b.txt": b"two", "a/one.txt": b"", "c": b"PK\x03\x04"}
    archive = pack(files)
    assert unpack(archive) == files
    for other in (archive + b"\0", archive[:-1], b"", b"x" + archive, archive.replace(b"two", b"owt")):
        with pytest.raises(TamperingFound):
            unpack(other)
    for name in ("../a", "/a", "a//b", "A", "a\\b", "", "a/../b", ".a", "a" * 101):
        with pytest.raises(InputError):
            pack({name: b""})


def test_the_archive_is_a_zip(tmp_path: Path) -> None:
    import zipfile

    file = tmp_path / "a.zip"
    file.write_bytes(pack({"a/one.txt": b"1", "b": b"22"}))
    with zipfile.ZipFile(file) as opened:
        assert opened.testzip() is None
        assert opened.namelist() == ["a/one.txt", "b"]
        assert opened.read("b") == b"22"


def test_nothing_is_read_before_somebody_trusted_signed_it(service: Service) -> None:
    """A bundle of a stranger costs no more than its manifest."""
    files = {**unpack(bundle(service)), form.ENTRIES: b"[" * 1_000_000, form.MANIFEST: b"{}"}
    found, manifest = verify_bundle(pack(files), service.pinned_keys)
    assert (found.problems, manifest) == ([f"{form.MANIFEST}: is not the manifest of a bundle, version 1"], {})
    large = {**files, form.MANIFEST: b" " * 2_000_000}
    assert verify_bundle(pack(large), service.pinned_keys)[0].problems == [f"{form.MANIFEST}: is larger than any"]
    assert problems(service, resealed(service, bundle(service), **{form.ENTRIES: b"[" * 1_000_000 + b"\n"})) == [
        f"{form.ENTRIES}:1: is not JSON as we write it"
    ]
