"""Decides what the database itself refuses: changing or erasing a published access policy, or when it was published.

Seat-belts against stray SQL, as in `audit.triggers`; whoever owns the database can take them off.
"""

from __future__ import annotations

from typing import Final

from django.db.backends.base.base import BaseDatabaseWrapper

_VERSION: Final = "access_accesspolicyversion"
_PUBLICATION: Final = "access_accesspolicypublication"
_SAID: Final = "an access policy that was published is never changed"
_GUARDS: Final = (
    (f"{_VERSION}_kept", _VERSION, "UPDATE", "OLD.status = 'published'"),
    (f"{_VERSION}_no_delete", _VERSION, "DELETE", "OLD.status = 'published'"),
    (f"{_PUBLICATION}_kept", _PUBLICATION, "UPDATE", ""),
    (f"{_PUBLICATION}_no_delete", _PUBLICATION, "DELETE", ""),
)
"""The name, table and event of each trigger, and when it refuses."""
_FUNCTION: Final = "access_policy_refuse"


def install(connection: BaseDatabaseWrapper) -> None:
    """Create the triggers."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                f"CREATE FUNCTION {_FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS "
                f"$$ BEGIN RAISE EXCEPTION '{_SAID}'; END $$"
            )
        for name, table, event, when in _GUARDS:
            condition = f"WHEN ({when}) " if when else ""
            does = (
                f"FOR EACH ROW {condition}EXECUTE FUNCTION {_FUNCTION}()"
                if connection.vendor == "postgresql"
                else f"{condition}BEGIN SELECT RAISE(ABORT, '{_SAID}'); END"
            )
            cursor.execute(f"CREATE TRIGGER {name} BEFORE {event} ON {table} {does}")


def remove(connection: BaseDatabaseWrapper) -> None:
    """Drop them."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"DROP FUNCTION {_FUNCTION}() CASCADE")
            return
        for name, *_ in _GUARDS:
            cursor.execute(f"DROP TRIGGER {name}")
