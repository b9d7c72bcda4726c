"""The named points at which writers and sequencers are killed: between any two steps that leave something behind.

A process arms one point before it begins; when it has come there often enough, it kills itself with SIGKILL, so that no
handler, no `finally` and no buffer of its own runs any more.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

SEQUENCER = (
    "taken",
    "admitted",
    "bundled",
    "tiled",
    "indexed",
    "signed",
    "committed",
    "torn",
    "recorded",
    "anchored",
    "noted",
)
WRITER = ("written", "committing", "committed", "undone")


class Point:
    """A countdown to the death of this process."""

    def __init__(self, name: str, times: int) -> None:
        self.name = name
        self._left = times

    def reached(self, name: str) -> None:
        """Die where this is the point and it has been reached often enough."""
        if name == self.name:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def arm_sequencer(point: Point) -> None:
    """Put the point into the steps of this process's sequencer."""
    from audit import intake, sequencer
    from audit.journal import Journal
    from audit.sequencer import Sequencer

    after(intake, "take", point, "taken")
    after(intake, "admit", point, "admitted")
    after(intake, "write_index", point, "indexed")
    after(sequencer, "_write_bundles", point, "bundled")
    after(sequencer, "_write_tiles", point, "tiled")
    after(Sequencer, "_log", point, "signed")
    after(Sequencer, "_record_anchors", point, "noted")
    append = Journal.append

    def append_or_die(journal: Journal, line: Any) -> None:
        is_state = journal.path.name == "state"
        if is_state:
            point.reached("committed")
            if point.name == "torn":
                with journal.path.open("ab") as file:
                    file.write(b'{"t":1,"size":')
                point.reached("torn")
        append(journal, line)
        point.reached("recorded" if is_state else "anchored")

    setattr(Journal, "append", append_or_die)  # noqa: B010 - a fault is put where no caller could put one


def after(owner: Any, name: str, point: Point, reached: str) -> None:
    """Reach the point whenever this step is done."""
    step: Callable[..., Any] = getattr(owner, name)

    def run(*args: Any, **kwargs: Any) -> Any:
        result = step(*args, **kwargs)
        point.reached(reached)
        return result

    setattr(owner, name, run)
