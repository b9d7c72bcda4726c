"""Archives and dies at a named point: `python -m tests.audit.archive_killed POINT`; `fill` comes before and `left` after."""

from __future__ import annotations

import os
import sys

import django


def main(word: str) -> None:
    """Fill a ledger of 800 entries, verify and archive it until the point is reached, or archive the rest and print what is left."""
    django.setup()
    from django.core.management import call_command

    from audit import keys
    from audit.actions import append_alone
    from audit.events import Action, Actor, Obj
    from audit.models import Archived, Bundle
    from audit.sequencer import Sequencer, initialise
    from audit.verification import verify
    from tests.audit.crash_points import Point, after

    if word == "fill":
        initialise()
        for _ in range(800):
            append_alone(Action.MODEL_UPDATE, by=Actor("person", "a1", "session"), obj=Obj("model", "7"))
        sequencer = Sequencer(keys.load_log_key())
        sequencer.start()
        sequencer.tick()
        return
    if not verify(deep=True).ok:
        sys.exit("the ledger does not verify")
    if word == "left":
        call_command("audit", "archive", "--before", "100000", "--yes")
        recorded = Archived.objects.count()
        print("left", Bundle.objects.count(), recorded, _entries_that_say_so())  # noqa: T201 - a command's output
        return
    from django.db.models import QuerySet

    from audit import archive, archiving

    # The first three times a folder's name is brought to the disk, the fourth time a file.
    point = Point(word, {"unfinished": 4, "filed": 2}.get(word, 1))
    after(os, "fsync", point, "unfinished")
    after(archive, "sync_folder", point, "named")
    after(archiving, "_file", point, "filed")
    after(QuerySet, "delete", point, "gone")
    after(archiving, "append", point, "appended")
    after(archiving, "_let_go", point, "committed")
    call_command("audit", "archive", "--before", "100000", "--yes")
    sys.exit("the point was not reached")


def _entries_that_say_so() -> int:
    """How many entries, waiting or logged, record an archiving."""
    from audit.models import IndexRow, Pending

    waiting = sum(b'"ledger.archive"' in bytes(row.payload) for row in Pending.objects.all())
    return waiting + IndexRow.objects.filter(action="ledger.archive").count()


if __name__ == "__main__":
    main(sys.argv[1])
