"""The consent snapshot: what stands in it, what is grouped, until when it holds, and when a kept one is used."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gate.domain.consent import Profile
from gate.domain.decision import AccountFacts
from gate.errors import LedgerUnavailable
from gate.ledger import records
from gate.ledger.snapshots import Snapshot, current_snapshot, next_change, read_groups
from gate.ledger.store import Transaction
from support.ledgers import COMMON, NOW, appointment, at, consent, fresh, opened, sqlite_url

TERMS = [at("2023-08-07")]


def snapshot(url: str, folder: Path, now: datetime = NOW, boundaries: Collection[datetime] = TERMS) -> Snapshot:
    with opened(url) as ledger, ledger.read() as reader:
        return current_snapshot(reader, now, boundaries, folder)


def append(url: str, act: Callable[[Transaction], object]) -> None:
    with opened(url) as ledger, ledger.write() as tx:
        act(tx)


def grants(*accounts: str, **changes: object) -> Callable[[Transaction], object]:
    return lambda tx: records.record_consents(tx, [consent(account, **changes) for account in accounts], **COMMON)


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = sqlite_url(tmp_path / "ledger.db")
    with fresh(url):
        return url


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "kept"


def layers(kept: Path, name: str) -> list[str]:
    newest = max(kept.glob(f"{name}*.json"), key=lambda path: int(path.name.split(".")[-2]))
    return [layer["name"] for layer in json.loads(newest.read_text())["layers"]]


def test_an_empty_ledger_knows_only_the_unknown_account(url: str, kept: Path) -> None:
    made = snapshot(url, kept)
    assert read_groups(made) == {}
    assert (made.count, made.size, made.valid_until, made.as_of) == (1, 0, None, NOW)
    assert made.facts(0) == AccountFacts()


def test_the_columns_are_those_that_scans_join(url: str, kept: Path) -> None:
    append(url, grants("acme"))
    (path,) = snapshot(url, kept).paths
    columns = {field.name: str(field.type) for field in pq.read_schema(path)}
    assert columns == {
        "account_id": "string",
        "group": "int32",
        "changes_at": "timestamp[us, tz=UTC]",
        "strangers": "list<element: string>",
    }


def test_accounts_that_differ_in_ids_and_dates_only_are_one_group(url: str, kept: Path) -> None:
    people = {"acme": "ada", "bolt": "bob", "dune": "dan", "echo": "eve"}

    def act(tx: Transaction) -> None:
        records.record_appointments(tx, [appointment(a, p) for a, p in people.items() if a != "echo"], **COMMON)
        for account, person, month in (("acme", "ada", 1), ("bolt", "bob", 2), ("dune", "dan", 3), ("echo", "eve", 1)):
            grant = consent(
                account,
                principal={"id": person, "role": "owner"},
                evidence=f"form of {account}",
                effective_at=f"2024-0{month}-01T00:00:00Z",
            )
            records.record_consents(tx, [grant], **COMMON)
        withdrawal = consent(
            "dune", "withdraw", principal={"id": "dan", "role": "owner"}, effective_at="2024-04-01T00:00:00Z"
        )
        records.record_consents(tx, [withdrawal], **COMMON)
        records.record_profile(tx, "flat", Profile(), **COMMON)

    append(url, act)
    made = snapshot(url, kept)
    found = read_groups(made)
    assert found["acme"] == found["bolt"]
    assert len({found["acme"], found["dune"], found["echo"]}) == 3
    assert found["flat"] == 0
    assert made.count == 4
    assert [str(r.event.action) for r in made.facts(found["dune"]).events] == ["grant", "withdraw"]
    with opened(url) as ledger, ledger.read() as reader:
        assert (made.size, made.root) == reader.head()


def test_the_policys_boundaries_keep_dates_apart(url: str, kept: Path) -> None:
    for account, month in (("acme", 1), ("bolt", 1), ("dune", 2)):
        append(url, grants(account, effective_at=f"2024-0{month}-01T00:00:00Z"))
    assert len(set(read_groups(snapshot(url, kept)).values())) == 1
    apart = read_groups(snapshot(url, kept, boundaries=[at("2024-01-15")]))
    assert apart["acme"] == apart["bolt"] != apart["dune"]


def test_it_holds_until_the_next_start_or_expiry(url: str, kept: Path) -> None:
    events = [
        consent(effective_at="2024-01-01T00:00:00Z", expires_at="2024-08-01T00:00:00Z"),
        consent("bolt", effective_at="2024-07-01T00:00:00Z", expires_at="2024-09-01T00:00:00Z"),
    ]
    append(url, lambda tx: records.record_consents(tx, events, **COMMON))
    ends = ["2024-01-01", "2024-07-01", "2024-08-01", "2024-09-01"]
    assert snapshot(url, kept, at("2023-12-01")).valid_until == at(ends[0])
    for end, following in zip(ends, [*ends[1:], None], strict=True):
        until = at(following) if following else None
        assert snapshot(url, kept, at(end) - timedelta(microseconds=1)).valid_until == at(end)
        assert snapshot(url, kept, at(end)).valid_until == until
        assert snapshot(url, kept, at(end) + timedelta(microseconds=1)).valid_until == until


def test_who_changes_when(url: str, kept: Path) -> None:
    append(url, grants("acme", expires_at="2024-08-01T00:00:00Z"))
    append(url, grants("bolt", expires_at="2024-07-01T00:00:00Z"))
    made = snapshot(url, kept)
    append(url, grants("echo"))
    grown = snapshot(url, kept)
    assert len(grown.paths) == 2, "a base and what came since"
    for one in (made, grown):
        assert next_change(one, ["acme"]) == at("2024-08-01")
        assert next_change(one, ["acme", "bolt", "nobody"]) == at("2024-07-01")
        assert next_change(one, ["nobody"]) is None
    assert next_change(grown, ["echo"]) is None


def test_nothing_new_means_the_same_files(url: str, kept: Path) -> None:
    append(url, grants("acme", "bolt"))
    first, again = snapshot(url, kept), snapshot(url, kept, NOW + timedelta(days=1))
    assert first.paths == again.paths
    append(url, lambda tx: tx.append("genesis", "x", {}, **COMMON))  # about no account
    assert snapshot(url, kept).paths == first.paths


def test_only_touched_accounts_are_read_again(url: str, kept: Path) -> None:
    append(url, grants(*(f"account-{n}" for n in range(50))))
    (base,) = snapshot(url, kept).paths
    append(url, grants("account-7", action="withdraw", effective_at="2024-02-01T00:00:00Z"))
    append(url, grants("new"))
    made = snapshot(url, kept)
    assert made.paths[0] == base
    assert set(pq.read_table(made.paths[1])["account_id"].to_pylist()) == {"account-7", "new"}
    assert read_groups(made)["account-7"] != read_groups(made)["account-8"] == read_groups(made)["new"]


def test_an_appointment_elsewhere_changes_what_a_stranger_said(url: str, kept: Path) -> None:
    append(url, grants("acme", "bolt"))
    before = snapshot(url, kept)
    append(url, lambda tx: records.record_appointments(tx, [appointment("bolt", since="2023-01-01")], **COMMON))
    after, plain = snapshot(url, kept), snapshot(url, kept.with_name("other"))
    said = [str(one.facts(read_groups(one)["acme"]).events[0].authority) for one in (before, after, plain)]
    assert said == ["not_admin", "wrong_account", "wrong_account"]


def test_what_was_erased_is_in_no_kept_file(url: str, kept: Path) -> None:
    append(url, grants("acme", "bolt"))
    assert set(read_groups(snapshot(url, kept))) == {"acme", "bolt"}
    append(url, lambda tx: tx.erase([str(tx.ref("account", "acme"))]))
    made = snapshot(url, kept)
    assert set(read_groups(made)) == {"bolt"}
    assert all(
        b"acme" not in (kept / name).read_bytes() for name in (*layers(kept, "mirror"), *layers(kept, "snapshot"))
    )


def test_an_erased_text_takes_the_grant_with_it(url: str, kept: Path) -> None:
    append(url, lambda tx: records.record_appointments(tx, [appointment()], **COMMON))
    append(url, grants("acme"))
    assert str(snapshot(url, kept).facts(1).events[0].authority) == "admin"
    append(url, lambda tx: tx.erase([str(tx.ref("text", "form 1"))]))
    made = snapshot(url, kept)
    assert str(made.facts(read_groups(made)["acme"]).events[0].authority) == "not_admin"


@pytest.mark.parametrize("which", ["mirror", "snapshot"])
@pytest.mark.parametrize("harm", ["damaged", "cut", "gone", "manifest"])
def test_a_damaged_file_is_made_anew(url: str, kept: Path, which: str, harm: str) -> None:
    append(url, grants("acme", "bolt"))
    right = read_groups(snapshot(url, kept))
    for manifest in kept.glob("snapshot*.json" if which == "mirror" else "nothing"):
        manifest.unlink()  # so that the mirror is asked
    path = kept / layers(kept, which)[0] if harm != "manifest" else next(kept.glob(f"{which}*.json"))
    whole = path.read_bytes()
    match harm:
        case "damaged":
            path.write_bytes(whole[:-300] + bytes([whole[-300] ^ 1]) + whole[-299:])
        case "cut":
            path.write_bytes(whole[: len(whole) // 2])
        case "gone":
            path.unlink()
        case _:
            path.write_text('{"format": 1, "size": "two"}')
    assert read_groups(snapshot(url, kept)) == right


def test_another_ledgers_files_are_not_used(url: str, kept: Path, tmp_path: Path) -> None:
    append(url, grants("acme"))
    snapshot(url, kept)
    other = sqlite_url(tmp_path / "other.db")
    with fresh(other):
        append(other, grants("bolt"))
    assert set(read_groups(snapshot(other, kept))) == {"bolt"}
    assert set(read_groups(snapshot(url, kept))) == {"acme"}


def test_a_reader_of_an_older_state_gets_that_state(url: str, kept: Path) -> None:
    append(url, grants("acme"))
    with opened(url) as ledger, ledger.read() as reader:
        reader.head()
        append(url, grants("bolt"))
        assert set(read_groups(snapshot(url, kept))) == {"acme", "bolt"}
        assert set(read_groups(current_snapshot(reader, NOW, TERMS, kept))) == {"acme"}


def test_many_accounts_with_several_entries_each(url: str, kept: Path) -> None:
    names = [f"account-{number}" for number in range(2500)]
    append(url, grants(*names))
    append(url, grants(*names[::3], action="withdraw", effective_at="2024-02-01T00:00:00Z"))
    made = snapshot(url, kept)
    found = read_groups(made)
    assert len(found) == 2500
    assert made.count == 3
    assert {name for name in names if found[name] == found["account-0"]} == set(names[::3])


def test_a_long_history_is_told_apart_to_its_last_event(url: str, kept: Path) -> None:
    months = [f"2021-{month:02}-01T00:00:00Z" for month in range(1, 13)] * 3
    for account in ("acme", "bolt", "dune"):
        said = [consent(account, jurisdiction=str(n), effective_at=when) for n, when in enumerate(months)]
        said.append(
            consent(account, effective_at="2024-03-01T00:00:00Z" if account == "dune" else "2023-09-01T00:00:00Z")
        )
        append(url, lambda tx, said=said: records.record_consents(tx, said, **COMMON))  # type: ignore[misc]
    found = read_groups(snapshot(url, kept, boundaries=[*TERMS, at("2024-01-01")]))
    assert found["acme"] == found["bolt"] != found["dune"]


def test_files_are_private(url: str, kept: Path) -> None:
    append(url, grants("acme"))
    snapshot(url, kept)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept.iterdir()} == {0o600}


def test_where_nothing_can_be_kept_it_is_made_for_once(url: str, tmp_path: Path) -> None:
    append(url, grants("acme"))
    (tmp_path / "in the way").touch()
    with opened(url) as ledger, ledger.read() as reader:
        made = current_snapshot(reader, NOW, TERMS, tmp_path / "in the way", tmp_path / "scratch")
        assert set(read_groups(made)) == {"acme"}
        with pytest.raises(LedgerUnavailable, match="snapshot cannot be written"):
            current_snapshot(reader, NOW, TERMS, tmp_path / "in the way", tmp_path / "in the way")
