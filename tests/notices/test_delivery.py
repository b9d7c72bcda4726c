"""Mail through a real server: once, recognisable, kept when refused, and never in anybody's way."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.core import mail
from django.db import connection, transaction
from pytest_django.fixtures import Settings

from access.models import RoleAssignment, User
from notices import delivery
from notices.actions import tell
from notices.delivery import CLAIM, claim, deliver, due_at
from notices.models import MailPreference, Notification
from registry.models import RegisteredModel
from tests.notices.conftest import mail_through
from tests.notices.sink import Sink, listening

pytestmark = pytest.mark.django_db
Kind = Notification.Kind
MORNING = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(MORNING, tick=False) as traveller:
        yield traveller


def told(person: User, event: str = "round:1:turn", kind: Kind = Kind.TURN, **more: str) -> Notification:
    words = {"title": "Your sign-off is asked for", "body": "Better on young people.", "link": "/models/credit/v/1/"}
    tell([person], event=event, kind=kind, about=None, **{**words, **more})
    return Notification.objects.get(person=person, event=event)


def test_an_urgent_mail_leaves_within_one_run_and_is_noted(
    sink: Sink, clock: time_machine.Traveller, bob: User
) -> None:
    row = told(bob)

    assert deliver() == 1
    assert deliver() == 0

    (letter,) = sink.to("bob@example.org")
    row.refresh_from_db()
    assert letter["Subject"] == "Your sign-off is asked for"
    assert (row.mail_state, row.mailed_at, row.attempts) == ("sent", MORNING, 1)


def test_a_mail_says_the_same_in_text_and_html_and_links_to_the_page(sink: Sink, bob: User, settings: Settings) -> None:
    settings.PORTAL_URL = "https://models.example.org"
    told(bob, title="Is 3 < 4 & so on?", body="See <script>alert(1)</script>")

    deliver()

    (letter,) = sink.mails
    text, html = (letter.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None
    assert html is not None
    assert "https://models.example.org/models/credit/v/1/" in text.get_content()
    assert "Is 3 < 4 & so on?" in text.get_content()
    assert 'href="https://models.example.org/models/credit/v/1/"' in html.get_content()
    assert "<script>" not in html.get_content()
    assert "Nothing can be approved from this mail" in text.get_content()


def test_no_address_in_a_mail_decides_anything(sink: Sink, bob: User) -> None:
    told(bob)

    deliver()

    text = sink.mails[0].get_body(("plain",))
    assert text is not None
    addresses = re.findall(r"https?://\S+", text.get_content())
    assert [one.split("/", 3)[3] for one in addresses] == ["models/credit/v/1/", "me/"]


def test_headers_let_clients_thread_and_recognise_copies(sink: Sink, bob: User, settings: Settings) -> None:
    settings.PORTAL_URL = "https://models.example.org"
    first, second = told(bob), told(bob, "round:1:due", Kind.DUE)

    deliver()

    one, two = sink.mails
    assert one["Message-ID"] == f"<{first.uuid}@models.example.org>"
    assert two["Message-ID"] == f"<{second.uuid}@models.example.org>"
    assert one["References"] == two["References"]
    assert one["X-Countersign-Event"] == "round:1:turn"
    assert "notifications.models.example.org" in one["List-Id"]
    assert one["Auto-Submitted"] == "auto-generated"


def test_a_digest_leaves_once_at_its_hour(sink: Sink, clock: time_machine.Traveller, bob: User) -> None:
    told(bob, "job:1", Kind.JOB, title="Training of credit is done")
    told(bob, "job:2", Kind.JOB, title="Training of fraud failed")

    assert deliver() == 0
    clock.move_to(datetime(2026, 11, 24, 7, 0, tzinfo=UTC))
    assert deliver() == 1
    assert deliver() == 0

    (letter,) = sink.mails
    assert letter["Subject"] == "2 notifications: digest of 24 November 2026"
    text = letter.get_body(("plain",))
    assert text is not None
    assert text.get_content().index("credit is done") < text.get_content().index("fraud failed")
    assert MailPreference.objects.get(person=bob).digested_at == datetime(2026, 11, 24, 7, 0, tzinfo=UTC)


def test_off_sends_nothing_and_turning_it_on_again_does_not_send_what_was_missed(sink: Sink, bob: User) -> None:
    wish = MailPreference.objects.create(person=bob, mode="off")
    row = told(bob)

    assert deliver() == 0
    wish.mode = "urgent"
    wish.save()
    assert deliver() == 0

    row.refresh_from_db()
    assert row.mail_state == "unwanted"
    assert sink.mails == []


def test_a_server_that_is_down_is_asked_again_after_a_growing_pause(
    settings: Settings, clock: time_machine.Traveller, bob: User
) -> None:
    with listening() as gone:
        port = gone.port
    mail_through(settings, port)
    row = told(bob)

    assert deliver() == 0
    row.refresh_from_db()
    assert (row.mail_state, row.attempts, row.not_before) == ("waiting", 1, MORNING + timedelta(seconds=30))
    assert "refused" in row.last_error.lower()

    clock.shift(timedelta(seconds=29))
    assert deliver() == 0
    row.refresh_from_db()
    assert row.attempts == 1

    with listening(port) as back:
        clock.shift(timedelta(seconds=1))
        assert deliver() == 1
        assert back.mails[0]["Message-ID"].startswith(f"<{row.uuid}@")
    row.refresh_from_db()
    assert (row.mail_state, row.attempts, row.last_error) == ("sent", 2, "")


def test_a_server_that_is_down_is_asked_once_a_run(
    settings: Settings, bob: User, carol: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening() as gone:
        mail_through(settings, gone.port)
    told(bob), told(carol)
    asked = []
    opened = delivery.Post._connect

    def counted(post: delivery.Post) -> None:
        asked.append(post)
        opened(post)

    monkeypatch.setattr(delivery.Post, "_connect", counted)

    deliver()

    assert len(asked) == 1
    assert set(Notification.objects.values_list("attempts", flat=True)) == {1}


def test_an_address_that_is_refused_holds_up_nobody_else(sink: Sink, bob: User, carol: User) -> None:
    sink.refuse["bob@example.org"] = "451 try again later"
    row = told(bob)
    told(carol)

    assert deliver() == 1

    assert [one["To"] for one in sink.mails] == ["carol@example.org"]
    row.refresh_from_db()
    assert (row.mail_state, row.attempts) == ("waiting", 1)
    assert "451" in row.last_error


def test_an_address_that_does_not_exist_is_given_up_at_once_and_said_so(sink: Sink, bob: User) -> None:
    sink.refuse["bob@example.org"] = "550 no such user"
    row = told(bob)

    deliver()

    row.refresh_from_db()
    assert row.mail_state == "failed"
    assert "no such user" in row.last_error


def test_a_mail_is_given_up_after_three_days(sink: Sink, clock: time_machine.Traveller, bob: User) -> None:
    sink.refuse["bob@example.org"] = "451 try again later"
    row = told(bob)

    for _ in range(100):
        deliver()
        clock.shift(timedelta(hours=1))

    row.refresh_from_db()
    assert row.mail_state == "failed"
    assert 72 <= row.attempts <= 76


def test_one_connection_serves_all_mails_of_a_run(sink: Sink, bob: User, carol: User) -> None:
    told(bob), told(carol), told(bob, "round:2:turn")

    assert deliver() == 3

    assert sink.connections == 1


def test_a_claimed_letter_is_left_alone_until_the_claim_ends(
    sink: Sink, clock: time_machine.Traveller, bob: User
) -> None:
    told(bob)
    (letter,) = due_at(MORNING).letters
    assert claim(letter, MORNING)

    assert not claim(letter, MORNING)
    assert deliver() == 0

    clock.shift(CLAIM)
    assert deliver() == 1
    assert sink.mails[0]["Message-ID"].startswith(f"<{letter.uuid}@")


def test_a_worker_that_died_after_sending_leads_to_the_same_mail_again(
    sink: Sink, clock: time_machine.Traveller, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(bob, "job:1", Kind.JOB), told(bob, "job:2", Kind.JOB)
    clock.move_to(datetime(2026, 11, 24, 7, 0, tzinfo=UTC))

    class Killed(BaseException):
        pass

    def send_and_die(post: delivery.Post, message: mail.EmailMultiAlternatives) -> None:
        post._connection.send_messages([message])
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(delivery.Post, "send", send_and_die)
        with pytest.raises(Killed):
            deliver()
    told(bob, "job:3", Kind.JOB)
    clock.shift(CLAIM)
    assert deliver() == 1

    first, second = sink.mails
    assert first["Message-ID"] == second["Message-ID"]
    assert first["Subject"] == second["Subject"] == "2 notifications: digest of 24 November 2026"


def test_mail_leaves_only_for_what_was_committed(sink: Sink, bob: User) -> None:
    with transaction.atomic():
        told(bob)
        transaction.set_rollback(True)

    assert deliver() == 0


def test_people_without_an_address_or_who_left_are_not_written_to(sink: Sink, bob: User, carol: User) -> None:
    told(bob), told(carol)
    User.objects.filter(pk=bob.pk).update(email="")
    User.objects.filter(pk=carol.pk).update(is_active=False)

    assert deliver() == 0
    assert set(Notification.objects.values_list("mail_state", flat=True)) == {"unwanted"}


def test_two_hundred_people_are_served_in_a_fixed_number_of_reading_statements(
    sink: Sink, bob: User, carol: User, django_assert_max_num_queries
) -> None:
    for n in range(60):
        told(bob, f"round:{n}:turn"), told(carol, f"round:{n}:turn")

    with django_assert_max_num_queries(3):
        due = due_at(datetime.now(UTC))

    assert len(due.letters) == 120


@pytest.mark.django_db(transaction=True)
def test_workers_at_the_same_time_send_each_mail_once(sink: Sink, bob: User) -> None:
    for n in range(12):
        told(bob, f"round:{n}:turn")
    start = threading.Barrier(4)

    def work() -> None:
        try:
            start.wait()
            deliver()
        finally:
            connection.close()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    deliver()

    ids = [one["Message-ID"] for one in sink.mails]
    assert len(ids) == len(set(ids)) == 12


# --- rights that are gone when the mail leaves


def test_who_may_no_longer_see_the_model_gets_no_mail_about_it(
    sink: Sink, clock: time_machine.Traveller, bob: User, carol: User, model: RegisteredModel
) -> None:
    tell([bob, carol], event="job:1", kind=Kind.JOB, title="Training of credit is done", about=model)
    RoleAssignment.objects.filter(user=bob).delete()
    clock.shift(timedelta(days=1))

    assert deliver() == 1

    assert sink.to("bob@example.org") == []
    assert len(sink.to("carol@example.org")) == 1
    assert Notification.objects.get(person=bob).mail_state == "unwanted"
    assert deliver() == 0


def test_a_digest_leaves_without_what_may_no_longer_be_seen(
    sink: Sink, clock: time_machine.Traveller, bob: User, model: RegisteredModel
) -> None:
    tell([bob], event="job:1", kind=Kind.JOB, title="Training of credit is done", about=model)
    tell([bob], event="policy:1", kind=Kind.POLICY, title="A policy was published")
    RoleAssignment.objects.filter(user=bob).delete()
    clock.shift(timedelta(days=1))

    assert deliver() == 1

    (letter,) = sink.to("bob@example.org")
    assert "credit" not in letter.as_string()
    assert "A policy was published" in letter.as_string()
    assert dict(Notification.objects.values_list("event", "mail_state")) == {"job:1": "unwanted", "policy:1": "sent"}


def test_a_mail_that_was_refused_is_checked_anew_before_it_is_tried_again(
    sink: Sink, clock: time_machine.Traveller, bob: User, model: RegisteredModel
) -> None:
    tell([bob], event="round:1:turn", kind=Kind.TURN, title="Your turn at credit", about=model)
    sink.refuse["bob@example.org"] = "451 try again later"
    assert deliver() == 0
    RoleAssignment.objects.filter(user=bob).delete()
    sink.refuse.clear()
    clock.shift(timedelta(hours=1))

    assert deliver() == 0
    assert sink.mails == []


def test_who_may_no_longer_read_the_ledger_gets_no_mail_of_it(sink: Sink, dave: User) -> None:
    told(dave, "ledger:1", Kind.LEDGER)
    RoleAssignment.objects.filter(user=dave).delete()

    assert deliver() == 0
    assert sink.mails == []


def test_who_was_deactivated_while_the_mail_was_claimed_gets_none(sink: Sink, bob: User) -> None:
    told(bob)
    (letter,) = due_at(datetime.now(UTC)).letters
    User.objects.filter(pk=bob.pk).update(is_active=False)

    assert not delivery._send(letter, delivery.Post())
    assert sink.mails == []
    assert Notification.objects.get().mail_state == "unwanted"
