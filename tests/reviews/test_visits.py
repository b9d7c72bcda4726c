"""What is new since one's last visit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from access.models import User
from registry import actions as registry_actions
from reviews.actions import open_thread
from reviews.models import Review, Visit
from tests.conftest import as_
from tests.reviews.conftest import attach, sign
from tests.reviews.evidence import CARD, fairness
from tests.reviews.test_pages import address, words

pytestmark = pytest.mark.django_db
Browser = Callable[[User], Client]


def test_the_first_visit_has_nothing_new_and_is_noted(review: Review, bob: User, client_for: Browser) -> None:
    page = words(client_for(bob).get(address("version", review.version)))

    assert "since your last visit" not in page
    assert Visit.objects.get(person=bob).before is None


def test_a_later_visit_tells_what_others_said_signed_attached_and_revised(
    review: Review, bob: User, carol: User, alice: User, client_for: Browser
) -> None:
    browser = client_for(bob)
    browser.get(address("version", review.version))
    open_thread(review, "Why is the gap so wide?", section="fairness", by=as_(carol))
    open_thread(review, "My own words.", by=as_(bob))
    sign(review, "risk", carol)
    attach(review.version, "fairness", fairness(0.9, 0.9), by=alice)
    registry_actions.revise_card(review.version, CARD | {"limitations": "Few people under 25 in it."}, by=as_(alice))

    with time_machine.travel(timezone.now() + timedelta(hours=2)):
        page = words(client_for(bob).get(address("version", review.version)))

    assert "what happened since your last visit" in page
    for said in (
        "1 comment",
        "1 signature",
        "1 piece of evidence",
        "1 revision of the card",
        "changed gate",
        "new to you",
    ):
        assert said in page, said


def test_a_reload_within_the_visit_hides_nothing(review: Review, bob: User, carol: User, client_for: Browser) -> None:
    browser = client_for(bob)
    browser.get(address("version", review.version))
    open_thread(review, "Why is the gap so wide?", by=as_(carol))
    later = timezone.now() + timedelta(hours=2)
    with time_machine.travel(later):
        browser = client_for(bob)
        browser.get(address("version", review.version))
    with time_machine.travel(later + timedelta(minutes=10)):
        again = words(browser.get(address("version", review.version)))
    with time_machine.travel(later + timedelta(hours=3)):
        next_visit = words(client_for(bob).get(address("version", review.version)))

    assert "since your last visit ( 1 comment" in again
    assert "nothing new since" in next_visit
