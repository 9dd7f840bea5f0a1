"""Whatever stands in a contract: it is loaded as it stands, or refused by an error of ours that names the file."""

import tempfile
from pathlib import Path

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.errors import InputError
from gate.scan.contracts.rules import KINDS, bind, load_contracts

HEAD = {
    "category": "chat",
    "title": "Chats",
    "question": "Chats?",
    "signals": [{"id": "chats", "weight": 0.9, "formats": ["chat"]}],
}
SHARES = st.floats(0, 1) | st.sampled_from([0, 1])
LIMITS = st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6)
WORDS = st.lists(st.from_regex(r"=?[a-z]{1,8}( [a-z]{1,8})?", fullmatch=True), min_size=1, max_size=3)
ASKED = {
    "account": st.sampled_from([r"^\S+$", "^[a-z]{2}$"]),
    "filled": SHARES,
    "type": st.sampled_from(["text", "whole", "number", "moment"]),
    "format": st.sampled_from(["^[A-F]$", "^x"]),
    "range": st.fixed_dictionaries({"min": LIMITS}) | st.fixed_dictionaries({"max": LIMITS}),
    "time": st.fixed_dictionaries({"future": st.just(False)}) | st.fixed_dictionaries({"days": st.integers(1, 10**5)}),
}


@st.composite
def rules(draw: st.DrawFn) -> dict:
    kind = draw(st.sampled_from(KINDS))
    rule = {"says": "It holds.", kind: draw(ASKED[kind])}
    if kind != "account":
        rule["columns"] = draw(WORDS)
    if kind in ("format", "range") and draw(st.booleans()):
        rule["share"] = draw(SHARES)
    if draw(st.booleans()):
        rule["severity"] = draw(st.sampled_from(["error", "warning"]))
    return rule


def loaded(contract: object) -> tuple:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "chat.yaml").write_text(yaml.safe_dump({**HEAD, "contract": contract}))
        return load_contracts(Path(folder))["chat"]


@settings(max_examples=40, deadline=None)
@given(st.lists(rules(), max_size=4))
def test_what_follows_the_schema_is_loaded_as_it_stands(contract: list[dict]) -> None:
    contract = [rule | {"id": f"rule-{number}"} for number, rule in enumerate(contract)]
    found = loaded(contract)
    assert [rule.id for rule in found] == [rule["id"] for rule in contract]
    for rule, said in zip(found, contract, strict=True):
        assert rule.kind in said
        assert rule.severity == said.get("severity", "error")
        assert rule.share == (said["filled"] if rule.kind == "filled" else said.get("share", 1))
        assert (rule.columns is None) == (rule.kind == "account")
        for name in said.get("columns", ()):
            assert rule.columns is not None
            assert rule.columns.match(name.removeprefix("="))


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*KINDS, "id", "says", "columns", "share", "severity", "min"]), inner, max_size=5
        )
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(ANYTHING)
def test_anything_else_is_refused_by_name_of_its_file(contract: object) -> None:
    told = ""
    try:
        found = loaded(contract)
    except InputError as error:
        told = error.where or "nowhere"
    if told:
        assert told.endswith("chat.yaml")
    else:
        assert all(rule.kind in KINDS for rule in found)


@given(st.lists(st.text(max_size=20), max_size=10), st.none() | st.text(max_size=10))
def test_any_names_of_columns_can_be_bound(columns: list[str], account: str | None) -> None:
    bounds = bind(["audio", "chat", "phi", "telemetry", "education_record", "video", "none"], columns, account)
    assert all(bound.column in {*columns, account} for bound in bounds)
