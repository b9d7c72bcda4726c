"""One entry: what it says in words and in its exact bytes, where it leads, and the proof that it is in the ledger."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from audit import keys, proofs, queries, store
from audit.events import Action
from audit.keys import KeyRefused
from audit.proofs import Step
from audit.receipts import NotProvable, issue_receipt
from audit.tiles import BrokenBundle
from audit.views.access import LedgerRequest, permit
from countersign.proof.merkle import leaf_hash
from countersign.proof.note import NoteRefused
from foundation.charts import Drawing
from foundation.refusals import NotFound


@dataclass(frozen=True, slots=True)
class Proven:
    """The proof of an entry under the newest checkpoint, checked now: `problem` says why it does not hold."""

    leaf: str
    size: int = 0
    root: str = ""
    checkpoint: str = ""
    steps: tuple[Step, ...] = ()
    drawing: Drawing | None = None
    problem: str = ""


@require_GET
def entry(request: LedgerRequest, seq: int) -> HttpResponse:
    """An entry by its number in the ledger."""
    permit(request, Action.LEDGER_VIEW)
    payload = stored_payload(seq)
    one = queries.opened(seq, payload)
    context = {
        "seq": seq,
        "one": one,
        "payload": payload.decode("utf-8", "replace"),
        "proven": proven(seq, payload),
        "near": queries.neighbours(one) if one else None,
    }
    return render(request, "audit/entry.html", context)


def stored_payload(seq: int) -> bytes:
    """The exact bytes of an entry; raises `NotFound` where there is none, or where its bundle is damaged."""
    try:
        payload = store.read_entry(seq) if seq < 2**53 else None
    except BrokenBundle as error:
        raise NotFound(
            f"Entry {seq} cannot be read: {error}. Verify the ledger and change nothing in the database."
        ) from error
    if payload is None:
        raise NotFound(f"The ledger holds no entry {seq}. One that has just happened is logged within about a second.")
    return payload


def proven(seq: int, payload: bytes) -> Proven:
    """Prove the entry now."""
    leaf = leaf_hash(payload).hex()
    try:
        receipt = issue_receipt(seq, payload=payload)
        head = keys.open_ours(receipt.checkpoint)
    except (NotProvable, NoteRefused, KeyRefused) as error:
        return Proven(leaf, problem=str(error))
    climbed = proofs.steps(payload, seq, head.size, receipt.proof)
    drawn = proofs.drawing(seq, leaf, climbed, head.size)
    return Proven(leaf, head.size, head.root.hex(), receipt.checkpoint, tuple(climbed), drawn)
