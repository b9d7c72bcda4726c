"""Decides which pending rows are logged: those that the app wrote, whole, and once. The others go to quarantine, kept as found.

Nothing that stands in a row may stop the sequencer: whatever cannot be understood is quarantined too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Final, NamedTuple

import structlog
from django.db import connection
from django.db.models import Max

from audit.entries import INDEX_COLUMNS, Entry, Malformed
from audit.keys import mac_check
from audit.models import IndexRow, Quarantined
from audit.moments import now_us
from audit.payload import digests_of
from audit.store import fetch_bytes, insert_many
from countersign.proof.receipts import MAX_ENTRY_BYTES

log = structlog.get_logger(__name__)

_LOOKUP: Final = 500

# No join and no list: with statistics from when the table was empty, PostgreSQL would compare every row with every other one.
_TAKE: Final = (
    "DELETE FROM audit_pending WHERE id <= (SELECT MAX(id) FROM (SELECT id FROM audit_pending ORDER BY id LIMIT %s) AS oldest) "
    "RETURNING id, mac, payload, private"
)
_OLDEST: Final = "SELECT id, mac, payload, private FROM audit_pending ORDER BY id LIMIT %s"
_UP_TO: Final = "DELETE FROM audit_pending WHERE id <= %s"
_WAITING: Final = "SELECT EXISTS (SELECT 1 FROM audit_pending), EXISTS (SELECT 1 FROM audit_pending WHERE prompt)"


class Row(NamedTuple):
    """A pending row as it was found."""

    id: int
    mac: str
    payload: bytes
    private: bytes


class Accepted(NamedTuple):
    """A row that is to be logged."""

    payload: bytes
    private: bytes
    entry: Entry


def waiting() -> tuple[bool, bool]:
    """Whether anything is pending, and whether somebody waits for its receipt."""
    with connection.cursor() as cursor:
        cursor.execute(_WAITING)
        anything, prompt = cursor.fetchone()
    return bool(anything), bool(prompt)


def take(limit: int) -> list[Row]:
    """Remove the oldest pending rows and return them in order.

    Taken by deletion and not by "id greater than the last": with several writers a lower id can commit later than a higher one.
    """
    if connection.vendor == "sqlite":
        # The one writer's lock is ours: nothing can come in between the two statements, which take half the time of one.
        with connection.cursor() as cursor:
            cursor.execute(_OLDEST, [limit])
            found = cursor.fetchall()
            if found:
                cursor.execute(_UP_TO, [found[-1][0]])
    else:
        found = sorted(fetch_bytes(_TAKE, [limit]), key=itemgetter(0))
    return [Row(id_, _text(mac), _blob(payload), _blob(private)) for id_, mac, payload, private in found]


def admit(rows: Sequence[Row]) -> list[Accepted]:
    """The rows to log, in order; the others are put into quarantine."""
    accepted, refused, seen = list[Accepted](), list[tuple[Row, str]](), set[tuple[str, int]]()
    is_ours = mac_check()
    examined = [(row, _examine(row, is_ours)) for row in rows]
    known = _already_logged(outcome.entry for _, outcome in examined if isinstance(outcome, Accepted))
    for row, outcome in examined:
        if isinstance(outcome, str):
            refused.append((row, outcome))
        elif (number := (outcome.entry.writer, outcome.entry.n)) in known or number in seen:
            refused.append((row, f"replayed: entry {number[1]} of writer {number[0]} is in the ledger already"))
        else:
            seen.add(number)
            accepted.append(outcome)
    _quarantine(refused)
    return accepted


def write_index(size: int, accepted: Sequence[Accepted]) -> None:
    """Write the search rows and the openings of entries that are logged from position `size` on."""
    insert_many("audit_index", INDEX_COLUMNS, [one.entry.index_row(seq) for seq, one in enumerate(accepted, size)])
    private = [(seq, one.private) for seq, one in enumerate(accepted, size) if one.private]
    insert_many("audit_private", ("seq", "disclosures"), private)


def _examine(row: Row, is_ours: Callable[[bytes, str], bool]) -> Accepted | str:
    """The row with its entry, or the reason for which it is refused."""
    if not is_ours(row.payload, row.mac):
        return "forged: its authentication code is not the app's"
    if len(row.payload) > MAX_ENTRY_BYTES:
        return "malformed: it is larger than 65,535 bytes"
    try:
        entry = Entry.parse(row.payload)
        digests = digests_of(row.private)
    except Malformed as error:
        return f"malformed: {error}"
    except ValueError:
        return "altered: its private data cannot be read"
    if digests != sorted(entry.digests):
        return "altered: its private data is not what the entry commits to"
    return Accepted(row.payload, row.private, entry)


def _already_logged(entries: Iterable[Entry]) -> set[tuple[str, int]]:
    """Which of the entries' numbers the index knows; only those up to the writer's last known number have to be looked for."""
    numbers = defaultdict[str, list[int]](list)
    for entry in entries:
        numbers[entry.writer].append(entry.n)
    known = set[tuple[str, int]]()
    for writer, own in numbers.items():
        logged = IndexRow.objects.filter(writer=writer)
        last = logged.aggregate(last=Max("n"))["last"]
        doubtful = [n for n in own if last is not None and n <= last]
        for start in range(0, len(doubtful), _LOOKUP):
            there = logged.filter(n__in=doubtful[start : start + _LOOKUP]).values_list("n", flat=True)
            known.update((writer, n) for n in there)
    return known


def _quarantine(refused: Sequence[tuple[Row, str]]) -> None:
    now = now_us()
    Quarantined.objects.bulk_create(
        Quarantined(t=now, why=why, pending_id=row.id, mac=row.mac, payload=row.payload, private=row.private)
        for row, why in refused
    )
    for row, why in refused:
        log.error("ledger.quarantined", pending_id=row.id, why=why)


def _blob(value: object) -> bytes:
    """The bytes of a column; SQLite lets a row made by hand hold anything."""
    if type(value) is bytes:
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    return str(value).encode("utf-8", "replace")


def _text(value: object) -> str:
    text = value if isinstance(value, str) else _blob(value).decode("utf-8", "replace")
    return text.replace("\0", "\ufffd") if "\0" in text else text
