"""Forks one sequencer or writer after another, each with a point at which it kills itself, until so many have died.

`python -m tests.audit.crash_nursery sequencers|writers FIRST KILLS` or `drain`. Writers tell what they committed and what they
undid in a file of their own, line by line; `tests.audit.crash_check` compares that with the ledger.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import django
from django.conf import settings
from django.db import transaction

from tests.audit.crash_points import SEQUENCER, WRITER, Point, arm_sequencer


class _Undone(Exception):
    """This one is not to be written."""


def main(kind: str, first: int, kills: int) -> None:
    """Fork, wait, count; fails when a child ends in any other way than by SIGKILL."""
    django.setup()
    points, live = (SEQUENCER, _sequence) if kind == "sequencers" else (WRITER, _write)
    chance = random.Random(first)
    for number in range(first, first + kills):
        point = Point(points[number % len(points)], chance.randint(1, 6))
        child = os.fork()
        if child == 0:
            _live(live, point, number)
        _, status = os.waitpid(child, 0)
        if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
            sys.exit(f"{kind} number {number} ended by itself before it was killed at {point.name}")
    (_folder() / f"{kind}-{first}.killed").write_text(str(kills))


def drain() -> None:
    """Log what is left and end."""
    django.setup()
    from audit import keys, sequencer

    stop = threading.Event()
    stop.set()
    sequencer.Sequencer(keys.load_log_key()).run(stop)


def _live(live: Callable[[Point, int], None], point: Point, number: int) -> None:
    """The life of a child, which never returns to the parent's code."""
    try:
        live(point, number)
    finally:
        os._exit(1)


def _sequence(point: Point, _number: int) -> None:
    from audit import keys, sequencer

    sys.stdout = sys.stderr
    sequencer.SIGN_EVERY_SECONDS = 0.0  # type: ignore[misc]  # ticks back to back, so that kills meet them
    sequencer.POLL_SECONDS = 0.001  # type: ignore[misc]
    arm_sequencer(point)
    sequencer.Sequencer(keys.load_log_key()).run(threading.Event())


def _write(point: Point, number: int) -> None:
    """Transactions of one to three entries, every fifth undone, until the point is reached."""
    from audit.actions import append
    from audit.events import Action, Actor, Obj

    writer = Actor("service", f"writer-{number}", "test", private={"name": f"writer {number}"})
    with (_folder() / f"told-{number}").open("a", buffering=1) as told:
        for attempt in itertools.count(1):
            entries, name = 1 + attempt % 3, f"{number}.{attempt}"
            told.write(f"begun {name} {entries}\n")
            try:
                with transaction.atomic():
                    for _ in range(entries):
                        append(Action.MODEL_UPDATE, by=writer, obj=Obj("model", name))
                    point.reached("written")
                    if attempt % 5 == 0:
                        raise _Undone
                    point.reached("committing")
                point.reached("committed")
                told.write(f"committed {name} {entries}\n")
            except _Undone:
                told.write(f"undone {name} {entries}\n")
                point.reached("undone")


def _folder() -> Path:
    return Path(settings.AUDIT_STATE_FILE).parent


if __name__ == "__main__":
    drain() if sys.argv[1] == "drain" else main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
