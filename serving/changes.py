"""Decides when it is worth asking the database again: as soon as anybody committed something, and not before.

SQLite counts the commits of other connections (`PRAGMA data_version`, some µs); PostgreSQL names the transactions that a new snapshot
sees (`pg_current_snapshot`), which differs after each commit. Both say *that* something changed, never what.
"""

from __future__ import annotations

import threading
import time
from typing import Final

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

TICK_SECONDS: Final = 0.25
_MARKS: Final = {"sqlite": "PRAGMA data_version", "postgresql": "SELECT pg_current_snapshot()::text"}


def change_mark(connection: BaseDatabaseWrapper) -> object:
    """Something that differs from what this connection was told before, once another connection has committed anything."""
    with connection.cursor() as cursor:
        cursor.execute(_MARKS[connection.vendor])
        return cursor.fetchone()


class Changes:
    """Tells everybody in this process who waits that something was committed: one query a tick for all, and none while nobody waits."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0
        self._waiting = 0
        self._ticking = False

    @property
    def count(self) -> int:
        """How many changes were seen; to be read before what may change, and given to `wait`."""
        return self._count

    def wait(self, seen: int, seconds: float) -> bool:
        """Return with True once there are more changes than `seen`, with False after so many seconds."""
        with self._changed:
            self._waiting += 1
            self._tick_on()
            try:
                return self._changed.wait_for(lambda: self._count > seen, seconds)
            finally:
                self._waiting -= 1

    def _tick_on(self) -> None:
        if not self._ticking:
            self._ticking = True
            # What happened while nobody looked counts as a change.
            self._count += 1
            threading.Thread(target=self._look, name="changes", daemon=True).start()

    def _look(self) -> None:
        connection = connections.create_connection(DEFAULT_DB_ALIAS)
        last: object = None
        try:
            while True:
                time.sleep(TICK_SECONDS)
                with self._changed:
                    if not self._waiting:
                        self._ticking = False
                        return
                mark = _mark_or_new(connection)
                with self._changed:
                    if mark != last:
                        last = mark
                        self._count += 1
                        self._changed.notify_all()
        finally:
            connection.close()


def _mark_or_new(connection: BaseDatabaseWrapper) -> object:
    """The mark; while the database does not answer, one that never was before, so that whoever waits finds out by asking."""
    try:
        return change_mark(connection)
    except DatabaseError:
        connection.close()
        return object()


CHANGES: Final = Changes()
"""Of this process."""
