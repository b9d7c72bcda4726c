"""What every answer to a pull says about the ledger, so that whoever pulls can hold the ledger to it later.

`Countersign-Ledger-Entry` is the pull's own entry as `writer/n`: its receipt is at `/api/v1/receipts/<writer>/<n>.tlog-proof` as soon
as it is signed. `Countersign-Ledger-Checkpoint` is the newest signed checkpoint in base64 (RFC 4648), since a note has several lines.
A client keeps the largest checkpoint that it has seen, and asks with it whether the ledger is still the one that it was.
"""

from __future__ import annotations

import base64

from audit.actions import Receipt
from audit.store import latest_checkpoint


def ledger_headers(receipt: Receipt, note: str | None = None) -> dict[str, str]:
    """The headers for the answer whose entry `receipt` names; nobody waits here, so the checkpoint is older than the entry.

    `note`: the newest checkpoint where the caller knows it, empty where there is none.
    """
    headers = {"Countersign-Ledger-Entry": f"{receipt.writer}/{receipt.n}"}
    if note is None:
        latest = latest_checkpoint()
        note = latest.note if latest else ""
    if note:
        headers["Countersign-Ledger-Checkpoint"] = base64.b64encode(note.encode()).decode()
    return headers
