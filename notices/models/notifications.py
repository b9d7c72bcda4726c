"""What a person was told, whether they read it, and how they want to be written to."""

from __future__ import annotations

import uuid
from typing import Final

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from access.models import User
from audit.events import Obj


class NotificationQuerySet(models.QuerySet["Notification"]):
    """Questions about what people were told."""

    def of(self, person: User) -> NotificationQuerySet:
        """What one person was told."""
        return self.filter(person=person)

    def unread(self) -> NotificationQuerySet:
        """What was not marked as read."""
        return self.filter(read_at=None)

    def unread_first(self) -> NotificationQuerySet:
        """Unread before read, newest first."""
        return self.alias(is_read=Q(read_at__isnull=False)).order_by("is_read", "-at", "-pk")

    def waiting(self) -> NotificationQuerySet:
        """Those about which a mail has yet to leave, or yet to be found unwanted."""
        return self.filter(mail_state=Notification.Mail.WAITING)


class Notification(models.Model):
    """One thing that one person was told, once per event; it is the portal's notice and the mail's outbox row in one."""

    class Kind(models.TextChoices):
        """What it is about; `URGENT` lists those that are mailed at once."""

        TURN = "turn", "Your turn"
        MENTION = "mention", "You were mentioned"
        DUE = "due", "Due soon"
        OVERDUE = "overdue", "Overdue"
        DECISION = "decision", "A decision on your request"
        REMINDER = "reminder", "An approval runs out"
        EMERGENCY = "emergency", "Break-glass"
        FINDING = "finding", "A finding"
        COMMENT = "comment", "A comment"
        JOB = "job", "Work finished"
        LEDGER = "ledger", "The ledger"
        POLICY = "policy", "A policy"
        WEBHOOK = "webhook", "A webhook"
        TEST = "test", "A test"

    class Mail(models.TextChoices):
        """What became of the mail about it."""

        WAITING = "waiting", "Waits to be mailed"
        SENT = "sent", "Mailed"
        UNWANTED = "unwanted", "Not mailed: no mail is wanted, there is no address, or it may no longer be seen"
        FAILED = "failed", "Given up: the mail server refused it for good, or for three days"

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notifications")
    event = models.CharField(max_length=120, help_text="stable id of the event: telling twice about it changes nothing")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    title = models.CharField(max_length=200)
    body = models.TextField(blank=True)
    link = models.CharField(max_length=400, blank=True, help_text="path on the portal")
    about_type = models.CharField(
        max_length=100, blank=True, help_text="label of the model class that it names: this room stands below registry"
    )
    about_id = models.BigIntegerField(null=True, blank=True, help_text="the row of it that one has to be able to see")
    at = models.DateTimeField(default=timezone.now)
    read_at = models.DateTimeField(null=True, blank=True)
    mail_state = models.CharField(max_length=8, choices=Mail.choices, default=Mail.WAITING)
    mailed_at = models.DateTimeField(null=True, blank=True)
    letter = models.UUIDField(
        null=True,
        blank=True,
        editable=False,
        help_text="the mail it stands in: the same in every try, so is the Message-ID",
    )
    attempts = models.PositiveSmallIntegerField(default=0)
    not_before = models.DateTimeField(
        null=True, blank=True, help_text="until then nobody else sends it: it is being sent, or the server refused it"
    )
    last_error = models.CharField(max_length=300, blank=True)

    objects = NotificationQuerySet.as_manager()

    class Meta:
        ordering = ["-at", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["person", "event"], name="told_once"),
            models.CheckConstraint(
                condition=Q(mail_state="sent", mailed_at__isnull=False) | ~Q(mail_state="sent") & Q(mailed_at=None),
                name="mailed_paired",
            ),
            models.CheckConstraint(
                condition=Q(about_type="", about_id=None) | ~Q(about_type="") & Q(about_id__isnull=False),
                name="about_paired",
            ),
        ]
        indexes = [
            models.Index(fields=["person", "-at"], name="notification_of_person"),
            models.Index(fields=["person"], condition=Q(read_at=None), name="notification_unread"),
            models.Index(fields=["at"], condition=Q(mail_state="waiting"), name="notification_unmailed"),
        ]

    def __str__(self) -> str:
        return self.title

    def ledger_ref(self) -> Obj:
        """How the ledger names this notification: by number, without its text."""
        return Obj(kind="notification", id=str(self.uuid))


URGENT: Final = frozenset(
    {
        Notification.Kind.TURN,
        Notification.Kind.MENTION,
        Notification.Kind.DUE,
        Notification.Kind.OVERDUE,
        Notification.Kind.DECISION,
        Notification.Kind.EMERGENCY,
        Notification.Kind.LEDGER,
        Notification.Kind.TEST,
    }
)
"""Mailed when they happen; all others wait for the daily digest."""


class MailPreference(models.Model):
    """How a person wants to be written to; without a row: at once for what is urgent, else a daily digest."""

    class Mode(models.TextChoices):
        """When mail is sent."""

        URGENT = "urgent", "At once when it is my turn; the rest in a daily digest"
        DIGEST = "digest", "Only a daily digest"
        OFF = "off", "No mail; the portal's notifications only"

    person = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="mail_preference")
    mode = models.CharField(max_length=8, choices=Mode.choices, default=Mode.URGENT)
    digest_hour = models.PositiveSmallIntegerField(default=7, help_text="UTC")
    digested_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(digest_hour__lt=24), name="digest_hour_of_a_day")]
