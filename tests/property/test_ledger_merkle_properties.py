"""The Merkle tree against RFC 9162's recursive definition, and its proofs against forgeries."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from gate.ledger import merkle


def naive(hashes: list[bytes]) -> bytes:
    """MTH of RFC 9162 section 2.1.1, word for word."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    half = 1
    while half * 2 < len(hashes):
        half *= 2
    return hashlib.sha256(b"\x01" + naive(hashes[:half]) + naive(hashes[half:])).digest()


HASHES = [merkle.leaf_hash(str(number).encode()) for number in range(600)]
NAIVE = {size: naive(HASHES[:size]) for size in range(600)}
sizes = st.integers(1, 599)


def node(level: int, pos: int) -> bytes:
    return naive(HASHES[pos << level : (pos + 1) << level])


@given(sizes)
def test_root_is_the_recursive_one(size: int) -> None:
    assert merkle.root_at(size, node) == NAIVE[size] == merkle.subtree_root(HASHES[:size])


@given(sizes)
def test_completed_nodes_are_the_complete_subtrees(size: int) -> None:
    peaks: list[bytes] = []
    completed: list[tuple[int, int, bytes]] = []
    for index in range(size):
        merkle.add_leaf(peaks, index, HASHES[index], completed)
    assert len(completed) == size - bin(size).count("1")
    assert all(digest == node(level, pos) for level, pos, digest in completed)
    assert peaks == merkle.peaks_at(size, node)


@given(st.data())
def test_inclusion_is_provable_and_not_forgeable(data: st.DataObject) -> None:
    size = data.draw(sizes)
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(index, size, node)
    assert merkle.verify_inclusion(index, size, HASHES[index], proof, NAIVE[size])
    other = data.draw(st.integers(0, size - 1).filter(lambda i: i != index)) if size > 1 else None
    if other is not None:
        assert not merkle.verify_inclusion(other, size, HASHES[index], proof, NAIVE[size])
        assert not merkle.verify_inclusion(index, size, HASHES[other], proof, NAIVE[size])
    forged = data.draw(st.sampled_from([[*proof, HASHES[0]], proof[:-1], [bytes(32), *proof[1:]], proof[::-1]]))
    if forged != proof:
        assert not merkle.verify_inclusion(index, size, HASHES[index], forged, NAIVE[size])


@given(st.data())
def test_consistency_is_provable_and_not_forgeable(data: st.DataObject) -> None:
    new = data.draw(sizes)
    old = data.draw(st.integers(1, new))
    proof = merkle.consistency_proof(old, new, node)
    assert merkle.verify_consistency(old, new, NAIVE[old], NAIVE[new], proof)
    wrong = hashlib.sha256(b"another history").digest()
    assert not merkle.verify_consistency(old, new, wrong, NAIVE[new], proof)
    assert not merkle.verify_consistency(old, new, NAIVE[old], wrong, proof)
    forged = data.draw(st.sampled_from([[*proof, HASHES[0]], proof[:-1], [bytes(32), *proof[1:]], proof[::-1]]))
    if forged != proof:
        assert not merkle.verify_consistency(old, new, NAIVE[old], NAIVE[new], forged)
