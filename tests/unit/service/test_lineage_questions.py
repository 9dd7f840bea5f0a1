"""What lies up- and downstream: as of when, at which level, of which category, and of what the asker may see."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gate.errors import InputError
from gate.lineage.store.database import LineageStore, open_store
from gate.lineage.store.ingest import store_events
from gate.service.lineage_questions import Question, as_of_index, ask, question_at
from support.lineage_scene import CHAT, MODEL, SECRET, SUBSET, TELEMETRY, data, digest, event, observed, run_id
from support.world import Clock, add_account, new_service

OLD_CHAT, NEW_CHAT, NUMBERS, LEARNED = "chat.jsonl @ aaaaaaaa", "chat.jsonl @ cccccccc", "telemetry @ bbbbbbbb", "ms-1"
LEARNED = "ms-1 (model.joblib) @ dddddddd"

Answer = dict[str, Any]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LineageStore]:
    with open_store(f"sqlite:///{tmp_path / 'lineage.db'}") as opened:
        store_events(opened, observed())
        yield opened


def at(minute: int, second: int = 0) -> datetime:
    return datetime(2026, 11, 22, 10, minute, second, tzinfo=UTC)


def labels(answer: Answer) -> set[str]:
    return {node["label"] for node in answer["nodes"] if node["depth"] is not None}


def links(answer: Answer) -> dict[tuple[str, str], Answer]:
    names = {node["id"]: node["label"] for node in answer["nodes"]}
    return {(names[edge["source"]], names[edge["target"]]): edge for edge in answer["edges"]}


def roots(answer: Answer) -> list[str]:
    names = {node["id"]: node["label"] for node in answer["nodes"]}
    return [names[root] for root in answer["roots"]]


def node(answer: Answer, label: str) -> Answer:
    [found] = [one for one in answer["nodes"] if one["label"] == label and one["depth"] is not None]
    return dict(found)


def refusal(store: LineageStore, name: str, **given: Any) -> InputError:
    with pytest.raises(InputError) as refused:
        ask(store, Question((name,), **{key: value for key, value in given.items() if key != "sees"}), **_sees(given))
    return refused.value


def _sees(given: dict[str, Any]) -> dict[str, Callable[[str], bool]]:
    return {"sees": given["sees"]} if "sees" in given else {}


def without_secrets(dag: str) -> bool:
    return dag in ("notes", "part")


def test_a_model_rests_on_the_subset_the_decision_and_the_whole_it_was_cut_from(store: LineageStore) -> None:
    answer = ask(store, Question(("model:ms-1",)))
    assert labels(answer) == {
        LEARNED,
        "part.train · monday",
        NEW_CHAT,
        NUMBERS,
        "decision 12: allow",
        "part.gate · monday",
        OLD_CHAT,
    }
    assert node(answer, LEARNED)["kind"] == "model"
    assert node(answer, LEARNED)["depth"] == 0
    assert node(answer, OLD_CHAT)["depth"] == 4
    assert node(answer, OLD_CHAT)["facts"]["categories"] == ["chat"]
    assert node(answer, "decision 12: allow")["dag_id"] == "part"
    assert answer["complete"] is True
    ids = {one["id"] for one in answer["nodes"]}
    assert {one["of"] for one in answer["nodes"]} - {None} <= ids
    assert [one["name"] for one in answer["nodes"] if one["depth"] is None and one["kind"] == "job"] == [
        "part.gate",
        "part.train",
    ]


def test_the_way_into_a_gate_says_what_was_decided_of_each_input(store: LineageStore) -> None:
    found = links(ask(store, Question(("decision:10",))))
    assert found[OLD_CHAT, "notes.gate · monday"]["verdict"] == "block"
    assert found[OLD_CHAT, "notes.gate · monday"]["reasons"] == ["no_consent"]
    assert found[NUMBERS, "notes.gate · monday"]["verdict"] == "allow"
    assert found["notes.gate · monday", "decision 10: block"]["reasons"] == ["no_consent"]
    onward = links(ask(store, Question((CHAT,), "downstream")))
    assert onward[OLD_CHAT, "part.gate · monday"]["verdict"] == "block"  # the whole was blocked, what passed was a part
    assert onward["part.gate · monday", "decision 12: allow"]["verdict"] == "allow"
    assert onward["part.gate · monday", "decision 11: block"]["verdict"] == "block"
    assert onward["decision 12: allow", "part.train · monday"]["verdict"] is None
    assert onward[OLD_CHAT, "notes.tag · monday"]["verdict"] is None


def test_nothing_comes_of_a_blocked_run(store: LineageStore) -> None:
    assert labels(ask(store, Question(("notes/monday/gate",), "downstream"))) == {
        "notes.gate · monday",
        "decision 10: block",
    }


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (at(4), {OLD_CHAT, NEW_CHAT, "part.gate · monday"}),
        (at(3), None),
        (at(5), {OLD_CHAT, NEW_CHAT, "part.gate · monday"}),
    ],
)
def test_as_of_shows_what_was_told_by_then(store: LineageStore, when: datetime, expected: set[str] | None) -> None:
    question = Question((SUBSET,), "both", as_of=when)
    if expected is None:
        refused = refusal(store, SUBSET, as_of=when)
        assert refused.hint == "first heard of at 2026-11-22T10:04:00Z"
        return
    found = labels(ask(store, question))
    assert expected <= found
    assert LEARNED not in found
    assert LEARNED in labels(ask(store, Question((SUBSET,), "both", as_of=at(6))))


def test_facts_are_those_of_the_time(store: LineageStore) -> None:
    states = [
        node(ask(store, Question(("part/monday/train",), as_of=at(minute))), "part.train · monday")["facts"]["state"]
        for minute in (5, 6)
    ]
    assert states == ["START", "COMPLETE"]


def test_as_of_an_entry_is_as_of_when_it_was_recorded(store: LineageStore, tmp_path: Path) -> None:
    clock = Clock(at(3, 30))
    with new_service(tmp_path / "home", clock) as service:
        with service.ledger.read() as reader:
            size = reader.size
        clock.now = at(9, 30)
        add_account(service, "acme")
        question = question_at(Question(("chat.jsonl@sha256:a",), "downstream"), None, size - 1, lambda: service)
        assert (question.as_of, question.ledger_index) == (at(3, 30), size - 1)
        assert as_of_index(service, size) == at(9, 30)
        for index in (-1, 10_000):
            with pytest.raises(InputError, match="no such entry"):
                as_of_index(service, index)
        with pytest.raises(InputError, match="not both"):
            question_at(question, "2026-11-22T10:00:00Z", 1, lambda: service)
    answer = ask(store, Question((CHAT,), "downstream", as_of=question.as_of, ledger_index=10))
    assert "decision 10: block" in labels(answer)
    assert "decision 11: block" not in labels(answer)  # the ledger's order counts, whatever the clocks said
    assert links(answer)[OLD_CHAT, "part.gate · monday"]["verdict"] is None
    assert answer["question"]["as_of"] == "2026-11-22T10:03:30Z"


def test_an_orphan_is_shown_with_what_it_is_assumed_to_have_read(store: LineageStore) -> None:
    found = links(ask(store, Question(("orphan/monday/read",))))
    assert {pair: edge["assumed"] for pair, edge in found.items()} == {(OLD_CHAT, "orphan.read · monday"): True}


def test_depth_counts_links(store: LineageStore) -> None:
    assert labels(ask(store, Question(("model:ms-1",), depth=0))) == {LEARNED}
    assert labels(ask(store, Question(("model:ms-1",), depth=1))) == {LEARNED, "part.train · monday"}
    assert NEW_CHAT in labels(ask(store, Question(("model:ms-1",), depth=2)))


def test_both_goes_up_and_down_but_not_to_siblings(store: LineageStore) -> None:
    found = labels(ask(store, Question((SUBSET,), "both")))
    assert {OLD_CHAT, LEARNED} <= found
    assert NUMBERS not in found
    assert "notes.gate · monday" not in found


@pytest.mark.parametrize(
    ("category", "kept", "dropped"),
    [
        ("chat", {LEARNED, NEW_CHAT, OLD_CHAT, "part.gate · monday", "part.train · monday"}, {NUMBERS}),
        ("telemetry", {LEARNED, NUMBERS, "part.train · monday"}, {NEW_CHAT, OLD_CHAT, "part.gate · monday"}),
        ("phi", {LEARNED}, {NUMBERS, OLD_CHAT, "part.train · monday"}),
    ],
)
def test_a_category_keeps_what_bears_it_and_the_way(
    store: LineageStore, category: str, kept: set[str], dropped: set[str]
) -> None:
    found = labels(ask(store, Question(("model:ms-1",), category=category)))
    assert kept <= found
    assert not dropped & found


def test_a_category_is_followed_through_data_of_which_nothing_is_told(store: LineageStore) -> None:
    plain = [
        event("etl.clean", 20, reads=[data(CHAT, digest("a"))], writes=[data("/lake/clean", digest("1"))]),
        event(
            "etl.count",
            21,
            reads=[data("/lake/clean", digest("1"))],
            writes=[data("/lake/counts", digest("2"), categories=["telemetry"])],
        ),
    ]
    store_events(store, observed(plain))
    onward = labels(ask(store, Question((CHAT,), "downstream", category="chat")))
    assert "clean @ 11111111" in onward
    assert "counts @ 22222222" not in onward
    back = labels(ask(store, Question(("/lake/counts",), category="chat")))
    assert {OLD_CHAT, "clean @ 11111111", "etl.count · monday"} <= back


def test_at_the_level_of_datasets_every_link_stands_once(store: LineageStore) -> None:
    again = [event("notes.tag", 40, reads=[data(CHAT, digest("f"), categories=["audio"])], run="tuesday")]
    store_events(store, observed(again))
    answer = ask(store, Question((CHAT,), "downstream", level="dataset"))
    assert {one["kind"] for one in answer["nodes"]} == {"dataset", "model", "job", "decision"}
    pairs = [(edge["source"], edge["target"]) for edge in answer["edges"]]
    assert len(pairs) == len(set(pairs))
    assert roots(answer) == ["chat.jsonl"]
    chat, tag = (next(one for one in answer["nodes"] if one["name"] == name) for name in (CHAT, "notes.tag"))
    assert chat["facts"]["categories"] == ["audio", "chat"]
    assert chat["facts"]["versions"] == 2
    assert (tag["facts"]["runs"], tag["dag_id"], tag["depth"]) == (2, "notes", 1)
    [model] = [one for one in answer["nodes"] if one["name"] == MODEL]
    assert (model["kind"], model["label"], model["version"]) == ("model", "ms-1 (model.joblib)", None)
    assert all(isinstance(one["depth"], int) for one in answer["nodes"])


def test_a_model_that_only_a_decision_names_is_not_offered_to_somebody_who_asked_for_it(store: LineageStore) -> None:
    gate = event("lost.gate", 20, "FAIL", decision=(14, ["no_consent"]))
    gate["run"]["facets"]["gate_decision"]["use"] = {"model": "ms-2"}
    store_events(store, observed([gate]))
    hint = refusal(store, "model:ms-2").hint or ""
    assert "model:ms-1" in hint
    assert "model:ms-2" not in hint


def test_what_somebody_may_not_see_is_not_there(store: LineageStore) -> None:
    everything = ask(store, Question((CHAT,), "downstream"))
    assert {"secret.train · monday", "secret-model (model.joblib) @ eeeeeeee"} <= labels(everything)
    seen = ask(store, Question((CHAT,), "downstream"), sees=without_secrets)
    assert LEARNED in labels(seen)
    assert "secret" not in str(seen)
    assert "13" not in node(seen, OLD_CHAT)["facts"]["coverage"]
    assert "10" in node(seen, OLD_CHAT)["facts"]["coverage"]
    assert "orphan" not in str(seen)
    assert labels(ask(store, Question((SECRET,)), sees=without_secrets)) == {"secret-model (model.joblib) @ eeeeeeee"}


def test_a_hidden_run_is_as_unknown_as_one_that_never_was(store: LineageStore) -> None:
    for hidden in ("secret/monday/train", f"run:{run_id('secret.train/monday')}", "job:airflow/secret.train"):
        refused = refusal(store, hidden, sees=without_secrets)
        never = refusal(store, hidden.replace("secret", "nowhere").replace("e", "f"), sees=without_secrets)
        assert refused.message.startswith("nothing is known as")
        assert "secret" not in (refused.hint or "")
        assert refused.hint == never.hint
    assert "nothing is known" in refusal(store, "decision:13", sees=without_secrets).message


def test_a_run_of_no_known_dag_is_for_those_who_see_everything(store: LineageStore) -> None:
    foreign = event("spark.job", 30, reads=[data(CHAT, digest("a"))])
    foreign["run"]["facets"] = {}
    child = event("spark.part", 31, reads=[data(CHAT, digest("a"))])
    child["run"]["facets"] = {"parent": {"run": {"runId": run_id("notes.tag/monday")}}}
    store_events(store, observed([foreign, child]))
    assert {"spark.job", "spark.part"} <= labels(ask(store, Question((CHAT,), "downstream")))
    seen = labels(ask(store, Question((CHAT,), "downstream"), sees=without_secrets))
    assert "spark.part" in seen  # its parent is a task of a DAG that may be seen
    assert "spark.job" not in seen


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model:ms-1", [LEARNED]),
        (MODEL, [LEARNED]),
        (f"file://{MODEL}", [LEARNED]),
        (f"dataset:{MODEL}", [LEARNED]),
        ("ms-1/model.joblib", [LEARNED]),
        ("model:ms-1@all", [LEARNED]),
        (f"{TELEMETRY}@{digest('b')}", [NUMBERS]),
        ("telemetry", [NUMBERS]),
        (digest("b"), [NUMBERS]),
        (digest("b")[:19], [NUMBERS]),
        (f"run:{run_id('part.gate/monday').upper()}", ["part.gate · monday"]),
        ("part/monday/gate", ["part.gate · monday"]),
        ("run:part/monday/gate", ["part.gate · monday"]),
        ("part/monday", ["part.gate · monday", "part.train · monday"]),
        ("job:airflow/part.gate", ["part.gate", "part.gate · monday"]),
        ("job:part.gate", ["part.gate", "part.gate · monday"]),
        ("decision:12", ["decision 12: allow"]),
    ],
)
def test_nodes_have_names_that_people_know(store: LineageStore, name: str, expected: list[str]) -> None:
    assert sorted(roots(ask(store, Question((name,), depth=0)))) == expected


def test_a_dataset_is_its_newest_version_then_and_all_of_them_on_demand(store: LineageStore) -> None:
    store_events(store, observed([event("notes.tag", 30, reads=[data(CHAT, digest("f"))], run="tuesday")]))
    newest, then = Question((CHAT,), depth=0), Question((CHAT,), depth=0, as_of=at(29))
    assert roots(ask(store, newest)) == ["chat.jsonl @ ffffffff"]
    assert roots(ask(store, then)) == [OLD_CHAT]
    assert roots(ask(store, Question((f"{CHAT}@all",), depth=0))) == [OLD_CHAT, "chat.jsonl @ ffffffff"]
    assert roots(ask(store, Question((f"{CHAT}@all",), depth=0, as_of=at(29)))) == [OLD_CHAT]


def test_what_means_several_things_says_which(store: LineageStore) -> None:
    refused = refusal(store, "chat.jsonl")
    assert "means several" in refused.message
    assert f"file://{CHAT}" in (refused.hint or "")
    assert f"file://{SUBSET}" in (refused.hint or "")
    many = [event("x.y", 30, writes=[data(f"/many/{n}/same", digest("a")[:-1] + str(n))], run=str(n)) for n in range(8)]
    store_events(store, observed(many))
    assert (refusal(store, "same").hint or "").count("/many/") == 5
    assert "means several" in refusal(store, "sha256:" + "a" * 20).message


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("model:ms-2", "model:ms-1"),
        ("/other/telemetry", "file:///lake/telemetry"),
        ("part/monday/gat", "part/monday/gate"),
        ("job:other/part.gate", "job:airflow/part.gate"),
        ("decision:99", "decision:INDEX"),
        ("sha256:abc", "at least 12"),
        ("sha256:zzzzzzzzzzzzzz", "at least 12"),
        (" ", "model:NAME"),
        ("a\x00b", "model:NAME"),
        ("run:", "run:UUID"),
        ("%", "model:NAME"),
    ],
)
def test_what_is_unknown_gets_a_hint(store: LineageStore, name: str, hint: str) -> None:
    assert hint in (refusal(store, name).hint or "")


@pytest.mark.parametrize(
    "wrong",
    [
        {"direction": "sideways"},
        {"level": "column"},
        {"category": "gossip"},
        {"depth": -1},
        {"depth": 10**9},
        {"nodes": ()},
        {"nodes": ("x",) * 1000},
        {"as_of": datetime(2026, 1, 1)},  # noqa: DTZ001
    ],
)
def test_a_question_that_means_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Question(**{"nodes": ("x",), **wrong})


def test_circles_end(store: LineageStore) -> None:
    round_trip = [
        event("loop.there", 30, reads=[data("/a", digest("1"))], writes=[data("/b", digest("2"))]),
        event("loop.back", 31, reads=[data("/b", digest("2"))], writes=[data("/a", digest("1"))]),
    ]
    store_events(store, observed(round_trip))
    for level in ("run", "dataset"):
        answer = ask(store, Question(("/a",), level=level))  # type: ignore[arg-type]
        assert len(labels(answer)) == 4
        assert len(answer["edges"]) == 4
