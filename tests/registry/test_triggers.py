"""The database refuses to change what is immutable, on SQLite and on PostgreSQL, through the ORM and by SQL."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection, transaction

from registry import triggers
from registry.actions import revise_card
from registry.models import Blob, Evidence, ModelCardRevision, ModelVersion, Stage
from tests.conftest import as_

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(model, make_version, alice):
    made = make_version(model)
    revise_card(made, {"owner": "Alice"}, by=as_(alice))
    return made


def test_every_trigger_is_there():
    assert triggers.missing(connection) == frozenset()


def test_a_trigger_that_was_dropped_is_missed():
    with connection.cursor() as cursor:
        on = " ON registry_alias" if connection.vendor == "postgresql" else ""
        cursor.execute(f"DROP TRIGGER registry_alias_promoted_update{on}")

    assert triggers.missing(connection) == {"registry_alias_promoted_update"}


@pytest.mark.parametrize("model_class", [Evidence, ModelCardRevision, Blob, ModelVersion])
def test_nothing_is_deleted(version, model_class):
    row = model_class.objects.first()

    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {model_class._meta.db_table}")

    assert model_class.objects.filter(pk=row.pk).exists()


def test_a_stage_is_not_deleted(db):
    with pytest.raises(DatabaseError), transaction.atomic():
        Stage.objects.filter(name="staging").delete()


@pytest.mark.parametrize(
    ("model_class", "change"),
    [
        (Evidence, {"content": {"verdict": "admitted"}}),
        (Evidence, {"digest": "0" * 64}),
        (ModelCardRevision, {"sections": {}}),
        (Blob, {"size_bytes": 1}),
    ],
)
def test_nothing_recorded_is_changed(version, model_class, change):
    with pytest.raises(DatabaseError), transaction.atomic():
        model_class.objects.update(**change)


@pytest.mark.parametrize(
    "change",
    [
        {"number": 9},
        {"digest": "0" * 64},
        {"manifest": []},
        {"size_bytes": 0},
        {"run_id": "other"},
        {"flavour": "onnx"},
        {"state": "quarantined"},
    ],
)
def test_the_bytes_of_a_version_stay(version, change):
    with pytest.raises(DatabaseError), transaction.atomic():
        ModelVersion.objects.filter(pk=version.pk).update(**change)


@pytest.mark.parametrize("field", ["created_by", "trained_by"])
def test_who_made_a_version_stays(version, bob, field):
    with pytest.raises(DatabaseError), transaction.atomic():
        ModelVersion.objects.filter(pk=version.pk).update(**{field: bob})


def test_a_version_is_not_moved_to_another_model(version, alice):
    from registry.actions import create_model

    other = create_model("other", by=as_(alice))

    with pytest.raises(DatabaseError), transaction.atomic():
        ModelVersion.objects.filter(pk=version.pk).update(model=other)


def test_description_and_state_may_change(version):
    ModelVersion.objects.filter(pk=version.pk).update(description="new words", state="retired")

    assert ModelVersion.objects.get(pk=version.pk).description == "new words"


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="only SQLite replaces rows on insert")
@pytest.mark.parametrize(
    "table", ["registry_evidence", "registry_modelversion", "registry_modelcardrevision", "registry_blob"]
)
def test_nothing_is_replaced(version, table):
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}")


@pytest.mark.postgres
@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="only PostgreSQL truncates")
@pytest.mark.parametrize("table", sorted({rule.table for rule in triggers.RULES if rule.event == "DELETE"}))
def test_nothing_is_truncated(version, table):
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {table} CASCADE")


def test_the_triggers_can_be_taken_off_and_put_back_by_the_migration(db):
    triggers.remove(connection)
    assert triggers.missing(connection) == triggers.expected(connection.vendor)

    triggers.install(connection)
    assert triggers.missing(connection) == frozenset()
