"""Any alteration of an audit bundle is found: by a stranger, by another zip program, by the operator who can sign."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.domain.canonical import canonical
from gate.permits.envelope import seal
from gate.permits.keys import PublicKey
from gate.permits.succession import introduce
from gate.service import bundle_format as form
from gate.service.archive import pack, unpack
from gate.service.bundle_format import ENTRIES, ENVELOPE, MANIFEST, MANIFEST_TYPE, NOTE, SIZES
from gate.service.bundle_verify import verify_bundle
from gate.service.core import Service
from support.audited import audited, bundle, resealed, sealed_by
from support.hostile_zips import hostile
from support.permits import signing_key
from support.world import START, event, say

STRANGER = signing_key(b"\2" * 32)


class Made(NamedTuple):
    """A bundle, its keys, one of the same ledger before a withdrawal, and the ledger's service."""

    archive: bytes
    keys: tuple[PublicKey, ...]
    older: bytes
    service: Service


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    with audited(tmp_path_factory.mktemp("audited")) as service:
        older = bundle(service, opened=["acme"])
        say(service, event("bigco", "withdraw", effective_at="2024-01-01T00:00:00Z"))
        yield Made(bundle(service, opened=["acme"]), service.pinned_keys, older, service)


def refused(archive: bytes, keys: tuple[PublicKey, ...]) -> bool:
    found, _ = verify_bundle(archive, keys)
    return not found.ok and bool(found.problems)


@settings(max_examples=400, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_no_byte_can_be_another(made: Made, place: float, flip: int) -> None:
    archive, keys, *_ = made
    altered = bytearray(archive)
    altered[int(place * len(archive))] ^= flip
    assert refused(bytes(altered), keys)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), flip=st.integers(1, 255))
def test_no_byte_of_a_file_can_be_another_in_a_well_made_archive(made: Made, data: st.DataObject, flip: int) -> None:
    files = unpack(made[0])
    name = data.draw(st.sampled_from([name for name, content in files.items() if content]))
    content = bytearray(files[name])
    content[data.draw(st.integers(0, len(content) - 1))] ^= flip
    assert refused(pack({**files, name: bytes(content)}), made[1])


def test_no_file_can_be_dropped(made: Made) -> None:
    files = unpack(made[0])
    for name in files:
        assert refused(pack({other: content for other, content in files.items() if other != name}), made[1]), name


@settings(max_examples=50, deadline=None)
@given(name=st.from_regex(r"[a-z0-9]{1,8}(/[a-z0-9]{1,8}){0,2}", fullmatch=True), content=st.binary(max_size=20))
def test_no_file_can_be_added(made: Made, name: str, content: bytes) -> None:
    files = unpack(made[0])
    assert name in files or refused(pack({**files, name: content}), made[1])


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_no_two_files_can_be_swapped(made: Made, data: st.DataObject) -> None:
    files = unpack(made[0])
    one, other = data.draw(st.lists(st.sampled_from(sorted(files)), min_size=2, max_size=2, unique=True))
    if files[one] != files[other]:
        assert refused(pack({**files, one: files[other], other: files[one]}), made[1])


@settings(max_examples=100, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), more=st.binary(min_size=1, max_size=20))
def test_it_cannot_be_cut_or_continued(made: Made, place: float, more: bytes) -> None:
    archive, keys, *_ = made
    cut = int(place * len(archive))
    for altered in (archive[:cut], archive + more, archive[:cut] + more + archive[cut:], more + archive):
        assert refused(altered, keys)


def test_a_manifest_of_another_bundle_does_not_fit(made: Made, tmp_path_factory: pytest.TempPathFactory) -> None:
    with audited(tmp_path_factory.mktemp("other")) as other:
        theirs, keys = unpack(bundle(other)), (*made[1], *other.pinned_keys)
    files = unpack(made[0])
    for names in ((MANIFEST, ENVELOPE), (ENVELOPE,), (MANIFEST,), ("checkpoint.note",)):
        assert refused(pack(files | {name: theirs[name] for name in names}), keys)


def test_the_manifest_of_an_older_bundle_does_not_fit(made: Made) -> None:
    """Not even of the same ledger, signed by the same key: a withdrawal cannot be taken back by it."""
    older, files = unpack(made.older), unpack(made.archive)
    assert not refused(made.older, made.keys)
    record = (NOTE, ENTRIES, SIZES)
    for names in ((MANIFEST, ENVELOPE), (MANIFEST,), (ENVELOPE,), (NOTE,), (ENTRIES,), record, (*record, MANIFEST)):
        assert refused(pack(files | {name: older[name] for name in names}), made.keys), names
    for names in ((NOTE,), (ENTRIES,), record):  # nor may the operator sign such a mixture
        assert refused(resealed(made.service, made.archive, **{name: older[name] for name in names}), made.keys), names


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_nobody_else_signs_a_changed_bundle(made: Made, data: st.DataObject) -> None:
    """Another policy, or any other file: with a stranger's signature, under our key's name, or beside our old one."""
    files = unpack(made.archive)
    name = data.draw(st.sampled_from(sorted(set(files) - {MANIFEST, ENVELOPE})))
    content = data.draw(st.none() | st.binary(max_size=40).filter(lambda drawn: drawn != files[name]))
    forged = unpack(sealed_by(STRANGER, made.archive, **{name: content}))
    theirs, ours = json.loads(forged[ENVELOPE]), json.loads(files[ENVELOPE])
    [signature] = theirs["signatures"]
    for signatures in (
        [signature],
        [{**signature, "keyid": made.keys[0].key_id}],
        [*ours["signatures"], signature],
        ours["signatures"],
        [],
    ):
        envelope = canonical({**theirs, "signatures": signatures})
        assert refused(pack({**forged, ENVELOPE: envelope}), made.keys)


def test_nobody_makes_himself_a_successor(made: Made) -> None:
    """The manifest is read to learn which keys ours vouch for; a stranger's word for himself is none."""
    origin = json.loads(unpack(made.archive)[MANIFEST])["ledger_origin"]
    for successor in (STRANGER.public_key, made.keys[0]):
        statement = introduce(successor, STRANGER, ledger_origin=origin, at=START)
        files = unpack(made.archive)
        manifest = canonical({**json.loads(files[MANIFEST]), "successions": [statement]})
        envelope = canonical(seal(manifest, MANIFEST_TYPE, STRANGER))
        assert refused(pack({**files, MANIFEST: manifest, ENVELOPE: envelope}), made.keys)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), field=st.sampled_from(["inclusion", "payload", "index"]))
def test_an_operator_cannot_swap_parts_of_two_entries(made: Made, data: st.DataObject, field: str) -> None:
    lines = read_lines(made.archive, ENTRIES)
    one, other = data.draw(
        st.lists(st.sampled_from(lines), min_size=2, max_size=2, unique_by=lambda line: line["index"])
    )
    one[field], other[field] = other[field], one[field]
    assert refused(resealed(made.service, made.archive, **{ENTRIES: written(lines)}), made.keys)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), how=st.sampled_from(["altered", "dropped", "doubled", "none"]))
def test_an_operator_cannot_change_a_proof(made: Made, data: st.DataObject, how: str) -> None:
    file, proof = data.draw(st.sampled_from([(ENTRIES, "inclusion"), (SIZES, "consistency")]))
    lines = read_lines(made.archive, file)
    path = data.draw(st.sampled_from([line[proof] for line in lines if line[proof]]))
    place = data.draw(st.integers(0, len(path) - 1))
    if how == "altered":
        digit = data.draw(st.integers(0, 63))
        path[place] = path[place][:digit] + ("1" if path[place][digit] == "0" else "0") + path[place][digit + 1 :]
    elif how == "none":
        path.clear()
    else:
        path[place : place + 1] = [path[place]] * 2 if how == "doubled" else []
    assert refused(resealed(made.service, made.archive, **{file: written(lines)}), made.keys)


def test_an_operator_cannot_drop_or_shift_an_earlier_state(made: Made) -> None:
    lines = read_lines(made.archive, SIZES)
    for number, line in enumerate(lines):
        for others in ([], [{**line, "size": line["size"] + 1}], [{**line, "root": "0" * 64}]):
            changed = [*lines[:number], *others, *lines[number + 1 :]]
            assert refused(resealed(made.service, made.archive, **{SIZES: written(changed)}), made.keys), line["size"]


def test_an_operator_cannot_repeat_or_reorder_entries(made: Made) -> None:
    lines = read_lines(made.archive, ENTRIES)
    for changed in ([*lines, lines[-1]], [lines[0], *lines], lines[::-1], lines[1:]):
        assert refused(resealed(made.service, made.archive, **{ENTRIES: written(changed)}), made.keys)


def test_no_other_archive_of_the_same_files_is_taken(made: Made) -> None:
    files, tried = unpack(made.archive), 0
    for name, archive in hostile(files, made.archive):
        assert refused(archive, made.keys), name
        tried += 1
    assert tried > 100


@pytest.mark.parametrize("size", [2**31 - 1, 2**32 - 1])
def test_what_is_declared_costs_nothing(made: Made, size: int) -> None:
    """Memory is bounded by what is there, whatever sizes and names say."""
    whole = made.archive + bytes(8_000_000)
    declared = size.to_bytes(4, "little")
    archive = whole[:18] + declared * 2 + whole[26:]
    tracemalloc.start()
    try:
        began = time.monotonic()
        assert refused(archive, made.keys)
        assert time.monotonic() - began < 5  # seconds; it takes a hundredth
        assert tracemalloc.get_traced_memory()[1] < 3 * len(archive)
    finally:
        tracemalloc.stop()


def read_lines(archive: bytes, name: str) -> list[dict[str, Any]]:
    return [json.loads(one) for one in unpack(archive)[name].splitlines()]


def written(lines: list[dict[str, Any]]) -> bytes:
    return b"".join(map(form.line, lines))


@settings(max_examples=200, deadline=None)
@given(noise=st.binary(max_size=200))
def test_noise_is_no_bundle(made: Made, noise: bytes) -> None:
    assert refused(noise, made[1])
    assert refused(b"PK\x03\x04" + noise, made[1])
