"""Decides up to where the ledger is read for a question about a moment, and reads from it by the index, never from one end to the other.

Entries stand in the order in which they were logged, which follows their times only as far as clocks and open transactions do.
So a moment is settled by the first entry that is dated more than a minute after it: what stands before that entry is read, of it
what is dated no later than the moment counts, and what is logged behind it never does. Neither can change afterwards, so that the
same question has the same answer whenever it is asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from audit import search, store
from audit.entries import Entry, Malformed
from audit.events import Action, Outcome
from audit.keys import KeyRefused
from audit.models import Checkpoint, IndexRow
from audit.receipts import NotProvable, issue_receipt
from audit.search import Filter, microseconds
from audit.tiles import TILE_WIDTH, BrokenBundle
from foundation.refusals import Conflict, Unavailable
from reports.as_of import Line

SETTLES_AFTER: Final = timedelta(minutes=1)
RULE: Final = (
    "Read were the entries before the first one that is dated more than one minute after the moment, and of these the ones that "
    "are dated no later than the moment. Entries that were logged behind that one do not count, whatever their date."
)
_CHUNK: Final = 1_000
_VERIFY: Final = "Have the ledger verified on the page of the audit log."


@dataclass(frozen=True, slots=True)
class Prefix:
    """The first `size` entries, of which those dated up to `until` (µs since 1970) count, and the first checkpoint that covers them all."""

    until: int
    size: int
    checkpoint: str
    covers: int

    def find(self, wanted: Sequence[Filter], *, newest: int | None = None) -> list[Line]:
        """The entries of things done that any filter matches, in the ledger's order; `newest`: only so many of the last ones."""
        found = list[Line]()
        before = self.size
        while seqs := search.find(wanted, limit=_CHUNK, before=before):
            found += [line for line in _read(seqs) if self._counts(line.entry)]
            before = seqs[-1]
            if newest is not None and len(found) >= newest:
                break
        return sorted(found[:newest], key=lambda line: line.seq)

    def of(self, actions: Iterable[Action], kind: str = "", *, id: str = "", name: str = "") -> list[Line]:  # noqa: A002 - as `Obj` has it
        """The entries of these actions, of those on one thing or on things of one name where one is given."""
        return self.find([Filter(action=action, obj_kind=kind, obj_id=id, obj=name) for action in actions])

    def receipt(self, seq: int) -> str:
        """The receipt of an entry under the prefix's checkpoint, as a file; raises `Unavailable` where the database cannot prove it."""
        try:
            return issue_receipt(seq, self.checkpoint).encode().decode()
        except (NotProvable, KeyRefused) as error:
            raise Unavailable(str(error), code="ledger-cannot-be-verified") from error

    def _counts(self, entry: Entry) -> bool:
        return entry.t <= self.until and entry.outcome == Outcome.OK


def settled(at: datetime) -> Prefix | None:
    """What is to be read for `at`; None while no entry has been logged that settles it."""
    until = microseconds(at)
    limit = until + SETTLES_AFTER // timedelta(microseconds=1)
    nearest = IndexRow.objects.filter(t__gt=limit).order_by("t").values_list("seq", "t").first()
    if nearest is None:
        return None
    seq, t = nearest
    covering = _covering(seq)
    if covering is None:
        return None
    # Whatever was logged before the entry nearest in time was signed no later than it.
    window = IndexRow.objects.filter(t__gt=limit, t__lte=max(t, covering.t)).order_by("t").values_list("seq", flat=True)
    first = min(window.iterator(), default=seq)
    covering = _covering(first)
    return None if covering is None else Prefix(until, first, covering.note, covering.size)


def refuse_unsettled(at: datetime, now: datetime) -> None:
    """Raise `Conflict` where the moment is not more than a minute past: no entry can settle it yet."""
    if now - at <= SETTLES_AFTER:
        raise Conflict(
            f"The ledger settles a moment one minute after it. Ask about {at:%d %B %Y, %H:%M:%S} UTC again from "
            f"{at + SETTLES_AFTER + timedelta(seconds=1):%H:%M:%S} UTC on.",
            code="not-settled",
        )


def _covering(seq: int) -> Checkpoint | None:
    return Checkpoint.objects.filter(size__gt=seq).order_by("size").first()


def _read(seqs: Sequence[int]) -> list[Line]:
    """The entries at these positions; each bundle is read once. Raises `Unavailable` where one cannot be read."""
    wanted = defaultdict[int, list[int]](list)
    for seq in seqs:
        wanted[seq // TILE_WIDTH].append(seq)
    found = list[Line]()
    try:
        for n, positions in wanted.items():
            bundle = store.read_bundle(n)
            found += [Line(seq, Entry.parse(bundle[seq % TILE_WIDTH])) for seq in positions]
    except (BrokenBundle, Malformed, IndexError) as error:
        raise Unavailable(
            f"An entry that the answer needs cannot be read. {_VERIFY}", code="ledger-cannot-be-read"
        ) from error
    return found
