"""Expectations about consent in pandas and SQL: the answer of `gate check`, and no success that was not computed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gate.domain.dataset import dataset
from gate.errors import InputError
from gate.service.core import open_service
from gate.service.deciding import check
from gate.service.settings import read_settings
from gate.service.tagging import parse_categories, tag_dataset
from support.databases import fresh_database, postgres_server
from support.expectation_suite import InEveryEngine, assert_errored
from support.expectations import (
    AGREED,
    EVERYBODY,
    LAPSED,
    SILENT,
    PandasBatches,
    PostgresBatches,
    SqliteBatches,
    expect_consent,
    gx_context,
    new_home,
    told,
)
from support.world import USE, chat_file

# Slow by its import alone (6 s and 240 MB, once is enough); the page for GX users runs with the others.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("great_expectations")]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    new_home(folder)
    return folder


@pytest.fixture(autouse=True)
def _its_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GATE_DATABASE_URL", raising=False)
    monkeypatch.setenv("GATE_HOME", str(home))


@pytest.fixture(scope="module")
def context() -> Any:
    return gx_context()


@pytest.fixture(scope="module")
def frames(context: Any) -> PandasBatches:
    return PandasBatches(context)


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with fresh_database(postgres_server()) as url:
        yield url


class TestPandas(InEveryEngine):
    @pytest.fixture
    def batches(self, frames: PandasBatches) -> PandasBatches:
        return frames

    @pytest.mark.parametrize(
        "mixed", [[1, "a"], [1, True], ["a", ["a"]], [b"a", "b"], [2**70], [1.0, None], [{"a": 1}]]
    )
    def test_other_mixtures_are_refused(self, frames: PandasBatches, mixed: list[Any]) -> None:
        assert_errored(frames.batch(mixed).validate(expect_consent()))

    @pytest.mark.parametrize("kind", ["category", "string", "object"])
    def test_text_counts_however_pandas_keeps_it(self, frames: PandasBatches, kind: str) -> None:
        frame = pd.DataFrame({"account_id": pd.Series([AGREED, AGREED, SILENT], dtype=kind)})
        result = frames.of(frame).validate(expect_consent())
        assert result.result["details"]["rows"] == {"passing": 2, "blocked": 1, "unattributed": 0}

    def test_two_columns_of_one_name_are_refused(self, frames: PandasBatches) -> None:
        frame = pd.DataFrame([[AGREED, SILENT]], columns=["account_id", "account_id"])
        assert_errored(frames.of(frame).validate(expect_consent()), "several columns")

    def test_many_accounts_take_seconds(self, frames: PandasBatches) -> None:
        frame = pd.DataFrame({"account_id": [f"account-{number}" for number in range(200_000)]})
        batch, start = frames.of(frame), time.perf_counter()
        result = batch.validate(expect_consent())
        assert time.perf_counter() - start < 20
        assert result.result["details"]["accounts"] == {"passing": 0, "blocked": 200_000}


class TestSqlite(InEveryEngine):
    @pytest.fixture
    def batches(self, context: Any, tmp_path: Path) -> SqliteBatches:
        return SqliteBatches(context, tmp_path)

    def test_a_collation_hides_no_account(self, context: Any, tmp_path: Path) -> None:
        batches = SqliteBatches(context, tmp_path, declared="TEXT COLLATE NOCASE")
        self.test_case_and_blanks_tell_accounts_apart(batches)

    def test_numbers_and_fractions_are_mixed(self, batches: SqliteBatches) -> None:
        assert_errored(batches.batch([1, 1.0]).validate(expect_consent()), "mixed types")

    def test_databases_we_do_not_know_are_counted_here(self, tmp_path: Path) -> None:
        import sqlalchemy as sa

        from gate.gx.sql import count_row_by_row

        engine = sa.create_engine(f"sqlite:///{tmp_path / 'rows.db'}")
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE t (account_id TEXT COLLATE NOCASE)")
            for account in ("a", "A", "a", None):
                connection.execute(sa.text("INSERT INTO t VALUES (:a)"), {"a": account})
            counted = count_row_by_row(connection, sa.table("t"), "account_id").to_pylist()
        engine.dispose()
        expected = [("a", 2), ("A", 1), (None, 1)]
        assert {(row["account"], row["n"]) for row in counted} == set(expected)


@pytest.mark.postgres
class TestPostgres(InEveryEngine):
    @pytest.fixture
    def batches(self, context: Any, database: str) -> Iterator[PostgresBatches]:
        made = PostgresBatches(context, database)
        yield made
        made.close()

    @pytest.mark.parametrize("collated", ["text COLLATE anycase", "text[] COLLATE anycase"])
    def test_a_collation_hides_no_account(self, batches: PostgresBatches, collated: str) -> None:
        import psycopg

        with psycopg.connect(batches.url) as database:
            database.execute(
                "CREATE COLLATION IF NOT EXISTS anycase "
                "(provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
            )
        rows: list[Any] = [AGREED, AGREED.upper()]
        if "[]" in collated:
            rows = [[row] for row in rows]
        result = batches.batch(rows, collated).validate(expect_consent())
        assert not result.success
        assert result.result["details"]["accounts"] == {"passing": 1, "blocked": 1}

    def test_lists_of_numbers_are_accounts(self, batches: PostgresBatches) -> None:
        result = batches.batch([[7, 8], [8, 7]], "integer[]").validate(expect_consent())
        assert result.result["details"]["accounts"] == {"passing": 0, "blocked": 2}


BLANKS = st.sampled_from([None, "", " "])
ACCOUNT = st.sampled_from([*EVERYBODY, "ü", "stranger"])
ROWS = st.one_of(
    st.lists(ACCOUNT | BLANKS, min_size=1, max_size=12),
    st.lists(st.none() | st.lists(ACCOUNT | BLANKS, max_size=3), min_size=1, max_size=12),
)


class TestAsGateCheck:
    @settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(ROWS, st.sampled_from([["chat"], ["telemetry"], ["chat", "telemetry"], ["phi"], ["none"]]))
    def test_the_answer_is_that_of_gate_check(
        self, frames: PandasBatches, tmp_path: Path, rows: list[Any], categories: list[str]
    ) -> None:
        frame = pd.DataFrame({"account_id": rows})
        result = frames.of(frame).validate(expect_consent(categories=categories))
        path = tmp_path / "rows.parquet"
        frame.to_parquet(path)
        with open_service(read_settings()) as service:
            claimed = [parse_categories(categories)]
            decision, _ = check(service, [dataset(str(path), "account_id")], USE, claimed=claimed)
        said, details = decision.to_dict(), result.result["details"]
        assert result.success is (said["verdict"] == "allow")
        assert result.result["unexpected_count"] == decision.rows_blocked
        assert details["accounts"]["blocked"] == decision.accounts_blocked
        assert _nameless(details["findings"]) == _nameless(said["findings"])
        for name in ("verdict", "reasons", "use", "policy", "terms_version"):
            assert details[name] == said[name]


def _nameless(findings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in finding.items() if name != "dataset"} for finding in findings]


class TestWhatCannotBeTalkedRound:
    @pytest.mark.parametrize("extra", [{"mostly": 0.1}, {"row_condition": "text == 'x'", "condition_parser": "pandas"}])
    def test_nothing_lowers_the_bar(self, context: Any, extra: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="extra fields not permitted"):
            expect_consent(**extra)

    @pytest.mark.parametrize(
        "wrong", [{"categories": []}, {"categories": ["poems"]}, {"categories": ["unclassified"]}, {"purpose": "fun"}]
    )
    def test_words_that_mean_nothing_are_refused_at_once(self, context: Any, wrong: dict[str, Any]) -> None:
        with pytest.raises(InputError):
            expect_consent(**wrong)

    def test_no_ledger_is_no_success_and_none_is_made(
        self, frames: PandasBatches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GATE_HOME", str(tmp_path / "nowhere"))
        assert_errored(frames.batch([AGREED]).validate(expect_consent()), "no ledger")
        assert not (tmp_path / "nowhere").exists()

    def test_an_unreadable_database_is_no_success(self, frames: PandasBatches, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GATE_DATABASE_URL", "sqlite:////nowhere/ledger.db")
        assert_errored(frames.batch([AGREED]).validate(expect_consent()))

    def test_an_unknown_policy_is_no_success(self, frames: PandasBatches) -> None:
        assert_errored(frames.batch([AGREED]).validate(expect_consent(policy="lenient")))

    def test_another_policy_answers_by_its_name(self, frames: PandasBatches) -> None:
        result = frames.batch([AGREED]).validate(expect_consent(policy="strict"))
        assert result.result["details"]["policy"]["name"] == "strict"
        assert not result.success  # one account a row names no participants

    def test_nothing_is_recorded(self, frames: PandasBatches) -> None:
        with open_service(read_settings()) as service:
            before = service.ledger_size()
            frames.batch([AGREED, SILENT]).validate(expect_consent())
            assert service.ledger_size() == before


class TestWithTheRestOfGx:
    def test_a_checkpoint_runs_it_beside_others(self, context: Any, frames: PandasBatches) -> None:
        import great_expectations as gx

        suite = context.suites.add(gx.ExpectationSuite(name="beside"))
        suite.add_expectation(expect_consent())
        suite.add_expectation(expect_consent(categories=["telemetry"]))
        suite.add_expectation(gx.expectations.ExpectTableRowCountToBeBetween(min_value=1))
        definition = context.validation_definitions.add(
            gx.ValidationDefinition(name="beside", data=frames.definition, suite=suite)
        )
        checkpoint = context.checkpoints.add(gx.Checkpoint(name="beside", validation_definitions=[definition]))
        agreed = checkpoint.run(batch_parameters={"dataframe": pd.DataFrame({"account_id": [AGREED]})})
        assert agreed.success
        silent = checkpoint.run(batch_parameters={"dataframe": pd.DataFrame({"account_id": [AGREED, SILENT]})})
        assert not silent.success
        [validated] = silent.describe_dict()["validation_results"]
        assert validated["statistics"]["successful_expectations"] == 2  # telemetry needs no consent
        assert SILENT not in silent.describe()

    def test_a_suite_comes_back_from_its_file(self, tmp_path: Path, frames: PandasBatches) -> None:
        import great_expectations as gx

        from gate.gx import ExpectAccountsToHaveConsent, ExpectDatasetCategoriesToBe

        kept = gx.get_context(mode="file", project_root_dir=tmp_path)
        suite = kept.suites.add(gx.ExpectationSuite(name="kept"))
        suite.add_expectation(expect_consent(policy="strict"))
        suite.add_expectation(ExpectDatasetCategoriesToBe(categories=["video", "audio"], dataset="/lake/calls"))
        loaded = gx.get_context(mode="file", project_root_dir=tmp_path).suites.get("kept")
        consent, categories = sorted(loaded.expectations, key=lambda one: one.expectation_type)
        assert isinstance(consent, ExpectAccountsToHaveConsent)
        assert (consent.policy, consent.categories) == ("strict", ["chat"])
        assert isinstance(categories, ExpectDatasetCategoriesToBe)
        assert categories.categories == ["audio", "video"]
        assert json.loads((tmp_path / "gx" / "expectations" / "kept.json").read_text("utf-8"))["expectations"]

    def test_a_person_reads_a_sentence(self, context: Any) -> None:
        from gate.gx import ExpectDatasetCategoriesToBe

        consent = expect_consent(policy="strict")
        consent.render()
        assert _read(consent) == (
            "every account in account_id must have consent to train with chat for meeting_summary (model ms-1), "
            "by policy strict"
        )
        categories = ExpectDatasetCategoriesToBe(categories=["video", "audio"], dataset="/lake/calls")
        categories.render()
        assert _read(categories) == (
            "the categories on record of file:///lake/calls, as it is now, must be audio, video"
        )

    def test_the_data_docs_read_the_same_sentence(self, context: Any) -> None:
        from great_expectations.render.renderer.content_block import ExpectationSuiteBulletListContentBlockRenderer

        block = ExpectationSuiteBulletListContentBlockRenderer.render([expect_consent().configuration])
        assert "every account in $column must have consent to $purpose" in str(block.to_json_dict())

    def test_boolean_only_keeps_the_rest_back(self, frames: PandasBatches) -> None:
        result = frames.batch([AGREED, SILENT]).validate(expect_consent(), result_format="BOOLEAN_ONLY")
        assert (result.success, result.result) == (False, {})


def _read(expectation: Any) -> str:
    """Return the sentence as a person reads it."""
    [content] = expectation.rendered_content
    value = content.value.to_json_dict()
    words = {name: param["value"] for name, param in value["params"].items()}
    return Template(value["template"]).substitute(words)


class TestCategoriesOfADataset:
    @pytest.fixture
    def tagged(self, tmp_path: Path) -> Path:
        data = chat_file(tmp_path, [AGREED])
        with open_service(read_settings()) as service:
            tag_dataset(service, data, ["chat", "telemetry"], by="eve", via="cli")
        return tmp_path / "chat.jsonl"

    def _answer(self, frames: PandasBatches, **words: Any) -> Any:
        from gate.gx import ExpectDatasetCategoriesToBe

        return frames.batch([AGREED]).validate(ExpectDatasetCategoriesToBe(**words))

    def test_exactly_those_on_record_pass(self, frames: PandasBatches, tagged: Path) -> None:
        result = self._answer(frames, categories=["telemetry", "chat"], dataset=str(tagged), account="account_id")
        assert result.success
        assert result.result["observed_value"] == ["chat", "telemetry"]
        assert len(result.result["details"]["tags"]) == 1

    @pytest.mark.parametrize(
        ("named", "missing", "unexpected"),
        [
            (["chat"], [], ["telemetry"]),
            (["chat", "telemetry", "phi"], ["phi"], []),
            (["none"], ["none"], ["chat", "telemetry"]),
        ],
    )
    def test_more_or_fewer_fail(
        self, frames: PandasBatches, tagged: Path, named: list[str], missing: list[str], unexpected: list[str]
    ) -> None:
        result = self._answer(frames, categories=named, dataset=str(tagged), account="account_id")
        assert not result.success
        details = result.result["details"]
        assert (details["missing"], details["unexpected"]) == (missing, unexpected)

    def test_tags_of_other_bytes_do_not_count(self, frames: PandasBatches, tagged: Path) -> None:
        with tagged.open("a") as file:
            file.write('{"account_id": "agreed-1", "text": "one more"}\n')
        result = self._answer(frames, categories=["chat", "telemetry"], dataset=str(tagged), account="account_id")
        assert not result.success
        assert result.result["details"]["problems"] == ["stale_tag"]

    def test_what_was_never_tagged_fails(self, frames: PandasBatches, tmp_path: Path) -> None:
        chat_file(tmp_path, [AGREED], "new.jsonl")
        result = self._answer(frames, categories=["chat"], dataset=str(tmp_path / "new.jsonl"), account="account_id")
        assert (result.success, result.result["observed_value"]) == (False, [])

    def test_another_locator_than_the_one_on_record_fails(self, frames: PandasBatches, tagged: Path) -> None:
        result = self._answer(frames, categories=["chat", "telemetry"], dataset=str(tagged), account="text")
        assert not result.success
        assert result.result["details"]["problems"] == ["tag_conflict"]

    def test_a_missing_dataset_is_an_error_and_names_no_file_of_it(self, frames: PandasBatches, tmp_path: Path) -> None:
        folder = tmp_path / "media"
        (folder / LAPSED).mkdir(parents=True)
        (folder / LAPSED / "loop.wav").symlink_to(folder / LAPSED / "loop.wav")
        result = self._answer(frames, categories=["audio"], dataset=str(folder), account="path:{account}/*.wav")
        assert_errored(result)
        assert LAPSED not in told(result)

    @pytest.mark.parametrize(
        "wrong", [{"categories": ["poems"]}, {"categories": []}, {"dataset": "relative"}, {"account": "path:none"}]
    )
    def test_words_that_mean_nothing_are_refused_at_once(self, context: Any, wrong: dict[str, Any]) -> None:
        from gate.gx import ExpectDatasetCategoriesToBe

        with pytest.raises(InputError):
            ExpectDatasetCategoriesToBe(**({"categories": ["chat"], "dataset": "/lake/chat"} | wrong))


class TestCategoriesOfABatch:
    """Without a dataset the rows of the batch are looked into, and no ledger is asked."""

    @pytest.fixture(autouse=True)
    def no_ledger(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gate.gx.categories.opened", lambda: pytest.fail("a ledger was asked"))

    def _answer(self, batch: Any, *categories: str) -> Any:
        from gate.gx import ExpectDatasetCategoriesToBe

        return batch.validate(ExpectDatasetCategoriesToBe(categories=list(categories)))

    def talk(self, rows: int) -> pd.DataFrame:
        said = [f"could you send me the report number {n} please" for n in range(rows)]
        return pd.DataFrame(
            {"account_id": [AGREED] * rows, "sender": [f"guest-{n % 3}" for n in range(rows)], "text": said}
        )

    def test_what_is_there_passes_and_its_columns_are_named(self, frames: PandasBatches) -> None:
        result = self._answer(frames.of(self.talk(5000)), "chat")
        assert (result.success, result.result["observed_value"]) == (True, ["chat"])
        assert result.result["details"]["rows"] == 1000
        assert any("'text'" in one["where"] for one in result.result["details"]["evidence"])
        assert "report" not in told(result)

    def test_telemetry_that_holds_chat_fails(self, frames: PandasBatches) -> None:
        frame = self.talk(60).assign(jitter_ms=1.5, packet_loss_pct=0.1, rtt_ms=20.0, bitrate_kbps=900)
        result = self._answer(frames.of(frame), "telemetry")
        assert not result.success
        assert result.result["details"]["unexpected"] == ["chat"]

    def test_numbers_are_none(self, frames: PandasBatches) -> None:
        frame = pd.DataFrame({"n": range(50), "x": np.arange(50) / 7, "at": pd.Timestamp("2026-01-01")})
        assert self._answer(frames.of(frame), "none").success

    def test_sound_in_a_column_of_bytes_is_found(self, frames: PandasBatches) -> None:
        import io
        import wave

        held = io.BytesIO()
        with wave.open(held, "wb") as out:
            out.setparams((1, 2, 8000, 0, "NONE", ""))
            out.writeframes(np.sin(np.arange(8000) / 5).astype("<i2").tobytes())
        frame = pd.DataFrame({"clip": [held.getvalue()] * 3})
        assert self._answer(frames.of(frame), "audio").success

    def test_no_rows_are_unclassified(self, frames: PandasBatches) -> None:
        result = self._answer(frames.of(self.talk(0)), "none")
        assert (result.success, result.result["details"]["problems"]) == (False, ["unclassified_data"])

    def test_sqlite_is_looked_into(self, context: Any, tmp_path: Path) -> None:
        batch = SqliteBatches(context, tmp_path).batch([AGREED] * 3)
        assert self._answer(batch, "none").result["observed_value"] == ["none"]

    @pytest.mark.postgres
    def test_postgresql_is_looked_into(self, context: Any, database: str) -> None:
        batches = PostgresBatches(context, database)
        assert self._answer(batches.batch([AGREED] * 3), "none").result["observed_value"] == ["none"]
        batches.close()
