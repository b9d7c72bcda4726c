"""Decides how the index is asked, so that the ten-thousandth page of a million entries costs what the first one does.

Pages go by position (`seq`), never by counting rows from the start. Of what a filter names, one thing drives: its index already holds
the positions in order, so a page is read off its end and the rest of the filter is checked on the way. Where a filter allows several
values (a group of actions, a name that may be an identifier), each value is a branch of its own with a limit of its own, and the
branches are merged: no index is ever sorted.

A time becomes a range of positions, generously: positions follow time only as far as clocks do, so the range reaches a day further on
both sides and the exact time is checked entry by entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, Final

from django.db import connection

from audit.entries import indexed
from audit.events import Action, Outcome

_MARGIN: Final = timedelta(days=1) // timedelta(microseconds=1)
_LAST: Final = 2**62
_KINDS: Final = (
    "WITH RECURSIVE known(kind) AS (SELECT MIN(obj_kind) FROM audit_index UNION ALL "
    "SELECT (SELECT MIN(obj_kind) FROM audit_index WHERE obj_kind > known.kind) FROM known WHERE known.kind IS NOT NULL) "
    "SELECT kind FROM known WHERE kind IS NOT NULL"
)
# In the words of the partial indexes: SQLite uses one only where the statement repeats its condition.
_NOT_OK: Final = "NOT (outcome = 'ok')"
_HAS_REQUEST: Final = "NOT (req = '')"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which entries are asked for; what is left empty does not narrow.

    `action` is a whole action or a beginning that ends in a dot (`version.`); `actors` are identifiers of which any may match;
    `obj` is matched with the object's identifier and its name; `request` with the id of the request.
    """

    action: str = ""
    actors: frozenset[str] = frozenset()
    obj: str = ""
    obj_kind: str = ""
    obj_id: str = ""
    outcome: str = ""
    since: datetime | None = None
    until: datetime | None = None
    request: str = ""

    def actions(self) -> list[str]:
        """The actions that `action` stands for."""
        group = self.action.endswith(".")
        return [one.value for one in Action if one == self.action or (group and one.startswith(self.action))]


@dataclass(slots=True)
class _Where:
    """Conditions of one statement with their parameters; columns and texts are this module's own."""

    texts: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def add(self, text: str, *values: object) -> _Where:
        self.texts.append(text)
        self.values += values
        return self

    def plus(self, other: _Where) -> _Where:
        return _Where([*self.texts, *other.texts], [*self.values, *other.values])


def find(
    filters: Sequence[Filter], *, limit: int, before: int | None = None, after: int | None = None, first: bool = False
) -> list[int]:
    """Positions of the entries that any filter matches, newest first: the `limit` next ones below `before`, or above `after`.

    With `after`, and with `first`, the lowest positions are taken (and still handed over newest first).
    """
    rising = after is not None or first
    order = "ASC" if rising else "DESC"
    branches = [branch for wanted in filters for branch in _branches(wanted, before, after)]
    if not branches:
        return []
    parts = [
        f"SELECT seq FROM (SELECT seq FROM audit_index WHERE {' AND '.join(where.texts)} ORDER BY seq {order} LIMIT %s) AS b{n}"  # noqa: S608 - texts of this module
        for n, where in enumerate(branches)
    ]
    values = [value for where in branches for value in (*where.values, limit)]
    rows = _rows(f"{' UNION '.join(parts)} ORDER BY seq {order} LIMIT %s", [*values, limit])
    return sorted((seq for (seq,) in rows), reverse=True)


def count(wanted: Filter, *, cap: int | None = None) -> int:
    """How many entries match; counting stops at `cap`, where one is given."""
    branches = _branches(wanted, None, None)
    if not branches:
        return 0
    limit = "" if cap is None else " LIMIT %s"
    parts = [
        f"SELECT seq FROM (SELECT seq FROM audit_index WHERE {' AND '.join(where.texts)}{limit}) AS b{n}"  # noqa: S608 - see above
        for n, where in enumerate(branches)
    ]
    own = [] if cap is None else [cap]
    values = [value for where in branches for value in (*where.values, *own)]
    union = " UNION ".join(parts)
    ((found,),) = _rows(f"SELECT COUNT(*) FROM (SELECT seq FROM ({union}) AS every{limit}) AS counted", [*values, *own])  # noqa: S608 - see above
    return int(found)


def object_kinds() -> list[str]:
    """The kinds of things that the ledger speaks of, by one look-up in the index for each."""
    return [kind for (kind,) in _rows(_KINDS, [])]


def _branches(wanted: Filter, before: int | None, after: int | None) -> list[_Where]:
    """One set of conditions for each value of what drives; none where nothing can match."""
    rest = _range(wanted, before, after)
    drivers = _drivers(wanted, rest)
    return [driver.plus(rest) for driver in drivers]


def _drivers(wanted: Filter, rest: _Where) -> list[_Where]:
    """What is looked up, the most telling first; what else the filter says goes to `rest`."""
    choices = [
        [_Where().add("req = %s", indexed(wanted.request)).add(_HAS_REQUEST)] if wanted.request else None,
        _objects(wanted),
        [_Where().add("actor_id = %s", indexed(one)) for one in sorted(wanted.actors)] or None,
        [_Where().add("action = %s", one) for one in wanted.actions()] if wanted.action else None,
        _outcome(wanted.outcome),
    ]
    given = [choice for choice in choices if choice is not None]
    if not given:
        return [_Where()]
    for choice in given[1:]:
        _narrow(rest, choice)
    return given[0]


def _objects(wanted: Filter) -> list[_Where] | None:
    if not (wanted.obj or wanted.obj_id or wanted.obj_kind):
        return None
    kinds = [indexed(wanted.obj_kind)] if wanted.obj_kind else object_kinds()
    named = indexed(wanted.obj)
    found = []
    for kind, identity in product(kinds, [indexed(one) for one in (wanted.obj, wanted.obj_id) if one]):
        where = _Where().add("obj_kind = %s", kind).add("obj_id = %s", identity)
        found.append(where if not (wanted.obj and wanted.obj_id) else _and_object(where, wanted))
    if wanted.obj:
        where = _Where().add("obj_name = %s", named)
        if wanted.obj_kind:
            where.add(_unindexed("obj_kind = %s"), kinds[0])
        found.append(where if not wanted.obj_id else _and_object(where, wanted))
    return found or [_Where().add("obj_kind = %s", kind) for kind in kinds]


def _and_object(where: _Where, wanted: Filter) -> _Where:
    """Both an identifier and a name-or-identifier were given, so both have to hold."""
    named = indexed(wanted.obj)
    return where.add(_unindexed("obj_id = %s"), indexed(wanted.obj_id)).add(
        "(obj_id = %s OR obj_name = %s)", named, named
    )


def _outcome(outcome: str) -> list[_Where] | None:
    if not outcome:
        return None
    where = _Where().add("outcome = %s", indexed(outcome))
    return [where if outcome == Outcome.OK else where.add(_NOT_OK)]


def _narrow(rest: _Where, choice: list[_Where]) -> None:
    """Any of the choices, as a condition that no index is to be chosen for."""
    alternatives = [" AND ".join(_unindexed(text) for text in where.texts) for where in choice]
    rest.add(f"({' OR '.join(alternatives) or '1 = 0'})", *(value for where in choice for value in where.values))


def _range(wanted: Filter, before: int | None, after: int | None) -> _Where:
    low, high = -1 if after is None else after, _LAST if before is None else before
    where = _Where()
    if wanted.since:
        start = microseconds(wanted.since)
        where.add(_unindexed("t >= %s"), start)
        low = max(low, _position("t < %s ORDER BY t DESC", start - _MARGIN, -1))
    if wanted.until:
        end = microseconds(wanted.until)
        where.add(_unindexed("t < %s"), end)
        high = min(high, _position("t >= %s ORDER BY t", end + _MARGIN, _LAST))
    return where.add("seq > %s", low).add("seq < %s", high)


def _position(condition: str, t: int, none: int) -> int:
    rows = _rows(f"SELECT seq FROM audit_index WHERE {condition} LIMIT 1", [t])  # noqa: S608 - texts of this module
    return int(rows[0][0]) if rows else none


def _unindexed(text: str) -> str:
    """The condition so that SQLite, which has no statistics to choose by, leaves the column's index alone."""
    return f"+{text}" if connection.vendor == "sqlite" and not text.startswith(("NOT", "(")) else text


def _rows(statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def microseconds(moment: datetime) -> int:
    """A moment as the ledger holds it: µs since 1970."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
