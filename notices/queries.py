"""What pages and the API ask about notifications: each person sees their own."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.apps import apps
from django.db.models import Q

from access.models import User
from access.permissions import Permission, verdict, visible_to
from access.principal import Principal
from foundation.refusals import NotFound
from notices.models import MailPreference, Notification, NotificationQuerySet

MODEL: Final = "registry.RegisteredModel"
"""What a notification names where it names something; this room stands below registry."""


def knowable(rows: NotificationQuerySet, by: Principal) -> NotificationQuerySet:
    """Those of `rows` that `by` may know of now, in one statement: about no model, or one they may see; of the ledger, auditors."""
    models = visible_to(apps.get_model(MODEL)._default_manager.all(), by, Permission.SEE_MODEL).values("pk")
    rows = rows.filter(Q(about_type="") | Q(about_type=MODEL, about_id__in=models))
    return rows if verdict(by, Permission.SEE_AUDIT).allowed else rows.exclude(kind=Notification.Kind.LEDGER)


def seen_by(by: Principal) -> NotificationQuerySet:
    """What whoever asks was told and may know of now, unread first; nothing for those who are nobody."""
    if by.user is None:
        return Notification.objects.none()
    return knowable(Notification.objects.of(by.user), by).unread_first()


def unread_count(by: Principal | None) -> int:
    """The number on the bell: of what the list shows; in one statement at most for a `snapshot`."""
    if by is None or by.user is None or not by.user.is_person:
        return 0
    return knowable(Notification.objects.of(by.user), by).unread().count()


def find_notification(uuid: UUID, by: Principal) -> Notification:
    """One of one's own; somebody else's is not found either."""
    found = seen_by(by).filter(uuid=uuid).first()
    if found is None:
        raise NotFound("There is no such notification of yours.")
    return found


def preference_of(person: User) -> MailPreference:
    """How the person wants to be written to; what holds by default where they never said."""
    return MailPreference.objects.filter(person=person).first() or MailPreference(person=person)
