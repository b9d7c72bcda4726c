"""Tiles hold exactly the hashes that the specification names, and everything can be read back from them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.merkle import inclusion_proof, root_of
from audit.tiles import (
    BrokenBundle,
    FullTile,
    RightEdge,
    TileNodes,
    bundle_path,
    decode_bundle,
    encode_bundle,
    leaf_hashes,
    right_edge,
    tile_path,
)
from countersign.proof.merkle import HASH_BYTES, leaf_hash, verify_inclusion
from countersign.proof.receipts import MAX_ENTRY_BYTES

SIZES = [0, 1, 2, 255, 256, 257, 511, 512, 1000, 65_535, 65_536, 65_537, 70_000]


def hashes(count: int) -> list[bytes]:
    return [leaf_hash(b"%d" % number) for number in range(count)]


def grown(leaves: list[bytes], step: int) -> tuple[RightEdge, list[FullTile]]:
    edge, tiles = RightEdge(), list[FullTile]()
    for start in range(0, len(leaves), step):
        tiles += edge.append(leaves[start : start + step])
    return edge, tiles


class StoredTiles:
    """Full tiles as stored, partial ones made from what is below them."""

    def __init__(self, leaves: list[bytes], tiles: list[FullTile]) -> None:
        self.leaves = leaves
        self.tiles = {(tile.level, tile.n): tile.hashes for tile in tiles}

    def read(self, level: int, n: int) -> bytes:
        if (level, n) in self.tiles:
            return self.tiles[level, n]
        if level == 0:
            return b"".join(self.leaves[n * 256 : (n + 1) * 256])
        below = [self.tiles.get((level - 1, n * 256 + i)) for i in range(256)]
        return b"".join(root_of(tile) for tile in below if tile)


@pytest.mark.parametrize("size", SIZES)
def test_the_right_edge_has_the_root_of_the_whole_list(size: int) -> None:
    leaves = hashes(size)

    edge, _ = grown(leaves, 1000)

    assert edge.size == size
    assert edge.root() == root_of(b"".join(leaves))


@given(st.integers(0, 1200), st.integers(1, 300))
def test_steps_of_any_length_give_the_same_tiles(size: int, step: int) -> None:
    leaves = hashes(size)

    edge, tiles = grown(leaves, step)
    at_once, tiles_at_once = grown(leaves, max(size, 1))

    assert (edge.root(), tiles) == (at_once.root(), tiles_at_once)


def test_whole_tiles_give_the_same_edge_as_their_leaves() -> None:
    leaves = hashes(70_000)
    edge, tiles = RightEdge(), list[FullTile]()
    for start in range(0, 69_888, 256):
        whole = b"".join(leaves[start : start + 256])
        tiles += edge.append_tile(whole, root_of(whole))
    tiles += edge.append(leaves[69_888:])

    assert (edge.root(), tiles) == (grown(leaves, 4096)[0].root(), grown(leaves, 4096)[1])
    with pytest.raises(ValueError, match="does not follow 70000 entries"):
        edge.append_tile(b"".join(leaves[:256]), root_of(b"".join(leaves[:256])))


@given(st.lists(st.binary(max_size=300), max_size=256))
def test_leaves_are_hashed_from_the_bundle_as_it_stands(entries: list[bytes]) -> None:
    assert leaf_hashes(encode_bundle(entries)) == b"".join(leaf_hash(entry) for entry in entries)


@pytest.mark.parametrize("broken", [b"\x00", b"\x00\x05abc", b"\x00\x01a\xff"])
def test_a_bundle_that_ends_too_early_has_no_leaves(broken: bytes) -> None:
    with pytest.raises(BrokenBundle):
        leaf_hashes(broken)


def test_a_tree_of_70_000_has_the_tiles_that_the_specification_counts() -> None:
    edge, tiles = grown(hashes(70_000), 4096)

    assert [sum(tile.level == level for tile in tiles) for level in (0, 1, 2)] == [273, 1, 0]
    assert [len(level) // HASH_BYTES for level in edge.levels] == [112, 17, 1]
    assert [tile.n for tile in tiles if tile.level == 0] == list(range(273))


@pytest.mark.parametrize("size", SIZES)
def test_the_edge_read_back_from_tiles_equals_the_one_that_wrote_them(size: int) -> None:
    leaves = hashes(size)
    edge, tiles = grown(leaves, 777)

    read_back = right_edge(size, StoredTiles(leaves, tiles).read)

    assert read_back.root() == edge.root()
    assert read_back.append(hashes(300)) == edge.append(hashes(300))
    assert read_back.root() == edge.root()


def test_the_edge_of_an_older_size_is_read_from_the_same_tiles() -> None:
    leaves = hashes(66_000)
    _, tiles = grown(leaves, 5000)

    older = right_edge(65_700, StoredTiles(leaves, tiles).read)

    assert older.root() == root_of(b"".join(leaves[:65_700]))


def test_a_missing_tile_is_said_and_not_guessed() -> None:
    with pytest.raises(LookupError, match="tile 0/1 holds fewer"):
        right_edge(300, lambda level, n: b"")


@given(st.integers(1, 1100), st.data())
def test_proofs_come_from_tiles(size: int, data: st.DataObject) -> None:
    leaves = hashes(size)
    edge, tiles = grown(leaves, size)
    index = data.draw(st.integers(0, size - 1))

    proof = inclusion_proof(TileNodes(StoredTiles(leaves, tiles).read), index, size)

    assert verify_inclusion(leaves[index], index, size, proof, edge.root())


def test_a_copy_of_the_edge_goes_its_own_way() -> None:
    edge, _ = grown(hashes(300), 300)
    before = edge.root()

    edge.copy().append(hashes(1))

    assert edge.root() == before


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_bundles_are_read_back_as_written(entries: list[bytes]) -> None:
    assert decode_bundle(encode_bundle(entries)) == entries


def test_a_bundle_is_length_prefixed_as_the_specification_says() -> None:
    assert encode_bundle([b"ab", b"", b"c"]) == b"\x00\x02ab\x00\x00\x00\x01c"
    assert decode_bundle(encode_bundle([b"x" * MAX_ENTRY_BYTES])) == [b"x" * MAX_ENTRY_BYTES]


@pytest.mark.parametrize("bundle", [b"\x00", b"\x00\x02a", b"\x00\x01ab"])
def test_a_broken_bundle_is_refused(bundle: bytes) -> None:
    with pytest.raises(BrokenBundle):
        decode_bundle(bundle)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (tile_path(0, 1_234_067), "tile/0/x001/x234/067"),
        (tile_path(0, 1_234_067, 12), "tile/0/x001/x234/067.p/12"),
        (tile_path(2, 0, 1), "tile/2/000.p/1"),
        (bundle_path(999), "tile/entries/999"),
        (bundle_path(1000, 255), "tile/entries/x001/000.p/255"),
    ],
)
def test_paths_are_those_of_the_specification(path: str, expected: str) -> None:
    assert path == expected
