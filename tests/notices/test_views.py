"""The list of notifications, the bell, and the card about mail."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from access.models import RoleAssignment, User
from access.permissions import snapshot
from notices.actions import tell
from notices.models import MailPreference, Notification
from notices.queries import unread_count
from registry.models import RegisteredModel
from tests.conftest import as_

pytestmark = pytest.mark.django_db
Kind = Notification.Kind
ClientFor = Callable[[User], Client]


def said(person: User, n: int, kind: Kind = Kind.TURN) -> Notification:
    tell([person], event=f"event:{n}", kind=kind, title=f"Thing {n}", body="About it", link="/models/")
    return Notification.objects.get(person=person, event=f"event:{n}")


def test_unread_stand_first_and_the_newest_among_them(client_for: ClientFor, bob: User) -> None:
    now = timezone.now()
    for n in range(4):
        said(bob, n)
        Notification.objects.filter(event=f"event:{n}").update(at=now - timedelta(hours=9 - n))
    Notification.objects.filter(event="event:3").update(read_at=now)

    page = client_for(bob).get("/notifications/").content.decode()

    places = [page.index(f"Thing {n}") for n in (2, 1, 0, 3)]
    assert places == sorted(places)


def test_nobody_sees_what_others_were_told(client_for: ClientFor, bob: User, carol: User) -> None:
    row = said(bob, 1)
    client = client_for(carol)

    assert "Thing 1" not in client.get("/notifications/").content.decode()
    assert client.get(f"/notifications/{row.uuid}/").status_code == 404
    assert client.post(f"/notifications/{row.uuid}/read/").status_code == 404
    assert Notification.objects.unread().count() == 1


def test_what_one_may_no_longer_see_is_neither_listed_counted_opened_nor_read(
    client_for: ClientFor, api_for: Callable[[User], APIClient], bob: User, model: RegisteredModel
) -> None:
    tell([bob], event="turn:1", kind=Kind.TURN, title="Your turn at credit", about=model)
    said(bob, 2)
    row = Notification.objects.get(event="turn:1")
    assert unread_count(as_(bob)) == 2

    RoleAssignment.objects.filter(user=bob).delete()

    client = client_for(bob)
    page = client.get("/notifications/").text
    assert "Your turn at credit" not in page
    assert "1 unread" in page
    assert unread_count(as_(bob)) == 1
    assert [one["title"] for one in api_for(bob).get("/api/v1/notifications/").json()["results"]] == ["Thing 2"]
    assert client.get(f"/notifications/{row.uuid}/").status_code == 404
    client.post("/notifications/read/")
    assert list(Notification.objects.unread()) == [row], "it is there, unread, should the access come back"


def test_a_notice_about_the_ledger_is_for_those_who_may_read_it_now(dave: User, client_for: ClientFor) -> None:
    said(dave, 1, Kind.LEDGER)
    assert "Thing 1" in client_for(dave).get("/notifications/").text

    RoleAssignment.objects.filter(user=dave).delete()

    assert "Thing 1" not in client_for(dave).get("/notifications/").text


def test_going_to_the_page_reads_it(client_for: ClientFor, bob: User) -> None:
    row = said(bob, 1)

    answer = client_for(bob).get(f"/notifications/{row.uuid}/")

    assert (answer.status_code, answer["Location"]) == (302, "/models/")
    assert not Notification.objects.unread().exists()


def test_one_or_all_are_marked_as_read(client_for: ClientFor, bob: User) -> None:
    rows = [said(bob, n) for n in range(3)] + [said(bob, 3, Kind.JOB)]
    client = client_for(bob)

    client.post(f"/notifications/{rows[0].uuid}/read/")
    assert Notification.objects.unread().count() == 3
    answer = client.post("/notifications/read/", {"kind": "turn"}, follow=True)
    assert "2 notifications marked as read" in answer.content.decode()
    assert [one.kind for one in Notification.objects.unread()] == ["job"]


def test_the_list_narrows_to_a_kind_and_comes_in_pages(client_for: ClientFor, bob: User) -> None:
    for n in range(35):
        said(bob, n)
    said(bob, 99, Kind.JOB)
    client = client_for(bob)

    assert "Thing 99" in client.get("/notifications/?kind=job").content.decode()
    assert "Thing 1<" not in client.get("/notifications/?kind=job").content.decode()
    assert "Page 1 of 2" in client.get("/notifications/?kind=nonsense").content.decode()
    assert "31 to 36 of 36" in client.get("/notifications/?page=2").content.decode()


def test_an_empty_list_says_what_will_stand_there(client_for: ClientFor, bob: User) -> None:
    client = client_for(bob)

    assert "Nothing yet" in client.get("/notifications/").content.decode()
    assert "Nothing of this kind" in client.get("/notifications/?kind=job").content.decode()


def test_the_bell_counts_what_is_unread_in_one_statement(
    client_for: ClientFor, bob: User, django_assert_num_queries, django_assert_max_num_queries
) -> None:
    client = client_for(bob)
    for n in range(3):
        said(bob, n)

    by = snapshot(as_(bob))

    with django_assert_num_queries(1):
        assert unread_count(by) == 3
    with django_assert_max_num_queries(12):
        page = client.get("/notifications/").content.decode()
    assert '<span class="count">3<span class="vh"> unread' in page


def test_a_mail_that_could_not_leave_is_said_so(client_for: ClientFor, bob: User) -> None:
    said(bob, 1)
    Notification.objects.update(attempts=2, last_error="SMTPConnectError: 421 busy")

    page = client_for(bob).get("/notifications/").content.decode()

    assert "mail not accepted yet, tried 2 times: SMTPConnectError: 421 busy" in page


def test_mail_is_chosen_on_ones_own_page(client_for: ClientFor, bob: User) -> None:
    client = client_for(bob)
    assert "Send me a test mail" in client.get("/me/").content.decode()

    answer = client.post("/me/mail/", {"mode": "digest", "digest_hour": "16"})

    assert answer["Location"] == "/me/#mail"
    kept = MailPreference.objects.get()
    assert (kept.mode, kept.digest_hour) == ("digest", 16)
    assert '<option value="16" selected>' in client.get("/me/").content.decode()


def test_a_choice_that_is_none_changes_nothing(client_for: ClientFor, bob: User) -> None:
    assert client_for(bob).post("/me/mail/", {"mode": "loud", "digest_hour": "25"}).status_code == 400
    assert not MailPreference.objects.exists()


def test_a_test_mail_is_asked_for_on_ones_own_page(client_for: ClientFor, bob: User) -> None:
    page = client_for(bob).post("/me/mail/test/", follow=True).content.decode()

    assert "A test mail that you asked for" in page
    assert Notification.objects.get().kind == Kind.TEST


@pytest.mark.parametrize("path", ["/notifications/read/", "/me/mail/", "/me/mail/test/"])
def test_what_changes_something_is_posted(client_for: ClientFor, bob: User, path: str) -> None:
    assert client_for(bob).get(path).status_code == 405
