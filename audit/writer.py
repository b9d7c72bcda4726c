"""Decides the numbers by which a deleted or repeated entry shows: each writer counts its entries and names its last committed one.

A writer belongs to one thread of one process at a time, because a thread has one transaction at a time: so the chain of
"my previous committed entry" has no forks, and removing a waiting row breaks the next link of its writer. A thread that
ends hands its writer on, so that the chain goes on in the next one.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Final

from django.db.backends.base.base import BaseDatabaseWrapper

NONE_YET: Final = -1


@dataclass(eq=False, slots=True)
class Writer:
    """A name that is never used again, the next number, and the last number that was committed."""

    name: str = field(default_factory=lambda: token_hex(8))
    process: int = field(default_factory=os.getpid)
    next_number: int = 0
    committed: int = NONE_YET

    def count(self, connection: BaseDatabaseWrapper) -> tuple[int, int]:
        """The number of the entry about to be written, and of the one before it that is, or will be, committed."""
        number, previous = self.next_number, self._previous(connection)
        self.next_number += 1
        return number, previous

    def keep(self, number: int, connection: BaseDatabaseWrapper) -> Kept:
        """Remember a number when, and only if, the transaction around it commits; the callback, which Django drops where it does not."""
        kept = Kept(self, number)
        connection.on_commit(kept)
        return kept

    def _previous(self, connection: BaseDatabaseWrapper) -> int:
        # Django drops the callbacks of a savepoint that is rolled back, so what is left here will commit together with us.
        for registered in reversed(connection.run_on_commit):
            callback = registered[1]
            if isinstance(callback, Kept) and callback.writer is self:
                return callback.number
        return self.committed


@dataclass(frozen=True, slots=True)
class Kept:
    """A number that counts once its transaction commits, which calls this."""

    writer: Writer
    number: int

    def __call__(self) -> None:
        """Tell the writer that its number is committed."""
        self.writer.committed = max(self.writer.committed, self.number)


_free: Final[list[Writer]] = []


class _Lease:
    """A writer in the hands of one thread; it goes back when the thread ends."""

    __slots__ = ("writer",)

    def __init__(self) -> None:
        self.writer = _take()

    def __del__(self, free: list[Writer] = _free) -> None:
        free.append(self.writer)


_thread = threading.local()


def current() -> Writer:
    """This thread's writer; a new one after a fork, since two processes must not count under one name."""
    lease: _Lease | None = getattr(_thread, "lease", None)
    if lease is None or lease.writer.process != os.getpid():
        lease = _thread.lease = _Lease()
    return lease.writer


def _take() -> Writer:
    while _free:
        writer = _free.pop()
        if writer.process == os.getpid():
            return writer
    return Writer()
