"""The database refuses to change, remove or replace what the ledger holds, whoever asks."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection, transaction

from audit import triggers
from audit.models import Archived, Bundle, IndexRow, Private, Quarantined
from audit.sequencer import Sequencer
from tests.audit.conftest import happen

KEPT = ["audit_bundle", "audit_tile", "audit_checkpoint", "audit_anchor", "audit_quarantine", "audit_archived"]
DELETABLE = ["audit_pending", "audit_index", "audit_private"]
COLUMN = {
    "audit_archived": "n",
    "audit_bundle": "w",
    "audit_anchor": "receipt",
    "audit_checkpoint": "note",
    "audit_tile": "level",
    "audit_private": "seq",
}


def refused(statement: str) -> bool:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    except DatabaseError as error:
        return "the ledger keeps what it holds" in str(error)
    return False


@pytest.fixture
def filled(ledger: Sequencer) -> None:
    """At least one row in every table."""
    happen()
    Quarantined.objects.create(t=0, why="forged", pending_id=0, mac="", payload=b"", private=b"")
    Archived.objects.create(n=900, root=bytes(32), sha256=bytes(32))


@pytest.mark.parametrize("table", KEPT + DELETABLE)
def test_nothing_is_updated(filled: None, table: str) -> None:
    column = COLUMN.get(table, "t" if table in ("audit_index", "audit_quarantine") else "mac")

    assert refused(f"UPDATE {table} SET {column} = {column}")


@pytest.mark.parametrize("table", KEPT)
def test_what_is_kept_is_not_deleted(filled: None, table: str) -> None:
    assert refused(f"DELETE FROM {table}")


@pytest.mark.parametrize("table", DELETABLE)
def test_what_may_go_can_be_deleted(filled: None, table: str) -> None:
    assert not refused(f"DELETE FROM {table}")


@pytest.mark.parametrize("table", KEPT)
def test_nothing_is_replaced(filled: None, table: str) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("REPLACE is SQLite's")

    assert refused(f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}")


@pytest.mark.postgres
@pytest.mark.parametrize("table", KEPT + DELETABLE)
def test_nothing_is_truncated(filled: None, table: str) -> None:
    assert refused(f"TRUNCATE {table}")


def test_a_partial_bundle_goes_only_where_a_wider_one_stands(ledger: Sequencer) -> None:
    widest = Bundle.objects.get(n=2)
    Bundle.objects.create(n=2, w=widest.w - 1, entries=b"narrower")

    assert refused(f"DELETE FROM audit_bundle WHERE n = 2 AND w = {widest.w}")
    assert not refused(f"DELETE FROM audit_bundle WHERE n = 2 AND w = {widest.w - 1}")


def test_the_orm_is_refused_too(filled: None) -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        IndexRow.objects.update(actor_id="bob")
    with pytest.raises(DatabaseError), transaction.atomic():
        Bundle.objects.all().delete()
    with pytest.raises(DatabaseError), transaction.atomic():
        Private.objects.update(disclosures=b"")


def test_all_guards_stand_after_the_migrations(db: None) -> None:
    assert triggers.missing(connection) == frozenset()


def test_the_migration_can_be_taken_back_and_put_on_again(db: None) -> None:
    triggers.remove(connection)
    gone = triggers.missing(connection)
    triggers.install(connection)

    assert gone == triggers.expected(connection.vendor)
    assert triggers.missing(connection) == frozenset()


@pytest.mark.postgres
def test_a_guard_that_is_switched_off_counts_as_missing(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_tile DISABLE TRIGGER audit_tile_no_delete")

    assert triggers.missing(connection) == {"audit_tile_no_delete"}
