"""The engine never changes an answer: what Spark counts and cuts is what DuckDB counts and cuts, or an error."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from gate.cli.main import app
from gate.domain.dataset import Dataset, dataset
from gate.errors import CannotDecide, DatasetError, GateError
from gate.scan.census import Census, take_census
from gate.scan.coverage import account_ids, count_coverage
from gate.scan.detect.examination import examine
from gate.scan.digest import measure
from gate.scan.spark.cluster import Spark
from gate.scan.subset import write_subset
from gate.service.deciding import decide
from gate.service.subsetting import decide_on_subset
from gate.service.tagging import tag_dataset
from support.coverage_cases import EXPECTED, GROUPS, NUMBERED, WRITERS, layouts, write_one
from support.engine_cases import CSV, DRIFT, JSONL, KINDS, NAMES
from support.spark import running
from support.world import ASKING, USE, add_account, chat_file, event, new_service, say

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("spark"),
    pytest.mark.filterwarnings("ignore:.*:ResourceWarning"),
]


# What a cluster may be set to, which lets Spark pass over damage and take names or values for others: all cases run so.
LOOSE = {
    "spark.sql.files.ignoreCorruptFiles": "true",
    "spark.sql.files.ignoreMissingFiles": "true",
    "spark.sql.caseSensitive": "false",
    "spark.sql.parquet.mergeSchema": "true",
    "spark.sql.parquet.binaryAsString": "true",
    "spark.sql.ansi.enabled": "false",
    "spark.sql.csv.parser.columnPruning.enabled": "true",
    "spark.sql.session.timeZone": "Asia/Tokyo",
}


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spark]:
    with running("local[2]", tmp_path_factory.mktemp("spark"), **LOOSE) as started:
        yield started


@pytest.fixture
def snapshot(tmp_path: Path) -> str:
    path = tmp_path / "snapshot.parquet"
    table = {"account_id": list(GROUPS), "group": pa.array(GROUPS.values(), pa.int32())}
    parquet.write_table(pa.table(table), path)
    return str(path)


def census(source: Dataset, path: Path, spark: Spark | None) -> Counter[Any] | str:
    """Return a census' rows, or the error there is instead."""
    try:
        taken = take_census(source, path, spark)
    except GateError as error:
        return type(error).__name__
    rows = parquet.read_table(taken.path).to_pylist()
    return Counter({(repr(row["account"]), row["category"], row["no_category"]): row["n"] for row in rows})


def agree(source: Dataset, tmp_path: Path, spark: Spark) -> Counter[Any] | str:
    """Assert that both engines give the same census, or both an error; return it."""
    here = census(source, tmp_path / "here.parquet", None)
    there = census(source, tmp_path / "there.parquet", spark)
    assert there == here
    return here


def parquet_file(path: Path, **columns: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table(columns), path, row_group_size=2)


OTHERWISE_ALIKE = {"t.tsv", "semicolon.csv", "bom.csv", "t.json", "t.ndjson.gz"}


@pytest.mark.parametrize("name", WRITERS)
def test_counts_and_subset_are_the_same(tmp_path: Path, snapshot: str, spark: Spark, name: str) -> None:
    *_, nested = layouts(name, WRITERS[name])
    for number, (files, suffix) in enumerate([nested] if name in OTHERWISE_ALIKE else layouts(name, WRITERS[name])):
        root = tmp_path / str(number)
        for file, content in files.items():
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_bytes(content)
        source = dataset(str(root / suffix), "account_id", category_column="category")
        agree(source, tmp_path, spark)
        taken = Census(source, tmp_path / "there.parquet")
        assert count_coverage(taken, snapshot) == EXPECTED
        assert account_ids(taken) == ["007", "7", "a", "zoe"]
        for groups in ({1}, {0, 1}):
            target = tmp_path / f"{number}-{len(groups)}"
            here = write_subset(source, snapshot, groups, str(target / "here" / name))
            for engine in (spark, replace(spark, hashed=True)):
                there = str(target / f"there-{engine.hashed}" / name)
                cut = write_subset(source, snapshot, groups, there, expected=measure(source)[0], spark=engine)
                assert cut.digest == here.digest


def test_executors_are_told_no_account_where_others_may_read(
    tmp_path: Path, snapshot: str, spark: Spark, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies beside the subset while it is written names accounts by hashes that differ from job to job."""
    seen = []

    def write(table: pa.Table, where: Any, **words: Any) -> None:
        if str(where).endswith("passing.parquet"):
            seen.append(table["account_id"].to_pylist())
        wrote(table, where, **words)

    wrote = parquet.write_table
    monkeypatch.setattr(parquet, "write_table", write)
    (tmp_path / "calls.csv").write_bytes(WRITERS["t.csv"](NUMBERED))
    for number in range(2):
        write_subset(
            dataset(str(tmp_path / "calls.csv"), "account_id"),
            snapshot,
            {1},
            str(tmp_path / f"subset-{number}.csv"),
            spark=replace(spark, hashed=True),
        )
    first, second = seen
    assert all(len(name) == 64 for name in first)
    assert sorted(first) == first
    assert set(first).isdisjoint(second)


@pytest.mark.parametrize("key", ["account_id", "category"])
@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet"])
def test_hive_partitions_are_columns(tmp_path: Path, snapshot: str, spark: Spark, key: str, name: str) -> None:
    place = 0 if key == "account_id" else 1
    for number, row in enumerate(NUMBERED):
        value = "__HIVE_DEFAULT_PARTITION__" if row[place] is None else row[place]
        path = tmp_path / "hive é %" / f"{key}={value}" / f"{number} 100% ü-{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        bare = list(row[:2])
        del bare[place]
        write_one(path, {"category" if place == 0 else "account_id": bare[0], "n": row[2]})
    source = dataset(str(tmp_path / "hive é %"), "account_id", category_column="category")
    agree(source, tmp_path, spark)
    assert count_coverage(Census(source, tmp_path / "there.parquet"), snapshot) == EXPECTED


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_other_locators(tmp_path: Path, spark: Spark, name: str) -> None:
    for folder in ("a", "b=c"):
        (tmp_path / "in" / folder).mkdir(parents=True)
        (tmp_path / "in" / folder / name).write_bytes(WRITERS[name](NUMBERED))
    for locator, category in (
        ("constant:a", None),
        ("constant:a", "category"),
        (None, None),
        ("path:{account}/*", "category"),
        ("path:{account}/nowhere/*", None),
        ("b", "category"),
        ("account_id", "b"),
    ):
        agree(dataset(str(tmp_path / "in"), locator, category_column=category), tmp_path, spark)


def test_files_are_rows(tmp_path: Path, snapshot: str, spark: Spark) -> None:
    for name in ("a/1.wav", "007/1.wav", "loose.wav"):
        path = tmp_path / "media" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"RIFF....WAVE" + name.encode())
    source = dataset(str(tmp_path / "media"), "path:{account}/*.wav")
    assert isinstance(agree(source, tmp_path, spark), Counter)
    subset = write_subset(source, snapshot, {1}, str(tmp_path / "subset"), spark=spark)
    assert (tmp_path / "subset" / "a" / "1.wav").exists()
    assert subset.files == 1


@pytest.mark.parametrize("name", NAMES)
def test_columns_by_any_name(tmp_path: Path, spark: Spark, name: str) -> None:
    parquet_file(tmp_path / "in" / "t.parquet", **{name: ["a", None, "b"], "c.d": ["audio", " ", None]})
    found = agree(dataset(str(tmp_path / "in"), f"column:{name}", category_column="c.d"), tmp_path, spark)
    assert isinstance(found, Counter)
    assert found.total() == 3


@pytest.mark.parametrize("kind", KINDS)
def test_accounts_of_any_type(tmp_path: Path, spark: Spark, kind: str) -> None:
    parquet_file(tmp_path / "in" / "t.parquet", account_id=KINDS[kind], category=["audio", None, "chat"])
    agree(dataset(str(tmp_path / "in"), "account_id", category_column="category"), tmp_path, spark)
    if kind in ("text", "lists", "nothing", "int8"):
        agree(dataset(str(tmp_path / "in"), "account_id", category_column="account_id"), tmp_path, spark)


def test_lists_of_nothing_are_refused_on_spark_alone(tmp_path: Path, spark: Spark) -> None:
    parquet_file(tmp_path / "in" / "t.parquet", account_id=pa.array([[], None], pa.list_(pa.null())))
    with pytest.raises(DatasetError, match="use DuckDB"):
        take_census(dataset(str(tmp_path / "in"), "account_id"), tmp_path / "c.parquet", spark)


@pytest.mark.parametrize("drift", DRIFT)
@pytest.mark.parametrize("turned", [False, True])
def test_files_that_differ(tmp_path: Path, spark: Spark, drift: str, turned: bool) -> None:
    for name, columns in zip("ab", reversed(DRIFT[drift]) if turned else DRIFT[drift], strict=True):
        parquet_file(tmp_path / "in" / f"{name}.parquet", **columns)
    agree(dataset(str(tmp_path / "in"), "account_id"), tmp_path, spark)


@pytest.mark.parametrize("case", CSV)
def test_csv_as_it_is_written(tmp_path: Path, spark: Spark, case: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_bytes(CSV[case])
    (tmp_path / "in" / "b.csv").write_bytes(CSV[case].splitlines(keepends=True)[0])
    agree(
        dataset(str(tmp_path / "in"), "account_id", category_column="n" if b"n\n" in CSV[case] else None),
        tmp_path,
        spark,
    )


@pytest.mark.parametrize("case", JSONL)
def test_json_as_it_is_written(tmp_path: Path, spark: Spark, case: str) -> None:
    (tmp_path / "in").mkdir()
    for number, text in enumerate(JSONL[case]):
        (tmp_path / "in" / f"{number}.jsonl").write_text(text, encoding="utf-8")
    agree(dataset(str(tmp_path / "in"), "account_id"), tmp_path, spark)


def test_detection_finds_the_same(tmp_path: Path, spark: Spark) -> None:
    line = {"channel": "C1", "sender": "host", "sent_at": "2024-01-01T00:00:00Z", "message": "hello, how are you?"}
    said = "".join(json.dumps(line | {"sender": who}) + "\n" for who in ("host", "guest", "host"))
    files = {
        "in/c.jsonl": said,
        "in/deep/n.csv": "n,m\n1,2\n",
        "in/odd.bin": "\0\1",
        "in/_SUCCESS": "",
        "in/t.txt": "x",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    parquet_file(tmp_path / "in" / "t.parquet", account_id=["a"], message=["hello"], sender=["host"])
    here = examine(dataset(str(tmp_path / "in")))
    assert here.categories
    assert here.evidence
    assert examine(dataset(str(tmp_path / "in")), spark) == here


def _damaged(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4:60] = b"\xff" * 56
    path.write_bytes(content)


def test_damaged_parquet_is_an_error(tmp_path: Path, spark: Spark) -> None:
    for name in ("a", "b"):
        parquet_file(tmp_path / "in" / f"{name}.parquet", account_id=[f"acct-{n:09}" for n in range(50)])
    _damaged(tmp_path / "in" / "b.parquet")
    assert agree(dataset(str(tmp_path / "in"), "account_id"), tmp_path, spark) == "DatasetError"


def test_text_that_is_not_utf8_is_an_error(tmp_path: Path, spark: Spark) -> None:
    raw = pa.array([b"\xff\xfe"])
    parquet_file(tmp_path / "in" / "t.parquet", account_id=pa.StringArray.from_buffers(1, *raw.buffers()[1:]))
    assert agree(dataset(str(tmp_path / "in"), "account_id"), tmp_path, spark) == "DatasetError"


@pytest.mark.parametrize("name", ["_hidden.parquet", ".hidden.parquet", "a._COPYING_", "a*.parquet", "a{b}.parquet"])
def test_what_spark_would_pass_over_is_refused(tmp_path: Path, spark: Spark, name: str) -> None:
    parquet_file(tmp_path / "in" / "seen.parquet", account_id=["a"])
    parquet_file(tmp_path / "in" / name, account_id=["hidden"])
    source = dataset(str(tmp_path / "in"), "account_id")
    assert account_ids(source) == ["a", "hidden"]
    with pytest.raises(DatasetError, match="which Spark would not read as it is"):
        take_census(source, tmp_path / "c.parquet", spark)


def test_text_is_read_on_executors_whatever_its_name(tmp_path: Path, spark: Spark) -> None:
    (tmp_path / "in").mkdir()
    for name in ("_hidden.csv", "a*.csv", "a{b}.csv", "%41.csv"):
        (tmp_path / "in" / name).write_text(f"account_id\n{name}\n")
    (tmp_path / "in" / "packed.csv.gz").write_bytes(gzip.compress(b"account_id\npacked\n"))
    found = agree(dataset(str(tmp_path / "in"), "account_id"), tmp_path, spark)
    assert isinstance(found, Counter)
    assert found.total() == 5


def test_what_a_cluster_is_set_to_changes_nothing_and_stays(tmp_path: Path, spark: Spark) -> None:
    from pyspark.sql import SparkSession

    parquet_file(tmp_path / "in" / "a.parquet", account_id=["a"])
    parquet_file(tmp_path / "in" / "b.parquet", account_id=[f"acct-{n:09}" for n in range(50)])
    _damaged(tmp_path / "in" / "b.parquet")
    assert agree(dataset(str(tmp_path / "in"), "account_id"), tmp_path, spark) == "DatasetError"
    theirs = SparkSession.getActiveSession()
    for name, value in LOOSE.items():
        assert theirs.conf.get(name) == value


def test_the_gate_decides_the_same_and_cuts_on_spark(tmp_path: Path, spark: Spark) -> None:
    with new_service(tmp_path / "home") as service:
        add_account(service, "acme")
        add_account(service, "zeta")
        say(service, event("acme"))
        source = chat_file(tmp_path, ["acme", "zeta", "acme", None])
        tag_dataset(service, source, ["chat"], by="service:airflow", via="airflow", spark=spark)
        here = decide(service, [source], USE, ASKING)
        asking = replace(ASKING, run=replace(ASKING.run, run_id="manual__2"))
        there = decide(service, [source], USE, asking, spark)
        assert (there.decision.verdict, there.decision.findings, there.decision.coverage) == (
            here.decision.verdict,
            here.decision.findings,
            here.decision.coverage,
        )
        assert not there.allowed
        subset = decide_on_subset(service, there, USE, asking, None, spark)
        assert subset.allowed
        (version,) = subset.versions
        assert account_ids(version.dataset) == ["acme"]


def test_gate_check_counts_on_spark(tmp_path: Path, spark: Spark, monkeypatch: pytest.MonkeyPatch) -> None:
    new_service(tmp_path / "home").close()
    monkeypatch.setenv("GATE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GATE_SPARK", spark.master)
    parquet_file(tmp_path / "t.parquet", account_id=["a", "b", None])
    words = ["check", "--dataset", str(tmp_path / "t.parquet"), "--account", "account_id", "--categories", "chat"]
    words += ["--purpose", "train", "--feature", "meeting_summary", "--model", "ms-1", "--json"]
    here, there = (CliRunner().invoke(app, [*words, *more]) for more in ([], ["--engine", "spark"]))
    assert (here.exit_code, there.exit_code) == (3, 3), there.output
    told = [
        {key: value for key, value in json.loads(one.stdout).items() if key != "decided_at"} for one in (here, there)
    ]
    assert told[0] == told[1]
    assert CliRunner().invoke(app, [*words, "--engine", "pandas"]).exit_code != 0


def test_errors_quote_no_value(tmp_path: Path, spark: Spark) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_text(json.dumps({"account_id": "secret-account"}) + '\n{"account_id": secret')
    with pytest.raises(DatasetError) as caught:
        take_census(dataset(str(tmp_path / "in"), "account_id"), tmp_path / "c.parquet", spark)
    assert "secret" not in str(caught.value)
    assert caught.value.where == "a.jsonl"


def test_another_master_in_the_same_process_is_an_error(tmp_path: Path, spark: Spark) -> None:
    parquet_file(tmp_path / "t.parquet", account_id=["a"])
    with pytest.raises(GateError, match="another Spark runs"):
        take_census(dataset(str(tmp_path / "t.parquet"), "account_id"), tmp_path / "c.parquet", Spark("local[3]"))


def test_a_subset_that_cannot_be_written_is_an_error(tmp_path: Path, snapshot: str, spark: Spark) -> None:
    parquet_file(tmp_path / "in" / "t.parquet", account_id=["nobody"])
    target = tmp_path / "subset"
    with pytest.raises(DatasetError, match="no row passes"):
        write_subset(dataset(str(tmp_path / "in"), "account_id"), snapshot, {1}, str(target), spark=spark)
    (tmp_path / "broken.parquet").write_bytes(b"no")
    with pytest.raises(CannotDecide, match="snapshot"):
        write_subset(
            dataset(str(tmp_path / "in"), "account_id"), str(tmp_path / "broken.parquet"), {1}, str(target), spark=spark
        )
    assert not target.exists()
    assert not list(tmp_path.glob(".subset*"))
