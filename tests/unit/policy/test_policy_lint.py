"""Lint, explain, matrix and diff: what they find in tables made to have it."""

from __future__ import annotations

from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from gate.domain.words import Category, Ownership, Purpose, Requirement
from gate.policy.cells import cell_classes
from gate.policy.diff import diff
from gate.policy.explain import explain
from gate.policy.lint import lint
from gate.policy.match import Cell, match
from gate.policy.matrix import matrix, to_html
from gate.policy.table import Policy, load_policy, parse_policy, shipped_policies

NOW = datetime(2023, 9, 1, tzinfo=UTC)
HEAD = """
name: made
version: "1"
terms_versions: [{version: t1, from: 2023-03-01}, {version: t2, from: 2023-06-01}]
regions: {EU: [DE, FR]}
sources: {S: {title: t, statements: []}}
rows:
  - {id: general, categories: any, purposes: any, ownership: any, requirement: deny, status: stated,
     effective: {from: 2023-03-01}, citations: [{source: S, authority: press, quote: q}]}
"""


def row(name: str, requirement: str = "allow", authority: str = "terms", **fields: str) -> str:
    """Return one row for audio × train × first_party, with other fields as given."""
    given = {
        "categories": "[audio]",
        "purposes": "[train]",
        "ownership": "[first_party]",
        "status": "stated",
        "effective": "{from: 2023-03-01}",
        **fields,
    }
    text = ", ".join(f"{field}: {value}" for field, value in given.items())
    citation = f"[{{source: S, authority: {authority}, quote: q}}]"
    return f"  - {{id: {name}, requirement: {requirement}, {text}, citations: {citation}}}\n"


def without_general(*rows: str) -> Policy:
    return parse_policy(HEAD[: HEAD.index("  - {id")] + "".join(rows))


def with_general(*rows: str) -> Policy:
    return parse_policy(HEAD + "".join(rows))


def problems(policy: Policy) -> dict[str, list[tuple[str, ...]]]:
    found: dict[str, list[tuple[str, ...]]] = {}
    for problem in lint(policy).problems:
        found.setdefault(problem.kind, []).append(problem.rows)
    return found


@pytest.mark.parametrize("name", shipped_policies())
def test_shipped_policies_are_clean_and_fast_to_lint(name: str) -> None:
    report = lint(load_policy(name))
    assert report.problems == ()
    assert report.cells > 10_000


def test_every_combination_of_category_purpose_and_owner_is_looked_at() -> None:
    seen = {found.cell[:3] for found in cell_classes(load_policy("strict"))}
    categories = set(Category) - {Category.UNCLASSIFIED}
    assert seen == {(c, p, o) for c in categories for p in Purpose for o in Ownership}


def test_cells_alike_are_counted_and_their_representative_speaks_for_them() -> None:
    policy = with_general(row("regional", regions="[EU]"), row("termly", terms="[t2]"))
    found = [f for f in cell_classes(policy) if f.cell[:3] == ("audio", "train", "first_party")]
    # region: EU, DE, FR alike, and one other; terms: t1, t2; feature, segment and instants: one each
    assert sorted(f.cells for f in found) == [1, 1, 3, 3]
    for one in found:
        ids = {r.id for r in match(policy, one.cell, one.at).rows}
        assert ("regional" in ids) is (one.cells == 3)
        assert ("termly" in ids) is (one.cell.terms == "t2")


def test_a_table_without_rows_is_reported() -> None:
    assert "empty" in problems(parse_policy("name: none\nversion: '1'\nrows: []\n"))


def test_gaps_are_reported_with_a_cell() -> None:
    policy = without_general(row("only", ownership="any"))
    gaps = [p for p in lint(policy).problems if p.kind == "gap"]
    assert len(gaps) == (len(Category) - 1) * len(Purpose) * len(Ownership) - len(Ownership)
    assert all("no row speaks about" in p.message and p.cells > 0 for p in gaps)


def test_a_gap_after_a_row_ends_is_found() -> None:
    fields = {"categories": "any", "purposes": "any", "ownership": "any"}
    assert "gap" not in problems(without_general(row("all", "deny", **fields)))
    ended = row("all", "deny", **fields, effective="{from: 2023-03-01, until: 2023-04-01}")
    assert "gap" in problems(without_general(ended))


@pytest.mark.parametrize(
    ("rows", "shadowed"),
    [
        ([row("lax")], ("lax", "general")),
        ([row("twin", "deny")], ("twin", "general")),
        ([row("never", "deny", features="[x]", terms="[t1]")], ("never", "general")),
    ],
)
def test_rows_that_never_matter_are_reported(rows: list[str], shadowed: tuple[str, ...]) -> None:
    assert shadowed in problems(with_general(*rows))["shadowed"]


def test_a_laxer_consent_beside_a_stricter_one_is_shadowed() -> None:
    lax = row("lax", "consent", toggle="share_for_training")
    strict = row("strict", "consent", toggle="share_for_training", conditions="{notice: true}")
    assert problems(without_general(lax, strict))["shadowed"] == [("lax", "strict")]
    narrower = row("strict", "consent", toggle="share_for_training", conditions="{notice: true}", segments="[k12]")
    assert "shadowed" not in problems(without_general(lax, narrower))


def test_two_consents_that_no_grant_can_be_contradict() -> None:
    first = row("a", "consent", toggle="share_for_training", conditions="{instruments: [ferpa_consent]}")
    other = row("b", "consent", toggle="share_for_training", conditions="{instruments: [hipaa_authorization]}")
    toggle = row("c", "consent", toggle="enable_feature", conditions="{notice: true}")
    shared = row("d", "consent", toggle="share_for_training", conditions="{instruments: [ferpa_consent], expiry: true}")
    assert problems(without_general(first, other))["contradiction"] == [("a", "b")]
    assert problems(without_general(first, toggle))["contradiction"] == [("a", "c")]
    assert "contradiction" not in problems(without_general(first, shared))


@pytest.mark.parametrize(
    ("deny", "clash"),
    [
        (row("no", "deny", segments="[k12]"), False),  # an exception to the general row
        (row("no", "deny", purposes="[train, tune]", segments="[k12]"), True),  # narrower and wider
        (row("no", "deny", "press", purposes="[train, tune]", segments="[k12]"), False),  # a lower authority
        (row("no", "deny"), True),  # the very same cells
    ],
)
def test_allow_and_deny_of_equal_authority_contradict_unless_one_is_an_exception(deny: str, clash: bool) -> None:
    assert ("contradiction" in problems(without_general(row("yes"), deny))) is clash


def test_explanation_names_rows_conditions_and_citations() -> None:
    cell = Cell(
        Category.AUDIO,
        Purpose.TRAIN,
        Ownership.FIRST_PARTY,
        "meeting_summary",
        region="US",
        segment="none",
        terms="2023-08-07",
    )
    found = explain(load_policy("zoom-2023-08"), cell, NOW)
    text = "\n".join(found.lines())
    assert found.requirement is Requirement.CONSENT
    for words in ("NEEDS CONSENT", "content-training", "share_for_training", "a way to withdraw", "terms 10.4", "(S2)"):
        assert words in text
    assert "unknown" not in text
    assert found.to_dict()["rows"][0]["id"] == "content-training"


def test_explanation_of_an_unknown_account_says_what_is_missing() -> None:
    found = explain(load_policy("zoom-2023-08"), Cell(Category.TELEMETRY, Purpose.TRAIN, Ownership.FIRST_PARTY), NOW)
    text = "\n".join(found.lines())
    assert "until region and segment are recorded" in text
    assert "terms_unknown" in text


def test_matrix_agrees_with_matching() -> None:
    policy = load_policy("zoom-2023-08")
    squares = {(s.category, s.purpose, s.ownership): s for s in matrix(policy, NOW)}
    assert len(squares) == len(Category) * len(Purpose) * len(Ownership)
    telemetry = squares[Category.TELEMETRY, Purpose.TRAIN, Ownership.FIRST_PARTY]
    assert telemetry.requirement is Requirement.ALLOW
    assert {r.id for r in telemetry.exceptions} == {"telemetry-training-region", "segment-training"}
    assert squares[Category.PHI, Purpose.TRAIN, Ownership.THIRD_PARTY].requirement is Requirement.DENY
    assert all(s.requirement is Requirement.DENY for (c, _, _), s in squares.items() if c is Category.UNCLASSIFIED)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: set[str] = set()
        self.targets: set[str] = set()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.add(value or "")
            elif name == "href" and (value or "").startswith("#"):
                self.targets.add((value or "")[1:])
            elif name in ("src", "href"):
                self.addresses.append(value or "")


def test_web_page_is_self_contained_and_links_to_every_row() -> None:
    policy = load_policy("zoom-2023-08")
    page = _Page()
    html = to_html(policy, NOW)
    page.feed(html)
    assert "script" not in page.tags
    assert page.addresses == []
    assert page.targets <= page.ids
    assert {r.id for r in policy.rows} == page.ids
    assert "prefers-color-scheme: dark" in html
    assert "seem to directly conflict" in html


def test_text_in_a_policy_cannot_become_markup() -> None:
    policy = parse_policy(HEAD.replace("quote: q", "quote: '<script>alert(1)</script>'"))
    assert "<script" not in to_html(policy, NOW)


def test_diff_finds_rows_settings_and_cells() -> None:
    before = with_general(row("kept", "undecided"), row("gone", "undecided", features="[x]"))
    after = parse_policy(
        HEAD.replace('version: "1"', 'version: "1"\nnon_admin_withdrawal: reported')
        + row("kept", "undecided", reason="segment_rule")
        + row("new", "undecided", features="[y]")
    )
    found = diff(before, after)
    assert (found.added, found.removed, found.changed) == (("new",), ("gone",), (("kept", ("reason",)),))
    assert found.settings == ("non_admin_withdrawal",)
    assert found.cells == ()  # the general deny row still decides every cell


def test_diff_tells_tighter_from_looser() -> None:
    allow, deny = without_general(row("r", "allow")), without_general(row("r", "deny"))
    nothing = without_general(row("r", "deny", categories="[video]"))
    (tighter,), (looser,) = diff(allow, deny).cells, diff(deny, allow).cells
    assert (tighter.before, tighter.after, tighter.tighter) == ("allow", "deny (policy_denied)", True)
    assert looser.tighter is False
    changes = {c.cell.category: c for c in diff(allow, nothing).cells}
    assert (changes[Category.AUDIO].after, changes[Category.AUDIO].tighter) == ("no row: blocks", True)
    assert diff(allow, allow).cells == ()


def test_strict_only_tightens() -> None:
    assert all(c.tighter is not False for c in diff(load_policy("zoom-2023-08"), load_policy("strict")).cells)
