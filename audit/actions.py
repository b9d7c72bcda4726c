"""Decides how an entry gets into the ledger: as the last step of the action it records, in the same transaction, or not at all.

`append` is for every other room. Its row waits in the pending table until the sequencer logs it; where it cannot be
written, the action fails with it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import psycopg
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from audit.events import PROMPT, Action, HasActor, Obj, Outcome
from audit.keys import mac
from audit.models import Checkpoint, IndexRow
from audit.payload import VERSION, Fields, conceal, difference, encode, plain
from audit.tally import note
from audit.writer import Kept, current
from countersign.proof.merkle import leaf_hash

_ROWS_AT_ONCE: Final = 64
_POLL_SECONDS: Final = 0.02

_Row: TypeAlias = tuple[str, bytes, bytes, bool]
"""The columns of a pending row: mac, payload, private, prompt."""


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
    row = (mac(payload), payload, openings, action in PROMPT and outcome is Outcome.OK)
    if _open.rows is None:
        _insert(database, [row])
        writer.keep(n, database)
    else:
        _open.rows.append((writer.keep(n, database), row))
    note(action, obj, outcome, changed)
    return Receipt(writer.name, n, t, leaf_hash(payload))


@contextmanager
def in_one_group() -> Iterator[None]:
    """A transaction that writes its entries at its end, up to 64 in one statement: for who answers many people at once.

    What `append` promises holds for each: what is rolled back inside takes its entries along, and where the database swallows
    one, nothing of the group commits. A receipt that `append` returns here counts once the block has ended. A group inside
    another one, or inside another transaction, is part of it.
    """
    with transaction.atomic():
        if _open.rows is not None:
            yield
            return
        rows = _open.rows = []
        try:
            yield
        finally:
            _open.rows = None
        database = connections[DEFAULT_DB_ALIAS]
        if database.needs_rollback:
            return
        # Django drops the callbacks of a savepoint that is rolled back: an entry without one was undone with its action.
        staying = {id(callback) for _, callback, *_ in database.run_on_commit}
        found = [row for kept, row in rows if id(kept) in staying]
        for start in range(0, len(found), _ROWS_AT_ONCE):
            _insert(database, found[start : start + _ROWS_AT_ONCE])


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


def _insert(database: BaseDatabaseWrapper, rows: Sequence[_Row]) -> None:
    """Write the rows in one statement; every action waits, so it goes past Django's cursor, which takes twice the time of the INSERT.

    Where statements are logged or wrapped (tests that count them, instrumentation), it goes the ordinary way and is seen.
    """
    values = [value for row in rows for value in row]
    if database.queries_logged or database.execute_wrappers:
        with database.cursor() as cursor:
            cursor.execute(_statement(len(rows), "django"), values)
            kept = cursor.fetchall()
    else:
        with database.wrap_database_errors:
            kept = _execute(database, len(rows), values)
    if len(kept) != len(rows):
        raise NotAppended(
            "The database did not keep the ledger entry, so the action is undone. Look for a trigger on audit_pending."
        )


def _execute(database: BaseDatabaseWrapper, count: int, values: Sequence[str | bytes | bool]) -> Sequence[Any]:
    found: Sequence[Any]
    if database.vendor == "sqlite":
        found = database.connection.execute(_statement(count, "sqlite"), values).fetchall()
    else:
        found = _kept.cursor(database.connection).execute(_statement(count, "postgresql"), values).fetchall()
    return found


@lru_cache(maxsize=3 * _ROWS_AT_ONCE)
def _statement(count: int, style: Literal["django", "sqlite", "postgresql"]) -> str:
    """The INSERT of that many rows. With PostgreSQL's own places, the driver need not look for them in the statement."""
    places = [{"django": "%s", "sqlite": "?", "postgresql": f"${number}"}[style] for number in range(1, 4 * count + 1)]
    rows = ", ".join(f"({', '.join(places[start : start + 4])})" for start in range(0, 4 * count, 4))
    return f"INSERT INTO audit_pending (mac, payload, private, prompt) VALUES {rows} RETURNING id"  # noqa: S608 - places only


class _KeptCursor(threading.local):
    """This thread's cursor of the driver's own: it sends bytes as they are, which Django's writes into the statement as text.

    It is kept for as long as the thread has the same connection: to make one takes longer than the INSERT.
    """

    _cursor: psycopg.RawCursor[Any] | None = None

    def cursor(self, connection: psycopg.Connection[Any]) -> psycopg.RawCursor[Any]:
        if self._cursor is None or self._cursor.connection is not connection:
            self._cursor = psycopg.RawCursor(connection)
        return self._cursor


_kept: Final = _KeptCursor()


class _Open(threading.local):
    """The rows of this thread's open group, each with the callback that shows whether it stays; None where there is no group."""

    rows: list[tuple[Kept, _Row]] | None = None


_open: Final = _Open()
