"""What time does to findings: their owners are reminded, and a condition that was not verified by its date ends its approval.

Overdue means not verified: an answer that nobody has looked at does not stop the clock, and the reminder says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction

from access.models import User
from notices.actions import tell
from notices.models import Notification
from reviews.actions.findings import lapse_condition
from reviews.clock import CLOCK, Effect, due
from reviews.findings import address_of
from reviews.models import APPROVED, Finding

WEEK: Final = timedelta(days=7)
DAY: Final = timedelta(hours=24)


@dataclass(frozen=True)
class Reminder:
    """One notice about one due date of one finding. `event` names the date, so that a later date is reminded of anew."""

    finding: Finding
    event: str
    kind: Notification.Kind
    title: str

    @property
    def people(self) -> list[User]:
        """Its owner; when it is overdue, who raised it as well."""
        raiser = self.finding.raised_by
        overdue = self.kind == Notification.Kind.OVERDUE and raiser is not None
        return [self.finding.owner, raiser] if overdue and raiser else [self.finding.owner]

    def __call__(self, now: datetime) -> None:
        """Tell them, once."""
        unverified = " It is answered and not verified yet." if self.finding.state == Finding.State.ANSWERED else ""
        ends = " When it is not verified by then, the approval ends." if self.finding.is_condition else ""
        last = "" if self.kind == Notification.Kind.OVERDUE else ends
        with transaction.atomic():
            tell(
                self.people,
                event=self.event,
                kind=self.kind,
                title=self.title,
                body=f"{self.finding.version}: due {self.finding.due_at:%d %B %Y, %H:%M} UTC.{unverified}{last}",
                link=address_of(self.finding),
                about=self.finding.version.model,
            )


@due
def reminders(now: datetime) -> list[Effect]:
    """A reminder to each owner a week and a day before the date, and when it has passed, each once."""
    rows = (
        Finding.objects.owed()
        .filter(due_at__lte=now + WEEK, owner__is_active=True)
        .select_related("owner", "raised_by", "version__model")
    )
    wanted = [one for finding in rows for one in _reminders(finding, now)]
    told = set(Notification.objects.filter(event__in=[one.event for one in wanted]).values_list("event", "person_id"))
    return [one for one in wanted if (one.event, one.finding.owner_id) not in told]


@due
def overdue_conditions(now: datetime) -> list[Effect]:
    """The conditions whose date has passed while an approval rests on them."""
    rows = Finding.objects.overdue(now).conditions().filter(sign_off__round__state__in=APPROVED)
    rows = rows.filter(sign_off__round__approvals__lapse=None, sign_off__round__approvals__revocation=None)
    return [_Lapse(finding) for finding in rows.distinct()]


@dataclass(frozen=True)
class _Lapse:
    finding: Finding

    def __call__(self, now: datetime) -> None:
        lapse_condition(self.finding, now, by=CLOCK)


def _reminders(finding: Finding, now: datetime) -> Iterable[Reminder]:
    stem = f"finding:{finding.uuid}:{finding.due_at:%Y%m%dT%H%M}"
    if finding.due_at <= now:
        yield Reminder(finding, f"{stem}:overdue", Notification.Kind.OVERDUE, f"Overdue: {finding.title}")
    elif finding.due_at <= now + DAY:
        yield Reminder(finding, f"{stem}:day", Notification.Kind.DUE, f"Due within a day: {finding.title}")
    elif finding.raised_at <= finding.due_at - WEEK:
        yield Reminder(finding, f"{stem}:week", Notification.Kind.DUE, f"Due within a week: {finding.title}")
