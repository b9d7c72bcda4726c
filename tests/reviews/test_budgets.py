"""What the two pages that people open all day may cost."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from access.models import User
from audit import integrity
from registry.models import ModelVersion
from tests.reviews.populated import busy_review, many_reviews

pytestmark = pytest.mark.django_db
Browser = Callable[[User], Client]


def ledger_known() -> None:
    """What the banner over every page says of the ledger is asked for once in ten seconds by each process, not once a page."""
    integrity.remembered()


def test_review_page_with_much_evidence_and_talk_takes_at_most_25_queries(
    alice: User,
    bob: User,
    carol: User,
    rita: User,
    client_for: Browser,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    review = busy_review(author=alice, validator=bob, risk=carol, promoter=rita)
    assert review.version.evidence.count() == 40
    assert review.comments.count() == 200

    for reader in (bob, carol, alice, rita):
        browser = client_for(reader)
        ledger_known()
        with django_assert_max_num_queries(25):
            answer = browser.get(f"/models/busy/v/{review.version.number}/")
        assert answer.status_code == 200


def test_inbox_of_a_reviewer_with_500_open_reviews_takes_at_most_10_queries(
    alice: User,
    bob: User,
    candidate: ModelVersion,
    client_for: Browser,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    many_reviews(author=alice, like=candidate, number=500)
    browser = client_for(bob)
    ledger_known()

    with django_assert_max_num_queries(10):
        answer = browser.get("/")

    assert answer.status_code == 200
