"""Where approved versions run: deployments, each a scoring worker that reads one stage of one model."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import F
from django.utils import timezone

from audit.events import Obj
from registry.models import ModelVersion, RegisteredModel, Stage


class Deployment(models.Model):
    """One scoring endpoint: serves whatever its stage's alias points at, as long as the approval stands."""

    class State(models.TextChoices):
        """What the worker last said about itself."""

        STARTING = "starting", "Starting"
        SERVING = "serving", "Serving"
        STOPPED = "stopped", "Stopped"
        FAILED = "failed", "Failed"

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.SlugField(max_length=63, unique=True)
    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="deployments")
    stage = models.ForeignKey(Stage, on_delete=models.PROTECT, related_name="deployments")
    address = models.CharField(max_length=200, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.STARTING)
    detail = models.TextField(blank=True)
    version = models.ForeignKey(
        ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="deployments"
    )
    serving_since = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    paused = models.BooleanField(default=False, help_text="the kill switch: the worker refuses to answer")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def ledger_ref(self) -> Obj:
        """How the ledger names this deployment."""
        return Obj(kind="deployment", id=str(self.uuid), name=self.name)


class StatusCounter(models.Model):
    """The monotonic counter of status snapshots: an offline verifier refuses a lower one than it has seen."""

    value = models.PositiveBigIntegerField(default=0)

    @classmethod
    def next(cls) -> int:
        """The next number, taken in the caller's transaction."""
        cls.objects.get_or_create(pk=1)
        cls.objects.filter(pk=1).update(value=F("value") + 1)
        return cls.objects.values_list("value", flat=True).get(pk=1)
