"""Decides what somebody is handed who wants to prove later, without us, that an entry is in the ledger: a receipt.

Its form, and what it proves to whoever has one, stands in `countersign.proof.receipts`. Every receipt is checked before it is handed
out: where the database no longer gives the root that was signed, there is none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Final

from django.db import connection

from audit import keys, store
from audit.merkle import range_root
from audit.models import IndexRow
from audit.tiles import TILE_WIDTH, BrokenBundle
from countersign.proof.merkle import HASH_BYTES, leaf_hash, verify_inclusion
from countersign.proof.note import NoteRefused, TreeHead
from countersign.proof.receipts import EntryReceipt

_CACHED_TILES: Final = 128
_STORED_TILE: Final = "SELECT hashes FROM audit_tile WHERE level = %s AND n = %s"


class NotProvable(RuntimeError):
    """There is no receipt: the entry is not logged, or the database does not give what was signed. The sentence says which."""


def issue_receipt(seq: int, checkpoint: str | None = None, *, payload: bytes | None = None) -> EntryReceipt:
    """The receipt of entry `seq` under a signed checkpoint, by default the newest; raises `NotProvable`.

    The checkpoint may be any that this ledger has signed, for example one that is held outside. `payload` are the entry's bytes,
    where the caller has read them already.
    """
    note = checkpoint or _newest(seq)
    try:
        head = keys.open_ours(note)
    except NoteRefused as error:
        raise NotProvable(f"The checkpoint is not this ledger's: {error}.") from error
    if not 0 <= seq < head.size:
        raise NotProvable(f"The checkpoint covers the entries 0 to {head.size - 1}; entry {seq} is not among them.")
    try:
        payload = store.read_entry(seq) if payload is None else payload
        if payload is not None and (found := _proven(seq, payload, head)) is not None:
            return EntryReceipt(seq, payload, tuple(found), note)
    except (BrokenBundle, LookupError) as error:
        raise NotProvable(f"Entry {seq} cannot be read: {error}. Run `manage.py audit verify`.") from error
    raise NotProvable(
        f"The database does not give the root that was signed over {head.size} entries, so entry {seq} cannot be proven. "
        "Run `manage.py audit verify`."
    )


def find_entry(name: str) -> int:
    """The position of the entry named by its number or as `writer:n`; raises `NotProvable` where it is not logged."""
    if re.fullmatch(r"[0-9]{1,18}", name, re.ASCII):
        return int(name)
    writer, _, number = name.rpartition(":")
    if not writer or not re.fullmatch(r"[0-9]{1,18}", number, re.ASCII):
        raise NotProvable("Name an entry by its number, or by its writer and the writer's number as writer:n.")
    seq = IndexRow.objects.filter(writer=writer, n=int(number)).values_list("seq", flat=True).first()
    if seq is None:
        raise NotProvable(f"No entry {number} of writer {writer} is logged. It may still be waiting.")
    return seq


def inclusion_path(seq: int, size: int) -> list[bytes]:
    """The audit path of entry `seq` among the first `size`, as `audit.merkle.inclusion_proof` gives it, from cached tiles.

    Raises `LookupError` where a tile is missing. What it returns is as good as the database: compare it with a signed root.
    """
    path = list[bytes]()
    position, last, level = seq, size - 1, 0
    while last:
        tile = position >> 8
        rows = _rows(level >> 3, tile, _width(level, tile, size))
        for row in rows:
            sibling = position ^ 1
            if sibling < last or (sibling == last and (sibling + 1) << level <= size):
                start = (sibling - (tile << 8 - (level & 7))) * HASH_BYTES
                path.append(row[start : start + HASH_BYTES])
            elif sibling == last:
                path.append(_ragged_root(level, sibling, size))
            position >>= 1
            last >>= 1
            level += 1
            if not last:
                break
    return path


def forget_tiles() -> None:
    """Empty the cache of tiles, for when another database lies underneath."""
    _rows.cache_clear()
    _ragged_root.cache_clear()


def _width(level: int, tile: int, size: int) -> int:
    """How many hashes of a tile stand for whole subtrees of a tree of `size` entries; part of what a cached tile is called."""
    return max(0, min(TILE_WIDTH, (size >> level) - tile * TILE_WIDTH))


@lru_cache(maxsize=_CACHED_TILES)
def _rows(level: int, n: int, width: int) -> tuple[bytes, ...]:
    """The eight rows of hashes inside a tile, the widest first: 16 KB for a full one."""
    row = _stored(level, n, width)[: width * HASH_BYTES]
    if len(row) != width * HASH_BYTES:
        raise LookupError(f"tile {level}/{n} holds fewer than {width} hashes")
    rows = [row]
    for _ in range(7):
        pairs = range(0, len(row) - len(row) % 64, 64)
        row = b"".join([sha256(b"\x01" + row[start : start + 64]).digest() for start in pairs])
        rows.append(row)
    return tuple(rows)


def _stored(level: int, n: int, width: int) -> bytes:
    if width < TILE_WIDTH:
        return store.read_tile(level, n) if width else b""
    with connection.cursor() as cursor:  # a sixth of the time that the ORM takes
        cursor.execute(_STORED_TILE, [level, n])
        found = cursor.fetchone()
    return bytes(found[0]) if found else b""


@dataclass(frozen=True, slots=True)
class _CachedNodes:
    """Nodes of a tree of `size` entries, from cached tiles."""

    size: int

    def node(self, level: int, index: int) -> bytes:
        """The hash of a perfect subtree (see `audit.merkle.Nodes`)."""
        tile_level, height = level >> 3, level & 7
        tile = index >> 8 - height
        row = _rows(tile_level, tile, _width(tile_level << 3, tile, self.size))[height]
        start = (index - (tile << 8 - height)) * HASH_BYTES
        return row[start : start + HASH_BYTES]


@lru_cache(maxsize=_CACHED_TILES)
def _ragged_root(level: int, index: int, size: int) -> bytes:
    """The hash over the entries from the `index`-th subtree of a level to the end of the tree, fewer than the subtree holds."""
    return range_root(_CachedNodes(size), index << level, size)


def _proven(seq: int, payload: bytes, head: TreeHead) -> list[bytes] | None:
    """The path where it leads to the signed root, at the latest after reading all tiles anew."""
    for _ in range(2):
        path = inclusion_path(seq, head.size)
        if verify_inclusion(leaf_hash(payload), seq, head.size, path, head.root):
            return path
        forget_tiles()
    return None


def _newest(seq: int) -> str:
    latest = store.latest_checkpoint()
    if latest is None:
        raise NotProvable("This ledger has not been initialised. Run `manage.py audit init`.")
    if seq >= latest.size:
        raise NotProvable(f"Entry {seq} is not logged: the ledger holds {latest.size:,} entries.")
    return latest.note
