"""Emptying the test database between tests that commit, although its triggers forbid just that.

Production has no switch for the triggers; a test owns its database, so it takes them off, empties the tables, puts
back what the migrations had put in, and puts the triggers on again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import connection
from django.test import TransactionTestCase

_baseline: dict[str, tuple[list[str], list[tuple[Any, ...]]]] = {}


def remember_baseline() -> None:
    """Keep what the migrations put into the database: roles, groups, stages, policies."""
    with connection.cursor() as cursor:
        for table in _tables():
            cursor.execute(f'SELECT * FROM "{table}"')
            rows = cursor.fetchall()
            if rows:
                _baseline[table] = ([column[0] for column in cursor.description], rows)


def _tables() -> list[str]:
    """Those of models, and the cache's, which no model has: rates and used codes count in it."""
    of_models = connection.introspection.django_table_names(only_existing=True, include_views=False)
    return [*of_models, str(settings.CACHES["default"]["LOCATION"])]


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
    with without_triggers(), connection.constraint_checks_disabled(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            names = ", ".join(f'"{table}"' for table in _tables())
            cursor.execute(f"TRUNCATE {names} CASCADE")
        else:
            for table in _tables():
                cursor.execute(f'DELETE FROM "{table}"')
        for table, (columns, rows) in _baseline.items():
            names = ", ".join(f'"{column}"' for column in columns)
            marks = ", ".join(["%s"] * len(columns))
            cursor.executemany(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', rows)


def install() -> None:
    """Let Django's transactional tests end with `empty_database` instead of its own flush."""

    def teardown(self: Any) -> None:
        empty_database()

    setattr(TransactionTestCase, "_fixture_teardown", teardown)  # noqa: B010 - the one hook that there is; stubs do not know it
