"""Counts what is put on record while something runs, for those who have to see that it was once: a request, and the tests of actions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, NamedTuple

from audit.events import Action, Obj, Outcome


class Written(NamedTuple):
    """One entry that was written, with what it says of before and after; a transaction that is rolled back later takes it along."""

    action: Action
    obj: Obj
    outcome: Outcome
    changed: object = None


_open: Final[ContextVar[tuple[list[Written], ...]]] = ContextVar("audit_tallies", default=())


@contextmanager
def tallied() -> Iterator[list[Written]]:
    """The entries that are written inside the block, in their order, also those of blocks within it."""
    written: list[Written] = []
    token = _open.set((*_open.get(), written))
    try:
        yield written
    finally:
        _open.reset(token)


def note(action: Action, obj: Obj, outcome: Outcome, changed: object) -> None:
    """Tell every open tally of an entry; `append` does."""
    for written in _open.get():
        written.append(Written(action, obj, outcome, changed))
