"""Notifications over the API."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from access.models import User
from notices.actions import tell
from notices.models import Notification

pytestmark = pytest.mark.django_db
ApiFor = Callable[[User | str], APIClient]


@pytest.fixture
def told(bob: User, carol: User) -> Notification:
    tell([bob, carol], event="round:1:turn", kind=Notification.Kind.TURN, title="Your turn", link="/models/")
    tell([bob], event="job:1", kind=Notification.Kind.JOB, title="Done")
    return Notification.objects.get(person=bob, event="round:1:turn")


def test_lists_ones_own(api_for: ApiFor, bob: User, told: Notification) -> None:
    client = api_for(bob)

    assert {one["event"] for one in client.get("/api/v1/notifications/").json()["results"]} == {"round:1:turn", "job:1"}
    assert client.get("/api/v1/notifications/?kind=job").json()["count"] == 1


def test_marks_one_or_all_as_read(api_for: ApiFor, bob: User, told: Notification) -> None:
    client = api_for(bob)

    assert client.post(f"/api/v1/notifications/{told.uuid}/read/").json()["read_at"]
    assert client.get("/api/v1/notifications/?unread=true").json()["count"] == 1
    assert client.post("/api/v1/notifications/read/").json() == {"read": 1}


def test_somebody_elses_is_not_found(api_for: ApiFor, carol: User, told: Notification) -> None:
    assert api_for(carol).post(f"/api/v1/notifications/{told.uuid}/read/").status_code == 404


def test_a_preference_is_read_and_kept(api_for: ApiFor, bob: User) -> None:
    client = api_for(bob)

    assert client.get("/api/v1/notifications/preference/").json() == {"mode": "urgent", "digest_hour": 7}
    answer = client.put("/api/v1/notifications/preference/", {"mode": "off", "digest_hour": 8}, format="json")
    assert answer.json() == {"mode": "off", "digest_hour": 8}
    assert (
        client.put("/api/v1/notifications/preference/", {"mode": "off", "digest_hour": 24}, format="json").status_code
        == 400
    )


def test_a_service_is_not_written_to(api_for: ApiFor, scorer_token: str) -> None:
    client = api_for(scorer_token)

    assert client.get("/api/v1/notifications/").json()["count"] == 0
    assert client.get("/api/v1/notifications/preference/").status_code == 403


def test_nobody_is_asked_to_sign_in(told: Notification) -> None:
    assert APIClient().get("/api/v1/notifications/").status_code == 401
