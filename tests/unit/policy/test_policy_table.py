"""Reading a table: what is accepted, and that every error points at its line and column."""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime

import pytest

from gate.errors import PolicyError
from gate.policy.table import load_policy, parse_policy, shipped_policies

MINIMAL = """\
name: tiny
version: 1.0
sources: {S: {title: a source, statements: []}}
regions: {EU: [DE, FR], EEA: [EU, NO]}
terms_versions:
  - {version: 2023-03, from: 2023-03-01}
rows:
  - id: first
    categories: [audio]
    purposes: [train]
    ownership: [first_party]
    requirement: consent
    toggle: share_for_training
    effective: {from: 2023-03-01}
    status: stated
    citations: [{source: S, authority: terms, quote: words}]
"""


def with_row(**fields: str) -> str:
    """Return MINIMAL with fields of its row replaced, added or (empty text) removed."""
    lines = MINIMAL.splitlines()
    for name, value in fields.items():
        found = [i for i, line in enumerate(lines) if line.strip().startswith(f"{name}:") and line.startswith("    ")]
        if found:
            lines[found[0]] = f"    {name}: {value}" if value else ""
        else:
            lines.append(f"    {name}: {value}")
    return "\n".join(lines) + "\n"


def test_shipped_policies_load_and_name_all_rules() -> None:
    assert shipped_policies() == ("strict", "zoom-2023-08")
    for name in shipped_policies():
        policy = load_policy(name)
        assert policy.name == name
        assert policy.rules == frozenset(range(1, 39))


@pytest.mark.parametrize("name", shipped_policies())
def test_every_row_cites_its_authority_and_no_default_hides(name: str) -> None:
    for row in load_policy(name).rows:
        assert row.citations, row.id
        assert all(citation.quote for citation in row.citations)
        assert row.owner == "customer"
        assert row.rules, row.id
        if row.status == "default":
            assert row.citations[0].authority != "law" or row.note


def test_conflicting_dates_are_kept_with_their_sources() -> None:
    sources = load_policy("zoom-2023-08").table["sources"]
    assert [sources[s]["dates"][0]["as_given"] for s in ("S0", "S4")] == [
        "a little over a week ago",
        "a couple of months ago",
    ]


def test_the_highest_authority_comes_first() -> None:
    for row in load_policy("zoom-2023-08").rows:
        ranks = [["law", "terms", "blog", "spokesperson", "press", "default"].index(c.authority) for c in row.citations]
        assert ranks == sorted(ranks)


def test_conflicted_row_shows_the_conflict() -> None:
    row = next(row for row in load_policy("zoom-2023-08").rows if row.id == "content-training-earlier-terms")
    assert row.status == "conflicted"
    assert any("directly conflict" in citation.quote for citation in row.citations)


def test_terms_are_in_force_until_the_next() -> None:
    policy = load_policy("zoom-2023-08")
    instants = [(2, 28, 23), (3, 1, 0), (7, 26, 23), (7, 27, 0), (8, 6, 23), (8, 7, 0), (12, 31, 0)]
    found = [policy.terms_at(datetime(2023, month, day, hour, tzinfo=UTC)) for month, day, hour in instants]
    assert found == [None, "2023-03", "2023-03", "2023-07-27", "2023-07-27", "2023-08-07", "2023-08-07"]


def test_digest_is_of_what_the_table_says_not_how() -> None:
    policy = parse_policy(MINIMAL)
    assert parse_policy("# a comment\n" + MINIMAL.replace("[audio]", "[ 'audio' ]")).digest == policy.digest
    assert parse_policy(MINIMAL.replace("words", "other words")).digest != policy.digest


def test_plain_words_stay_words() -> None:
    policy = parse_policy(with_row(regions="[NO, DE]"))
    assert policy.version == "1.0"
    assert policy.terms_versions[0].version == "2023-03"
    assert policy.rows[0].regions == ("NO", "DE")


def test_groups_expand_through_groups() -> None:
    policy = parse_policy(with_row(regions="[EEA]"))
    assert policy.rows[0].region_set == {"EEA", "EU", "DE", "FR", "NO"}


def test_a_policy_without_rows_loads() -> None:
    assert parse_policy("name: empty\nversion: '1'\nrows: []\n").rows == ()


def test_equal_text_gives_the_same_policy() -> None:
    assert parse_policy(MINIMAL) is parse_policy(MINIMAL)


MALFORMED = {
    "bad yaml": ("name: a\n  version: 1\n", "2:10", "YAML"),
    "tab": ("name: a\n\tversion: 1\n", "2:1", "YAML"),
    "control character": ("name: a\nversion: \x01\n", "2:10", "YAML"),
    "empty": ("", "1:1", "empty"),
    "only a comment": ("# nothing\n", "1:1", "empty"),
    "a list": ("- 1\n", "1:1", "mapping"),
    "duplicate key": ("name: a\nversion: 1\nname: b\n", "3:1", "twice"),
    "alias": ("name: &a x\nversion: *a\n", "1:7", "alias"),
    "tag": ("name: !!python/name:os.system x\n", "1:7", "tag"),
    "key not text": ("? [a]\n: b\n", "1:3", "name"),
    "key not ascii": ("näme: a\n", "1:1", "ASCII"),
    "unknown field": (MINIMAL + "colour: red\n", "17:1", "'colour'"),
    "missing field": ("name: a\nrows: []\n", "1:1", "version"),
    "unknown category": (with_row(categories="[audio, vidio]"), "9:25", "vidio"),
    "unknown purpose": (with_row(purposes="[trian]"), "10:16", "trian"),
    "categories neither list nor any": (with_row(categories="all"), "9:17", "all"),
    "unknown row field": (with_row(colour="red"), "17:5", "colour"),
    "not a date": (with_row(effective="{from: yesterday}"), "14:23", "yesterday"),
    "impossible date": (with_row(effective="{from: 2023-02-30}"), "14:23", "2023-02-30"),
    "ends before it starts": (with_row(effective="{from: 2023-03-01, until: 2023-02-01}"), "14:16", "ends before"),
    "consent without toggle": (with_row(toggle=""), "8:5", "toggle"),
    "toggle without consent": (with_row(requirement="allow"), "13:5", "toggle"),
    "reason without block": (with_row(reason="third_party_model"), "17:5", "reason"),
    "unclassified allowed": (with_row(categories="[unclassified]", requirement="allow", toggle=""), "12:18", "denied"),
    "no accounts for audio": (with_row(account_required="false"), "17:5", "without accounts"),
    "a denial that is offline": (with_row(requirement="deny", toggle="", offline="true"), "17:5", "allow or consent"),
    "offline as a word": (with_row(offline="perhaps"), "17:14", "offline"),
    "terms not listed": (with_row(terms="[2022-01]"), "17:13", "2022-01"),
    "region not known": (with_row(regions="[DE, Europe]"), "17:19", "Europe"),
    "source not listed": (with_row(citations="[{source: X, authority: terms, quote: q}]"), "16:26", "'X'"),
    "row id twice": (MINIMAL + MINIMAL[MINIMAL.index("  - id") :], "17:9", "twice"),
    "group in itself": (MINIMAL.replace("EU: [DE, FR]", "EU: [EEA]"), "4:10", "itself"),
    "kind is a category": (MINIMAL + "kinds: {audio: {is: [video]}}\n", "17:9", "category already"),
    "kind says nothing": (MINIMAL + "kinds: {face: {}}\n", "17:9", "must say"),
}


@pytest.mark.parametrize("case", MALFORMED, ids=str)
def test_malformed_tables_are_refused_with_file_line_and_column(case: str) -> None:
    text, position, words = MALFORMED[case]
    with pytest.raises(PolicyError) as refused:
        parse_policy(text, "my.yaml")
    assert refused.value.where == f"my.yaml:{position}"
    assert words in refused.value.message + (refused.value.hint or "")
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("text", [b"\xff\xfe", "[" * 5000, "a: " * 300_000, "{a: " * 100 + "}" * 100])
def test_hostile_documents_are_refused(text: str | bytes) -> None:
    with pytest.raises(PolicyError):
        parse_policy(text)


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(PolicyError, match="zoom-2023-08"):
        load_policy("zoom")


def test_files_load_by_path(tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(textwrap.dedent(MINIMAL))
    assert load_policy(path).name == load_policy(str(path)).name == "tiny"
    with pytest.raises(PolicyError, match="cannot be read"):
        load_policy(tmp_path / "absent.yaml")
    with pytest.raises(PolicyError, match="cannot be read"):
        load_policy(tmp_path)
    with pytest.raises(PolicyError, match="cannot be read"):
        load_policy("a\0b")
