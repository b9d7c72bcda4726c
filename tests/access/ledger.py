"""What the ledger was told, as tests read it."""

from __future__ import annotations

from typing import Any

from audit.events import Action
from audit.models import Pending
from audit.payload import decode, decode_disclosures


def entries(action: Action | None = None) -> list[dict[str, Any]]:
    """The entries that wait for the sequencer, oldest first."""
    found = [decode(bytes(row.payload)) for row in Pending.objects.order_by("id")]
    return [entry for entry in found if action is None or entry["action"] == action.value]


def outcomes(action: Action) -> list[tuple[str, str]]:
    """Outcome and reason of every entry of one action, oldest first."""
    return [(entry["outcome"], entry["why"]) for entry in entries(action)]


def public_bytes() -> bytes:
    """Everything that can never be erased: the payloads."""
    return b"\n".join(bytes(row.payload) for row in Pending.objects.order_by("id"))


def disclosed() -> dict[str, set[str]]:
    """Erasable values by name."""
    found: dict[str, set[str]] = {}
    for row in Pending.objects.all():
        for one in decode_disclosures(bytes(row.private)):
            found.setdefault(one.name, set()).add(one.value)
    return found
