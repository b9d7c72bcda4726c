"""A policy that comes into force closes the rounds that were opened under another one, and opens the next."""

from __future__ import annotations

import copy
from datetime import timedelta

import pytest
from django.utils import timezone

from access.models import User
from access.principal import Principal
from foundation.refusals import Conflict, Forbidden
from notices.models import Notification
from reviews import clock
from reviews.actions import withdraw_review, withdraw_sign_off
from reviews.evaluation import examine
from reviews.models import PolicyVersion, Review, Round
from reviews.rulebook import rules_of
from reviews.shipped import shipped_policies
from reviews.superseding import outdated_rounds, supersede
from tests.conftest import as_
from tests.reviews.conftest import approve, sign
from tests.reviews.publishing import make_author, make_signer, publish

pytestmark = pytest.mark.django_db


@pytest.fixture
def published(review: Review, bob: User, erin: User, dave: User) -> PolicyVersion:
    """A stricter text, put in force after bob had signed."""
    sign(review, "validator", bob)
    text = {**copy.deepcopy(shipped_policies()["production-tier-1"]), "valid_months": 6}
    return publish("production-tier-1", text, author=make_author(erin), signer=make_signer(dave))


def tick() -> None:
    clock.tick(timezone.now() + timedelta(seconds=1))


def test_nothing_is_signed_under_rules_that_are_not_in_force(
    review: Review, published: PolicyVersion, carol: User
) -> None:
    with pytest.raises(Conflict) as refused:
        sign(review, "risk", carol)

    assert refused.value.code == "policy-changed"
    assert "policy-changed" in {one.key for one in examine(review.version, review.stage).unmet}


def test_nothing_is_approved_under_them_when_an_objection_goes_away(
    review: Review, bob: User, carol: User, dave: User, erin: User
) -> None:
    asked = sign(review, "risk", carol, decision="request_changes", reason="Explain the age gap.")
    sign(review, "risk", make_signer(dave))
    sign(review, "validator", bob)
    text = {**copy.deepcopy(shipped_policies()["production-tier-1"]), "valid_months": 6}
    publish("production-tier-1", text, author=make_author(erin), signer=dave)

    withdraw_sign_off(asked, reason="It is explained.", by=as_(carol))

    assert review.current_round.state == Round.State.OPEN


def test_the_clock_opens_the_next_round_under_the_new_rules(
    review: Review, published: PolicyVersion, alice: User
) -> None:
    tick()

    first, second = review.rounds.order_by("number")
    assert (first.state, second.state) == (Round.State.SUPERSEDED, Round.State.OPEN)
    assert second.opened_by == alice
    assert [ref.number for ref in rules_of(second).refs] == [2]
    assert not second.sign_offs.exists()
    assert first.sign_offs.count() == 1


def test_the_requester_and_the_reviewers_are_told(
    review: Review, published: PolicyVersion, alice: User, bob: User, carol: User
) -> None:
    tick()

    opened = review.current_round
    told = Notification.objects.filter(event=f"round:{opened.pk}:policy")
    assert [one.person for one in told] == [alice]
    assert "production-tier-1, version 2" in told[0].body
    turn = Notification.objects.filter(event=f"round:{opened.pk}:turn")
    assert {bob, carol} <= {one.person for one in turn}


def test_a_second_tick_changes_nothing(review: Review, published: PolicyVersion) -> None:
    tick()
    tick()

    assert review.rounds.count() == 2
    assert supersede(review.current_round, by=clock.CLOCK) is None


def test_the_new_round_can_be_approved(review: Review, published: PolicyVersion, bob: User, carol: User) -> None:
    tick()
    approve(review, bob, carol)

    assert review.current_round.is_approved


def test_a_standing_request_for_changes_is_not_lost(review: Review, bob: User, erin: User, dave: User) -> None:
    sign(review, "validator", bob, decision="request_changes", reason="Explain the age gap.")
    text = {**copy.deepcopy(shipped_policies()["production-tier-1"]), "valid_months": 6}
    publish("production-tier-1", text, author=make_author(erin), signer=make_signer(dave))

    tick()

    assert review.rounds.get(number=1).state == Round.State.CHANGES_REQUESTED


def test_what_is_closed_stays_as_it_was(review: Review, published: PolicyVersion, alice: User) -> None:
    withdraw_review(review, by=as_(alice))

    assert outdated_rounds(timezone.now()) == []


def test_a_policy_for_something_else_opens_nothing(review: Review, erin: User, dave: User) -> None:
    text = {**copy.deepcopy(shipped_policies()["staging"]), "valid_months": 3}
    publish("staging", text, author=make_author(erin), signer=make_signer(dave))

    assert outdated_rounds(timezone.now()) == []


def test_where_no_policy_is_left_nothing_is_opened(review: Review, erin: User, dave: User) -> None:
    text = copy.deepcopy(shipped_policies()["production-tier-1"])
    text["applies_to"]["tiers"] = [3]
    publish("production-tier-1", text, author=make_author(erin), signer=make_signer(dave))

    tick()

    assert review.rounds.count() == 1
    assert "policy" in {one.key for one in examine(review.version, review.stage).unmet}


def test_another_part_of_the_product_may_not(review: Review, published: PolicyVersion) -> None:
    with pytest.raises(Forbidden):
        supersede(review.current_round, by=Principal.system("monitoring"))
