"""What leaves an action that was carried out only up to a point, on purpose: its transaction undoes everything, and nothing is recorded."""

from __future__ import annotations


class Rehearsed(Exception):
    """The action got as far as it was meant to. Not a refusal and not a fault: the ledger keeps no entry of it."""
