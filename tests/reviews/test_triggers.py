"""The database refuses what no action would do. That approvals hold without these seat-belts is in test_promotion."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from access.models import User
from registry import triggers
from registry.models import Stage
from reviews.models import Approval, PolicyVersion, Review, SignOff
from reviews.promotion import promote
from reviews.revocation import revoke
from reviews.triggers import RULES
from tests.conftest import as_
from tests.reviews.conftest import proof_of, sign

pytestmark = pytest.mark.django_db


def refused(query: str, *values: Any) -> str:
    with pytest.raises(DatabaseError) as caught, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(query, values)
    return str(caught.value)


def test_triggers_are_there(db: None) -> None:
    assert triggers.missing(connection, RULES) == frozenset()


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
