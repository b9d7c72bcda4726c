"""Decides what a receipt proves: that exactly these bytes are an entry of a log whose head a trusted key has signed.

A receipt is one file in C2SP's tlog-proof format: the entry's index, its inclusion proof and a signed checkpoint, with the
entry's exact bytes as the extra data that the format allows for what is needed to compute the leaf hash.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from countersign.proof.merkle import HASH_BYTES, leaf_hash, verify_inclusion
from countersign.proof.note import NoteRefused, TreeHead, Verifier, open_checkpoint

HEADER: Final = "c2sp.org/tlog-proof@v1"
SUFFIX: Final = ".tlog-proof"
MAX_ENTRY_BYTES: Final = 65_535
MAX_RECEIPT_BYTES: Final = 256 * 1024
_LONGEST_PROOF: Final = 63


class ReceiptRefused(ValueError):
    """The receipt is malformed or does not hold; the sentence says why."""


@dataclass(frozen=True, slots=True)
class EntryReceipt:
    """An entry's exact bytes, its place, the hashes (32 bytes each) from its leaf to the root, and the signed checkpoint."""

    seq: int
    payload: bytes
    proof: tuple[bytes, ...]
    checkpoint: str

    @property
    def tlog_proof(self) -> bytes:
        """The proof alone, for who holds the payload already."""
        return self._encode(())

    def encode(self) -> bytes:
        """The receipt as a file: the proof with the payload as its extra data."""
        return self._encode((f"extra {b64encode(self.payload).decode()}",))

    def _encode(self, extra: tuple[str, ...]) -> bytes:
        hashes = (b64encode(one).decode() for one in self.proof)
        return ("\n".join((HEADER, *extra, f"index {self.seq}", *hashes)) + f"\n\n{self.checkpoint}").encode()

    @classmethod
    def parse(cls, data: bytes, payload: bytes | None = None) -> EntryReceipt:
        """Read a receipt, or a proof alone for the entry `payload`; raises `ReceiptRefused` where it is malformed or proves no entry."""
        if len(data) > MAX_RECEIPT_BYTES:
            raise ReceiptRefused(f"a receipt is smaller than {MAX_RECEIPT_BYTES // 1024} KB")
        try:
            proof, separator, checkpoint = data.decode().partition("\n\n")
        except UnicodeDecodeError as error:
            raise ReceiptRefused("a receipt is text") from error
        header, *lines = proof.split("\n")
        if not separator or header != HEADER:
            raise ReceiptRefused(f"a receipt begins with {HEADER} and has an empty line before its checkpoint")
        if lines and lines[0].startswith("extra "):
            payload = _entry(lines.pop(0), payload)
        if payload is None or not lines:
            raise ReceiptRefused("the receipt carries no entry, so there is nothing that it could prove")
        if len(payload) > MAX_ENTRY_BYTES:
            raise ReceiptRefused("its entry is larger than an entry of the ledger can be")
        return cls(_index(lines[0]), payload, _hashes(lines[1:]), checkpoint)


@dataclass(frozen=True, slots=True)
class VerifiedReceipt:
    """What a receipt proves: these bytes are entry `seq` of the log whose head a trusted key has signed."""

    seq: int
    payload: bytes
    head: TreeHead


def verify_receipt(data: bytes, verifiers: Iterable[Verifier], payload: bytes | None = None) -> VerifiedReceipt:
    """What the receipt (or the proof alone, for the entry `payload`) proves under these keys. Raises `ReceiptRefused`.

    The log's name is the key's own.
    """
    receipt, trusted = EntryReceipt.parse(data, payload), list(verifiers)
    problem: NoteRefused | None = None
    for origin in dict.fromkeys(verifier.name for verifier in trusted):
        try:
            head = open_checkpoint(receipt.checkpoint, origin, [one for one in trusted if one.name == origin])
        except NoteRefused as error:
            problem = problem or error
            continue
        if not verify_inclusion(leaf_hash(receipt.payload), receipt.seq, head.size, receipt.proof, head.root):
            raise ReceiptRefused("its proof does not lead from the entry to the root that was signed")
        return VerifiedReceipt(receipt.seq, receipt.payload, head)
    raise ReceiptRefused(f"its checkpoint is not to be believed: {problem or 'no key is trusted'}")


def _entry(line: str, payload: bytes | None) -> bytes:
    found = _base64(line.removeprefix("extra "))
    if payload is not None and payload != found:
        raise ReceiptRefused("the receipt is of another entry")
    return found


def _base64(text: str) -> bytes:
    try:
        raw = b64decode(text, validate=True)
    except (Base64Error, ValueError) as error:
        raise ReceiptRefused("a part of it is not base64") from error
    return raw


def _index(line: str) -> int:
    found = re.fullmatch(r"index (0|[1-9][0-9]{0,18})", line, re.ASCII)
    if found is None:
        raise ReceiptRefused("its index is not a plain decimal number")
    return int(found.group(1))


def _hashes(lines: Sequence[str]) -> tuple[bytes, ...]:
    hashes = tuple(_base64(line) for line in lines)
    if len(hashes) > _LONGEST_PROOF or any(len(one) != HASH_BYTES for one in hashes):
        raise ReceiptRefused("its proof is not a list of hashes")
    return hashes
