"""Receipts: the format's own words, proofs against the definition, and that nothing false is ever handed out."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management import CommandError
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from audit import keys, receipts, store
from audit.anchors.configured import state_journal
from audit.merkle import inclusion_proof, root_of
from audit.models import IndexRow, Tile
from audit.receipts import NotProvable, find_entry, inclusion_path, issue_receipt
from audit.sequencer import Sequencer
from countersign.proof.merkle import leaf_hash
from countersign.proof.note import Signer, TreeHead, sign_note
from countersign.proof.receipts import EntryReceipt, ReceiptRefused, verify_receipt
from tests.audit.conftest import happen
from tests.audit.test_attacks import database_owner, edit_an_entry_and_its_tile, rewrite_with_another_key
from tests.audit.test_command import audit
from tests.audit.test_merkle import LeafNodes, hashes

EXAMPLE = """c2sp.org/tlog-proof@v1
extra dGhlIGVudHJ5
index 1
{sibling}

example.com/fancylog
2
{root}

{signature}"""


@pytest.fixture(autouse=True)
def no_tiles_of_another_test() -> None:
    receipts.forget_tiles()


def test_a_receipt_proves_its_entry(ledger: Sequencer) -> None:
    for seq in (0, 1, 255, 256, 511, 512, 598, 599):
        found = verify_receipt(issue_receipt(seq).encode(), keys.trusted_verifiers())

        assert (found.seq, found.payload, found.head) == (seq, store.read_entry(seq), ledger.head)


def test_a_receipt_is_written_as_the_specification_says() -> None:
    signer = Signer("example.com/fancylog", Ed25519PrivateKey.generate())
    leaves = [leaf_hash(b"another"), leaf_hash(b"the entry")]
    head = TreeHead("example.com/fancylog", 2, root_of(b"".join(leaves)))
    note = sign_note(head.text(), signer)
    written = EXAMPLE.format(
        sibling=b64encode(leaves[0]).decode(),
        root=b64encode(head.root).decode(),
        signature=signer.signature_line(head.text()),
    ).encode()

    receipt = EntryReceipt(1, b"the entry", (leaves[0],), note)

    assert receipt.encode() == written
    assert EntryReceipt.parse(written) == receipt
    assert receipt.tlog_proof == written.replace(b"extra dGhlIGVudHJ5\n", b"")
    assert verify_receipt(written, [signer.verifier]).head == head


def test_a_receipt_can_be_had_under_an_older_checkpoint_that_is_held_outside(ledger: Sequencer) -> None:
    held = next(line.note for line in state_journal().lines() if line.size == 400)

    receipt = issue_receipt(17, held)

    assert receipt.checkpoint == held
    assert verify_receipt(receipt.encode(), keys.trusted_verifiers()).head.size == 400


def test_what_is_not_logged_has_no_receipt(ledger: Sequencer) -> None:
    held = next(line.note for line in state_journal().lines() if line.size == 400)

    with pytest.raises(NotProvable, match="Entry 600 is not logged"):
        issue_receipt(600)
    with pytest.raises(NotProvable, match="covers the entries 0 to 399"):
        issue_receipt(400, held)


def test_another_logs_checkpoint_gives_no_receipt(ledger: Sequencer) -> None:
    stranger = Signer(keys.origin(), Ed25519PrivateKey.generate())

    with pytest.raises(NotProvable, match="not this ledger's"):
        issue_receipt(17, sign_note(ledger.head.text(), stranger))


def test_no_receipt_is_given_for_what_was_changed(ledger: Sequencer) -> None:
    issue_receipt(7)
    edit_an_entry_and_its_tile()

    with pytest.raises(NotProvable, match="does not give the root"):
        issue_receipt(7)


def test_tiles_remembered_from_before_a_restore_do_not_spoil_a_receipt(ledger: Sequencer) -> None:
    good = issue_receipt(7)
    tile = bytes(Tile.objects.get(level=0, n=0).hashes)
    with database_owner() as run:
        run("UPDATE audit_tile SET hashes = %s WHERE level = 0 AND n = 0", bytes(8_192))
    receipts.forget_tiles()
    with pytest.raises(NotProvable):
        issue_receipt(7)
    inclusion_path(7, 600)
    with database_owner() as run:
        run("UPDATE audit_tile SET hashes = %s WHERE level = 0 AND n = 0", tile)

    assert issue_receipt(7) == good


def test_a_missing_tile_is_said(ledger: Sequencer) -> None:
    with database_owner() as run:
        run("DELETE FROM audit_tile WHERE level = 0 AND n = 0")

    with pytest.raises(NotProvable, match="tile 0/0 holds fewer than 256 hashes"):
        issue_receipt(7)


def test_a_ledger_rewritten_with_another_key_gives_no_receipt(ledger: Sequencer) -> None:
    rewrite_with_another_key()

    with pytest.raises(NotProvable, match="no trusted key"):
        issue_receipt(7)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"c2sp.org/tlog-proof@v1", b"c2sp.org/tlog-proof@v2", "begins with c2sp.org/tlog-proof@v1"),
        (b"index 300", b"index 301", "does not lead from the entry"),
        (b"index 300", b"index 0300", "plain decimal"),
        (b"index 300", b"index -1", "plain decimal"),
        (b"extra ", b"extra AAAA", "does not lead from the entry"),
        (b"extra ", b"extra !", "not base64"),
        (b"extra ", b"other ", "carries no entry"),
        (b"\n600\n", b"\n601\n", "the signature of countersign.test/ledger does not fit"),
        (b"\n\n", b"\nAAAA\n\n", "not a list of hashes"),
        (b"index", b"\xff", "a receipt is text"),
    ],
)
def test_an_altered_receipt_is_refused(ledger: Sequencer, old: bytes, new: bytes, reason: str) -> None:
    receipt = issue_receipt(300).encode()

    with pytest.raises(ReceiptRefused, match=reason):
        verify_receipt(receipt.replace(old, new, 1), keys.trusted_verifiers())


def test_every_flipped_bit_of_the_proof_is_caught(ledger: Sequencer) -> None:
    receipt = issue_receipt(300)

    for number in range(len(receipt.proof)):
        proof = list(receipt.proof)
        proof[number] = bytes([proof[number][0] ^ 1]) + proof[number][1:]
        altered = EntryReceipt(receipt.seq, receipt.payload, tuple(proof), receipt.checkpoint)
        with pytest.raises(ReceiptRefused, match="does not lead"):
            verify_receipt(altered.encode(), keys.trusted_verifiers())


def test_a_receipt_of_another_key_is_refused(ledger: Sequencer) -> None:
    stranger = Signer(keys.origin(), Ed25519PrivateKey.generate())

    with pytest.raises(ReceiptRefused, match="no trusted key"):
        verify_receipt(issue_receipt(3).encode(), [stranger.verifier])
    with pytest.raises(ReceiptRefused, match="no key is trusted"):
        verify_receipt(issue_receipt(3).encode(), [])


def test_a_huge_file_is_no_receipt() -> None:
    with pytest.raises(ReceiptRefused, match="smaller than 256 KB"):
        EntryReceipt.parse(b"x" * 300_000)


class Tiles:
    """Tiles of a tree that no database holds."""

    def __init__(self, leaves: list[bytes]) -> None:
        self.leaves = leaves

    def read(self, level: int, n: int, width: int) -> bytes:
        whole = 256**level
        firsts = range(n * 256 * whole, (n * 256 + width) * whole, whole)
        return b"".join(root_of(b"".join(self.leaves[first : first + whole])) for first in firsts)


BIG = hashes(66_100)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 1_200) | st.integers(65_400, 66_100), st.data())
def test_cached_tiles_give_the_same_path_as_the_definition(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    tiles = Tiles(BIG)
    receipts.forget_tiles()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(receipts, "_stored", tiles.read)

        assert inclusion_path(index, size) == inclusion_proof(LeafNodes(BIG[:size]), index, size)


def test_an_independent_library_gets_the_same_proof(ledger: Sequencer) -> None:
    tree = InmemoryTree(algorithm="sha256")
    for n in range(3):
        for payload in store.read_bundle(n):
            tree.append(payload)
    receipt = issue_receipt(300)

    theirs = tree.prove_inclusion(301, 600)

    assert tree.get_state() == ledger.head.root
    assert tuple(step for step in theirs.path if step != leaf_hash(receipt.payload)) == receipt.proof


def test_the_proof_of_an_entry_among_a_million_is_1136_bytes() -> None:
    origin = "countersign.test/ledger"
    note = sign_note(TreeHead(origin, 1_000_000, bytes(32)).text(), Signer(origin, Ed25519PrivateKey.generate()))

    assert len(EntryReceipt(123_456, b"", (bytes(32),) * 20, note).tlog_proof) <= 1_136


def test_entries_are_found_by_number_and_by_writer(ledger: Sequencer) -> None:
    row = IndexRow.objects.get(seq=17)

    assert find_entry("17") == 17
    assert find_entry(f"{row.writer}:{row.n}") == 17
    for name, reason in (("x", "Name an entry"), ("nobody:3", "is logged"), (f"{row.writer}:x", "Name an entry")):
        with pytest.raises(NotProvable, match=reason):
            find_entry(name)


def test_an_operator_writes_and_checks_a_receipt(ledger: Sequencer, tmp_path: Path) -> None:
    file = tmp_path / "17.tlog-proof"

    audit("receipt", "17", "--to", str(file))

    assert audit("receipt", "17").encode() == file.read_bytes()
    assert "The receipt holds: this is entry 17 of the 600" in audit("verify-receipt", str(file))
    assert "over 400" not in audit("receipt", "17", "--size", "400")
    key = str(keys.trusted_verifiers()[0])
    assert "holds" in audit("verify-receipt", str(file), "--key", key)


def test_an_operator_is_told_in_a_sentence_what_is_wrong(ledger: Sequencer, tmp_path: Path) -> None:
    file = tmp_path / "17.tlog-proof"
    file.write_bytes(issue_receipt(17).encode().replace(b"index 17", b"index 18"))
    stranger = Signer(keys.origin(), Ed25519PrivateKey.generate()).verifier

    for arguments, reason in (
        (("receipt", "601"), "not logged"),
        (("receipt", "1", "--size", "7"), "No checkpoint signs exactly the first 7"),
        (("verify-receipt", str(file)), "does not hold: its proof"),
        (("verify-receipt", str(file), "--key", str(stranger)), "no trusted key"),
        (("verify-receipt", str(file), "--key", "x"), "no verifier key"),
        (("verify-receipt", str(tmp_path / "none")), "cannot be read"),
    ):
        with pytest.raises(CommandError, match=reason):
            audit(*arguments)


def test_a_warm_proof_asks_the_database_nothing(ledger: Sequencer, django_assert_num_queries: object) -> None:
    happen(1)
    ledger.tick()
    first = inclusion_path(300, 601)

    assert connection.queries_log is not None
    with django_assert_num_queries(0):  # type: ignore[operator]  # pytest-django types its fixture loosely
        assert inclusion_path(300, 601) == first


def test_a_tile_is_derived_from_stored_roots_and_from_hashes_where_a_root_is_missing(ledger: Sequencer) -> None:
    from_roots = store.read_tile(1, 0)
    with database_owner() as run:
        run("UPDATE audit_tile SET root = NULL WHERE level = 0 AND n = %s", 0)

    assert len(from_roots) == 64
    assert store.read_tile(1, 0) == store.recomputed_tile(1, 0) == from_roots
