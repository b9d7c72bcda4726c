"""Sends the mail that is due: a letter is claimed before it leaves, so that two workers never send the same, and kept until it has.

At least once: a worker that dies between sending and noting it leaves a claim that runs out, and the same letter, with the same
Message-ID, leaves again. A server that refuses, or that cannot be reached, holds up nobody else's mail. Whether the person may
still know what it says is asked once more when it leaves: rights may have gone between what happened and its digest.
"""

from __future__ import annotations

import smtplib
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.core.mail import EmailMultiAlternatives, get_connection
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from access.models import User
from access.permissions import snapshot
from access.principal import Principal
from notices.letters import written
from notices.mailing import GIVEN_UP_AFTER, Due, Letter, Waiting, Wish, pause, what_is_due
from notices.models import MailPreference, Notification
from notices.queries import knowable

log = structlog.get_logger(__name__)

CLAIM: Final = timedelta(minutes=5)
MOST: Final = 200
Mail = Notification.Mail


def deliver() -> int:
    """Send what is due now, at most `MOST` letters; returns how many left."""
    due = due_at(timezone.now())
    Notification.objects.waiting().filter(pk__in=due.unwanted).update(mail_state=Mail.UNWANTED)
    post = Post()
    try:
        return sum(_send(letter, post) for letter in due.letters[:MOST])
    finally:
        post.close()


def due_at(now: datetime) -> Due:
    """What is due at `now`, read from the tables in three statements."""
    rows = list(
        Notification.objects.waiting()
        .filter(Q(not_before=None) | Q(not_before__lte=now))
        .order_by("at", "pk")
        .values_list("pk", "uuid", "person_id", "kind", "at", "read_at", "letter", "not_before")
    )
    waiting = [
        Waiting(pk, uuid, person, kind, at, read is not None, letter, not_before)
        for pk, uuid, person, kind, at, read, letter, not_before in rows
    ]
    return what_is_due(waiting, _wishes({one.person for one in waiting}), now)


def _wishes(people: set[int]) -> dict[int, Wish]:
    kept = {one.person_id: one for one in MailPreference.objects.filter(person__in=people)}
    found = {}
    for pk, active, email in User.objects.filter(pk__in=people).values_list("pk", "is_active", "email"):
        wish = kept.get(pk, MailPreference())
        found[pk] = Wish(wish.mode, wish.digest_hour, wish.digested_at, reachable=bool(active and email))
    return found


def claim(letter: Letter, now: datetime) -> bool:
    """Take the letter for this worker, whole or not at all; a claim ends by itself after `CLAIM`."""
    with transaction.atomic():
        rows = (
            Notification.objects.waiting()
            .filter(pk__in=letter.notifications)
            .filter(Q(not_before=None) | Q(not_before__lte=now), Q(letter=None) | Q(letter=letter.uuid))
        )
        # Rows that another worker has locked are left out, in a fixed order: neither waits for the other.
        free = list(rows.select_for_update(skip_locked=True).order_by("pk").values_list("pk", flat=True))
        if set(free) != set(letter.notifications):
            return False
        Notification.objects.filter(pk__in=free).update(letter=letter.uuid, not_before=now + CLAIM)
        if letter.digest:
            MailPreference.objects.update_or_create(person_id=letter.person, defaults={"digested_at": now})
    return True


class Post:
    """One connection to the mail server for one run; once the server could not be reached, it is not tried again in this run."""

    def __init__(self) -> None:
        self._connection = get_connection()
        self._open = False
        self._unreachable: Exception | None = None

    def send(self, message: EmailMultiAlternatives) -> None:
        """Send one mail. Raises `OSError` (which `smtplib.SMTPException` is) when it did not leave."""
        if self._unreachable is not None:
            raise self._unreachable
        if not self._open:
            self._connect()
        try:
            self._connection.send_messages([message])
        except OSError:
            self.close()
            raise

    def _connect(self) -> None:
        try:
            self._connection.open()
        except OSError as error:
            self._unreachable = error
            raise
        self._open = True

    def close(self) -> None:
        """Hang up."""
        if self._open:
            self._open = False
            try:
                self._connection.close()
            except OSError as error:
                log.info("mail_connection_lost", why=str(error))


def _send(letter: Letter, post: Post) -> bool:
    now = timezone.now()
    if not claim(letter, now):
        return False
    inside = _still_theirs(
        list(Notification.objects.filter(pk__in=letter.notifications).select_related("person").order_by("at", "pk"))
    )
    if not inside:
        return False
    try:
        post.send(written(letter, inside[0].person, inside, now))
    except (OSError, ValueError) as error:  # ValueError: an address or a header that no mail can have
        _failed(letter, inside, error)
        return False
    Notification.objects.waiting().filter(pk__in=[one.pk for one in inside]).update(
        mail_state=Mail.SENT,
        mailed_at=timezone.now(),
        not_before=None,
        attempts=inside[0].attempts + 1,
        last_error="",
    )
    log.info("mail_sent", letter=str(letter.uuid), notifications=len(inside))
    return True


def _still_theirs(inside: list[Notification]) -> list[Notification]:
    """Those that their person may know of now; the others are never mailed."""
    person = inside[0].person
    by = snapshot(Principal.of(person))
    known = set(
        knowable(Notification.objects.filter(pk__in=[one.pk for one in inside]), by).values_list("pk", flat=True)
    )
    kept = [one for one in inside if person.is_active and person.email and one.pk in known]
    lost = {one.pk for one in inside} - {one.pk for one in kept}
    if lost:
        Notification.objects.waiting().filter(pk__in=lost).update(mail_state=Mail.UNWANTED, not_before=None)
        log.info("mail_withheld", person=person.pk, notifications=len(lost))
    return kept


def _failed(letter: Letter, inside: list[Notification], error: Exception) -> None:
    now = timezone.now()
    attempts = inside[0].attempts + 1
    over = _for_good(error) or now - inside[0].at > GIVEN_UP_AFTER
    Notification.objects.waiting().filter(pk__in=letter.notifications).update(
        mail_state=Mail.FAILED if over else Mail.WAITING,
        attempts=attempts,
        not_before=None if over else now + pause(attempts),
        last_error=f"{type(error).__name__}: {error}"[:300],
    )
    log.warning("mail_not_sent", letter=str(letter.uuid), attempts=attempts, given_up=over, error=str(error))


def _for_good(error: Exception) -> bool:
    """Whether the server, or the mail itself, leaves no hope: RFC 5321, section 4.2.1, replies of the fives about recipient or content."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(500 <= code < 600 for code, _ in error.recipients.values())
    if isinstance(error, smtplib.SMTPDataError):
        return 500 <= error.smtp_code < 600
    return isinstance(error, ValueError)
