"""Decides how an entry gets into the ledger: as the last step of the action it records, in the same transaction, or not at all.

`append` is for every other room. Its row waits in the pending table until the sequencer logs it; where it cannot be
written, the action fails with it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import psycopg
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from audit.events import PROMPT, Action, HasActor, Obj, Outcome
from audit.keys import mac
from audit.models import Checkpoint, IndexRow
from audit.payload import VERSION, Fields, conceal, difference, encode, plain
from audit.tally import note
from audit.writer import current
from countersign.proof.merkle import leaf_hash

_INSERT: Final = "INSERT INTO audit_pending (mac, payload, private, prompt) VALUES (%s, %s, %s, %s) RETURNING id"
_INSERT_SQLITE: Final = _INSERT.replace("%s", "?")
_POLL_SECONDS: Final = 0.02


class NotAppended(RuntimeError):
    """The entry could not be written; the transaction must not commit."""


class Receipt(NamedTuple):
    """What to ask for later: the writer and its number, and the hash (32 bytes) under which the entry will be logged."""

    writer: str
    n: int
    t: int
    leaf: bytes


@dataclass(frozen=True, slots=True)
class SequencedEntry:
    """An entry's place in the ledger and a signed checkpoint that covers it."""

    seq: int
    size: int
    checkpoint: str


def append(
    action: Action,
    *,
    by: HasActor,
    obj: Obj,
    outcome: Outcome = Outcome.OK,
    why: str = "",
    before: Fields | None = None,
    after: Fields | None = None,
    private: Mapping[str, str] | None = None,
) -> Receipt:
    """Record that `by` did `action` to `obj`, inside the caller's transaction: both happen or neither does.

    `before` and `after` hold the fields concerned (equal ones are left out); values are text, whole numbers, booleans, null,
    lists and objects: no floats, no dates. `private` is personal data: the entry holds salted digests of it only.
    Raises `NotAppended` where there is no transaction or the database swallowed the row, `NotRecordable` for other values.
    """
    database = connections[DEFAULT_DB_ALIAS]
    if not database.in_atomic_block:
        raise NotAppended(f"{action} was to be recorded outside a transaction; use `governed`, or `append_alone`.")
    actor, writer = by.actor, current()
    digests, openings = conceal({**actor.private, **private} if private else actor.private)
    changed = difference(before, after)
    t = time.time_ns() // 1_000
    n, previous = writer.count(database)
    payload = encode(
        {
            "v": VERSION,
            "t": t,
            "w": writer.name,
            "n": n,
            "p": previous,
            "action": action.value,
            "actor": {"kind": actor.kind, "id": plain(actor.id), "via": plain(actor.via)},
            "obj": {
                "kind": plain(obj.kind),
                "id": plain(obj.id),
                "name": plain(obj.name),
                "version": plain(obj.version),
            },
            "outcome": outcome.value,
            "why": plain(why),
            "req": plain(actor.request_id),
            "d": changed,
            "sd": digests,
        }
    )
    values = (mac(payload), payload, openings, action in PROMPT and outcome is Outcome.OK)
    _insert(database, values)
    writer.keep(n, database)
    note(action, obj, outcome, changed)
    return Receipt(writer.name, n, t, leaf_hash(payload))


def append_alone(
    action: Action,
    *,
    by: HasActor,
    obj: Obj,
    outcome: Outcome = Outcome.OK,
    why: str = "",
    before: Fields | None = None,
    after: Fields | None = None,
    private: Mapping[str, str] | None = None,
) -> Receipt:
    """Record what has no transaction of its own: a login, a page that was read, an attempt that was refused or failed."""
    with transaction.atomic():
        return append(action, by=by, obj=obj, outcome=outcome, why=why, before=before, after=after, private=private)


def wait_until_sequenced(receipt: Receipt, timeout_seconds: float | None = None) -> SequencedEntry | None:
    """Where the entry was logged, once a signed checkpoint covers it; None when that takes longer than the timeout.

    For after the commit. Inside a transaction nothing can have been logged yet, so the answer is None at once.
    The default is `settings.AUDIT_WAIT_SECONDS`, else 2 seconds; the entry is safe either way and is only logged later.
    """
    if connection.in_atomic_block:
        return None
    limit: float = getattr(settings, "AUDIT_WAIT_SECONDS", 2.0) if timeout_seconds is None else timeout_seconds
    deadline = time.monotonic() + limit
    while (found := _sequenced(receipt)) is None:
        if time.monotonic() >= deadline:
            return None
        time.sleep(_POLL_SECONDS)
    return found


def _sequenced(receipt: Receipt) -> SequencedEntry | None:
    seq = IndexRow.objects.filter(writer=receipt.writer, n=receipt.n).values_list("seq", flat=True).first()
    if seq is None:
        return None
    covering = Checkpoint.objects.filter(size__gt=seq).order_by("size").first()
    return None if covering is None else SequencedEntry(seq, covering.size, covering.note)


def _insert(database: BaseDatabaseWrapper, values: tuple[str, bytes, bytes, bool]) -> None:
    """Write the row; every action waits for it, so it goes past Django's cursor, which takes twice the time of the INSERT itself.

    Where statements are logged or wrapped (tests that count them, instrumentation), it goes the ordinary way and is seen.
    """
    if database.queries_logged or database.execute_wrappers:
        with database.cursor() as cursor:
            cursor.execute(_INSERT, values)
            row = cursor.fetchone()
    else:
        with database.wrap_database_errors:
            row = _execute(database, values)
    if row is None:
        raise NotAppended(
            "The database did not keep the ledger entry, so the action is undone. Look for a trigger on audit_pending."
        )


def _execute(database: BaseDatabaseWrapper, values: tuple[str, bytes, bytes, bool]) -> Any:
    if database.vendor == "sqlite":
        return database.connection.execute(_INSERT_SQLITE, values).fetchone()
    return _kept.cursor(database.connection).execute(_INSERT, values).fetchone()


class _KeptCursor(threading.local):
    """This thread's cursor of the driver's own: it sends bytes as they are, which Django's writes into the statement as text.

    It is kept for as long as the thread has the same connection: to make one takes longer than the INSERT.
    """

    _cursor: psycopg.Cursor[Any] | None = None

    def cursor(self, connection: psycopg.Connection[Any]) -> psycopg.Cursor[Any]:
        if self._cursor is None or self._cursor.connection is not connection:
            self._cursor = psycopg.Cursor(connection)
        return self._cursor


_kept: Final = _KeptCursor()
