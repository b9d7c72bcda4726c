"""Decides whether a proof shows that an entry, or an older list, is part of a list whose root is known.

Hashes are those of RFC 6962, section 2.1, with SHA-256; the checks are the ones that RFC 9162, sections 2.1.3.2 and 2.1.4.2, spells out.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()


def leaf_hash(payload: bytes) -> bytes:
    """The hash of one entry."""
    return sha256(b"\x00" + payload).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two neighbouring subtrees."""
    return sha256(b"\x01" + left + right).digest()


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the proof leads from the leaf hash at `index` to the root of `size` entries (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    position, last, result = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if position & 1 or position == last:
            result = node_hash(sibling, result)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            result = node_hash(result, sibling)
        position >>= 1
        last >>= 1
    return last == 0 and result == root


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the proof shows that the older tree is the beginning of the newer one (RFC 9162, 2.1.4.2)."""
    if not 0 <= old <= new:
        return False
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    if old == new:
        return not proof and old_root == new_root
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    position, last = old - 1, new - 1
    while position & 1:
        position >>= 1
        last >>= 1
    older = newer = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            older = node_hash(sibling, older)
            newer = node_hash(sibling, newer)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            newer = node_hash(newer, sibling)
        position >>= 1
        last >>= 1
    return last == 0 and older == old_root and newer == new_root
