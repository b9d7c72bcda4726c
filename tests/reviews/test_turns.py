"""Whose turn it is: the inbox and the number beside it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from access import actions as access_actions
from access.models import User
from access.principal import Principal
from registry import actions as registry_actions
from registry.models import Stage
from reviews.actions import give_delegation
from reviews.inbox import Narrowing, inbox
from reviews.models import Review, Slot
from reviews.queries import waiting_count, waiting_for
from reviews.turns import turns_of
from tests.conftest import as_
from tests.reviews.conftest import MakeCandidate, ask, sign
from tests.reviews.evidence import CARD
from tests.reviews.populated import many_reviews

pytestmark = pytest.mark.django_db


def test_it_is_the_turn_of_who_holds_an_open_slot_until_they_signed(review: Review, bob: User, carol: User) -> None:
    assert [turn.title for turn in turns_of(as_(bob))] == ["Model validator"]

    sign(review, "validator", bob)

    assert turns_of(as_(bob)) == []
    assert waiting_count(as_(carol)) == 1


def test_a_signature_that_went_stale_is_no_signature_and_the_review_is_back(
    review: Review, carol: User, alice: User
) -> None:
    sign(review, "risk", carol)
    assert waiting_count(as_(carol)) == 0

    registry_actions.revise_card(
        review.version, CARD | {"limitations": "Not for anyone under 18, ever."}, by=as_(alice)
    )

    assert list(waiting_for(as_(carol))) == [review]
    found = inbox(as_(carol))
    assert found.counts["needs-you"] == 1
    assert found.groups[0].items[0].signed == 0
    assert found.groups[0].items[0].yours == "Risk officer"


def test_what_changed_after_a_signature_but_is_not_what_it_answers_for_leaves_it_standing(
    review: Review, bob: User, alice: User
) -> None:
    assert "card" not in Slot.objects.get(round__review=review, key="validator").facets
    sign(review, "validator", bob)

    registry_actions.revise_card(review.version, CARD | {"limitations": "Not for anyone under 18."}, by=as_(alice))

    assert turns_of(as_(bob)) == []


def test_it_is_never_the_turn_of_who_had_a_hand_in_it(review: Review, alice: User) -> None:
    operator = Principal.system("operator")
    access_actions.add_to_group(Group.objects.get(name="Model validation"), alice, by=operator)

    assert turns_of(as_(alice)) == []


def test_who_stands_in_finds_the_review_with_the_name_of_the_other(review: Review, bob: User, dave: User) -> None:
    now = timezone.now()
    give_delegation(
        dave,
        group="Model validation",
        reason="On leave.",
        starts_at=now,
        ends_at=now + timedelta(days=7),
        by=as_(bob),
    )

    assert [(turn.title, turn.on_behalf_of) for turn in turns_of(as_(dave))] == [("Model validator", "Bob Lindqvist")]

    sign(review, "validator", bob)

    assert turns_of(as_(dave)) == []


def test_inbox_is_paged_with_exact_numbers_and_narrowed(
    review: Review, bob: User, alice: User, make_candidate: MakeCandidate, production: Stage
) -> None:
    many_reviews(author=alice, like=review.version, number=60)

    first = inbox(as_(bob))
    last = inbox(as_(bob), page=3)

    assert first.counts["needs-you"] == 61
    assert (first.total, first.pages) == (61, 3)
    assert sum(group.number for group in first.groups) <= 61
    assert sum(len(group.items) for group in first.groups) == 25
    assert sum(len(group.items) for group in last.groups) == 11
    assert inbox(as_(bob), page=99).page == 3

    narrowed = inbox(as_(bob), narrowing=Narrowing(text="credit"))
    assert narrowed.total == 1
    assert narrowed.counts["needs-you"] == 61
    assert inbox(as_(bob), narrowing=Narrowing(tier=3)).total == 0
    assert inbox(as_(alice), view="waiting", narrowing=Narrowing(mine=True)).total == 61
    assert inbox(as_(bob), narrowing=Narrowing(mine=True)).total == 0


def test_each_review_stands_in_one_view_of_the_open_ones(review: Review, bob: User, alice: User, carol: User) -> None:
    assert inbox(as_(bob)).counts == {"needs-you": 1, "promote": 0, "waiting": 0, "back": 0, "done": 0}

    sign(review, "risk", carol, decision="request_changes", reason="Explain the age gap.")

    assert inbox(as_(alice)).counts["back"] == 1
    assert inbox(as_(alice)).counts["waiting"] == 0


def test_a_second_review_is_asked_for_apart(
    review: Review, bob: User, alice: User, make_candidate: MakeCandidate, production: Stage
) -> None:
    other = ask(make_candidate(auc=0.86), production, alice)

    assert set(waiting_for(as_(bob))) == {review, other}
