"""Decides what somebody is told at once about where the ledger has what they did; the same for pages, the API and pulls.

Named by its writer and the writer's number, which stand with the entry itself: its position follows when the sequencer logs it. The
address of the receipt is good from the beginning, and answers as soon as the entry is signed.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.urls import reverse

from audit.actions import Receipt, wait_until_sequenced
from countersign.proof.note import TreeHead


@dataclass(frozen=True, slots=True)
class Handed:
    """An entry by its writer's number; `seq`, and the checkpoint that first covers it, once they are known."""

    writer: str
    n: int
    leaf: str
    seq: int | None = None
    checkpoint: str = ""

    @property
    def name(self) -> str:
        """The entry's name from the beginning, as `writer/n`."""
        return f"{self.writer}/{self.n}"

    @property
    def head(self) -> TreeHead | None:
        """What the checkpoint says: how many entries under which root."""
        return TreeHead.parse(self.checkpoint.partition("\n\n")[0] + "\n") if self.checkpoint else None

    @property
    def proof(self) -> str:
        """Where the receipt is, for whoever did it and for auditors."""
        return reverse("reports-api:receipt", args=[self.writer, self.n])

    def as_json(self) -> dict[str, str | int | None]:
        """For an API's answer; `seq` and `checkpoint` are null while the entry is recorded and not signed yet."""
        return {
            "writer": self.writer,
            "n": self.n,
            "leaf": self.leaf,
            "seq": self.seq,
            "checkpoint": self.checkpoint or None,
            "proof": self.proof,
        }


def hand(receipt: Receipt, *, wait_seconds: float | None = None) -> Handed:
    """What to tell about an entry, after its commit; waits for its signature, by default as long as `wait_until_sequenced` does."""
    logged = wait_until_sequenced(receipt, wait_seconds)
    if logged is None:
        return Handed(receipt.writer, receipt.n, receipt.leaf.hex())
    return Handed(receipt.writer, receipt.n, receipt.leaf.hex(), logged.seq, logged.checkpoint)
