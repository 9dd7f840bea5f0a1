"""An answer as text, picture, page and PROV: complete, the same each time, and whatever a name holds stays text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.errors import InputError
from gate.lineage.render.layout import lay_out
from gate.lineage.render.page import to_html
from gate.lineage.render.prov import to_prov
from gate.lineage.render.shown import clean
from gate.lineage.render.svg import MOST_NODES, to_svg
from gate.lineage.render.text import to_dot, to_mermaid

HOSTILE = (
    '"]; evil [label="x',
    "</svg><script>alert(1)</script>",
    "a\\",
    "x\n  n1 --> n2",
    "]]>&amp;<!--",
    "%%{init: {}}%%",
    "click n1 href",
    "\u202eevil\x1b[31m",
    "#quot;",
    "'\"><img src=x onerror=alert(1)>",
)


def node(id_: int, kind: str = "version", label: str = "n", **given: Any) -> dict[str, Any]:
    return {
        "id": id_,
        "kind": kind,
        "namespace": "file",
        "name": label,
        "version": "v",
        "label": label,
        "of": None,
        "depth": 0,
        "dag_id": None,
        "facts": {},
        **given,
    }


def edge(source: int, target: int, **given: Any) -> dict[str, Any]:
    told = {"at": "2026-11-22T10:00:00Z", "assumed": False, "verdict": None, "reasons": []}
    return {"source": source, "target": target, **told, **given}


def answer(nodes: list[dict[str, Any]], edges: list[dict[str, Any]], name: str = "model:m") -> dict[str, Any]:
    question = {"nodes": [name], "direction": "upstream", "as_of": None, "level": "run"}
    return {"question": question, "roots": [nodes[0]["id"]], "nodes": nodes, "edges": edges, "complete": True}


def story() -> dict[str, Any]:
    nodes = [
        node(1, "model", "ms-1"),
        node(2, "run", "train", facts={"state": "COMPLETE"}),
        node(3, "version", "chat", facts={"categories": ["chat"]}, of=9),
        node(4, "run", "gate"),
        node(5, "decision", "decision 7: block", facts={"verdict": "block", "reasons": ["no_consent"]}),
        node(9, "dataset", "chat of all times", depth=None),
    ]
    blocked = {"verdict": "block", "reasons": ["no_consent", "not_admin"]}
    return answer(nodes, [edge(2, 1), edge(3, 2, assumed=True), edge(3, 4, **blocked), edge(4, 5, **blocked)])


def hostile(text: str) -> dict[str, Any]:
    nodes = [
        node(1, label=text, name=text, namespace=text, version=text, dag_id=text, facts={"categories": [text]}),
        node(2, "decision", text, facts={"verdict": "block", "reasons": [text], text: text}),
    ]
    return answer(nodes, [edge(1, 2, verdict="block", reasons=[text])], text)


class Tags(HTMLParser):
    """Collects the tags of a page, and fails at whatever runs or loads."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert tag not in ("script", "img", "iframe", "object", "link", "a", "base", "form")
        for name, value in attrs:
            assert not name.startswith("on")
            assert name not in ("href", "src", "xlink:href")
            assert "url(" not in (value or "") or (value or "").startswith("url(#")


def elements(svg: str) -> Iterator[str]:
    return (element.tag.rpartition("}")[2] for element in ET.fromstring(svg).iter())


def test_the_picture_shows_every_node_and_link_and_why() -> None:
    svg = to_svg(story())
    assert list(elements(svg)).count("g") == 5  # without the one that only says what another is of
    assert len(re.findall(r'<path d="M\d[^>]*fill="none"', svg)) == 4
    texts = [element.text for element in ET.fromstring(svg).iter() if element.tag.endswith("}text")]
    assert texts.count("no_consent +1") == 2
    assert "version: chat" in texts
    assert "stroke-dasharray" in svg
    title, desc = (ET.fromstring(svg)[number] for number in (0, 1))
    assert title.text == "Upstream of model:m"
    assert desc.text == "1 decision, 1 model, 2 runs, 1 version; 4 links, 2 of them blocked."
    assert to_svg(story()) == svg


def test_the_page_needs_nothing_else() -> None:
    page = to_html(story())
    tags = Tags()
    tags.feed(page)
    assert {"svg", "table", "caption", "th", "h1"} <= set(tags.tags)
    assert tags.tags.count("tr") == 2 + 5 + 4
    assert "no_consent, not_admin" in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")


def test_dot_and_mermaid_name_every_link() -> None:
    dot, mermaid = to_dot(story()), to_mermaid(story())
    assert dot.count(" -> ") == 4
    assert 'label="no_consent, not_admin"' in dot
    assert "style=dashed" in dot
    assert len(re.findall(r"n\d+ (-->|-\.->)", mermaid)) == 4
    assert mermaid.count('|"no_consent#44; not_admin"|') == 2
    assert "n9" not in dot + mermaid


def test_prov_says_who_used_and_made_what() -> None:
    document = to_prov(story())
    assert set(document["activity"]) == {"gate:n2", "gate:n4"}
    assert set(document["entity"]) == {"gate:n1", "gate:n3", "gate:n5", "gate:n9"}
    used = list(document["used"].values())
    assert [(one["prov:activity"], one["prov:entity"]) for one in used] == [
        ("gate:n2", "gate:n3"),
        ("gate:n4", "gate:n3"),
    ]
    assert used[0]["gate:versionAssumed"] is True
    made = [(one["prov:entity"], one["prov:activity"]) for one in document["wasGeneratedBy"].values()]
    assert made == [("gate:n1", "gate:n2"), ("gate:n5", "gate:n4")]
    assert list(document["specializationOf"].values()) == [
        {"prov:specificEntity": "gate:n3", "prov:generalEntity": "gate:n9"}
    ]
    json.dumps(document)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_stay_text(text: str) -> None:
    dot = to_dot(hostile(text))
    assert len(dot.splitlines()) == 7
    for line in dot.splitlines()[3:6]:  # each attribute's value ends where we end it
        assert re.fullmatch(r'  n\d( -> n\d)? \[(, )?((\w+=("([^"\\]|\\.)*"|[\w.]+))(, )?)+\];', line), line
    mermaid = to_mermaid(hostile(text))
    assert len(mermaid.splitlines()) == 7
    for line in mermaid.splitlines():
        assert line.count('"') in (0, 2), line
        for quoted in re.findall(r'"(.*)"', line):  # nothing but letters, numbers of letters, and our own line break
            assert re.fullmatch(r"[\w #;./()-]*", quoted.replace("<br/>", "")), line
    svg = to_svg(hostile(text))
    assert set(elements(svg)) <= {"svg", "title", "desc", "defs", "marker", "path", "rect", "g", "text"}
    Tags().feed(to_html(hostile(text)))
    assert "\x1b" not in svg + to_html(hostile(text))


@given(st.text(max_size=60))
@settings(max_examples=50, deadline=None)
def test_no_name_breaks_a_form(text: str) -> None:
    set(elements(to_svg(hostile(text))))
    Tags().feed(to_html(hostile(text)))
    assert len(to_dot(hostile(text)).splitlines()) == 7
    assert len(to_mermaid(hostile(text)).splitlines()) == 7
    assert clean(text).isprintable()


def test_too_much_for_a_picture_is_said_and_listed() -> None:
    large = answer([node(id_) for id_ in range(MOST_NODES + 1)], [])
    with pytest.raises(InputError, match="too many"):
        to_svg(large)
    assert "too many for a picture" in to_html(large)


graphs = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=40)


@given(graphs)
@settings(max_examples=50, deadline=None)
def test_links_lead_to_the_right_and_nothing_lies_on_another(links: list[tuple[int, int]]) -> None:
    layout = lay_out(range(13), links)
    places = [*layout.places.values(), *(place for some in layout.bends.values() for place in some)]
    assert len(set(places)) == len(places)
    assert all(position < layout.sizes[layer] for layer, position in places)
    assert lay_out(range(13), reversed(links)) == layout
    back = {(src, dst) for src, dst in links if src != dst and layout.places[src][0] >= layout.places[dst][0]}
    if not circular(links):
        assert not back


def circular(links: list[tuple[int, int]]) -> bool:
    left = {link for link in links if link[0] != link[1]}
    while left:
        ends = {dst for _, dst in left}
        rest = {link for link in left if link[0] in ends}
        if rest == left:
            return True
        left = rest
    return False


def test_long_chains_are_laid_out() -> None:
    chain = lay_out(range(5000), [(id_, id_ + 1) for id_ in range(4999)])
    assert chain.places[4999] == (4999, 0)
