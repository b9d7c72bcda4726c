"""What pages and the API ask about notifications: each person sees their own."""

from __future__ import annotations

from uuid import UUID

from access.models import User
from access.principal import Principal
from foundation.refusals import NotFound
from notices.models import MailPreference, Notification, NotificationQuerySet


def seen_by(by: Principal) -> NotificationQuerySet:
    """What whoever asks was told, unread first; nothing for those who are nobody."""
    if by.user is None:
        return Notification.objects.none()
    return Notification.objects.of(by.user).unread_first()


def unread_count(by: Principal | None) -> int:
    """The number on the bell, in one statement at most."""
    return Notification.objects.of(by.user).unread().count() if by and by.user and by.user.is_person else 0


def find_notification(uuid: UUID, by: Principal) -> Notification:
    """One of one's own; somebody else's is not found either."""
    found = seen_by(by).filter(uuid=uuid).first()
    if found is None:
        raise NotFound("There is no such notification of yours.")
    return found


def preference_of(person: User) -> MailPreference:
    """How the person wants to be written to; what holds by default where they never said."""
    return MailPreference.objects.filter(person=person).first() or MailPreference(person=person)
