"""Telling people, reading, and choosing one's mail."""

from __future__ import annotations

import pytest
from django.db import transaction

from access import actions as access_actions
from access.models import User
from access.principal import Principal
from audit.models import Pending
from foundation.refusals import Conflict, Forbidden, Invalid
from notices.actions import mark_all_read, mark_read, send_test, set_preference, tell
from notices.models import MailPreference, Notification
from registry.models import RegisteredModel
from tests.conftest import as_

pytestmark = pytest.mark.django_db
Kind = Notification.Kind


def said(*people: User, event: str = "round:1:turn", title: str = "Your turn", link: str = "/") -> None:
    tell(people, event=event, kind=Kind.TURN, title=title, link=link)


def ledger() -> list[bytes]:
    return [bytes(one) for one in Pending.objects.values_list("payload", flat=True)]


def test_each_person_is_told_once_about_an_event(bob: User, carol: User) -> None:
    said(bob, carol, bob)
    said(bob)

    assert sorted(Notification.objects.values_list("person__username", flat=True)) == ["bob", "carol"]


def test_only_active_people_are_told(bob: User, scorer: User, erin: User) -> None:
    access_actions.deactivate(bob, by=as_(erin))
    bob.refresh_from_db()

    said(bob, scorer)

    assert not Notification.objects.exists()


def test_of_a_model_only_those_are_told_who_may_see_it(bob: User, root: User, model: RegisteredModel) -> None:
    tell([bob, root], event="round:1:turn", kind=Kind.TURN, title="Your turn at credit", about=model)

    assert [one.person for one in Notification.objects.all()] == [bob]


def test_what_was_undone_was_never_told(bob: User) -> None:
    with transaction.atomic():
        said(bob)
        transaction.set_rollback(True)

    assert not Notification.objects.exists()


@pytest.mark.parametrize("link", ["https://example.org/", "//example.org/", "javascript:alert(1)", "models/"])
def test_a_notification_leads_nowhere_else(bob: User, link: str) -> None:
    with pytest.raises(ValueError, match="page of this portal"):
        said(bob, link=link)


@pytest.mark.parametrize("event", ["", "x" * 121])
def test_an_event_has_a_stable_id(bob: User, event: str) -> None:
    with pytest.raises(ValueError, match="1 to 120"):
        said(bob, event=event)


def test_a_title_is_one_line_that_fits(bob: User) -> None:
    said(bob, title="First\r\nBcc: everybody@example.org " + "x" * 300)

    title = Notification.objects.get().title
    assert "\n" not in title
    assert len(title) == 200


def test_one_reads_ones_own(bob: User, carol: User) -> None:
    said(bob)
    row = Notification.objects.get()

    with pytest.raises(Forbidden, match="the one whom it was written to"):
        mark_read(row, by=as_(carol))
    first = mark_read(row, by=as_(bob)).read_at

    assert first is not None
    assert mark_read(row, by=as_(bob)).read_at == first
    assert sum(b'"notification.read"' in one and b'"ok"' in one for one in ledger()) == 1


def test_all_of_one_kind_are_read_at_once_and_nobody_elses(bob: User, carol: User) -> None:
    said(bob, carol)
    tell([bob], event="job:1", kind=Kind.JOB, title="Done")

    assert mark_all_read(Kind.TURN, by=as_(bob)) == 1
    assert mark_all_read(by=as_(bob)) == 1
    assert mark_all_read(by=as_(bob)) == 0

    assert [one.person for one in Notification.objects.unread()] == [carol]


def test_a_kind_that_is_none_is_refused(bob: User) -> None:
    with pytest.raises(Invalid):
        mark_all_read("secrets", by=as_(bob))


def test_nobody_has_no_notifications() -> None:
    with pytest.raises(Forbidden):
        mark_all_read(by=Principal.anonymous())


def test_one_chooses_ones_own_mail(bob: User, carol: User) -> None:
    set_preference(bob, mode="digest", digest_hour=16, by=as_(bob))
    set_preference(bob, mode="off", digest_hour=0, by=as_(bob))

    kept = MailPreference.objects.get()
    assert (kept.person, kept.mode, kept.digest_hour) == (bob, "off", 0)
    with pytest.raises(Forbidden, match="their own mail"):
        set_preference(bob, mode="urgent", digest_hour=7, by=as_(carol))
    assert any(b'"notification.set"' in one and b'"digest"' in one for one in ledger())


@pytest.mark.parametrize(("mode", "hour"), [("loud", 7), ("digest", 24), ("digest", -1)])
def test_a_choice_that_is_none_is_refused(bob: User, mode: str, hour: int) -> None:
    with pytest.raises(Invalid, match="left as it was"):
        set_preference(bob, mode=mode, digest_hour=hour, by=as_(bob))

    assert not MailPreference.objects.exists()


def test_a_test_mail_is_asked_for_once_a_minute(bob: User, carol: User) -> None:
    first = send_test(bob, by=as_(bob))

    assert send_test(bob, by=as_(bob)).pk == first.pk
    with pytest.raises(Forbidden):
        send_test(bob, by=as_(carol))


def test_a_test_mail_needs_an_address(bob: User) -> None:
    bob.email = ""

    with pytest.raises(Conflict, match="no e-mail address"):
        send_test(bob, by=as_(bob))
