"""The systems that are told of events, and the outbox: every event that one of them is to be told of, until it was and for a time after."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from audit.events import Obj


class WebhookQuerySet(models.QuerySet["Webhook"]):
    """Questions about webhooks."""

    def locked(self, pk: int) -> Webhook:
        """The row, locked until the transaction ends."""
        return self.select_for_update().get(pk=pk)

    def listening(self) -> WebhookQuerySet:
        """Those for which events are kept: the ones that are on, and the ones that wait for their receiver to be mended."""
        return self.exclude(state=Webhook.State.OFF)

    def deliverable(self, now: datetime) -> WebhookQuerySet:
        """Those that are on, whose first waiting event is due, and that no other worker is delivering to."""
        first = Delivery.objects.waiting().filter(webhook=models.OuterRef("pk"), test=False).order_by("pk")
        return (
            self.filter(Q(busy_until=None) | Q(busy_until__lte=now), models.Exists(first), state=Webhook.State.ON)
            .alias(due=models.Subquery(first.values("not_before")[:1]))
            .filter(Q(due=None) | Q(due__lte=now))
            .order_by("pk")
        )


class Webhook(models.Model):
    """An address that is told of chosen events, in the name of the account that made it."""

    class State(models.TextChoices):
        """Whether anything is sent."""

        ON = "on", "On"
        PAUSED = "paused", "Paused after failures"
        OFF = "off", "Off"

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=63, unique=True)
    description = models.CharField(max_length=1_000, blank=True)
    url = models.CharField(max_length=1_000)
    secret = models.TextField(blank=True, help_text="encrypted; empty: deliveries are not signed")
    events = models.JSONField(help_text="names of events, see notices.webhooks.events")
    model_names = models.JSONField(
        default=list, help_text="names of registered models; empty: all that the owner may see"
    )
    state = models.CharField(max_length=8, choices=State.choices, default=State.ON)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="webhooks")
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    failed_in_a_row = models.PositiveIntegerField(
        default=0, help_text="deliveries given up since the last that arrived"
    )
    paused_at = models.DateTimeField(null=True, blank=True)
    busy_until = models.DateTimeField(
        null=True, blank=True, help_text="until then one worker delivers, in order; a worker that dies lets it run out"
    )

    objects = WebhookQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=["on", "paused", "off"]), name="webhook_state_known"),
            models.CheckConstraint(
                condition=Q(state="paused", paused_at__isnull=False) | ~Q(state="paused") & Q(paused_at=None),
                name="webhook_paused_paired",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def ledger_ref(self) -> Obj:
        """How the ledger names this webhook."""
        return Obj(kind="webhook", id=str(self.uuid), name=self.name)


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    """Questions about the outbox."""

    def waiting(self) -> DeliveryQuerySet:
        """What has yet to arrive."""
        return self.filter(state=Delivery.State.WAITING)


class Delivery(models.Model):
    """One event for one webhook: the outbox's row while it waits, the delivery log's line afterwards."""

    class State(models.TextChoices):
        """What became of it."""

        WAITING = "waiting", "Waits"
        DELIVERED = "delivered", "Delivered"
        FAILED = "failed", "Given up"
        WITHHELD = "withheld", "Withheld: its owner may not know of it any more"

    uuid = models.UUIDField(
        default=uuid.uuid4, unique=True, editable=False, help_text="the delivery's id: the same in every try"
    )
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries")
    event = models.CharField(max_length=60)
    about_type = models.CharField(
        max_length=100, blank=True, help_text="label of the model class that it names: this room stands below registry"
    )
    about_id = models.BigIntegerField(null=True, blank=True, help_text="the row of it that one has to be able to see")
    body = models.TextField(help_text="what is sent, byte for byte the same in every try")
    test = models.BooleanField(default=False, help_text="an example that somebody asked for: tried once")
    at = models.DateTimeField(default=timezone.now)
    state = models.CharField(max_length=9, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    spent = models.PositiveIntegerField(default=0, help_text="attempts before the last redelivery, which starts anew")
    not_before = models.DateTimeField(null=True, blank=True)
    last_try_at = models.DateTimeField(null=True, blank=True)
    last_status = models.PositiveSmallIntegerField(null=True, blank=True)
    last_error = models.CharField(max_length=300, blank=True)
    last_milliseconds = models.PositiveIntegerField(null=True, blank=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "deliveries"
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["waiting", "delivered", "failed", "withheld"]), name="delivery_state_known"
            ),
            models.CheckConstraint(
                condition=Q(about_type="", about_id=None) | ~Q(about_type="") & Q(about_id__isnull=False),
                name="delivery_about_paired",
            ),
        ]
        indexes = [
            models.Index(fields=["webhook", "id"], condition=Q(state="waiting"), name="delivery_waiting"),
            models.Index(fields=["webhook", "-id"], name="delivery_of_webhook"),
            models.Index(fields=["at"], name="delivery_at"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.uuid}"

    def ledger_ref(self) -> Obj:
        """How the ledger names it: as what happened to its webhook."""
        return self.webhook.ledger_ref()
