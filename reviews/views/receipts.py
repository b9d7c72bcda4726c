"""What a person is told about where the ledger has their decision."""

from __future__ import annotations

from typing import Final

from audit.actions import Receipt, wait_until_sequenced

SECONDS: Final = 1.5


def receipt_sentence(receipt: Receipt | None) -> str:
    """Entry and checkpoint when the sequencer is quick; the entry is safe either way and only logged later."""
    logged = wait_until_sequenced(receipt, SECONDS) if receipt else None
    return f"Ledger entry {logged.seq}, checkpoint {logged.size}." if logged else "The ledger will log it in a moment."
