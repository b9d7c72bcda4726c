"""The pages and the API of delegations, exceptions, stale signatures and moved champions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from access.models import User
from foundation.refusals import Conflict
from notices.models import Notification
from registry.models import ModelVersion, Stage
from reviews.actions import request_again, withdraw_review
from reviews.evaluation import current_subject
from reviews.models import Approval, Delegation, GateException, Lapse, Review
from reviews.promotion import promote
from tests.conftest import PASSWORD, as_
from tests.reviews.conftest import MakeCandidate, approve, ask, attach, sign
from tests.reviews.evidence import metrics
from tests.reviews.rules import in_force
from tests.reviews.test_exceptions import GATE

pytestmark = pytest.mark.django_db

ClientFor = Callable[[User], Client]
ApiFor = Callable[[User], APIClient]


def day(days: int) -> str:
    return f"{timezone.now() + timedelta(days=days):%Y-%m-%d}"


def test_a_delegation_is_given_and_ended_on_the_page(client_for: ClientFor, carol: User, dave: User) -> None:
    client = client_for(carol)
    given = client.post(
        reverse("reviews:delegations"),
        {"delegate": "dave", "group": "Risk officers", "first_day": day(0), "last_day": day(20), "reason": "Away."},
    )
    assert given.status_code == 302
    found = Delegation.objects.get()
    assert b"Dave Novak" in client.get(reverse("reviews:delegations")).content

    client.post(reverse("reviews:end-delegation", args=[found.uuid]))

    found.refresh_from_db()
    assert found.ended_at is not None


def test_a_day_is_written_as_browsers_read_it(client_for: ClientFor, carol: User) -> None:
    page = client_for(carol).get(reverse("reviews:delegations")).content.decode()

    assert f'value="{day(0)}"' in page


def test_a_date_that_is_too_far_stands_beside_its_field(client_for: ClientFor, carol: User, dave: User) -> None:
    answer = client_for(carol).post(
        reverse("reviews:delegations"),
        {"delegate": "dave", "group": "Risk officers", "first_day": day(0), "last_day": day(200), "reason": "Away."},
    )

    assert answer.status_code == 400
    assert "A delegation lasts at most 90 days." in answer.content.decode()


def test_a_stranger_ends_no_delegation(client_for: ClientFor, carol: User, dave: User, bob: User) -> None:
    client_for(carol).post(
        reverse("reviews:delegations"),
        {"delegate": "dave", "group": "Risk officers", "first_day": day(0), "last_day": day(20), "reason": "Away."},
    )

    answer = client_for(bob).post(reverse("reviews:end-delegation", args=[Delegation.objects.get().uuid]))

    assert answer.status_code == 404


def test_over_the_api_somebody_signs_for_somebody(api_for: ApiFor, review: Review, carol: User, dave: User) -> None:
    now = timezone.now()
    given = api_for(carol).post(
        reverse("api-delegations"),
        {
            "delegate": "dave",
            "group": "Risk officers",
            "starts_at": now.isoformat(),
            "ends_at": (now + timedelta(days=5)).isoformat(),
            "reason": "Away.",
        },
        format="json",
    )
    assert given.status_code == 201

    signed = api_for(dave).post(
        reverse("api-sign-offs", args=[review.uuid]),
        {
            "slot": "risk",
            "decision": "approve",
            "reason": "Read.",
            "expected_subject": current_subject(review.current_round).digest,
            "expected_round": 1,
            "on_behalf_of": "carol",
            "idempotency_key": "a-key-of-mine",
            "secret": PASSWORD,
        },
        format="json",
    )

    assert signed.status_code == 201, signed.json()
    assert (signed.json()["person"], signed.json()["on_behalf_of"]) == ("dave", "carol")


def test_the_answer_to_a_request_names_what_nobody_can_sign(
    api_for: ApiFor, candidate: ModelVersion, production: Stage, alice: User, carol: User
) -> None:
    answer = api_for(alice).post(
        reverse("api-reviews"), {"model": "credit", "version": 1, "why": "Better."}, format="json"
    )

    assert answer.status_code == 201
    assert [one["slot"] for one in answer.json()["nobody_eligible"]] == ["Risk officer"]


def test_the_request_page_says_before_that_nobody_can_sign(
    client_for: ClientFor, candidate: ModelVersion, alice: User
) -> None:
    page = client_for(alice).get(reverse("reviews:request", args=["credit", 1]))

    assert "nobody can sign as things are" in page.content.decode()


def test_a_gate_is_excepted_on_its_page(
    client_for: ClientFor, make_candidate: MakeCandidate, production: Stage, alice: User, bob: User, carol: User
) -> None:
    in_force(gates={GATE: {"excepted_by": "risk"}})
    review = ask(make_candidate(auc=0.74), production, alice)
    address = reverse("reviews:exception", args=["credit", review.version.number])
    client = client_for(carol)
    page = client.get(f"{address}?gate={GATE}")
    assert page.status_code == 200

    answer = client.post(
        address,
        {
            "gate": GATE,
            "reason": "The only model.",
            "compensating_control": "A person reads every refusal.",
            "ends": day(30),
            "expected_subject": current_subject(review.current_round).digest,
            "secret": PASSWORD,
        },
    )

    assert answer.status_code == 302, answer.content.decode()
    given = GateException.objects.get()
    assert "Excepted by Carol Adeyemi" in client.get(answer.headers["Location"]).content.decode()
    taken_back = client.post(
        reverse("reviews:withdraw-exception", args=["credit", review.version.number, given.uuid]), {"reason": "No."}
    )
    assert taken_back.status_code == 302


def test_stale_signatures_are_asked_for_again_once_for_each_state(review: Review, bob: User, alice: User) -> None:
    sign(review, "validator", bob)
    with pytest.raises(Conflict, match="Every signature still covers"):
        request_again(review.current_round, by=as_(alice))
    attach(review.version, "metrics", metrics(auc=0.86), by=alice)

    for _ in range(2):
        assert request_again(review.current_round, by=as_(alice)) == [bob]

    (told,) = Notification.objects.filter(event__contains=":again:")
    assert told.person == bob
    assert "The evaluation changed after you signed as Model validator" in told.body


def test_the_difference_is_shown_when_the_champion_moved_meanwhile(
    client_for: ClientFor,
    make_candidate: MakeCandidate,
    production: Stage,
    alice: User,
    bob: User,
    carol: User,
    rita: User,
) -> None:
    first, second = make_candidate(auc=0.84), make_candidate(auc=0.86)
    for version in (first, second):
        approve(ask(version, production, alice), bob, carol)
    promote(first, production, by=as_(rita))

    answer = client_for(rita).post(
        reverse("reviews:promote", args=["credit", second.number]), {"stage": "production", "expected_previous": ""}
    )

    assert answer.status_code == 409
    text = answer.content.decode()
    assert "Another version went live meanwhile" in text
    assert 'name="expected_previous" value="1"' in text


def test_withdrawing_an_approved_case_ends_the_approval(
    approved: Review, production: Stage, alice: User, rita: User
) -> None:
    withdraw_review(approved, by=as_(alice))

    approval = Approval.objects.get(version=approved.version)
    assert approval.lapse.kind == Lapse.Kind.WITHDRAWN
    assert ModelVersion.objects.get(pk=approved.version_id).state == ModelVersion.State.REGISTERED
    with pytest.raises(Conflict) as caught:
        promote(approved.version, production, by=as_(rita))
    assert "lapsed" in {one.key for one in caught.value.unmet}
    assert ask(approved.version, production, alice).current_round.is_open


def test_a_promoted_case_is_not_withdrawn(approved: Review, production: Stage, alice: User, rita: User) -> None:
    promote(approved.version, production, by=as_(rita))

    with pytest.raises(Conflict, match="closed already"):
        withdraw_review(approved, by=as_(alice))
