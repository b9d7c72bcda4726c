"""Where approved versions run: deployments, each a scoring worker that reads one stage of one model."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from audit.events import Obj
from registry.models import ModelVersion, RegisteredModel, Stage
from serving.tracking_models import Experiment as Experiment
from serving.tracking_models import ExperimentGrant as ExperimentGrant

SILENT_AFTER: Final = timedelta(seconds=15)


class DeploymentQuerySet(models.QuerySet["Deployment"]):
    """Questions about deployments."""

    def locked(self, pk: int) -> Deployment:
        """The row, locked until the transaction ends."""
        return self.select_for_update(of=("self",)).select_related("model", "stage", "version").get(pk=pk)

    def described(self) -> DeploymentQuerySet:
        """With everything that a page or the API says about them."""
        return self.select_related("model", "stage", "version", "worker", "created_by")


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
    paused_why = models.TextField(blank=True)
    worker = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="the service account whose worker serves it; none: any that may pull the model",
    )
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = DeploymentQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["starting", "serving", "stopped", "failed"]), name="deployment_state_known"
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def silent(self) -> bool:
        """Whether its worker has not reported for so long that what it last said counts for nothing."""
        return self.heartbeat_at is None or timezone.now() - self.heartbeat_at > SILENT_AFTER

    @property
    def shown_state(self) -> str:
        """The state that people see: paused and silence go before what the worker last said."""
        if self.silent and self.state != Deployment.State.STARTING:
            return "unhealthy"
        return self.state

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
        value: int = cls.objects.values_list("value", flat=True).get(pk=1)
        return value


class StatusSnapshot(models.Model):
    """The newest status snapshot that was signed; older ones go when a newer one stands."""

    counter = models.PositiveBigIntegerField(primary_key=True)
    envelope = models.JSONField(help_text="DSSE envelope by the registry")
    revoked_digest = models.CharField(
        max_length=64, help_text="SHA-256 of the list of revoked releases, to see that it changed"
    )
    issued_at = models.DateTimeField()
    expires_at = models.DateTimeField()
