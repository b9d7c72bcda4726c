"""An entry is written with its action or not at all, holds what the format says, and keeps personal data out of it."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest
import rfc8785
from django.db import connection, transaction
from inline_snapshot import snapshot

from audit import keys
from audit.actions import NotAppended, append, append_alone, in_one_group
from audit.events import Action, Actor, Obj, Outcome
from audit.models import Pending
from audit.payload import NotRecordable, decode_disclosures
from countersign.proof.merkle import leaf_hash
from tests.audit.conftest import ALICE, CREDIT


def last_fields() -> dict[str, Any]:
    fields: dict[str, Any] = orjson.loads(bytes(Pending.objects.latest("id").payload))
    return fields


@pytest.mark.django_db(transaction=True)
def test_outside_a_transaction_nothing_is_appended() -> None:
    with pytest.raises(NotAppended, match="outside a transaction"):
        append(Action.MODEL_UPDATE, by=ALICE, obj=CREDIT)


def test_an_entry_has_the_fields_of_the_format(db: None) -> None:
    append_alone(
        Action.MODEL_UPDATE,
        by=ALICE,
        obj=Obj("model", "7", "credit", "3"),
        why="tier-1@4:quorum",
        before={"tier": 2, "owner": "alice"},
        after={"tier": 1, "owner": "alice"},
    )

    fields = last_fields()
    assert re.fullmatch("[0-9a-f]{16}", fields.pop("w"))
    assert fields.pop("t") > 1_600_000_000_000_000
    assert [re.fullmatch("[A-Za-z0-9_-]{43}", digest) is not None for digest in fields.pop("sd")] == [True, True]
    assert fields == snapshot(
        {
            "v": 1,
            "n": 0,
            "p": -1,
            "action": "model.update",
            "actor": {"kind": "person", "id": "a1", "via": "session"},
            "obj": {"kind": "model", "id": "7", "name": "credit", "version": "3"},
            "outcome": "ok",
            "why": "tier-1@4:quorum",
            "req": "r-1",
            "d": {"before": {"tier": 2}, "after": {"tier": 1}},
        }
    )


def test_the_stored_bytes_are_canonical_and_carry_the_apps_mac(db: None) -> None:
    receipt = append_alone(Action.MODEL_UPDATE, by=ALICE, obj=CREDIT, after={"name": "Zürich ∑", "flags": [True, None]})

    row = Pending.objects.get()
    payload = bytes(row.payload)
    assert payload == rfc8785.dumps(orjson.loads(payload))
    assert keys.mac_is_ours(payload, row.mac)
    assert not keys.mac_is_ours(payload + b" ", row.mac)
    assert receipt.leaf == leaf_hash(payload)


def test_personal_data_is_in_the_opening_and_not_in_the_entry(db: None) -> None:
    append_alone(Action.SESSION_START, by=ALICE, obj=CREDIT, private={"user_agent": "Firefox", "empty": ""})

    row = Pending.objects.get()
    opened = {one.name: one.value for one in decode_disclosures(bytes(row.private))}
    assert opened == {"ip": "192.0.2.7", "name": "alice", "user_agent": "Firefox"}
    assert not any(value.encode() in bytes(row.payload) for value in opened.values())
    assert last_fields()["sd"] == sorted(one.digest for one in decode_disclosures(bytes(row.private)))


def test_a_large_difference_is_recorded_as_its_digest(db: None) -> None:
    append_alone(Action.CARD_REVISE, by=ALICE, obj=CREDIT, after={"text": "x" * 100_000})

    assert last_fields()["d"]["after"]["text"]["bytes"] == 100_002


def test_text_from_outside_cannot_break_an_entry(db: None) -> None:
    hostile = "\ud800\0\r\n\x1b[31m" + "x" * 5_000

    append_alone(
        Action.MODEL_VIEW,
        by=Actor("anonymous", "", "session", request_id=hostile),
        obj=Obj("model", hostile),
        why=hostile,
    )

    assert len(last_fields()["obj"]["id"]) == 1_000


@pytest.mark.parametrize("value", [0.81, 2**60, {"ä": 1}, object()])
def test_a_value_that_has_no_single_spelling_undoes_the_action(db: None, value: Any) -> None:
    with pytest.raises(NotRecordable):
        append_alone(Action.MODEL_UPDATE, by=ALICE, obj=CREDIT, after={"auc": value})
    assert not Pending.objects.exists()


@pytest.mark.parametrize(
    ("action", "outcome", "prompt"),
    [
        (Action.VERSION_PROMOTE, Outcome.OK, True),
        (Action.SIGN_OFF_GIVE, Outcome.OK, True),
        (Action.VERSION_PROMOTE, Outcome.DENIED, False),
        (Action.MODEL_VIEW, Outcome.OK, False),
    ],
)
def test_only_entries_that_somebody_waits_for_are_prompt(
    db: None, action: Action, outcome: Outcome, prompt: bool
) -> None:
    append_alone(action, by=ALICE, obj=CREDIT, outcome=outcome)

    assert Pending.objects.get().prompt is prompt


def test_an_entry_costs_one_query(db: None, django_assert_num_queries: Any) -> None:
    with transaction.atomic(), django_assert_num_queries(1):
        append(Action.MODEL_UPDATE, by=ALICE, obj=CREDIT)
    assert connection.in_atomic_block


def test_a_group_costs_a_query_for_every_64_entries(db: None, django_assert_num_queries: Any) -> None:
    with transaction.atomic(), django_assert_num_queries(2 + 3), in_one_group():
        receipts = [append(Action.MODEL_VIEW, by=ALICE, obj=CREDIT) for _ in range(130)]

    rows = list(Pending.objects.order_by("id"))
    assert [leaf_hash(bytes(row.payload)) for row in rows] == [receipt.leaf for receipt in receipts]
    assert all(keys.mac_is_ours(bytes(row.payload), row.mac) for row in rows)


def test_a_group_without_entries_writes_nothing(db: None) -> None:
    with in_one_group():
        pass

    assert not Pending.objects.exists()


def test_every_action_is_a_noun_and_a_verb() -> None:
    for action in Action:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*", action.value), action
        assert action.name == action.value.replace(".", "_").upper()
        assert action.noun == action.value.split(".")[0]


@pytest.mark.django_db(transaction=True)
def test_an_entry_is_written_over_a_connection_that_replaced_another() -> None:
    append_alone(Action.MODEL_CREATE, by=ALICE, obj=CREDIT)
    if connection.vendor == "postgresql":
        connection.close()
    append_alone(Action.MODEL_CREATE, by=ALICE, obj=CREDIT)

    assert Pending.objects.count() == 2
