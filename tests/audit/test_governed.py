"""What becomes of an action is recorded once, whether it is done, refused or fails; what did not happen leaves no trace but that."""

from __future__ import annotations

import errno
import sqlite3
import threading
from pathlib import Path

import orjson
import psycopg.errors
import pytest
from django.db import OperationalError, connection, transaction
from structlog.testing import capture_logs

from audit.actions import append
from audit.events import Action, HasActor, Obj
from audit.governed import governed
from audit.models import Pending, Quarantined
from foundation.refusals import Conflict, Forbidden, Unavailable
from tests.audit.conftest import ALICE, CREDIT


class Model:
    """Something that the ledger can name."""

    def ledger_ref(self) -> Obj:
        return CREDIT


class PlainThing:
    """Something that it cannot."""


def change_something() -> None:
    Quarantined.objects.create(t=0, why="a change", pending_id=0, mac="", payload=b"", private=b"")


@governed(Action.MODEL_UPDATE)
def update(model: object, *, by: HasActor, fault: Exception | None = None) -> str:
    """Change something, then fail if asked to."""
    change_something()
    if fault is not None:
        raise fault
    append(Action.MODEL_UPDATE, by=by, obj=CREDIT)
    return "updated"


@governed(Action.VERSION_PROMOTE)
def promote(model: Model, *, by: HasActor, fault: Exception | None = None, forgive: bool = False) -> None:
    """Update inside another action."""
    change_something()
    try:
        update(model, by=by, fault=fault)
    except Conflict:
        if not forgive:
            raise
    append(Action.VERSION_PROMOTE, by=by, obj=CREDIT)


def recorded() -> list[tuple[str, str, str, str]]:
    payloads = Pending.objects.order_by("id").values_list("payload", flat=True)
    return [
        (fields["action"], fields["outcome"], fields["why"], f"{fields['obj']['kind']}:{fields['obj']['id']}")
        for fields in (orjson.loads(bytes(payload)) for payload in payloads)
    ]


pytestmark = pytest.mark.django_db(transaction=True)


def test_an_action_that_succeeds_is_recorded_by_itself() -> None:
    assert update(Model(), by=ALICE) == "updated"

    assert recorded() == [("model.update", "ok", "", "model:7")]
    assert Quarantined.objects.count() == 1


def test_a_refused_action_changes_nothing_and_is_recorded_as_denied() -> None:
    with pytest.raises(Forbidden):
        update(Model(), by=ALICE, fault=Forbidden("No.", code="no-right"))

    assert recorded() == [("model.update", "denied", "no-right", "model:7")]
    assert not Quarantined.objects.exists()


def test_a_failed_action_is_recorded_as_an_error() -> None:
    with pytest.raises(ZeroDivisionError):
        update(Model(), by=ALICE, fault=ZeroDivisionError())

    assert recorded() == [("model.update", "error", "ZeroDivisionError", "model:7")]
    assert not Quarantined.objects.exists()


def test_a_refusal_through_two_actions_is_recorded_once_by_the_outer_one() -> None:
    with pytest.raises(Conflict):
        promote(Model(), by=ALICE, fault=Conflict("Not now."))

    assert recorded() == [("version.promote", "denied", "conflict", "model:7")]
    assert not Quarantined.objects.exists()


def test_an_inner_refusal_that_the_outer_action_takes_back_undoes_the_inner_one_only() -> None:
    promote(Model(), by=ALICE, fault=Conflict("Not now."), forgive=True)

    assert recorded() == [("version.promote", "ok", "", "model:7")]
    assert Quarantined.objects.count() == 1


def test_after_a_refusal_the_next_action_is_an_outermost_one_again() -> None:
    for _ in range(2):
        with pytest.raises(Conflict):
            update(Model(), by=ALICE, fault=Conflict("Not now."))

    assert len(recorded()) == 2


@pytest.mark.parametrize(
    ("first", "obj"), [(PlainThing(), "plain_thing:"), ("credit", "model:credit"), (7, "model:7"), (None, "model:")]
)
def test_what_has_no_reference_is_named_by_its_kind(first: object, obj: str) -> None:
    with pytest.raises(Conflict):
        update(first, by=ALICE, fault=Conflict("Not now."))

    assert recorded()[0][3] == obj


def test_a_full_disk_is_said_in_a_sentence_and_nothing_is_half_written() -> None:
    with pytest.raises(Unavailable, match="disk is full") as refusal:
        update(Model(), by=ALICE, fault=OSError(errno.ENOSPC, "No space left on device"))

    assert refusal.value.code == "disk-full"
    assert not Quarantined.objects.exists()


def test_another_fault_of_the_system_stays_what_it_is() -> None:
    with pytest.raises(FileNotFoundError):
        update(Model(), by=ALICE, fault=FileNotFoundError(errno.ENOENT, "gone"))

    assert recorded() == [("model.update", "error", "FileNotFoundError", "model:7")]


def test_a_full_sqlite_database_is_said_in_a_sentence(tmp_path: Path) -> None:
    def fill() -> None:
        database = sqlite3.connect(tmp_path / "small.sqlite3")
        try:
            database.execute("PRAGMA max_page_count = 2")
            database.execute("CREATE TABLE t (x)")
            database.execute("INSERT INTO t VALUES (zeroblob(100000))")
        finally:
            database.close()

    with pytest.raises(sqlite3.OperationalError) as full:
        fill()
    fault = OperationalError("wrapped by Django")
    fault.__cause__ = full.value

    with pytest.raises(Unavailable, match="disk is full"):
        update(Model(), by=ALICE, fault=fault)


def test_a_locked_sqlite_database_is_said_in_a_sentence(tmp_path: Path) -> None:
    holder, other = sqlite3.connect(tmp_path / "busy.sqlite3"), sqlite3.connect(tmp_path / "busy.sqlite3", timeout=0)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError) as locked:
        other.execute("BEGIN IMMEDIATE")
    holder.close()
    other.close()
    fault = OperationalError("wrapped by Django")
    fault.__cause__ = locked.value

    with pytest.raises(Unavailable, match="busy with other writers") as refusal:
        update(Model(), by=ALICE, fault=fault)

    assert refusal.value.code == "database-busy"
    assert recorded() == []


@pytest.mark.postgres
def test_a_row_that_another_keeps_locked_is_said_in_a_sentence() -> None:
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("LOCK TABLE audit_quarantine")
            held.set()
            release.wait(10)
        connection.close()

    @governed(Action.MODEL_UPDATE)
    def impatient(model: Model, *, by: HasActor) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '50ms'")
        change_something()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    with pytest.raises(Unavailable, match="busy with other writers"):
        impatient(Model(), by=ALICE)
    release.set()
    thread.join()


def test_an_unavailable_neighbour_is_a_fault_and_not_a_denial() -> None:
    with pytest.raises(Unavailable):
        update(Model(), by=ALICE, fault=Unavailable("The artifact store does not answer."))

    assert recorded() == [("model.update", "error", "unavailable", "model:7")]


def test_a_refusal_reaches_the_caller_also_where_it_cannot_be_recorded() -> None:
    class Nameless:
        def ledger_ref(self) -> Obj:
            raise LookupError("no such row")

    with pytest.raises(Conflict):
        update(Nameless(), by=ALICE, fault=Conflict("Not now."))

    assert recorded() == []


def test_an_attempt_without_an_actor_reaches_the_operators_log() -> None:
    with capture_logs() as lines, pytest.raises(Conflict):
        update(Model(), by="alice", fault=Conflict("Not now."))  # type: ignore[arg-type]  # what is tried

    assert recorded() == []
    assert [(line["event"], line["why"]) for line in lines] == [("ledger.attempt_not_recorded", "conflict")]


@pytest.mark.parametrize(
    ("sqlstate", "code"),
    [("40001", "database-busy"), ("40P01", "database-busy"), ("55P03", "database-busy"), ("53100", "disk-full")],
)
def test_what_postgresql_says_of_locks_and_full_disks_is_said_in_a_sentence(sqlstate: str, code: str) -> None:
    fault = OperationalError("wrapped by Django")
    fault.__cause__ = psycopg.errors.lookup(sqlstate)("from the server")

    with pytest.raises(Unavailable) as refusal:
        update(Model(), by=ALICE, fault=fault)

    assert refusal.value.code == code


def test_the_decorated_action_keeps_its_name_and_its_promise() -> None:
    assert update.__name__ == "update"
    assert update.__doc__ == "Change something, then fail if asked to."
