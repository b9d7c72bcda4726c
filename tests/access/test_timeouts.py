"""How long a session lasts: while its person does something, never past its limit, and with a sentence when it is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import time_machine
from django.conf import settings as django_settings
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from access.models import User
from access.timeouts import BEGAN
from audit.events import Action
from foundation.refusals import Unauthenticated
from serving import mlflow_ui
from tests.access.ledger import entries, outcomes

pytestmark = pytest.mark.django_db

SECOND = timedelta(seconds=1)
IDLE = timedelta(minutes=30)
DAY = timedelta(hours=12)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(timezone.now(), tick=False) as traveller:
        yield traveller


def signed_in(client: Client) -> bool:
    return client.get("/me/").status_code == 200


def limits_on_record() -> list[str]:
    return [entry["d"]["after"]["limit"] for entry in entries(Action.SESSION_END)]


def test_a_session_ends_after_thirty_idle_minutes_and_not_a_second_before(
    bob: User, carol: User, clock: time_machine.Traveller, client_for: Callable[[User], Client]
) -> None:
    in_time, late = client_for(bob), client_for(carol)

    clock.shift(IDLE - SECOND)
    assert signed_in(in_time)
    clock.shift(SECOND)

    assert not signed_in(late)
    assert signed_in(in_time)


def test_a_session_ends_after_twelve_hours_of_work(
    bob: User, clock: time_machine.Traveller, client_for: Callable[[User], Client]
) -> None:
    client = client_for(bob)
    for _ in range(47):
        clock.shift(timedelta(minutes=15))
        assert signed_in(client)

    clock.shift(timedelta(minutes=15) - SECOND)
    assert signed_in(client)
    clock.shift(SECOND)

    assert not signed_in(client)


def test_the_next_login_says_why_the_last_one_is_over_and_only_once(
    bob: User, clock: time_machine.Traveller, client_for: Callable[[User], Client]
) -> None:
    client = client_for(bob)
    clock.shift(IDLE)

    page = client.get("/people/", follow=True)

    assert page.redirect_chain == [("/accounts/login/?next=/people/", 302)]
    assert b"You were logged out after 30 minutes without doing anything." in page.content
    client.force_login(bob, backend="django.contrib.auth.backends.ModelBackend")
    client.post("/accounts/logout/")
    assert b"You were logged out" not in client.get("/accounts/login/").content


def test_a_session_that_is_over_is_on_record_once_and_its_key_opens_nothing(
    bob: User, clock: time_machine.Traveller, client_for: Callable[[User], Client]
) -> None:
    client = client_for(bob)
    key = client.session.session_key
    clock.shift(DAY)

    assert not signed_in(client)
    assert not signed_in(client)

    assert limits_on_record() == ["absolute"]
    assert outcomes(Action.SESSION_USE) == []
    assert entries(Action.SESSION_END)[0]["obj"]["id"] == str(bob.uuid)
    assert not Session.objects.filter(session_key=key).exists()
    thief = Client()
    thief.cookies[django_settings.SESSION_COOKIE_NAME] = str(key)
    assert not signed_in(thief)


def test_a_page_that_asks_by_itself_keeps_nobody_signed_in(
    bob: User, clock: time_machine.Traveller, client_for: Callable[[User], Client]
) -> None:
    client = client_for(bob)

    for _ in range(2):
        clock.shift(IDLE / 2 - SECOND)
        client.get("/me/?part=live", headers={"HX-Request": "true"})
    clock.shift(2 * SECOND)

    assert not signed_in(client)


def test_an_api_request_of_an_idle_session_is_refused(
    bob: User, clock: time_machine.Traveller, client_for: Callable[[User], Client]
) -> None:
    client = client_for(bob)
    clock.shift(IDLE)

    assert client.get("/api/v1/me/").status_code == 401


def test_mlflow_s_pages_open_to_no_session_that_is_over(
    bob: User, clock: time_machine.Traveller, client_for: Callable[[User], Client]
) -> None:
    cookie = f"{django_settings.SESSION_COOKIE_NAME}={client_for(bob).session.session_key}"
    assert mlflow_ui.session_of({"cookie": cookie}, {"REMOTE_ADDR": "127.0.0.1"}).user == bob

    clock.shift(IDLE)

    with pytest.raises(Unauthenticated):
        mlflow_ui.session_of({"cookie": cookie}, {"REMOTE_ADDR": "127.0.0.1"})


def test_a_session_without_a_clock_is_over(bob: User, client_for: Callable[[User], Client]) -> None:
    client = client_for(bob)
    session = client.session
    del session[BEGAN]
    session.save()

    assert not signed_in(client)
