"""What is wrong or owed: findings with owner and due date. A condition of an approval is one."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import models
from django.db.models import Q
from django.utils import timezone

from access.models import Reauthentication
from audit.events import Obj
from registry.models import ModelVersion
from reviews.models.cases import Review, SignOff
from reviews.models.discussion import Thread


class FindingQuerySet(models.QuerySet["Finding"]):
    """Questions about findings."""

    def owed(self) -> FindingQuerySet:
        """Those that are not verified yet; an answer alone does not end what is owed."""
        return self.filter(state__in=[Finding.State.OPEN, Finding.State.ANSWERED])

    def overdue(self, at: datetime) -> FindingQuerySet:
        """Those that were not verified by their due date."""
        return self.owed().filter(due_at__lte=at)

    def conditions(self) -> FindingQuerySet:
        """Those on which an approval rests."""
        return self.filter(sign_off__isnull=False)

    def locked(self, pk: int) -> Finding:
        """The row, locked until the transaction ends; lock model and version first."""
        return self.select_for_update(of=("self",)).get(pk=pk)


class Finding(models.Model):
    """Something wrong or owed about one version, with severity, owner and due date, closed by who verifies it."""

    class Severity(models.TextChoices):
        """How much it matters."""

        MINOR = "minor", "Minor"
        MAJOR = "major", "Major"
        CRITICAL = "critical", "Critical"

    class State(models.TextChoices):
        """How far it is: open, answered by its owner, closed by who verifies, lapsed when the due date passed, or taken back."""

        OPEN = "open", "Open"
        ANSWERED = "answered", "Answered"
        CLOSED = "closed", "Closed"
        LAPSED = "lapsed", "Lapsed"
        WITHDRAWN = "withdrawn", "Withdrawn"

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="findings")
    review = models.ForeignKey(Review, null=True, blank=True, on_delete=models.PROTECT, related_name="findings")
    sign_off = models.ForeignKey(
        SignOff,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="conditions",
        help_text="set when it is a condition of this approval",
    )
    thread = models.ForeignKey(Thread, null=True, blank=True, on_delete=models.PROTECT, related_name="findings")
    title = models.CharField(max_length=160)
    detail = models.TextField(blank=True)
    severity = models.CharField(max_length=8, choices=Severity.choices)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="findings")
    due_at = models.DateTimeField()
    verifying_slot = models.SlugField(max_length=63, blank=True)
    verifying_group = models.ForeignKey(Group, on_delete=models.PROTECT, related_name="+")
    raised_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    raised_at = models.DateTimeField(default=timezone.now, editable=False)
    closed_at = models.DateTimeField(null=True, blank=True)

    objects = FindingQuerySet.as_manager()

    class Meta:
        ordering = ["due_at", "pk"]
        indexes = [models.Index(fields=["state", "due_at"], name="finding_state_due")]

    def __str__(self) -> str:
        return self.title

    @property
    def is_condition(self) -> bool:
        """Whether an approval rests on it."""
        return self.sign_off_id is not None

    def is_overdue(self, at: datetime) -> bool:
        """Whether it was not verified by its due date, answered or not."""
        return self.state in {Finding.State.OPEN, Finding.State.ANSWERED} and self.due_at <= at

    def ledger_ref(self) -> Obj:
        """How the ledger names this finding."""
        return Obj(kind="finding", id=str(self.uuid), name=self.version.model.name, version=str(self.version.number))


class FindingEvent(models.Model):
    """One step in a finding's life; steps are only added. An extension is a signed decision."""

    class Kind(models.TextChoices):
        """What happened."""

        RAISED = "raised", "Raised"
        COMMENTED = "commented", "Commented"
        ANSWERED = "answered", "Answered"
        RETURNED = "returned", "Sent back"
        CLOSED = "closed", "Verified and closed"
        EXTENDED = "extended", "Extended"
        LAPSED = "lapsed", "Lapsed"
        WITHDRAWN = "withdrawn", "Withdrawn"

    finding = models.ForeignKey(Finding, on_delete=models.PROTECT, related_name="events")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    body = models.TextField(blank=True)
    due_at = models.DateTimeField(null=True, blank=True, help_text="the new due date of an extension")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=timezone.now, editable=False)
    statement = models.JSONField(null=True, blank=True)
    statement_digest = models.CharField(max_length=64, null=True, blank=True, unique=True)
    reauthentication = models.OneToOneField(
        Reauthentication, null=True, blank=True, on_delete=models.PROTECT, related_name="finding_event"
    )

    class Meta:
        ordering = ["at", "pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="extended", statement__isnull=False, due_at__isnull=False) | ~Q(kind="extended"),
                name="extension_is_signed",
            )
        ]
