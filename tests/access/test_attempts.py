"""Attempts that no credential stands behind: every one is counted, none is silent, and nobody fills the ledger with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import time_machine
from django.conf import settings
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from access import actions, attempts
from access.actions import issue_token
from access.models import RefusedAttempts, User
from access.permissions import Permission
from access.tasks import record_attempts
from access.token_format import NewToken
from audit.actions import NotAppended
from audit.events import Action
from tests.access.ledger import disclosed, entries, outcomes, public_bytes
from tests.conftest import as_

pytestmark = pytest.mark.django_db

ME = "/api/v1/me/"


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(timezone.now(), tick=False) as traveller:
        yield traveller


def knock(secret: str = "", address: str = "203.0.113.9") -> int:
    client = APIClient(REMOTE_ADDR=address)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret or NewToken.make().text}")
    return int(client.get(ME).status_code)


def counted(action: Action = Action.TOKEN_USE) -> list[int]:
    return [entry["d"]["after"]["attempts"] for entry in entries(action)]


# --- tokens


def test_a_token_that_was_never_issued_is_on_record_by_its_prefix_and_its_secret_is_not(client: Client) -> None:
    fresh = NewToken.make()

    assert knock(fresh.text) == 401

    (entry,) = entries()
    assert (entry["action"], entry["outcome"], entry["why"]) == ("token.use", "denied", "unknown-token")
    assert entry["obj"]["id"] == fresh.prefix
    assert fresh.text.split("_", 2)[2].encode() not in public_bytes()
    assert disclosed()["ip"] == {"203.0.113.9"}
    assert b"203.0.113.9" not in public_bytes()


def test_what_is_no_token_is_on_record_without_a_word_of_it() -> None:
    assert knock("hunter2hunter2") == 401

    (entry,) = entries()
    assert (entry["obj"]["id"], entry["why"]) == ("unknown", "unknown-token")
    assert b"hunter2" not in public_bytes()
    assert not any("hunter2" in value for values in disclosed().values() for value in values)


def test_a_hundred_guesses_in_a_minute_are_one_entry_and_then_one_with_their_number(
    clock: time_machine.Traveller,
) -> None:
    for _ in range(100):
        knock()
    assert counted() == [1]

    clock.shift(61)
    assert record_attempts() == 1

    assert counted() == [1, 99]
    assert disclosed()["ip"] == {"203.0.113.9"}


def test_the_next_attempt_after_the_minute_says_how_many_there_were(clock: time_machine.Traveller) -> None:
    for _ in range(5):
        knock()
    clock.shift(60)
    knock()

    assert counted() == [1, 5]


def test_a_minute_in_which_nothing_was_added_leaves_no_entry_and_no_address(clock: time_machine.Traveller) -> None:
    knock()
    clock.shift(61)

    assert record_attempts() == 0
    assert not RefusedAttempts.objects.exists()


def test_what_was_just_put_on_record_begins_a_new_minute(clock: time_machine.Traveller) -> None:
    knock(), knock()
    clock.shift(61)
    record_attempts()
    knock()

    assert counted() == [1, 1]
    assert record_attempts() == 0


def test_a_known_token_is_not_hidden_behind_guesses(scorer: User, erin: User) -> None:
    issued = issue_token(scorer, name="batch", scopes=[Permission.PULL_VERSION], models=[], days=30, by=as_(erin))
    actions.revoke_token(issued.token, by=as_(erin))
    knock()

    knock(issued.secret)

    assert [entry["obj"]["id"] for entry in entries(Action.TOKEN_USE)][1:] == [issued.token.prefix]


def test_one_network_of_version_6_is_one_place(clock: time_machine.Traveller) -> None:
    for host in range(20):
        knock(address=f"2001:db8:0:1::{host:x}")

    assert counted() == [1]
    assert attempts.source_of("2001:db8:0:1::7") == "2001:db8:0:1::/64"
    assert attempts.source_of("::ffff:203.0.113.9") == "203.0.113.9"
    assert attempts.source_of("") == ""


def test_many_addresses_fill_the_ledger_no_faster_than_a_few(
    clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "SOURCES", 3)

    for last in range(50):
        knock(address=f"198.51.100.{last}")
    clock.shift(61)
    record_attempts()

    assert counted() == [1, 1, 1, 1, 46]
    assert entries(Action.TOKEN_USE)[-1]["d"]["after"]["from"] == "many addresses"


def test_where_the_attempt_cannot_be_recorded_it_is_refused_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise NotAppended("no")

    monkeypatch.setattr(attempts, "append", full)

    assert knock() == 401
    assert entries() == []


# --- sessions


def test_a_session_that_has_expired_is_on_record_with_whose_it_was(
    bob: User, client_for: Callable[[User], Client]
) -> None:
    client = client_for(bob)
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))

    refused = client.get("/models/")

    assert refused.status_code == 302
    (entry,) = entries(Action.SESSION_USE)
    assert (entry["outcome"], entry["why"]) == ("denied", "expired-session")
    assert (entry["obj"]["kind"], entry["obj"]["id"]) == ("person", str(bob.uuid))
    assert entry["actor"]["kind"] == "anonymous"


@pytest.mark.parametrize("path", [ME, "/models/credit/", "/no/such/address/"])
def test_a_made_up_session_is_on_record_once_a_minute(path: str, clock: time_machine.Traveller) -> None:
    for number in range(4):
        client = Client()
        client.cookies[settings.SESSION_COOKIE_NAME] = f"{number}" * 32
        assert client.get(path).status_code in {302, 401, 404}
    clock.shift(61)
    record_attempts()

    assert outcomes(Action.SESSION_USE) == [("denied", "unknown-session")] * 2
    assert counted(Action.SESSION_USE) == [1, 3]


def test_the_session_of_a_closed_account_is_on_record(
    bob: User, erin: User, client_for: Callable[[User], Client]
) -> None:
    client = client_for(bob)
    User.objects.filter(pk=bob.pk).update(is_active=False)

    client.get("/models/")

    assert outcomes(Action.SESSION_USE) == [("denied", "inactive-account")]


def test_who_has_tried_nothing_is_not_on_record(client: Client) -> None:
    client.get("/models/")
    client.get(ME)
    client.get("/accounts/login/")
    client.session["seen"] = True
    session = client.session
    session["seen"] = True
    session.save()
    client.get("/models/")

    assert entries() == []


def test_a_page_for_everybody_asks_for_no_session(client: Client) -> None:
    client.cookies[settings.SESSION_COOKIE_NAME] = "a" * 32

    assert client.get("/verify/").status_code == 200
    assert entries() == []


def test_a_wrong_token_beside_a_lost_session_is_one_entry() -> None:
    client = APIClient()
    client.cookies[settings.SESSION_COOKIE_NAME] = "a" * 32
    client.credentials(HTTP_AUTHORIZATION="Bearer x")

    assert client.get(ME).status_code == 401
    assert client.get(ME).status_code == 401
    assert outcomes(Action.TOKEN_USE) == [("denied", "unknown-token")]
    assert outcomes(Action.SESSION_USE) == []
