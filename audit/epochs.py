"""Decides which signed heads a recovery has given up, and whether the ledger says so: nothing is given up in silence.

A recovery continues a ledger of `kept` entries under a new name (see `recovery` and ADR 0011). A head that the former name signed
over more entries can never be met again; the first entry of the continuation, at position `kept`, states the largest of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from audit import keys, store
from audit.entries import Entry, Malformed
from audit.events import Action
from audit.keys import CONTINUED, KeyRefused
from audit.tiles import BrokenBundle
from countersign.proof.note import TreeHead


@dataclass(frozen=True, slots=True)
class Epochs:
    """The names under which this ledger has been signed, oldest first, each with the number of entries that it took over."""

    known: tuple[tuple[str, int], ...]

    @classmethod
    def read(cls) -> Epochs:
        """As the public keys tell them; none where there are no keys yet."""
        try:
            lines = keys.public_lines()
        except KeyRefused:
            return cls(())
        taken_over = dict[str, int]()
        for line in lines:
            first = line.verifier.first - 1 if CONTINUED in line.verifier.name else 0
            taken_over.setdefault(line.verifier.name, first)
        return cls(tuple(taken_over.items()))

    def given_up_at(self, head: TreeHead) -> list[int]:
        """The sizes at which a later continuation left out entries that this head signs; empty where the head is to be met."""
        names = [name for name, _ in self.known]
        later = self.known[names.index(head.origin) + 1 :] if head.origin in names else ()
        return [kept for _, kept in later if kept < head.size]


@dataclass(frozen=True, slots=True)
class Statement:
    """What the first entry of a continuation states: how many entries were kept, why, and the largest head of each name given up."""

    kept: int
    reason: str
    lost: tuple[tuple[str, int, str], ...]

    def covers(self, head: TreeHead) -> bool:
        """Whether it states this head, or a larger one of the same name."""
        return any(
            origin == head.origin and (size > head.size or (size == head.size and root == head.root.hex()))
            for origin, size, root in self.lost
        )

    @property
    def sentence(self) -> str:
        """The loss, for a person."""
        what = "; ".join(f"{size - self.kept:,} entries of {origin}, up to {size:,}" for origin, size, _ in self.lost)
        what = f"given up: {what}" if what else "it is not known whether anything was lost"
        return f"The ledger was recovered at {self.kept:,} entries; {what}. Entry {self.kept} states it and why: {self.reason}"


def statement_at(kept: int) -> Statement | None:
    """What the entry at that position states; None where it is no entry of a recovery."""
    try:
        payload = store.read_entry(kept)
        entry = Entry.parse(payload) if payload is not None else None
    except (Malformed, BrokenBundle):
        return None
    if entry is None or entry.action != Action.LEDGER_RECOVER or not isinstance(entry.after, dict):
        return None
    try:
        return Statement(kept, str(entry.after["reason"]), tuple(_lost(one) for one in entry.after["lost"]))
    except (KeyError, TypeError, ValueError):
        return None


def statement_of(head: TreeHead, kept: Sequence[int]) -> Statement | None:
    """The statement, at one of these sizes, that covers this head."""
    found = (statement_at(size) for size in kept)
    return next((statement for statement in found if statement is not None and statement.covers(head)), None)


def account_for(heads: Iterable[tuple[TreeHead, str]], epochs: Epochs) -> tuple[list[str], list[str]]:
    """The sentences of every recovery, and those about heads (with their places) that were given up and that none of them states."""
    silent = [
        f"The ledger {head.origin} had {head.size:,} signed entries ({place}), and what continues it does not say what became of them."
        for head, place in heads
        if statement_of(head, epochs.given_up_at(head)) is None
    ]
    stated = [statement_at(kept) for name, kept in epochs.known if CONTINUED in name]
    return [statement.sentence for statement in stated if statement is not None], silent


def _lost(one: dict[str, Any]) -> tuple[str, int, str]:
    return str(one["origin"]), int(one["size"]), str(one["root"])
