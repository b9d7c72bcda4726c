"""Decides who may change the ledger's order, its keys or its epoch: one process at a time, for as long as its transaction lasts."""

from __future__ import annotations

from typing import Any, Final

from django.db import connection

LEADER_LOCK: Final = 0x6C65_6467_6572  # "ledger"


def is_leader() -> bool:
    """Whether this transaction may order the log; SQLite's write lock, taken when it began, says the same."""
    if connection.vendor != "postgresql":
        return True
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LEADER_LOCK])
        row: tuple[Any, ...] = cursor.fetchone()
    return bool(row[0])


def lead() -> None:
    """Wait until this transaction may order the log: a tick that is under way ends first, and none begins before the commit."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LEADER_LOCK])
