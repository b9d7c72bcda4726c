"""Emptying the test database between tests that commit, although its triggers forbid just that.

Production has no switch for the triggers; a test owns its database, so it takes them off, empties the tables, puts
back what the migrations had put in, and puts the triggers on again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection
from django.test import TransactionTestCase

_baseline: str = ""


def remember_baseline() -> None:
    """Keep what the migrations put into the database: roles, groups, stages, policies."""
    global _baseline
    _baseline = connection.creation.serialize_db_to_string()


@contextmanager
def without_triggers() -> Iterator[None]:
    """The test database with its triggers off, for as long as the block lasts."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET session_replication_role = replica")
            try:
                yield
            finally:
                cursor.execute("SET session_replication_role = origin")
            return
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        triggers = cursor.fetchall()
        for name, _ in triggers:
            cursor.execute(f'DROP TRIGGER "{name}"')
        try:
            yield
        finally:
            for _, sql in triggers:
                cursor.execute(sql)


def empty_database() -> None:
    """Every table empty, then as the migrations left it."""
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    with without_triggers():
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                names = ", ".join(f'"{table}"' for table in tables)
                cursor.execute(f"TRUNCATE {names} RESTART IDENTITY CASCADE")
            else:
                with connection.constraint_checks_disabled():
                    for table in tables:
                        cursor.execute(f'DELETE FROM "{table}"')
        connection.creation.deserialize_db_from_string(_baseline)


def install() -> None:
    """Let Django's transactional tests end with `empty_database` instead of its own flush."""

    def teardown(self: Any) -> None:
        empty_database()

    TransactionTestCase._fixture_teardown = teardown  # type: ignore[method-assign]  # the one hook that there is
