"""Who is told that it is their turn, and of a decision."""

from __future__ import annotations

import pytest

from access.models import User
from notices.models import Notification
from reviews.models import Review
from reviews.notices import awaited
from tests.reviews.conftest import sign

pytestmark = pytest.mark.django_db
Kind = Notification.Kind


def told(kind: Kind) -> dict[str, Notification]:
    """Who was told something of this kind."""
    return {one.person.username: one for one in Notification.objects.filter(kind=kind).select_related("person")}


def test_whoever_may_sign_is_told_and_nobody_else(review: Review, bob: User, carol: User) -> None:
    found = told(Kind.TURN)

    assert set(found) == {"bob", "carol"}
    assert found["bob"].link == "/models/credit/v/1/"
    assert "Better on young people." in found["bob"].body


def test_who_signed_is_awaited_no_more(review: Review, bob: User, carol: User) -> None:
    sign(review, "validator", bob)

    assert awaited(review.current_round) == [carol]


def test_the_requester_is_told_that_changes_are_asked_for(review: Review, bob: User) -> None:
    sign(review, "validator", bob, decision="request_changes", reason="Explain the age gap.")

    (only,) = told(Kind.DECISION).items()
    assert only[0] == "alice"
    assert only[1].title.startswith("Changes are asked for: credit")
    assert "Explain the age gap." in only[1].body


def test_the_requester_is_told_nothing_of_a_first_signature(review: Review, bob: User) -> None:
    sign(review, "validator", bob)

    assert not Notification.objects.filter(kind=Kind.DECISION).exists()


def test_the_requester_is_told_of_every_request_for_changes(review: Review, bob: User, carol: User) -> None:
    sign(review, "validator", bob, decision="request_changes", reason="Explain the age gap.")
    sign(review, "risk", carol, decision="request_changes", reason="Say who decides.")

    assert Notification.objects.filter(kind=Kind.DECISION, person__username="alice").count() == 2


def test_the_requester_is_told_of_the_approval(approved: Review) -> None:
    assert told(Kind.DECISION)["alice"].title.startswith("Approved: ")
