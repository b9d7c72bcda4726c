"""Writes entries, some of them in transactions that are undone, until SIGTERM; then leaves the number of committed ones in a file."""

from __future__ import annotations

import signal
import sys
import time
from types import FrameType

import django
from django.conf import settings
from django.db import transaction

EVERY_SECONDS = 0.003


class _Undone(Exception):
    """This one is not to be written."""


def main(number: str) -> None:
    """Write until told to stop."""
    django.setup()
    from audit.actions import append
    from audit.events import Action, Actor, Obj

    running = True

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, stop)
    committed, attempt = 0, 0
    writer = Actor("service", f"writer-{number}", "test", private={"name": f"writer {number}"})
    while running:
        attempt += 1
        try:
            with transaction.atomic():
                for _ in range(1 + attempt % 3):
                    append(Action.MODEL_UPDATE, by=writer, obj=Obj("model", str(attempt)))
                if attempt % 5 == 0:
                    raise _Undone
            committed += 1 + attempt % 3
        except _Undone:
            pass
        time.sleep(EVERY_SECONDS)
    settings.AUDIT_STATE_FILE.with_name(f"written-{number}").write_text(str(committed))


if __name__ == "__main__":
    main(sys.argv[1])
