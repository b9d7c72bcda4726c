"""Telling people, marking as read, and how one wants to be written to.

Telling happens inside the transaction of what happened, so that nobody is told of what was undone, and nobody misses what was done.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Model
from django.utils import timezone

from access.models import User
from access.permissions import Permission, verdict
from access.principal import Principal
from audit.actions import append
from audit.events import Action, Obj
from audit.governed import governed
from audit.payload import Fields
from foundation.refusals import Conflict, Forbidden, Invalid
from notices.models import MailPreference, Notification
from notices.queries import knowable

HOURS = range(24)


def tell(
    people: Iterable[User],
    *,
    event: str,
    kind: Notification.Kind,
    title: str,
    body: str = "",
    link: str = "",
    about: Model | None = None,
) -> None:
    """Tell each active person once about `event` (a stable id of at most 120 characters); mail leaves after the commit.

    `link` is the path of a page of this portal. `about` is the registered model that it names: whoever may not see that is told
    nothing, and who may no longer see it when the mail is to leave gets none. Not an action of its own: it is part of the one
    that it tells of, which permits, checks and appends.
    """
    if link and (not link.startswith("/") or link.startswith("//")):
        raise ValueError(f"A notification leads to a page of this portal, not to {link[:80]}.")
    if not 0 < len(event) <= 120:
        raise ValueError(f"An event's id has 1 to 120 characters, not {len(event)}.")
    named = {} if about is None else {"about_type": about._meta.label, "about_id": about.pk}
    if about is not None:
        people = seeing(people, about)
    Notification.objects.bulk_create(
        [
            Notification(person=person, event=event, kind=kind, title=_short(title), body=body, link=link, **named)
            for person in {person.pk: person for person in people}.values()
            if person.is_active and person.is_person
        ],
        ignore_conflicts=True,
    )


def seeing(people: Iterable[User], model: Model) -> list[User]:
    """Those of `people` who may see `model`: a notice, and the mail about it, tells nobody what the portal hides from them."""
    return [person for person in people if verdict(Principal.of(person), Permission.SEE_MODEL, model).allowed]


@governed(Action.NOTIFICATION_READ)
def mark_read(notification: Notification, *, by: Principal) -> Notification:
    """Mark one's own notification as read; marking it again changes nothing."""
    current = Notification.objects.select_for_update().get(pk=notification.pk)
    if current.person_id != _person(by).pk:
        raise Forbidden("A notification is read by the one whom it was written to.", code="not-yours")
    if current.read_at is None:
        current.read_at = timezone.now()
        current.save(update_fields=["read_at"])
        append(Action.NOTIFICATION_READ, by=by, obj=current.ledger_ref())
    return current


@governed(Action.NOTIFICATION_READ)
def mark_all_read(kind: str = "", *, by: Principal) -> int:
    """Mark all of one's own notifications that one may know of, or those of one kind, as read; returns how many were unread."""
    if kind and kind not in Notification.Kind.values:
        raise Invalid(
            f"There is no kind of notification called {kind[:40]}.", errors={"kind": "Choose one from the list."}
        )
    rows = knowable(Notification.objects.of(_person(by)), by).unread()
    read = (rows.filter(kind=kind) if kind else rows).update(read_at=timezone.now())
    if read:
        append(Action.NOTIFICATION_READ, by=by, obj=Obj(kind="notification", id=""), after={"read": read})
    return read


@governed(Action.NOTIFICATION_SET)
def set_preference(person: User, *, mode: str, digest_hour: int, by: Principal) -> MailPreference:
    """Say how one wants to be written to; nobody says it for somebody else. `digest_hour` is in UTC."""
    if _person(by).pk != person.pk:
        raise Forbidden("Everybody chooses their own mail.", code="not-yours")
    errors = {}
    if mode not in MailPreference.Mode.values:
        errors["mode"] = f"Choose one of {', '.join(MailPreference.Mode.values)}."
    if digest_hour not in HOURS:
        errors["digest_hour"] = "Choose an hour from 0 to 23."
    if errors:
        raise Invalid("Your mail was left as it was: " + " ".join(errors.values()), errors=errors)
    before = MailPreference.objects.select_for_update().filter(person=person).first()
    told: Fields | None = {"mode": before.mode, "digest_hour": before.digest_hour} if before else None
    kept, _ = MailPreference.objects.update_or_create(
        person=person, defaults={"mode": mode, "digest_hour": digest_hour}
    )
    append(
        Action.NOTIFICATION_SET,
        by=by,
        obj=person.ledger_ref(),
        before=told,
        after={"mode": mode, "digest_hour": digest_hour},
    )
    return kept


@governed(Action.NOTIFICATION_SET)
def send_test(person: User, *, by: Principal) -> Notification:
    """Send oneself a test mail the way all mail goes, once a minute at most; the notification says what became of it."""
    if _person(by).pk != person.pk:
        raise Forbidden("Everybody tests their own mail.", code="not-yours")
    if not person.email:
        raise Conflict("Your account has no e-mail address. An administrator can add one.", code="no-address")
    event = f"test:{timezone.now():%Y-%m-%dT%H:%M}"
    tell(
        [person],
        event=event,
        kind=Notification.Kind.TEST,
        title="A test mail that you asked for",
        body="If you read this in your mailbox, the mail works.",
    )
    told = Notification.objects.get(person=person, event=event)
    append(Action.NOTIFICATION_SET, by=by, obj=told.ledger_ref(), after={"test": event})
    return told


def _short(title: str) -> str:
    line = " ".join(title.split())
    return line if len(line) <= 200 else line[:199] + "…"


def _person(by: Principal) -> User:
    if by.user is None:
        raise Forbidden("Notifications belong to people; sign in to see yours.")
    return by.user
