"""The database refuses what no action would do. That approvals hold without these seat-belts is in test_promotion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, transaction

from access.models import User
from registry import triggers
from registry.models import Stage
from reviews.models import Approval, PolicyVersion, Review, SignOff
from reviews.promotion import promote
from reviews.revocation import revoke
from reviews.triggers import NOT_REPLACED, RULES, UNIQUE, Unique
from tests.conftest import as_
from tests.reviews.conftest import proof_of, sign

pytestmark = pytest.mark.django_db
on_sqlite = pytest.mark.skipif("connection.vendor != 'sqlite'", reason="a row without its neighbours needs SQLite")

# What is kept for ever, and what of it may still change, in the state that `STATE` names (else in any).
KEPT: Final[Mapping[str, set[str]]] = {
    "reviews_approval": {"promotion_id", "valid_until", "pulls_until", "revocation_id"},
    "reviews_breakglass": {
        *("state", "ends_at", "ended_at", "asked_reauthentication_id", "seconded_by_id", "seconded_at"),
        *("seconded_statement", "seconded_digest", "seconded_reauthentication_id"),
    },
    "reviews_comment": set(),
    "reviews_commentrevision": set(),
    "reviews_delegation": {"reason", "created_at", "ended_at"},
    "reviews_envelopesignature": {"slot_title"},
    "reviews_finding": {
        *("review_id", "thread_id", "state", "owner_id", "due_at", "verifying_slot", "verifying_group_id", "closed_at")
    },
    "reviews_findingevent": set(),
    "reviews_gateexception": {"withdrawn_at", "withdrawn_why"},
    "reviews_lapse": set(),
    "reviews_policyrehearsal": set(),
    "reviews_policysignature": set(),
    "reviews_policyversion": {"status", "note", "created_by_id", "created_at", "proposed_at"},
    "reviews_retrainingenvelope": {"why", "state", "ended_at", "ended_why"},
    "reviews_revocation": {"reauthentication_id"},
    "reviews_rollback": set(),
    "reviews_round": {"state", "subject", "subject_digest", "opened_at", "closed_at", "valid_until"},
    "reviews_signoff": {"withdrawn_at", "withdrawn_why", "dismissed_by_id"},
    "reviews_slot": {"title", "order"},
    "reviews_thread": {"must_resolve", "resolved_by_id", "resolved_at"},
}
STATE: Final[Mapping[str, Mapping[str, str | None]]] = {
    "reviews_approval": {"revocation_id": None},
    "reviews_breakglass": {"ended_at": None},
    "reviews_delegation": {"ended_at": None},
    "reviews_gateexception": {"withdrawn_at": None},
    "reviews_policyversion": {"status": "published"},
    "reviews_retrainingenvelope": {"ended_at": None},
    "reviews_round": {"state": "open"},
    "reviews_signoff": {"withdrawn_at": None},
}
# Containers, what is worked out again, and what only says that somebody was told or was here.
NOT_KEPT: Final = {
    *("reviews_policy", "reviews_policyversion_authors", "reviews_review", "reviews_round_policies"),
    *("reviews_gateresult", "reviews_evidencereading", "reviews_visit", "reviews_reminder", "reviews_grace"),
    *("reviews_escalation", "reviews_retrainingenvelope_policies"),
}
ROW: Final = 987_654
OTHER: Final = {"status": "retired"}
EARLIER, LATER = "2031-03-03 12:00:00", "2031-03-04 12:00:00"


def columns(table: str) -> list[str]:
    with connection.cursor() as cursor:
        return [column.name for column in connection.introspection.get_table_description(cursor, table)]


def refused(query: str, *values: Any) -> str:
    with pytest.raises(DatabaseError) as caught, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(query, values)
    return str(caught.value)


def insert(table: str, row: Mapping[str, Any], *, how: str = "INSERT") -> None:
    names = ", ".join(connection.ops.quote_name(column) for column in row)
    with connection.cursor() as cursor:
        cursor.execute(f"{how} INTO {table} ({names}) VALUES ({', '.join(['%s'] * len(row))})", list(row.values()))


@contextmanager
def row_of(table: str, **values: str | None) -> Iterator[None]:
    """One row for a moment, without the rows that it refers to; only what `values` names is as the product would write it."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("PRAGMA ignore_check_constraints = ON")
        insert(table, dict.fromkeys(columns(table), ROW) | values)
        yield
        cursor.execute("PRAGMA ignore_check_constraints = OFF")
        transaction.set_rollback(True)


def changes(table: str, column: str, value: Any) -> bool:
    """Whether the triggers would let the row's column become `value`."""
    name = connection.ops.quote_name(column)
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"UPDATE {table} SET {name} = %s WHERE id = {ROW}", [value])
            transaction.set_rollback(True)
    except DatabaseError as error:
        if any(str(error) == rule.sentence for rule in (*RULES, *NOT_REPLACED) if rule.table == table):
            return False
        raise
    return True


def test_triggers_are_there(db: None) -> None:
    assert triggers.missing(connection, [*RULES, *NOT_REPLACED]) == frozenset()


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("UPDATE reviews_signoff SET decision = 'approve'", "what was signed is never changed"),
        ("UPDATE reviews_signoff SET statement = '{}'", "what was signed is never changed"),
        ("UPDATE reviews_signoff SET person_id = person_id + 1", "what was signed is never changed"),
        ("DELETE FROM reviews_signoff", "what was signed is never deleted"),
        ("UPDATE reviews_slot SET people = 3", "a slot is never changed"),
        ("DELETE FROM reviews_slot", "a slot is never deleted"),
        ("UPDATE reviews_policyversion SET content = '{}'", "a published policy never changes"),
        ("UPDATE reviews_policyversion SET status = 'draft', published_at = NULL", "a published policy never changes"),
        ("DELETE FROM reviews_policyversion", "a policy version is never deleted"),
        ("DELETE FROM reviews_round", "a round is never deleted"),
    ],
)
def test_stray_sql_is_refused(review: Review, carol: User, query: str, sentence: str) -> None:
    sign(review, "risk", carol, decision="request_changes", reason="Explain the age gap.")

    assert sentence in refused(query)


def test_revocation_cannot_be_undone(approved: Review, production: Stage, carol: User, rita: User) -> None:
    promote(approved.version, production, by=as_(rita))
    revoke(approved.version, reason="The label leaks.", reauthentication=proof_of(carol), by=as_(carol))

    assert "does not come back" in refused("UPDATE reviews_approval SET revocation_id = NULL")
    assert "never deleted" in refused("DELETE FROM reviews_revocation")
    assert "never deleted" in refused("DELETE FROM reviews_approval")


def test_closed_round_stays_closed_and_a_withdrawn_sign_off_withdrawn(approved: Review, bob: User) -> None:
    assert "never opens again" in refused("UPDATE reviews_round SET state = 'open', closed_at = NULL")
    assert Approval.objects.count() == 1
    assert SignOff.objects.count() == 2
    assert PolicyVersion.objects.filter(status="published").count() == 4


def test_every_table_is_kept_or_known_not_to_be() -> None:
    tables = {model._meta.db_table for model in apps.get_app_config("reviews").get_models(include_auto_created=True)}

    assert tables == KEPT.keys() | NOT_KEPT
    assert {rule.table for rule in RULES} == KEPT.keys()


@on_sqlite
@pytest.mark.parametrize("table", KEPT)
def test_what_is_kept_changes_in_nothing_but_what_is_listed_and_is_not_deleted(table: str) -> None:
    with row_of(table, **STATE.get(table, {})):
        changeable = {column for column in columns(table) if changes(table, column, OTHER.get(column, ROW + 1))}
        sentence = refused(f"DELETE FROM {table} WHERE id = {ROW}")

    assert changeable == KEPT[table]
    assert sentence.endswith("is never deleted")


@on_sqlite
@pytest.mark.parametrize(
    ("table", "ended", "stays"),
    [
        ("reviews_signoff", {"withdrawn_at": EARLIER}, {"withdrawn_at": None, "dismissed_by_id": 2}),
        ("reviews_approval", {"revocation_id": "1"}, {"revocation_id": None}),
        ("reviews_gateexception", {"withdrawn_at": EARLIER}, {"withdrawn_at": None}),
        ("reviews_delegation", {"ended_at": EARLIER}, {"ended_at": None}),
        (
            "reviews_round",
            {"state": "approved"},
            {"state": "open", "subject": "{}", "subject_digest": "other", "valid_until": LATER},
        ),
        (
            "reviews_breakglass",
            {"state": "rolled_back", "ended_at": EARLIER},
            {"state": "in_force", "ended_at": None, "ends_at": LATER},
        ),
        ("reviews_retrainingenvelope", {"state": "ended", "ended_at": EARLIER}, {"state": "active", "ended_at": None}),
        (
            "reviews_policyversion",
            {"status": "proposed"},
            {"id": ROW + 1, "policy_id": 2, "number": 2, "content": "{}", "digest": "other"},
        ),
        ("reviews_policyversion", {"status": "published"}, {"status": "draft"}),
        ("reviews_policyversion", {"status": "published"}, {"status": "proposed"}),
        ("reviews_policyversion", {"status": "retired"}, {"status": "published"}),
        ("reviews_policyversion", {"status": "retired"}, {"status": "draft"}),
        ("reviews_policyversion", {"status": "retired"}, {"content": "{}"}),
    ],
)
def test_what_has_ended_does_not_begin_again(table: str, ended: dict[str, str], stays: dict[str, object]) -> None:
    with row_of(table, **ended):
        changed = [column for column, value in stays.items() if changes(table, column, value)]

    assert changed == []


@on_sqlite
@pytest.mark.parametrize(
    ("table", "running", "column"),
    [
        ("reviews_signoff", {"withdrawn_at": None}, "withdrawn_at"),
        ("reviews_approval", {"revocation_id": None}, "revocation_id"),
        ("reviews_gateexception", {"withdrawn_at": None}, "withdrawn_at"),
        ("reviews_delegation", {"ended_at": None}, "ended_at"),
        ("reviews_breakglass", {"ended_at": None}, "ended_at"),
        ("reviews_retrainingenvelope", {"ended_at": None}, "ended_at"),
        ("reviews_policyversion", {"status": "draft"}, "content"),
    ],
)
def test_what_runs_can_be_ended_and_a_draft_edited(table: str, running: dict[str, str | None], column: str) -> None:
    with row_of(table, **running):
        changed = changes(table, column, LATER)

    assert changed


# The state in which rows stand in each other's way, where it matters (see `UNIQUE`).
IN_THE_WAY: Final[Mapping[str, Mapping[str, Any]]] = {
    "basis": {"basis": "review"},
    "asked": {"state": "asked"},
    "proposed', 'signed": {"state": "signed"},
    "withdrawn_at": {"withdrawn_at": None},
    "published": {"status": "published"},
    "draft": {"status": "draft"},
    "open": {"state": "open"},
}
KEYS: Final = [(table, key) for table, keys in UNIQUE.items() for key in (Unique(("id",)), *keys)]
CHANGEABLE_KEYS: Final = [
    ("reviews_approval", {}, {"promotion_id": 1}),
    ("reviews_breakglass", {}, {"seconded_digest": "1"}),
    ("reviews_breakglass", {}, {"seconded_reauthentication_id": 1}),
    ("reviews_policyversion", {"status": "draft", "policy_id": 7}, {"status": "published"}),
]


def state_of(key: Unique) -> dict[str, Any]:
    return next((dict(row) for word, row in IN_THE_WAY.items() if word in key.among), {})


@on_sqlite
def test_every_key_that_no_two_rows_share_is_guarded() -> None:
    found: dict[str, set[tuple[tuple[str, ...], str]]] = {table: set() for table in UNIQUE}
    with connection.cursor() as cursor:
        for table in UNIQUE:
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = %s", [table])
            for name, sql in cursor.fetchall():
                if sql is None or "UNIQUE" in sql:
                    cursor.execute(f"SELECT name FROM pragma_index_info('{name}') ORDER BY seqno")
                    shared = tuple(column for (column,) in cursor.fetchall())
                    found[table].add((shared, (sql or "").partition(" WHERE ")[2].replace('"', "")))

    guarded = {
        table: {(key.columns, key.among.format(row="").replace(".", "").replace("  ", " ")) for key in keys}
        for table, keys in UNIQUE.items()
    }
    assert guarded == found
    assert UNIQUE.keys() == KEPT.keys()


@on_sqlite
@pytest.mark.parametrize(("table", "key"), KEYS)
def test_no_insert_removes_what_is_in_its_way(table: str, key: Unique) -> None:
    state = state_of(key)
    with row_of(table, **state):
        # Whatever is not shared is a key of its own and different; `state` is what makes the two meet.
        other = dict.fromkeys(columns(table), ROW + 1) | state | dict.fromkeys(key.columns, ROW)
        with pytest.raises(DatabaseError, match="is never replaced"), transaction.atomic():
            insert(table, other, how="INSERT OR REPLACE")


@on_sqlite
@pytest.mark.parametrize(("table", "row", "change"), CHANGEABLE_KEYS)
def test_no_update_removes_what_is_in_its_way(table: str, row: dict[str, Any], change: dict[str, Any]) -> None:
    with row_of(table, **row, **({} if row else STATE.get(table, {}))):
        first = dict.fromkeys(columns(table), ROW + 1) | row | change
        insert(table, first)
        ((column, value),) = change.items()
        with (
            pytest.raises(DatabaseError, match="is never replaced"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(f"UPDATE OR REPLACE {table} SET {column} = %s WHERE id = {ROW}", [value])


@on_sqlite
def test_what_stands_in_nobody_s_way_is_inserted() -> None:
    with row_of("reviews_signoff", withdrawn_at=None):
        insert("reviews_signoff", dict.fromkeys(columns("reviews_signoff"), ROW + 1) | {"withdrawn_at": None})

        assert SignOff.objects.filter(pk__in=[ROW, ROW + 1]).count() == 2


def test_the_guards_against_replacing_can_be_taken_back_and_put_on_again() -> None:
    triggers.remove(connection, NOT_REPLACED)
    gone = triggers.missing(connection, NOT_REPLACED)
    triggers.install(connection, NOT_REPLACED)

    assert gone == triggers.expected(connection.vendor, NOT_REPLACED)
    assert triggers.missing(connection, NOT_REPLACED) == frozenset()
