"""Decides what the root of a list of entries is, and what proves that an entry or an older list is part of it.

Hashes and proofs are those of RFC 6962, section 2.1, with SHA-256; `countersign.proof.merkle` checks them. Nothing here knows where
hashes are stored.
"""

from hashlib import sha256
from typing import Protocol

from countersign.proof.merkle import EMPTY_ROOT, HASH_BYTES, node_hash


class Nodes(Protocol):
    """Where the hashes of perfect subtrees come from."""

    def node(self, level: int, index: int) -> bytes:
        """The hash over the entries `index * 2**level` up to `(index + 1) * 2**level`, the end not included."""


def root_of(hashes: bytes) -> bytes:
    """The root over concatenated leaf hashes (or over roots of perfect subtrees of one height), of any number."""
    if not hashes:
        return EMPTY_ROOT
    while len(hashes) > HASH_BYTES:
        paired = len(hashes) - len(hashes) % (2 * HASH_BYTES)
        parents = [sha256(b"\x01" + hashes[i : i + 64]).digest() for i in range(0, paired, 64)]
        # An odd one at the right end rises unchanged, which is what RFC 6962's split at a power of two comes to.
        hashes = b"".join(parents) + hashes[paired:]
    return hashes


def range_root(nodes: Nodes, start: int, end: int) -> bytes:
    """The hash over the entries `start` to `end`, for the ranges that RFC 6962 splits a tree into."""
    size = end - start
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return nodes.node(level, start >> level)
    split = start + _largest_power_below(size)
    return node_hash(range_root(nodes, start, split), range_root(nodes, split, end))


def inclusion_proof(nodes: Nodes, index: int, size: int) -> list[bytes]:
    """The audit path of entry `index` in the tree of `size` entries, from the leaf upwards."""
    if not 0 <= index < size:
        raise IndexError(f"entry {index} is not in a tree of {size} entries")
    return _path(nodes, index, 0, size)


def consistency_proof(nodes: Nodes, old: int, new: int) -> list[bytes]:
    """The hashes that prove that the first `old` of `new` entries are those of the older tree."""
    if not 0 <= old <= new:
        raise IndexError(f"a tree of {new} entries cannot be compared with one of {old}")
    if old in (0, new):
        return []
    return _subproof(nodes, old, 0, new, complete=True)


def _largest_power_below(size: int) -> int:
    return 1 << ((size - 1).bit_length() - 1)


def _path(nodes: Nodes, index: int, start: int, end: int) -> list[bytes]:
    if end - start == 1:
        return []
    split = start + _largest_power_below(end - start)
    if index < split:
        return [*_path(nodes, index, start, split), range_root(nodes, split, end)]
    return [*_path(nodes, index, split, end), range_root(nodes, start, split)]


def _subproof(nodes: Nodes, old: int, start: int, end: int, *, complete: bool) -> list[bytes]:
    if old == end:
        return [] if complete else [range_root(nodes, start, end)]
    split = start + _largest_power_below(end - start)
    if old <= split:
        return [*_subproof(nodes, old, start, split, complete=complete), range_root(nodes, split, end)]
    return [*_subproof(nodes, old, split, end, complete=False), range_root(nodes, start, split)]
