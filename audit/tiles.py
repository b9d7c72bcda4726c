"""Decides how the tree is cut into immutable tiles and entry bundles, for storage and for whoever mirrors the log.

The layout is C2SP's tlog-tiles: a tile is up to 256 hashes of one level, a bundle up to 256 entries, each entry
preceded by its length in two bytes. Only full tiles need storing: a partial one follows from what is below it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from audit.merkle import root_of
from countersign.proof.merkle import EMPTY_ROOT, HASH_BYTES, node_hash
from countersign.proof.receipts import MAX_ENTRY_BYTES

TILE_WIDTH: Final = 256
TILE_BYTES: Final = TILE_WIDTH * HASH_BYTES
MAX_BUNDLE_BYTES: Final = TILE_WIDTH * (MAX_ENTRY_BYTES + 2)

ReadTile = Callable[[int, int], bytes]


class BrokenBundle(ValueError):
    """The bytes are not a sequence of length-prefixed entries."""


@dataclass(frozen=True, slots=True)
class FullTile:
    """One tile of 256 hashes (8,192 bytes) at `level`, the n-th from the left, and their root (32 bytes)."""

    level: int
    n: int
    hashes: bytes
    root: bytes


@dataclass(slots=True)
class RightEdge:
    """The partial tiles along the right side of a tree of `size` entries: all that is needed to append to it.

    `levels[i]` holds the concatenated hashes of the partial tile at level i (0 to 255 of them).
    """

    size: int = 0
    levels: list[bytearray] = field(default_factory=list)

    def append(self, leaf_hashes: Iterable[bytes]) -> list[FullTile]:
        """Take the next entries' leaf hashes; the tiles that became full, in the order in which they did."""
        finished: list[FullTile] = []
        new, position = b"".join(leaf_hashes), 0
        while position < len(new):
            partial = self._level(0)
            taken = new[position : position + TILE_BYTES - len(partial)]
            partial += taken
            position += len(taken)
            self.size += len(taken) // HASH_BYTES
            self._finish(0, finished)
        return finished

    def append_tile(self, hashes: bytes, root: bytes) -> list[FullTile]:
        """Take 256 leaf hashes whose root is known, where the size is a multiple of 256; the tiles that became full."""
        if self.size % TILE_WIDTH:
            raise ValueError(f"a whole tile does not follow {self.size} entries")
        self.size += TILE_WIDTH
        finished = [FullTile(0, self.size // TILE_WIDTH - 1, hashes, root)]
        self._level(0)
        self._rise(1, root, finished)
        return finished

    def _finish(self, level: int, finished: list[FullTile]) -> None:
        partial = self.levels[level]
        if len(partial) == TILE_BYTES:
            hashes = bytes(partial)
            partial.clear()
            tile = FullTile(level, (self.size >> (8 * (level + 1))) - 1, hashes, root_of(hashes))
            finished.append(tile)
            self._rise(level + 1, tile.root, finished)

    def _rise(self, level: int, root: bytes, finished: list[FullTile]) -> None:
        partial = self._level(level)
        partial += root
        self._finish(level, finished)

    def _level(self, level: int) -> bytearray:
        if level == len(self.levels):
            self.levels.append(bytearray())
        return self.levels[level]

    def root(self) -> bytes:
        """The root of the tree of `size` entries."""
        root: bytes | None = None
        for tile in self.levels:
            if tile:
                left = _fold(bytes(tile))
                root = _fold_onto(left, root)
        return EMPTY_ROOT if root is None else root

    def copy(self) -> "RightEdge":
        """An edge of its own, so that a transaction that fails leaves this one as it was."""
        return RightEdge(self.size, [bytearray(tile) for tile in self.levels])


def _fold(hashes: bytes) -> list[bytes]:
    """The roots of the maximal perfect subtrees of a partial tile, largest first."""
    count, start, peaks = len(hashes) // HASH_BYTES, 0, []
    while count:
        width = 1 << (count.bit_length() - 1)
        peaks.append(root_of(hashes[start * HASH_BYTES : (start + width) * HASH_BYTES]))
        start += width
        count -= width
    return peaks


def _fold_onto(peaks: Sequence[bytes], right: bytes | None) -> bytes:
    """The root of perfect subtrees, largest first, followed by a smaller tree to their right."""
    rest = list(peaks)
    root = rest.pop() if right is None else right
    while rest:
        root = node_hash(rest.pop(), root)
    return root


def right_edge(size: int, read_tile: ReadTile) -> RightEdge:
    """The right edge of the tree of `size` entries, read through `read_tile(level, n)` (at least as wide as needed)."""
    edge = RightEdge(size)
    level = 0
    while size >> (8 * level):
        hashes = size >> (8 * level)
        width, n = hashes % TILE_WIDTH, hashes // TILE_WIDTH
        tile = read_tile(level, n)[: width * HASH_BYTES] if width else b""
        if len(tile) != width * HASH_BYTES:
            raise LookupError(f"tile {level}/{n} holds fewer than the {width} hashes that {size} entries need")
        edge.levels.append(bytearray(tile))
        level += 1
    return edge


@dataclass(frozen=True, slots=True)
class TileNodes:
    """Nodes for proofs, taken from tiles."""

    read_tile: ReadTile

    def node(self, level: int, index: int) -> bytes:
        """The hash of a perfect subtree (see `audit.merkle.Nodes`)."""
        tile_level, height = divmod(level, 8)
        n, offset = divmod(index << height, TILE_WIDTH)
        hashes = self.read_tile(tile_level, n)[offset * HASH_BYTES : (offset + (1 << height)) * HASH_BYTES]
        if len(hashes) != HASH_BYTES << height:
            raise LookupError(f"tile {tile_level}/{n} is missing or too narrow")
        return root_of(hashes)


def encode_bundle(entries: Iterable[bytes]) -> bytes:
    """The entries as one bundle: each preceded by its length as a big-endian uint16."""
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def leaf_hashes(bundle: bytes) -> bytes:
    """The concatenated leaf hashes of a bundle's entries; raises `BrokenBundle` where the lengths do not add up."""
    hashes, position, end = [], 0, len(bundle)
    while position < end:
        start = position + 2
        position = start + int.from_bytes(bundle[position:start], "big")
        if start > end or position > end:
            raise BrokenBundle("an entry is longer than its bundle")
        hashes.append(sha256(b"\x00" + bundle[start:position]).digest())
    return b"".join(hashes)


def decode_bundle(bundle: bytes) -> list[bytes]:
    """The entries of a bundle; raises `BrokenBundle` where the lengths do not add up."""
    entries, position = [], 0
    while position < len(bundle):
        start = position + 2
        position = start + int.from_bytes(bundle[position:start], "big")
        if start > len(bundle) or position > len(bundle):
            raise BrokenBundle("an entry is longer than its bundle")
        entries.append(bundle[start:position])
    return entries


def tile_path(level: int, n: int, width: int = TILE_WIDTH) -> str:
    """Where a mirror keeps a tile, for example `tile/0/x001/x234/067.p/12`."""
    return f"tile/{level}/{_index_path(n)}{_partial(width)}"


def bundle_path(n: int, width: int = TILE_WIDTH) -> str:
    """Where a mirror keeps an entry bundle, for example `tile/entries/000.p/3`."""
    return f"tile/entries/{_index_path(n)}{_partial(width)}"


def _index_path(n: int) -> str:
    groups = [f"{n % 1000:03}"]
    while n := n // 1000:
        groups.insert(0, f"x{n % 1000:03}")
    return "/".join(groups)


def _partial(width: int) -> str:
    return "" if width == TILE_WIDTH else f".p/{width}"
