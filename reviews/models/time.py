"""What time does to decisions: lapses, reminders, the grace of live versions, escalations; and what goes live ahead of its review."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import models
from django.db.models import Q
from django.utils import timezone

from access.models import Reauthentication
from audit.actions import Receipt
from audit.events import Obj
from registry.models import ModelVersion, Promotion, RegisteredModel, Stage
from reviews.models.cases import Approval, PolicyVersion, Review, Round
from reviews.models.signing import Signed


class Lapse(models.Model):
    """The end of an approval that nobody had to decide: it ran out, a condition was overdue, a grace or a break-glass ended."""

    class Kind(models.TextChoices):
        """Why it ended."""

        EXPIRED = "expired", "Ran out"
        CONDITION = "condition", "A condition was overdue"
        GRACE = "grace", "The grace after a policy change ended"
        BREAK_GLASS = "break_glass", "The break-glass ended"
        WITHDRAWN = "withdrawn", "The case was withdrawn"

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    approval = models.OneToOneField(Approval, on_delete=models.PROTECT, related_name="lapse")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    reason = models.TextField()
    at = models.DateTimeField()

    class Meta:
        ordering = ["-at", "-pk"]

    def ledger_ref(self) -> Obj:
        """How the ledger names this lapse."""
        version = self.approval.version
        return Obj(kind="lapse", id=str(self.uuid), name=version.model.name, version=str(version.number))


class Reminder(models.Model):
    """That a reminder of an approaching end was sent, so that it is sent once."""

    approval = models.ForeignKey(Approval, on_delete=models.PROTECT, related_name="reminders")
    days = models.PositiveSmallIntegerField(help_text="days before the end")
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["approval", "days"], name="reminder_once")]


class Grace(models.Model):
    """The dated time that a live version has to meet a policy that was tightened under it."""

    approval = models.ForeignKey(Approval, on_delete=models.PROTECT, related_name="graces")
    policy_version = models.ForeignKey(PolicyVersion, on_delete=models.PROTECT, related_name="graces")
    until = models.DateTimeField()
    unmet = models.JSONField(default=list, help_text="what of the new policy the version does not meet, as sentences")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["until"]
        constraints = [models.UniqueConstraint(fields=["approval", "policy_version"], name="grace_once")]


class Escalation(models.Model):
    """That a round was overdue, and what the policy did about the silence: told others, or rejected it. Never an approval."""

    class Kind(models.TextChoices):
        """What was done."""

        ESCALATED = "escalate", "Escalated"
        REJECTED = "reject", "Rejected"

    round = models.ForeignKey(Round, on_delete=models.PROTECT, related_name="escalations")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    group = models.ForeignKey(Group, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    reason = models.TextField(help_text="what was not decided in time, and which policy says what follows")
    at = models.DateTimeField()

    class Meta:
        ordering = ["at", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["round", "group"], condition=Q(kind="escalate"), name="escalated_once"),
            models.UniqueConstraint(fields=["round"], condition=Q(kind="reject"), name="rejected_by_silence_once"),
        ]

    def ledger_ref(self) -> Obj:
        """How the ledger names this escalation."""
        version = self.round.review.version
        return Obj(kind="escalation", id=str(self.pk), name=version.model.name, version=str(version.number))


class BreakGlass(models.Model):
    """A version put live ahead of its review: asked for and signed by one person, signed by a second one, for a few hours."""

    class Reason(models.TextChoices):
        """Why it cannot wait."""

        OUTAGE = "outage", "The live version is failing"
        HARM = "harm", "The live version is doing harm"
        SECURITY = "security", "A vulnerability has to be closed"
        REGULATOR = "regulator", "An authority asked for it"
        OTHER = "other", "Another emergency"

    class State(models.TextChoices):
        """How far it is."""

        ASKED = "asked", "Waits for the second person"
        IN_FORCE = "in_force", "In force"
        APPROVED = "approved", "Approved afterwards"
        ROLLED_BACK = "rolled_back", "Rolled back"
        DECLINED = "declined", "Declined"
        LAPSED = "lapsed", "Never seconded in time"

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    review = models.ForeignKey(Review, on_delete=models.PROTECT, related_name="break_glasses")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="break_glasses")
    stage = models.ForeignKey(Stage, on_delete=models.PROTECT, related_name="+")
    previous = models.ForeignKey(ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=12, choices=Reason.choices)
    text = models.TextField()
    hours = models.PositiveSmallIntegerField(default=24)
    state = models.CharField(max_length=12, choices=State.choices, default=State.ASKED)
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    asked_at = models.DateTimeField()
    asked_statement = models.JSONField()
    asked_digest = models.CharField(max_length=64, unique=True)
    asked_reauthentication = models.OneToOneField(
        Reauthentication, on_delete=models.PROTECT, related_name="break_glass_asked"
    )
    seconded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    seconded_at = models.DateTimeField(null=True, blank=True)
    seconded_statement = models.JSONField(null=True, blank=True)
    seconded_digest = models.CharField(max_length=64, null=True, blank=True, unique=True)
    seconded_reauthentication = models.OneToOneField(
        Reauthentication, null=True, blank=True, on_delete=models.PROTECT, related_name="break_glass_seconded"
    )
    ends_at = models.DateTimeField(help_text="asked: when the request runs out; in force: when it is rolled back")
    ended_at = models.DateTimeField(null=True, blank=True)

    receipt: Receipt | None = None
    """Where the ledger will have the last signature; set by the action that signed, not stored."""

    class Meta:
        ordering = ["-asked_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["version", "stage"],
                condition=Q(state__in=["asked", "in_force"]),
                name="one_break_glass_at_a_time",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["asked", "declined", "lapsed"]) | Q(seconded_by__isnull=False),
                name="break_glass_needs_a_second",
            ),
        ]

    def ledger_ref(self) -> Obj:
        """How the ledger names this break-glass."""
        return Obj(
            kind="break_glass", id=str(self.uuid), name=self.version.model.name, version=str(self.version.number)
        )


class Rollback(Signed):
    """The signed decision to put the version before back; the release of its promotion cites the statement."""

    promotion = models.OneToOneField(Promotion, on_delete=models.PROTECT, related_name="signed_rollback")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    reason = models.TextField()

    class Meta:
        ordering = ["signed_at", "pk"]


class RetrainingEnvelope(models.Model):
    """The bounds within which a retrained version is promoted without a new round, signed once by the policy's slots, with an end."""

    class State(models.TextChoices):
        """Whether versions may be promoted by it."""

        PROPOSED = "proposed", "Waits for signatures"
        SIGNED = "signed", "In force"
        WITHDRAWN = "withdrawn", "Withdrawn"
        EXPIRED = "expired", "Ran out"

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="retraining_envelopes")
    stage = models.ForeignKey(Stage, on_delete=models.PROTECT, related_name="+")
    base = models.ForeignKey(
        ModelVersion, on_delete=models.PROTECT, related_name="+", help_text="the approved version it starts from"
    )
    policies = models.ManyToManyField(PolicyVersion, related_name="retraining_envelopes")
    bounds = models.JSONField(help_text="see reviews.envelopes.Bounds")
    digest = models.CharField(max_length=64)
    why = models.TextField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.PROPOSED)
    valid_until = models.DateTimeField()
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_why = models.TextField(blank=True)

    class Meta:
        ordering = ["-proposed_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["model", "stage"], condition=Q(state__in=["proposed", "signed"]), name="one_envelope_per_stage"
            )
        ]

    def ledger_ref(self) -> Obj:
        """How the ledger names this envelope."""
        return Obj(kind="envelope", id=str(self.uuid), name=self.model.name)


class EnvelopeSignature(Signed):
    """One person's signature under the bounds of a retraining envelope, in one slot."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    envelope = models.ForeignKey(RetrainingEnvelope, on_delete=models.PROTECT, related_name="signatures")
    slot_key = models.SlugField(max_length=63)
    slot_title = models.CharField(max_length=120)
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    reason = models.TextField()

    receipt: Receipt | None = None
    """Where the ledger will have it; set by the action that signed, not stored."""

    class Meta:
        ordering = ["signed_at", "pk"]
        constraints = [models.UniqueConstraint(fields=["envelope", "person"], name="one_envelope_slot_per_person")]

    def ledger_ref(self) -> Obj:
        """How the ledger names this signature."""
        return Obj(kind="envelope_signature", id=str(self.uuid), name=self.envelope.model.name)
