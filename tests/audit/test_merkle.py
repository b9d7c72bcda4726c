"""Hashes and proofs against published vectors, against RFC 6962's own definition, and against an independent library."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymerkle import InmemoryTree
from pymerkle import verify_consistency as pymerkle_verify_consistency

from audit.merkle import consistency_proof, inclusion_proof, root_of
from countersign.proof.merkle import EMPTY_ROOT, leaf_hash, node_hash, verify_consistency, verify_inclusion

# The leaves, roots and proofs that certificate-transparency-go and its successors test with (Apache-2.0).
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION = {
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
}
CONSISTENCY = {
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


class LeafNodes:
    """Nodes straight from a list of leaf hashes."""

    def __init__(self, leaves: list[bytes]) -> None:
        self.leaves = leaves

    def node(self, level: int, index: int) -> bytes:
        return root_of(b"".join(self.leaves[index << level : (index + 1) << level]))


def hashes(count: int) -> list[bytes]:
    return [leaf_hash(b"entry %d" % number) for number in range(count)]


def defined_root(leaves: list[bytes]) -> bytes:
    """MTH exactly as RFC 6962, section 2.1, defines it."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(defined_root(leaves[:split]), defined_root(leaves[split:]))


def test_the_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert root_of(b"") == EMPTY_ROOT


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_equal_the_published_ones(size: int) -> None:
    assert root_of(b"".join(leaf_hash(leaf) for leaf in LEAVES[:size])).hex() == ROOTS[size - 1]


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_inclusion_proofs_equal_the_published_ones(index: int, size: int) -> None:
    nodes = LeafNodes([leaf_hash(leaf) for leaf in LEAVES])

    proof = inclusion_proof(nodes, index, size)

    assert [step.hex() for step in proof] == INCLUSION[index, size]


@pytest.mark.parametrize(("old", "new"), CONSISTENCY)
def test_consistency_proofs_equal_the_published_ones(old: int, new: int) -> None:
    nodes = LeafNodes([leaf_hash(leaf) for leaf in LEAVES])

    proof = consistency_proof(nodes, old, new)

    assert [step.hex() for step in proof] == CONSISTENCY[old, new]


@given(st.lists(st.binary(max_size=40), max_size=70))
def test_any_root_equals_the_definition(payloads: list[bytes]) -> None:
    leaves = [leaf_hash(payload) for payload in payloads]

    assert root_of(b"".join(leaves)) == defined_root(leaves)


@given(st.integers(1, 400), st.data())
def test_every_entry_is_proven_and_nothing_else_is(size: int, data: st.DataObject) -> None:
    leaves = hashes(size)
    root = root_of(b"".join(leaves))
    index = data.draw(st.integers(0, size - 1))

    proof = inclusion_proof(LeafNodes(leaves), index, size)

    assert verify_inclusion(leaves[index], index, size, proof, root)
    assert not verify_inclusion(leaf_hash(b"another"), index, size, proof, root)
    assert not verify_inclusion(leaves[index], index + 1, size, proof, root)
    assert not verify_inclusion(leaves[index], index, size, [*proof, root], root)
    assert not verify_inclusion(leaves[index], index, size, proof[:-1], root) or size == 1


@given(st.integers(0, 400), st.integers(0, 400))
def test_every_older_tree_is_proven_to_be_the_beginning(first: int, second: int) -> None:
    old, new = sorted((first, second))
    leaves = hashes(new)
    old_root, new_root = root_of(b"".join(leaves[:old])), root_of(b"".join(leaves))

    proof = consistency_proof(LeafNodes(leaves), old, new)

    assert verify_consistency(old, new, old_root, new_root, proof)
    if old > 0:
        assert not verify_consistency(old, new, leaf_hash(b"another"), new_root, proof)
    if 0 < old < new:
        assert not verify_consistency(old, new, old_root, leaf_hash(b"another"), proof)
        assert not verify_consistency(old, new, old_root, new_root, proof[:-1])
        assert not verify_consistency(old, new, old_root, new_root, [*proof, new_root])


@pytest.mark.parametrize("index", [-1, 8])
def test_an_entry_outside_the_tree_has_no_proof(index: int) -> None:
    nodes = LeafNodes(hashes(8))

    with pytest.raises(IndexError):
        inclusion_proof(nodes, index, 8)


def test_a_newer_tree_is_not_the_beginning_of_an_older_one() -> None:
    with pytest.raises(IndexError):
        consistency_proof(LeafNodes(hashes(8)), 9, 8)
    assert not verify_consistency(9, 8, EMPTY_ROOT, EMPTY_ROOT, [])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 100, 257])
def test_an_independent_library_gets_the_same_root_and_proofs(size: int) -> None:
    tree = InmemoryTree(algorithm="sha256")
    for number in range(size):
        tree.append(b"entry %d" % number)
    nodes = LeafNodes(hashes(size))
    index, old = size // 2, size // 2 + 1

    theirs = tree.prove_inclusion(index + 1, size)

    assert tree.get_state() == root_of(b"".join(hashes(size)))
    assert [step for step in theirs.path if step != hashes(size)[index]] == inclusion_proof(nodes, index, size)
    pymerkle_verify_consistency(root_of(b"".join(hashes(old))), tree.get_state(), tree.prove_consistency(old, size))
