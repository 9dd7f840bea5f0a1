"""Data contracts in pandas, SQLite and datasets, by the real Great Expectations; the demo's tables hold to theirs."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from gate.cli.main import app
from gate.demo.lake import make_lake
from gate.domain.contract import ContractOutcome, Outcome
from gate.domain.dataset import dataset
from gate.errors import DatasetError, InputError
from gate.scan.contracts import on_files
from gate.scan.contracts.checking import check_contract, check_dataset_contract, sql_table
from gate.scan.contracts.rules import bind
from gate.scan.contracts.suite import Column, contract_suite, great_expectations
from gate.scan.contracts.tally import Tally
from support.contract_suite import GOOD, KINDS, NOW, SECRET, SENT, ContractsInEveryEngine, not_passed, outcomes

pytestmark = pytest.mark.xdist_group("great_expectations")  # its import takes 6 s and 240 MB: once is enough
Make = Callable[..., Any]
_names = (f"data_{number}" for number in count())


class TestPandas(ContractsInEveryEngine):
    @pytest.fixture
    def make(self) -> Make:
        def frame(rows: list[dict[str, Any]], kinds: dict[str, str]) -> Any:
            types = {"text": "str", "integer": "Int64", "timestamp": "datetime64[us]", "real": "float64"}
            return pd.DataFrame(
                {name: pd.Series([row[name] for row in rows], dtype=types[kinds[name]]) for name in kinds}
            )

        return frame

    @pytest.mark.parametrize("kind", ["category", "string", "object"])
    def test_text_counts_however_pandas_keeps_it(self, kind: str) -> None:
        frame = pd.DataFrame({"account_id": pd.Series(["acme", "acme", " "], dtype=kind), "text": ["a", "b", "c"]})
        assert not_passed(check_contract(frame, ["chat"], "account_id", NOW)) == {"account": (Outcome.FAILED, 0, 1)}

    def test_whole_numbers_can_be_accounts(self) -> None:
        frame = pd.DataFrame({"account_id": [1, 2, 3]})
        assert outcomes(check_contract(frame, ["chat"], "account_id", NOW)) == {"account": Outcome.PASSED}

    @pytest.mark.parametrize("participants", [[], None, ["acme", None], ["acme", ""], ["acme", f" {SECRET}"]])
    def test_every_participant_is_an_account(self, participants: Any) -> None:
        whole = pd.DataFrame({"account_id": [["acme"], ["acme", "zeta"]], "text": "hello"})
        assert not not_passed(check_contract(whole, ["chat"], "account_id", NOW))
        frame = pd.DataFrame({"account_id": [["acme", "zeta"], participants], "text": "hello"})
        found = check_contract(frame, ["chat"], "account_id", NOW)
        assert set(not_passed(found)) == {"account"}
        assert found.rows == 2

    @pytest.mark.parametrize(
        ("values", "kind", "outcome"),
        [
            ([np.int64(1), np.int64(-2)], "object", Outcome.FAILED),
            ([1, 2**63 + 5], "uint64", Outcome.PASSED),
            ([Decimal("1.5"), Decimal("-1.5")], "object", Outcome.FAILED),
            ([1, True], "object", Outcome.ERRORED),  # true is an int to Python, so the type fits
            ([1, None, -4], pd.ArrowDtype(pa.int64()), Outcome.FAILED),
            (["1", "2" * 30], "str", Outcome.PASSED),
            ([True, False], "bool", Outcome.FAILED),
            ([timedelta(1)], "object", Outcome.FAILED),
        ],
    )
    def test_numbers_of_every_kind(self, values: list[Any], kind: Any, outcome: Outcome) -> None:
        frame = pd.DataFrame({"reply_minutes": pd.Series(values, dtype=kind)})
        assert check_contract(frame, ["chat"], None, NOW).outcome is outcome

    @pytest.mark.parametrize("far", [date(1, 1, 1), date(9999, 12, 31), "9999-12-31", "0001-01-01", "99999-12-31"])
    def test_moments_beyond_what_a_frame_can_hold(self, far: Any) -> None:
        frame = pd.DataFrame({"sent_at": [str(SENT) if isinstance(far, str) else SENT.date(), far]})
        assert not_passed(check_contract(frame, ["chat"], None, NOW)) == {"sent": (Outcome.FAILED, 0, 1)}

    def test_a_rule_that_was_not_asked_is_errored(self) -> None:
        """A frame of which we were told a type too little: that the type is right does not answer the rule."""
        frame = pd.DataFrame({"reply_minutes": [1, -2]})
        tally = Tally(bind(["chat"], frame.columns, None))
        gx = great_expectations()
        asset = gx.get_context(mode="ephemeral").data_sources.add_pandas("lake").add_dataframe_asset("chat")
        batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
        tally.rows = 2
        tally.add(batch, {"reply_minutes": Column("other")}, NOW, "pandas")
        assert tally.outcome(("chat",), NOW, "1").outcome is Outcome.ERRORED

    def test_zones_count(self) -> None:
        soon = pd.to_datetime(["2026-11-30T10:30:00+02:00"], utc=False)  # half past eight in UTC
        frame = pd.DataFrame({"sent_at": soon})
        assert not not_passed(check_contract(frame, ["chat"], None, NOW))
        assert set(not_passed(check_contract(frame, ["chat"], None, NOW - timedelta(hours=1)))) == {"sent"}

    def test_one_odd_value_among_numbers_is_one(self) -> None:
        frame = pd.DataFrame({"reply_minutes": ["1", "2", SECRET, "4"]})
        found = check_contract(frame, ["chat"], None, NOW)
        assert not_passed(found) == {"reply-time": (Outcome.FAILED, 0, 1)}

    def test_a_batch_of_gx_is_taken_as_its_frame(self) -> None:
        gx = great_expectations()
        asset = gx.get_context(mode="ephemeral").data_sources.add_pandas("lake").add_dataframe_asset("chat")
        batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": pd.DataFrame([GOOD])})
        assert check_contract(batch, ["chat"], "account_id", NOW).outcome is Outcome.PASSED

    def test_the_context_of_the_process_stays_its_own(self) -> None:
        gx = great_expectations()
        mine = gx.get_context(mode="ephemeral")
        check_contract(pd.DataFrame([GOOD]), ["chat"], "account_id", NOW)
        frames = (
            mine.data_sources.add_pandas("own").add_dataframe_asset("f").add_batch_definition_whole_dataframe("all")
        )
        suite = mine.suites.add(gx.ExpectationSuite(name="own"))
        validation = mine.validation_definitions.add(gx.ValidationDefinition(name="own", data=frames, suite=suite))
        check_contract(pd.DataFrame([GOOD]), ["chat"], "account_id", NOW)
        assert validation.run(batch_parameters={"dataframe": pd.DataFrame([GOOD])}).success

    def test_something_else_is_refused(self) -> None:
        with pytest.raises(InputError, match="a list cannot be checked"):
            check_contract([GOOD], ["chat"], None, NOW)


@pytest.mark.slow
class TestSqlite(ContractsInEveryEngine):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Make:
        return lambda rows, kinds: sqlite_table(tmp_path / "data.db", rows, kinds)

    def test_a_table_that_is_not_there_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no table"):
            sql_table(f"sqlite:///{tmp_path / 'data.db'}", "nothing")


def test_a_rule_that_the_database_cannot_compute_is_errored(tmp_path: Path) -> None:
    rows = [{"account_id": value, "text": "hello"} for value in ("acme", b"\xff\x00" + SECRET.encode())]
    batch = sqlite_table(tmp_path / "data.db", rows, {"account_id": "text", "text": "text"})
    found = check_contract(batch, ["chat"], "account_id", NOW)
    assert {rule: told[0] for rule, told in not_passed(found).items()} == {"account": Outcome.ERRORED}
    assert SECRET not in json.dumps(found.to_dict())


def sqlite_table(path: Path, rows: list[dict[str, Any]], kinds: dict[str, str]) -> Any:
    name = next(_names)
    moment = {name for name, kind in kinds.items() if kind == "timestamp"}
    with sqlite3.connect(path) as database:
        database.execute(f"CREATE TABLE {name} ({', '.join(f'{column} {kind}' for column, kind in kinds.items())})")
        for row in rows:
            values = [str(row[c]) if c in moment and row[c] is not None else row[c] for c in kinds]
            database.execute(f"INSERT INTO {name} VALUES ({', '.join('?' * len(values))})", values)
    database.close()
    return sql_table(f"sqlite:///{path}", name)


# Datasets


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("contracts") / "lake"
    make_lake(folder)
    return folder


DEMO = [
    ("meetings/chat/chat.jsonl", "account_id", "chat", 320),
    ("telemetry", "account_id", "telemetry", 480),
    ("education/gradebook.csv", "account_id", "education_record", 36),
    ("phi/fhir", "path:{account}/*", "phi", 48),
]


def checked(path: Path, account: str | None, *categories: str) -> ContractOutcome:
    return check_dataset_contract(dataset(str(path), account), categories, datetime.now(UTC))


@pytest.mark.parametrize(("path", "account", "category", "rows"), DEMO)
def test_the_demo_holds_to_its_contracts(lake: Path, path: str, account: str, category: str, rows: int) -> None:
    found = checked(lake / path, account, category)
    assert not not_passed(found)
    assert found.rows == rows
    assert len(found.rules) >= 3
    assert ("account" in outcomes(found)) == (account == "account_id")


@pytest.mark.parametrize("path", ["meetings/recordings", "meetings/transcripts", "phi/hl7"])
def test_files_that_are_no_tables_are_nothing_to_check(lake: Path, path: str) -> None:
    found = checked(lake / path, "path:{account}/*", "audio", "video", "phi")
    assert (found.outcome, found.note) == (None, "its files are no tables of one format")


@pytest.mark.parametrize(
    ("path", "category", "old", "new", "rule"),
    [
        ("meetings/chat/chat.jsonl", "chat", '"account_id": "delta"', '"account_id": " "', "account"),
        ("meetings/chat/chat.jsonl", "chat", '"sent_at": "2025', '"sent_at": "2525', "sent"),
        ("meetings/chat/chat.jsonl", "chat", '"reply_minutes": ', '"reply_minutes": -', "reply-time"),
        ("meetings/chat/chat.jsonl", "chat", '"sender"', '"from_whom"', None),
        ("meetings/chat/chat.jsonl", "chat", '"sender": "guest-1"', '"sender": null', "sender"),
        ("education/gradebook.csv", "education_record", "cascade-s03", "", "student"),
        ("education/gradebook.csv", "education_record", "cascade,", ",", "account"),
        ("education/gradebook.csv", "education_record", "algebra,", "algebra,1", "share-in-percent"),
        ("education/gradebook.csv", "education_record", "algebra,", "algebra,x", "share-in-percent"),
        ("phi/fhir/aurora/observations.ndjson", "phi", '"birthDate": "19', '"birthDate": "17', "birth"),
        ("phi/fhir/aurora/observations.ndjson", "phi", '"birthDate": "19', '"birthDate": "29', "birth"),
        ("phi/fhir/aurora/observations.ndjson", "phi", '"effectiveDateTime": "2', '"effectiveDateTime": "3', "care"),
        ("phi/fhir/aurora/observations.ndjson", "phi", '"Observation"', '"7"', "resource-type"),
    ],
)
def test_broken_tables_do_not(
    lake: Path, tmp_path: Path, path: str, category: str, old: str, new: str, rule: str | None
) -> None:
    text = (lake / path).read_text("utf-8")
    assert old in text
    broken = tmp_path / Path(path).name
    broken.write_text(text.replace(old, new), "utf-8")
    found = checked(broken, None if category == "phi" else "account_id", category)
    assert {name: told[0] for name, told in not_passed(found).items()} == ({rule: Outcome.FAILED} if rule else {})


def test_broken_parquet_does_not(lake: Path, tmp_path: Path) -> None:
    table = parquet.read_table(lake / "telemetry/part-0.parquet")
    worse = pa.array([-1.0, *table["jitter_ms"].to_pylist()[1:]])
    place = table.column_names.index("jitter_ms")
    parquet.write_table(table.set_column(place, "jitter_ms", worse), tmp_path / "part.parquet")
    [bad] = [rule for rule in checked(tmp_path, "account_id", "telemetry").rules if rule.outcome is not Outcome.PASSED]
    assert (bad.rule, bad.column, bad.unexpected, bad.values) == ("time-taken", "jitter_ms", 1, table.num_rows)


@pytest.mark.parametrize(
    ("category", "good", "bad", "rule"),
    [
        ("audio", "sampling_rate,duration\n16000,2.5\n", "sampling_rate,duration\n0,2.5\n", "sampling-rate"),
        ("audio", "sampling_rate,duration\n16000,2.5\n", "sampling_rate,duration\n16000,-2.5\n", "duration"),
        ("video", "fps,width,height\n25,640,480\n", "fps,width,height\n25,0,480\n", "picture-size"),
        ("video", "fps,width,height\n25,640,480\n", "fps,width,height\nmany,640,480\n", "frame-rate"),
    ],
)
def test_descriptions_of_recordings(tmp_path: Path, category: str, good: str, bad: str, rule: str) -> None:
    (tmp_path / "good.csv").write_text(good)
    (tmp_path / "bad.csv").write_text(bad)
    assert checked(tmp_path / "good.csv", None, category).outcome is Outcome.PASSED
    assert set(not_passed(checked(tmp_path / "bad.csv", None, category))) == {rule}


def test_participants_in_files_are_accounts(tmp_path: Path) -> None:
    lines = [{"accounts": who, "text": "hello"} for who in (["acme"], ["acme", "zeta"], ["acme", " "])]
    (tmp_path / "chat.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = checked(tmp_path / "chat.jsonl", "accounts", "chat")
    assert not_passed(found) == {"account": (Outcome.FAILED, 0, 1)}


def test_partitions_are_columns(tmp_path: Path) -> None:
    for account in ("acme", "%20"):
        folder = tmp_path / f"account_id={account}"
        folder.mkdir()
        parquet.write_table(pa.table({"text": ["hello"]}), folder / "part.parquet")
    found = checked(tmp_path, "account_id", "chat")
    assert {rule.rule: rule.outcome for rule in found.rules}["message-is-text"] is Outcome.PASSED
    assert "account" in outcomes(found)


def test_no_rows_are_nothing_to_check(tmp_path: Path) -> None:
    (tmp_path / "chat.csv").write_text("account_id,text\n")
    parquet.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "chat.parquet")
    for name, account in (("chat.csv", "account_id"), ("chat.parquet", None)):
        found = checked(tmp_path / name, account, "chat")
        assert (found.outcome, found.rows, found.note) == (None, 0, "there are no rows")


def test_batches_are_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares are of all rows: a batch that alone would be short of senders changes nothing."""
    monkeypatch.setattr(on_files, "ROWS", 10)
    rows = [GOOD | {"sent_at": "2026-01-01T00:00:00Z", "sender": None if n < 4 else "host"} for n in range(40)]
    (tmp_path / "chat.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = checked(tmp_path / "chat.jsonl", "account_id", "chat")
    [sender] = [rule for rule in found.rules if rule.rule == "sender"]
    assert (found.rows, sender.outcome, sender.values, sender.empty) == (40, Outcome.PASSED, 40, 4)
    rows[39]["reply_minutes"], rows[20]["sender"] = -5, None
    (tmp_path / "chat.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = checked(tmp_path / "chat.jsonl", "account_id", "chat")
    assert not_passed(found) == {"sender": (Outcome.FAILED, 5, 0), "reply-time": (Outcome.FAILED, 0, 1)}


def test_an_account_column_that_is_not_there_cannot_be_decided(lake: Path) -> None:
    with pytest.raises(DatasetError, match="has no column 'tenant'"):
        checked(lake / "meetings/chat/chat.jsonl", "tenant", "chat")


OWN = """
category: telemetry
title: Readings of our ovens
question: Does it hold readings of ovens?
signals: [{id: ovens, weight: 0.9, formats: [oven]}]
contract:
  - {id: whole, says: Ovens are counted., columns: ["=count"], type: whole}
  - {id: number, says: Heat is a number., columns: ["=heat"], type: number}
  - {id: moment, says: It says when., columns: ["=when"], type: moment}
  - {id: text, says: It has a name., columns: ["=name"], type: text}
  - {id: code, says: Nearly all codes are codes., columns: ["=code"], format: '^[A-Z][0-9]$', share: 0.75}
"""
FITS = {"count": "7", "heat": "1.5", "when": "2026-01-02", "name": "big", "code": "A1"}


def own_rules(tmp_path: Path, suffix: str, *rows: dict[str, Any]) -> dict[str, tuple[Outcome, int, int]]:
    """Check rows by rules of our own, in a CSV or JSONL file."""
    (tmp_path / "rules").mkdir(exist_ok=True)
    (tmp_path / "rules/ovens.yaml").write_text(OWN)
    path = tmp_path / f"ovens{suffix}"
    if suffix == ".csv":
        pd.DataFrame(rows).to_csv(path, index=False)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = check_dataset_contract(dataset(str(path)), ["telemetry"], NOW, tmp_path / "rules")
    assert len(found.rules) == 5
    return not_passed(found)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_rules_of_ones_own_on_files(tmp_path: Path, suffix: str) -> None:
    rows = [FITS, FITS | {"count": None}, FITS | {"heat": "-2e3"}, FITS | {"when": "2026-01-02T03:04:05+02:00"}]
    assert not own_rules(tmp_path, suffix, *rows)
    assert not own_rules(tmp_path, suffix, *rows, FITS | {"code": "a1"})
    odd = own_rules(tmp_path, suffix, FITS, {"count": "1.5", "heat": "x", "when": "x", "name": "y", "code": "z"})
    assert {rule: told[0] for rule, told in odd.items()} == dict.fromkeys(
        ("whole", "number", "moment", "code"), Outcome.FAILED
    )


def test_a_share_of_what_is_no_text_is_none(tmp_path: Path) -> None:
    """A type that does not fit fails whatever share a pattern leaves: nothing was held against the pattern."""
    assert own_rules(tmp_path, ".jsonl", FITS | {"code": 1}, FITS | {"code": 2})["code"][0] is Outcome.FAILED
    assert own_rules(tmp_path, ".jsonl", FITS | {"name": 1})["text"][0] is Outcome.FAILED


# The suite, and the command


def test_the_suite_is_of_built_in_expectations_and_names_its_rules() -> None:
    columns = {name: Column("moment" if kind == "timestamp" else kind) for name, kind in KINDS.items()}
    suite = contract_suite(["chat"], columns, "account_id", NOW)
    gx = great_expectations()
    told = {(tuple(one.meta["rule"]), one.expectation_type, one.severity.value) for one in suite.expectations}
    assert (("chat", "account", "account_id"), "expect_column_values_to_not_be_null", "critical") in told
    assert (("chat", "sender", "sender"), "expect_column_values_to_not_be_null", "warning") in told
    assert all(hasattr(gx.expectations, type(one).__name__) for one in suite.expectations)
    json.dumps(suite.to_json_dict())  # it can be kept and run elsewhere


@pytest.mark.parametrize(
    ("reply", "code", "said"), [("5", 0, "5 passed, 0 failed"), ("-5", 1, "failed\tchat\treply-time")]
)
def test_the_command_says_how_it_went(tmp_path: Path, reply: str, code: int, said: str) -> None:
    path = tmp_path / "chat.csv"
    path.write_text(f"account_id,text,sender,reply_minutes\nacme,hello,host,{reply}\n")
    words = ["dataset", "contract", str(path), "--account", "account_id", "--category", "chat"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == code, done.output
    assert said in done.stdout
    answer = CliRunner().invoke(app, [*words, "--json"])
    assert answer.exit_code == code
    assert ContractOutcome.from_dict(json.loads(answer.stdout)).outcome == ("failed" if code else "passed")
