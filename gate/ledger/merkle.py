"""The Merkle tree of RFC 9162 section 2.1: hashes, roots and proofs, as pure functions; no I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

NodeAt = Callable[[int, int], bytes]
"""Gives the hash of a complete subtree: `(level, pos)` covers leaves `pos << level` up to `(pos + 1) << level`."""

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """Return the 32-byte hash of a leaf: SHA-256(0x00 || entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the 32-byte hash of an inner node: SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def subtree_root(leaves: Sequence[bytes]) -> bytes:
    """Return the root over leaf hashes; any number of them."""
    peaks: list[bytes] = []
    for size, leaf in enumerate(leaves):
        add_leaf(peaks, size, leaf)
    return root_of_peaks(peaks)


def add_leaf(peaks: list[bytes], size: int, leaf: bytes, completed: list[tuple[int, int, bytes]] | None = None) -> None:
    """Append one leaf hash to a tree that is kept as its peaks.

    Args:
        peaks: roots of the complete subtrees that make up the tree, largest first; changed in place.
        size: leaves before this one.
        leaf: the leaf's hash.
        completed: receives `(level, pos, hash)` of every inner node this leaf completes, lowest first.
    """
    level, pos = 0, size
    while pos & 1:
        leaf = node_hash(peaks.pop(), leaf)
        level, pos = level + 1, pos >> 1
        if completed is not None:
            completed.append((level, pos, leaf))
    peaks.append(leaf)


def add_leaves(
    peaks: Sequence[bytes], size: int, leaves: Sequence[bytes], completed: list[tuple[int, int, bytes]], lowest: int = 1
) -> list[bytes]:
    """Append many leaf hashes at once, level by level.

    Args:
        peaks: as for `add_leaf`; left alone.
        size: leaves before these.
        leaves: their hashes.
        completed: receives `(level, pos, hash)` of the inner nodes they complete, level by level.
        lowest: the lowest level that `completed` is to receive.

    Returns:
        The peaks of the tree with these leaves.
    """
    levels = [level for level in range(size.bit_length()) if size >> level & 1]
    standing = dict(zip(reversed(levels), peaks, strict=True))
    nodes, level, pos = list(leaves), 0, size
    while nodes:
        if pos & 1:
            nodes.insert(0, standing.pop(level))
            pos -= 1
        if len(nodes) & 1:
            standing[level] = nodes.pop()
        pairs = iter(nodes)
        nodes = [node_hash(left, right) for left, right in zip(pairs, pairs, strict=True)]
        level, pos = level + 1, pos >> 1
        if level >= lowest:
            completed.extend((level, pos + place, node) for place, node in enumerate(nodes))
    return [standing[level] for level in sorted(standing, reverse=True)]


def root_of_peaks(peaks: Sequence[bytes]) -> bytes:
    """Return the root of a tree kept as its peaks (largest first)."""
    if not peaks:
        return EMPTY_ROOT
    root = peaks[-1]
    for peak in reversed(peaks[:-1]):
        root = node_hash(peak, root)
    return root


def peaks_at(size: int, node: NodeAt) -> list[bytes]:
    """Return the peaks of the tree of `size` leaves, largest first."""
    return [node(level, pos) for level, pos in _complete_subtrees(0, size)]


def root_at(size: int, node: NodeAt) -> bytes:
    """Return the root of the tree of `size` leaves."""
    return root_of_peaks(peaks_at(size, node))


def inclusion_proof(index: int, size: int, node: NodeAt) -> list[bytes]:
    """Return the audit path of leaf `index` in the tree of `size` leaves, lowest first (section 2.1.3.1)."""
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    return _path(index, 0, size, node)


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    """Say whether `proof` shows that the leaf hash stands at `index` below `root` (section 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    position, last, computed = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if position & 1 or position == last:
            computed = node_hash(sibling, computed)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and computed == root


def consistency_proof(old: int, new: int, node: NodeAt) -> list[bytes]:
    """Return the proof that the tree of `old` leaves is a prefix of the tree of `new` (section 2.1.4.1).

    Empty when the sizes are equal or the old tree is empty: there is nothing to show.
    """
    if not 0 <= old <= new:
        raise ValueError(f"no tree of {old} leaves within one of {new}")
    if old in (0, new):
        return []
    return _subproof(old, 0, new, node, whole=True)


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Say whether `proof` shows that `old_root` is a prefix of `new_root` (section 2.1.4.2)."""
    if old == new:
        return not proof and old >= 0 and old_root == new_root
    if old == 0:
        return not proof and new > 0 and old_root == EMPTY_ROOT
    # A complete old tree is a node of the new one, and the proof leaves out what the verifier has.
    steps = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not (0 < old < new and steps):
        return False
    return _replay(steps, old - 1, new - 1) == (old_root, new_root)


def _replay(steps: Sequence[bytes], position: int, last: int) -> tuple[bytes, bytes] | None:
    """Compute the roots of both trees from a consistency proof; `None` if it is too short or too long."""
    while position & 1:
        position, last = position >> 1, last >> 1
    old_seen = new_seen = steps[0]
    for step in steps[1:]:
        if last == 0:
            return None
        if position & 1 or position == last:
            old_seen, new_seen = node_hash(step, old_seen), node_hash(step, new_seen)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            new_seen = node_hash(new_seen, step)
        position, last = position >> 1, last >> 1
    return (old_seen, new_seen) if last == 0 else None


def _complete_subtrees(start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Split leaves start..stop into complete subtrees, left to right; `start` is a multiple of the largest."""
    while start < stop:
        level = (stop - start).bit_length() - 1
        yield level, start >> level
        start += 1 << level


def _range_root(start: int, stop: int, node: NodeAt) -> bytes:
    return root_of_peaks([node(level, pos) for level, pos in _complete_subtrees(start, stop)])


def _split(start: int, stop: int) -> int:
    """Return where RFC 9162 splits a range: after the largest power of two smaller than its length."""
    return start + (1 << ((stop - start - 1).bit_length() - 1))


def _path(index: int, start: int, stop: int, node: NodeAt) -> list[bytes]:
    if stop - start == 1:
        return []
    middle = _split(start, stop)
    if index < middle:
        return [*_path(index, start, middle, node), _range_root(middle, stop, node)]
    return [*_path(index, middle, stop, node), _range_root(start, middle, node)]


def _subproof(old: int, start: int, stop: int, node: NodeAt, *, whole: bool) -> list[bytes]:
    """Prove leaves start..old within start..stop; `whole`: the verifier already knows that subtree's root."""
    if old == stop:
        return [] if whole else [_range_root(start, stop, node)]
    middle = _split(start, stop)
    if old <= middle:
        return [*_subproof(old, start, middle, node, whole=whole), _range_root(middle, stop, node)]
    return [*_subproof(old, middle, stop, node, whole=False), _range_root(start, middle, node)]
