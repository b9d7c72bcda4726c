"""Tells those who may read the ledger what it reports about itself: refused rows, sinks that no longer take its checkpoints.

`audit` knows no people, so this room asks it, once a minute.
"""

from __future__ import annotations

from django.db import transaction
from django.urls import reverse

from access.catalogue import Permission
from access.permissions import people_with
from audit.alerts import REFUSED, alerts
from notices.actions import tell
from notices.models import Notification


def tell_of_the_ledger() -> int:
    """Tell of every alert once; returns how many alerts there were to tell."""
    with transaction.atomic():
        people = list(people_with(Permission.SEE_AUDIT))
        found = alerts(after=_told_up_to()) if people else []
        for alert in found:
            tell(
                people,
                event=alert.id,
                kind=Notification.Kind.LEDGER,
                title=alert.title,
                body=alert.body,
                link=reverse("audit:log"),
            )
    return len(found)


def _told_up_to() -> int:
    """The largest quarantined row that somebody was told of."""
    events = Notification.objects.filter(kind=Notification.Kind.LEDGER, event__startswith=REFUSED)
    return max(
        (int(event.removeprefix(REFUSED)) for event in events.values_list("event", flat=True).distinct()), default=0
    )
