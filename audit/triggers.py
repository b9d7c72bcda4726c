"""Decides what the database itself refuses: changing, removing or replacing what the ledger holds.

Seat-belts against mistakes and stray SQL, on SQLite and on PostgreSQL alike. A superuser can take them off; verification
then says that they are missing, and the signed tree shows what was done without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.db.backends.base.base import BaseDatabaseWrapper


@dataclass(frozen=True, slots=True)
class Guard:
    """What one table refuses: every update, and deletion unless said otherwise. `key` is its primary key."""

    table: str
    key: tuple[str, ...]
    delete: bool = True
    delete_unless: str = ""


# A partial bundle may go once a wider one holds the same entries.
_WIDER: Final = "EXISTS (SELECT 1 FROM audit_bundle AS wider WHERE wider.n = OLD.n AND wider.w > OLD.w)"
# A full one may go once the database says that a file holds exactly the entries whose root the ledger's tile has.
_ARCHIVED: Final = (
    "EXISTS (SELECT 1 FROM audit_archived AS filed JOIN audit_tile AS tile ON tile.level = 0 AND tile.n = filed.n "
    "WHERE filed.n = OLD.n AND COALESCE(tile.root, filed.root) = filed.root)"
)
_ALWAYS: Final = (
    Guard("audit_pending", ("id",), delete=False),
    Guard("audit_tile", ("level", "n")),
    Guard("audit_checkpoint", ("size",)),
    Guard("audit_anchor", ("size", "sink")),
    Guard("audit_index", ("seq",), delete=False),
    Guard("audit_private", ("seq",), delete=False),
    Guard("audit_quarantine", ("id",)),
)
_BEFORE_THE_ARCHIVE: Final = (*_ALWAYS, Guard("audit_bundle", ("n", "w"), delete_unless=_WIDER))
GUARDS: Final = (
    *_ALWAYS,
    Guard("audit_bundle", ("n", "w"), delete_unless=f"({_WIDER} OR {_ARCHIVED})"),
    Guard("audit_archived", ("n",)),
)

_FUNCTION: Final = "audit_refuse"
_RAISE: Final = "RAISE EXCEPTION 'the ledger keeps what it holds: % on % is refused', TG_OP, TG_TABLE_NAME"


def install(connection: BaseDatabaseWrapper) -> None:
    """Create the triggers; before the migration that brings the archive, those of that time."""
    _execute(connection, _create_statements(connection.vendor, _guards(connection)))


def remove(connection: BaseDatabaseWrapper) -> None:
    """Drop the triggers, as the reverse of the migration that creates them."""
    _execute(connection, _drop_statements(connection.vendor, _guards(connection)))


def expected(vendor: str) -> frozenset[str]:
    """The names of the triggers that have to be there."""
    return _names(vendor, GUARDS)


def missing(connection: BaseDatabaseWrapper) -> frozenset[str]:
    """The names of the triggers that are not there, or are switched off."""
    query = (
        "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        if connection.vendor == "sqlite"
        else "SELECT tgname FROM pg_trigger WHERE tgenabled IN ('O', 'A')"
    )
    with connection.cursor() as cursor:
        cursor.execute(query)
        return expected(connection.vendor) - {name for (name,) in cursor.fetchall()}


def _guards(connection: BaseDatabaseWrapper) -> Sequence[Guard]:
    return GUARDS if "audit_archived" in connection.introspection.table_names() else _BEFORE_THE_ARCHIVE


def _names(vendor: str, guards: Sequence[Guard]) -> frozenset[str]:
    return frozenset(name for guard in guards for name, _ in _triggers(vendor, guard))


def _execute(connection: BaseDatabaseWrapper, statements: Sequence[str]) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def _create_statements(vendor: str, guards: Sequence[Guard]) -> list[str]:
    triggers = [statement for guard in guards for _, statement in _triggers(vendor, guard)]
    if vendor == "sqlite":
        return triggers
    return [_postgres_function(_FUNCTION, ""), *triggers]


def _drop_statements(vendor: str, guards: Sequence[Guard]) -> list[str]:
    if vendor == "sqlite":
        return [f"DROP TRIGGER {name}" for name in sorted(_names(vendor, guards))]
    own = [_name(guard.table, "DELETE") for guard in guards if guard.delete_unless]
    return [f"DROP FUNCTION {name}() CASCADE" for name in (_FUNCTION, *own)]


def _triggers(vendor: str, guard: Guard) -> list[tuple[str, str]]:
    """The name and the statement of every trigger of one table."""
    build = _sqlite_trigger if vendor == "sqlite" else _postgres_trigger
    triggers = [build(guard.table, "UPDATE", "")]
    if guard.delete:
        triggers.append(build(guard.table, "DELETE", guard.delete_unless and f"NOT {guard.delete_unless}"))
    if vendor == "postgresql":
        triggers.append(build(guard.table, "TRUNCATE", ""))
    elif guard.delete:
        # INSERT OR REPLACE removes the old row without firing a DELETE trigger.
        same = " AND ".join(f"there.{column} = NEW.{column}" for column in guard.key)
        there = f"EXISTS (SELECT 1 FROM {guard.table} AS there WHERE {same})"  # noqa: S608 - names from GUARDS above
        triggers.append(build(guard.table, "INSERT", there))
    return triggers


def _name(table: str, event: str) -> str:
    return f"{table}_no_{'replace' if event == 'INSERT' else event.lower()}"


def _sqlite_trigger(table: str, event: str, when: str) -> tuple[str, str]:
    name = _name(table, event)
    condition = f"WHEN {when} " if when else ""
    return name, (
        f"CREATE TRIGGER {name} BEFORE {event} ON {table} {condition}"
        f"BEGIN SELECT RAISE(ABORT, 'the ledger keeps what it holds: {event} on {table} is refused'); END"
    )


def _postgres_trigger(table: str, event: str, when: str) -> tuple[str, str]:
    name = _name(table, event)
    rows = "STATEMENT" if event == "TRUNCATE" else "ROW"
    # PostgreSQL allows no subquery in WHEN, so a condition goes into a function of its own.
    function = f"{_postgres_function(name, when)}; " if when else ""
    return name, (
        f"{function}CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH {rows} "
        f"EXECUTE FUNCTION {name if when else _FUNCTION}()"
    )


def _postgres_function(name: str, when: str) -> str:
    condition = f"IF {when} THEN {_RAISE}; END IF; RETURN OLD;" if when else f"{_RAISE};"
    return f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {condition} END $$"
