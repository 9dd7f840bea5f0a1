"""The consent snapshot: what stands in the file, what is grouped, until when it holds."""

from __future__ import annotations

import stat
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gate.domain.consent import Profile
from gate.domain.decision import AccountFacts
from gate.errors import LedgerUnavailable
from gate.ledger import records, state
from gate.ledger.snapshots import Snapshot, build_snapshot
from support.ledgers import COMMON, NOW, appointment, at, consent, fresh, opened, sqlite_url

TERMS = [at("2023-08-07")]


def snapshot(url: str, path: Path, **options: object) -> Snapshot:
    with opened(url) as ledger, ledger.read() as reader:
        return build_snapshot(reader, options.pop("now", NOW), path, **options)  # type: ignore[arg-type]


def groups(path: Path) -> dict[str, int]:
    table = pq.read_table(path)
    columns = {f.name: str(f.type) for f in table.schema}
    assert columns == {"account_id": "string", "group": "int32", "changes_at": "timestamp[us, tz=UTC]"}
    return dict(zip(table["account_id"].to_pylist(), table["group"].to_pylist(), strict=True))


@pytest.fixture
def url(tmp_path: Path) -> str:
    return sqlite_url(tmp_path / "ledger.db")


def test_an_empty_ledger_knows_only_the_unknown_account(url: str, tmp_path: Path) -> None:
    with fresh(url):
        made = snapshot(url, tmp_path / "s.parquet")
    assert groups(made.path) == {}
    assert (made.groups, made.size, made.valid_until, made.as_of) == ((AccountFacts(),), 0, None, NOW)


def test_accounts_that_differ_in_ids_and_dates_only_are_one_group(url: str, tmp_path: Path) -> None:
    people = {"acme": "ada", "bolt": "bob", "dune": "dan", "echo": "eve"}
    with fresh(url) as ledger, ledger.write() as tx:
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
    made = snapshot(url, tmp_path / "s.parquet", boundaries=TERMS)
    found = groups(made.path)
    assert found["acme"] == found["bolt"]
    assert len({found["acme"], found["dune"], found["echo"]}) == 3
    assert found["flat"] == 0
    assert len(made.groups) == 4
    with opened(url) as ledger, ledger.read() as reader:
        assert made.groups[found["dune"]] == state.account_facts(reader, "dune")
        assert (made.size, made.root) == reader.head()


def test_without_the_policys_boundaries_dates_stay_apart(url: str, tmp_path: Path) -> None:
    with fresh(url) as ledger, ledger.write() as tx:
        for account, month in (("acme", 1), ("bolt", 1), ("dune", 2)):
            records.record_consents(tx, [consent(account, effective_at=f"2024-0{month}-01T00:00:00Z")], **COMMON)
    found = groups(snapshot(url, tmp_path / "s.parquet").path)
    assert found["acme"] == found["bolt"] != found["dune"]
    assert len(set(groups(snapshot(url, tmp_path / "s.parquet", boundaries=TERMS).path).values())) == 1
    apart = groups(snapshot(url, tmp_path / "s.parquet", boundaries=[at("2024-01-15")]).path)
    assert apart["acme"] == apart["bolt"] != apart["dune"]


def test_it_holds_until_the_next_start_or_expiry(url: str, tmp_path: Path) -> None:
    events = [
        consent(effective_at="2024-01-01T00:00:00Z", expires_at="2024-08-01T00:00:00Z"),
        consent("bolt", effective_at="2024-07-01T00:00:00Z", expires_at="2024-09-01T00:00:00Z"),
    ]
    with fresh(url) as ledger, ledger.write() as tx:
        records.record_consents(tx, events, **COMMON)
    path = tmp_path / "s.parquet"
    ends = ["2024-01-01", "2024-07-01", "2024-08-01", "2024-09-01"]
    assert snapshot(url, path, now=at("2023-12-01")).valid_until == at(ends[0])
    for end, following in zip(ends, [*ends[1:], None], strict=True):
        until = at(following) if following else None
        assert snapshot(url, path, now=at(end)).valid_until == until
        assert snapshot(url, path, now=at(end) + timedelta(microseconds=1)).valid_until == until
        assert snapshot(url, path, now=at(end) - timedelta(microseconds=1)).valid_until == at(end)


def test_an_erased_account_is_left_out(url: str, tmp_path: Path) -> None:
    with fresh(url) as ledger, ledger.write() as tx:
        records.record_consents(tx, [consent(), consent("bolt")], **COMMON)
        tx.erase([str(tx.ref("account", "acme"))])
    assert set(groups(snapshot(url, tmp_path / "s.parquet").path)) == {"bolt"}


def test_many_accounts_with_several_entries_each(url: str, tmp_path: Path) -> None:
    names = [f"account-{number}" for number in range(2500)]
    with fresh(url) as ledger, ledger.write() as tx:
        records.record_consents(tx, [consent(name) for name in names], **COMMON)
        revoked = [consent(name, "withdraw", effective_at="2024-02-01T00:00:00Z") for name in names[::3]]
        records.record_consents(tx, revoked, **COMMON)
    made = snapshot(url, tmp_path / "s.parquet", boundaries=TERMS)
    found = groups(made.path)
    assert len(found) == 2500
    assert len(made.groups) == 3
    assert {name for name in names if found[name] == found["account-0"]} == set(names[::3])


def test_the_file_is_private_and_replaced_at_once(url: str, tmp_path: Path) -> None:
    path = tmp_path / "out" / "s.parquet"
    path.parent.mkdir()
    path.write_bytes(b"old")
    with fresh(url) as ledger, ledger.write() as tx:
        records.record_consents(tx, [consent()], **COMMON)
    snapshot(url, path)
    assert [file.name for file in path.parent.iterdir()] == ["s.parquet"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert set(groups(path)) == {"acme"}


def test_a_failure_leaves_the_old_file(url: str, tmp_path: Path) -> None:
    path = tmp_path / "out" / "s.parquet"
    path.mkdir(parents=True)  # a folder in the way: the new file cannot take its place
    (path / "kept").touch()
    with fresh(url), pytest.raises(LedgerUnavailable, match="snapshot cannot be written"):
        snapshot(url, path)
    assert [file.name for file in path.parent.iterdir()] == ["s.parquet"]
    with pytest.raises(LedgerUnavailable, match="snapshot cannot be written"):
        snapshot(url, tmp_path / "nowhere" / "s.parquet")
