"""Mail on your turn, through the outbox."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.core import mail

from access.models import User
from jobs.models import Job
from reviews.models import Review
from tests.reviews.conftest import sign

pytestmark = pytest.mark.django_db


def test_whoever_may_sign_is_told_and_nobody_else(
    review: Review, bob: User, carol: User, perform_jobs: Callable[[], int]
) -> None:
    perform_jobs()

    assert {tuple(message.to) for message in mail.outbox} == {("bob@example.org",), ("carol@example.org",)}
    assert all("/models/credit/v/1/" in message.body for message in mail.outbox)
    assert not any("sign/" in message.body for message in mail.outbox)


def test_requester_is_told_of_the_decision(
    review: Review, alice: User, bob: User, carol: User, perform_jobs: Callable[[], int]
) -> None:
    perform_jobs()
    mail.outbox.clear()

    sign(review, "validator", bob, decision="request_changes", reason="Explain the age gap.")
    perform_jobs()

    assert [message.to for message in mail.outbox] == [["alice@example.org"]]


def test_mail_leaves_only_after_the_commit(review: Review) -> None:
    assert mail.outbox == []
    assert Job.objects.filter(kind="reviews.notify").count() == 1
