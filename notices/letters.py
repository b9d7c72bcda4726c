"""Writes the mails: plain text and simple HTML that say the same, with links to pages, where alone something can be decided."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.urls import reverse

from access.models import User
from notices.mailing import Letter
from notices.models import Notification

FOOT = "Nothing can be approved from this mail. You choose what is mailed to you, and when, here:"


def written(
    letter: Letter, person: User, notifications: Sequence[Notification], now: datetime
) -> EmailMultiAlternatives:
    """The mail to `person` about `notifications`, oldest first; its headers name the letter, so that copies can be recognised."""
    subject = _digest_subject(notifications, now) if letter.digest else _one_line(notifications[0].title)
    message = EmailMultiAlternatives(
        subject,
        _text(notifications),
        settings.DEFAULT_FROM_EMAIL,
        [person.email],
        headers=_headers(letter, notifications),
    )
    context = {
        "subject": subject,
        "notifications": [(one, address(one.link)) for one in notifications],
        "foot": FOOT,
        "preferences": address(reverse("access:me")),
    }
    message.attach_alternative(render_to_string("notices/mail.html", context), "text/html")
    return message


def address(link: str) -> str:
    """The full address of a page of this portal, or of the list of notifications where there is no link."""
    return f"{settings.PORTAL_URL}{link or reverse('notices:list')}"


def host() -> str:
    """The portal's host name, which ends the ids of its mails."""
    return urlsplit(settings.PORTAL_URL).hostname or "localhost"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _digest_subject(notifications: Sequence[Notification], now: datetime) -> str:
    what = "1 notification" if len(notifications) == 1 else f"{len(notifications)} notifications"
    return f"{what}: digest of {now:%d %B %Y}"


def _text(notifications: Sequence[Notification]) -> str:
    parts = []
    for one in notifications:
        parts += [f"{one.get_kind_display()}: {_one_line(one.title)}"]
        parts += [one.body.strip()] if one.body.strip() else []
        parts += [address(one.link), f"{one.at:%d %B %Y, %H:%M} UTC", ""]
    return "\n".join([*parts, "-- ", FOOT, address(reverse("access:me"))])


def _headers(letter: Letter, notifications: Sequence[Notification]) -> dict[str, str]:
    about = notifications[0].link if not letter.digest else "digest"
    thread = hashlib.sha256(f"{letter.person}:{about}".encode()).hexdigest()[:32]
    return {
        "Message-ID": f"<{letter.uuid}@{host()}>",
        "References": f"<thread-{thread}@{host()}>",
        "List-Id": f"Countersign notifications <notifications.{host()}>",
        "Auto-Submitted": "auto-generated",
        "X-Countersign-Event": "digest" if letter.digest else notifications[0].event,
    }
