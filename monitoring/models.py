"""What is watched: references from training, windows of predictions with their drift, outcomes, performance, alerts, limits."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from audit.events import Obj
from monitoring.drift import Level, Limits
from monitoring.performance import DropLimits
from registry.models import ModelVersion
from serving.models import Deployment
from training.models import TrainingJob

if TYPE_CHECKING:
    from collections.abc import Iterable

LEVELS = [(level.value, level.value) for level in Level]


class ThresholdsQuerySet(models.QuerySet["Thresholds"]):
    """Questions about limits."""

    def of(self, deployment: Deployment) -> Thresholds:
        """The deployment's limits; the product's defaults (not saved) when nobody has set any."""
        return self.filter(deployment=deployment).first() or Thresholds(deployment=deployment)


class Thresholds(models.Model):
    """One deployment's limits: when drift and a fall of AUC are a warning or a failure, and how long a window is."""

    deployment = models.OneToOneField(Deployment, on_delete=models.CASCADE, related_name="thresholds")
    psi_warn = models.FloatField(default=0.10)
    psi_fail = models.FloatField(default=0.25)
    auc_drop_warn = models.FloatField(default=0.02)
    auc_drop_fail = models.FloatField(default=0.05)
    minimum_rows = models.PositiveIntegerField(default=500)
    minimum_outcomes = models.PositiveIntegerField(default=100)
    window_seconds = models.PositiveIntegerField(default=3600)
    updated_at = models.DateTimeField(default=timezone.now)
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )

    objects = ThresholdsQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "thresholds"
        constraints = [
            models.CheckConstraint(
                condition=Q(psi_warn__gt=0, psi_fail__gt=models.F("psi_warn")), name="psi_limits_ascend"
            ),
            models.CheckConstraint(
                condition=Q(auc_drop_warn__gt=0, auc_drop_fail__gt=models.F("auc_drop_warn")), name="auc_limits_ascend"
            ),
            models.CheckConstraint(
                condition=Q(window_seconds__gte=1, minimum_rows__gte=1, minimum_outcomes__gte=2),
                name="window_not_empty",
            ),
        ]

    def __str__(self) -> str:
        return f"Limits of {self.deployment}"

    @property
    def drift(self) -> Limits:
        """The limits that judge drift."""
        return Limits(self.psi_warn, self.psi_fail, self.minimum_rows)

    @property
    def performance(self) -> DropLimits:
        """The limits that judge outcomes."""
        return DropLimits(self.auc_drop_warn, self.auc_drop_fail, self.minimum_outcomes)

    def ledger_ref(self) -> Obj:
        """How the ledger names these limits."""
        return Obj(kind="thresholds", id=str(self.deployment.uuid), name=self.deployment.name)


class Reference(models.Model):
    """What one version was trained on, in bins: features from its training rows, the score from its held-out rows."""

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="references")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="+")
    rows = models.PositiveBigIntegerField()
    features = models.JSONField(help_text="feature → datasets.drift.Bins")
    score = models.JSONField(
        null=True, help_text="datasets.drift.Bins, or nothing when no score histogram was recorded"
    )
    source = models.CharField(max_length=300, help_text="in words, where the rows come from")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["deployment", "version"], name="reference_once")]

    def __str__(self) -> str:
        return f"Reference of {self.version} at {self.deployment}"


class PredictionWindowQuerySet(models.QuerySet["PredictionWindow"]):
    """Questions about windows."""

    def grown(self) -> PredictionWindowQuerySet:
        """Windows that hold more rows than their newest measures are about."""
        return self.exclude(rows=models.F("measured_rows"))


class PredictionWindow(models.Model):
    """The predictions of one version in one stretch of time by the worker's clock, counted into the reference's bins."""

    deployment = models.ForeignKey(Deployment, on_delete=models.PROTECT, related_name="windows")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="+")
    starts_at = models.DateTimeField()
    seconds = models.PositiveIntegerField()
    rows = models.PositiveIntegerField(default=0)
    incomplete_rows = models.PositiveIntegerField(default=0, help_text="rows that lacked a column of the reference")
    features = models.JSONField(default=dict, help_text="feature → counts in the order of the reference's bins")
    score = models.JSONField(default=list, help_text="counts in the order of the reference's score bins")
    callers = models.JSONField(default=dict, help_text="who asked, in the caller's own words → rows")
    measured_rows = models.PositiveIntegerField(default=0, help_text="how many rows the newest measures are about")
    level = models.CharField(max_length=12, choices=LEVELS, default=Level.INSUFFICIENT)

    objects = PredictionWindowQuerySet.as_manager()

    class Meta:
        ordering = ["deployment", "starts_at"]
        constraints = [
            models.UniqueConstraint(fields=["deployment", "version", "starts_at", "seconds"], name="window_once"),
            models.CheckConstraint(condition=Q(seconds__gte=1), name="window_has_length"),
        ]

    def __str__(self) -> str:
        return f"{self.deployment}, {self.starts_at:%Y-%m-%d %H:%M:%S}"

    @property
    def ends_at(self) -> datetime:
        """The moment after its last one."""
        return self.starts_at + timedelta(seconds=self.seconds)

    def ledger_ref(self) -> Obj:
        """How the ledger names this window."""
        return Obj(kind="window", id=str(self.pk), name=self.deployment.name)


class Measure(models.Model):
    """The drift of one column in one window; the score is the one without a feature's name."""

    window = models.ForeignKey(PredictionWindow, on_delete=models.CASCADE, related_name="measures")
    feature = models.CharField(max_length=128, blank=True, help_text="empty: the score")
    psi = models.FloatField()
    ks = models.FloatField(null=True, help_text="at the bin edges; nothing for categories")
    missing = models.FloatField(default=0)
    missing_reference = models.FloatField(default=0)
    unseen = models.FloatField(default=0, help_text="share of values that training did not have")
    level = models.CharField(max_length=12, choices=LEVELS)

    class Meta:
        ordering = ["window", "-psi", "feature"]
        constraints = [models.UniqueConstraint(fields=["window", "feature"], name="measure_once")]

    def __str__(self) -> str:
        return f"{self.feature or 'score'}: {self.psi:.3f}"


class IngestedQuerySet(models.QuerySet["Ingested"]):
    """Questions about what was taken from the log."""

    def position(self, deployment: Deployment, segment: str) -> int:
        """How many bytes of the segment have been taken."""
        return self.filter(deployment=deployment, segment=segment).aggregate(end=models.Max("end"))["end"] or 0


class Ingested(models.Model):
    """A stretch of a log segment that was counted and archived, kept in the transaction that counted it: exactly once."""

    deployment = models.ForeignKey(Deployment, on_delete=models.PROTECT, related_name="ingested")
    segment = models.CharField(max_length=200)
    start = models.PositiveBigIntegerField()
    end = models.PositiveBigIntegerField()
    rows = models.PositiveIntegerField()
    unreadable = models.PositiveIntegerField(default=0)
    first_at = models.DateTimeField(null=True)
    last_at = models.DateTimeField(null=True)
    archive = models.CharField(
        max_length=250, blank=True, help_text="file in the deployment's archive; empty without readable rows"
    )
    archive_digest = models.CharField(max_length=64, blank=True)
    at = models.DateTimeField(default=timezone.now, editable=False)

    objects = IngestedQuerySet.as_manager()

    class Meta:
        ordering = ["deployment", "segment", "start"]
        verbose_name_plural = "ingested"
        constraints = [
            models.UniqueConstraint(fields=["deployment", "segment", "start"], name="ingested_once"),
            models.CheckConstraint(condition=Q(end__gt=models.F("start")), name="ingested_forward"),
        ]


class OutcomeQuerySet(models.QuerySet["Outcome"]):
    """Questions about what really happened."""

    def known(self, deployment: Deployment, ids: Iterable[str]) -> set[str]:
        """Which of the predictions already have an outcome."""
        return set(
            self.filter(deployment=deployment, prediction_id__in=list(ids)).values_list("prediction_id", flat=True)
        )


class Outcome(models.Model):
    """What really happened after one prediction, with the score that the worker had answered; fed once, never changed."""

    deployment = models.ForeignKey(Deployment, on_delete=models.PROTECT, related_name="outcomes")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="+")
    prediction_id = models.CharField(max_length=100)
    label = models.PositiveSmallIntegerField()
    score = models.FloatField()
    predicted_at = models.DateTimeField()
    at = models.DateTimeField(default=timezone.now, help_text="when the outcome was fed")
    fed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")

    objects = OutcomeQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["deployment", "version", "predicted_at"], name="outcome_by_time")]
        constraints = [
            models.UniqueConstraint(fields=["deployment", "prediction_id"], name="outcome_once"),
            models.CheckConstraint(condition=Q(label__in=[0, 1]), name="outcome_binary"),
        ]


class PerformanceWindow(models.Model):
    """How well a version's scores fitted the outcomes of one window's predictions, as far as outcomes have come in."""

    deployment = models.ForeignKey(Deployment, on_delete=models.PROTECT, related_name="performance")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="+")
    starts_at = models.DateTimeField()
    seconds = models.PositiveIntegerField()
    outcomes = models.PositiveIntegerField()
    positives = models.PositiveIntegerField()
    auc = models.FloatField(null=True)
    auc_low = models.FloatField(null=True)
    auc_high = models.FloatField(null=True)
    brier = models.FloatField()
    ece = models.FloatField()
    released_auc = models.FloatField(null=True, help_text="the value that reviewers saw")
    level = models.CharField(max_length=12, choices=LEVELS, default=Level.INSUFFICIENT)
    measured_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["deployment", "starts_at"]
        constraints = [
            models.UniqueConstraint(fields=["deployment", "version", "starts_at", "seconds"], name="performance_once"),
            models.CheckConstraint(
                condition=Q(auc=None, auc_low=None, auc_high=None)
                | Q(auc__isnull=False, auc_low__isnull=False, auc_high__isnull=False),
                name="auc_has_interval",
            ),
        ]

    @property
    def ends_at(self) -> datetime:
        """The moment after its last one."""
        return self.starts_at + timedelta(seconds=self.seconds)


class AlertQuerySet(models.QuerySet["Alert"]):
    """Questions about alerts."""

    def open(self) -> AlertQuerySet:
        """Alerts whose cause stands."""
        return self.filter(closed_at=None)

    def locked(self, pk: int) -> Alert:
        """The row, locked until the transaction ends."""
        return self.select_for_update(of=("self",)).get(pk=pk)


class Alert(models.Model):
    """Something that left its limits: measured, limit, since when, who took notice, and the retraining that was asked for."""

    class Kind(models.TextChoices):
        """What left its limits."""

        FEATURE_DRIFT = "feature_drift", "Drift of a feature"
        SCORE_DRIFT = "score_drift", "Drift of the score"
        PERFORMANCE = "performance", "Performance on outcomes"

    deployment = models.ForeignKey(Deployment, on_delete=models.PROTECT, related_name="alerts")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    feature = models.CharField(max_length=128, blank=True)
    severity = models.CharField(max_length=12, choices=[("warn", "Warning"), ("fail", "Failure")])
    measured = models.FloatField()
    limit = models.FloatField()
    window_at = models.DateTimeField(help_text="start of the newest window that left its limits")
    opened_at = models.DateTimeField(default=timezone.now, editable=False)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    note = models.TextField(blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_because = models.CharField(max_length=200, blank=True)
    retraining = models.ForeignKey(TrainingJob, null=True, blank=True, on_delete=models.PROTECT, related_name="alerts")

    objects = AlertQuerySet.as_manager()

    class Meta:
        ordering = ["-opened_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["deployment", "version", "kind", "feature"], condition=Q(closed_at=None), name="one_open_alert"
            ),
            models.CheckConstraint(
                condition=Q(acknowledged_by=None, acknowledged_at=None)
                | Q(acknowledged_by__isnull=False, acknowledged_at__isnull=False),
                name="alert_acknowledged_paired",
            ),
        ]

    def __str__(self) -> str:
        if self.kind == Alert.Kind.PERFORMANCE:
            return f"AUC fell {self.measured:.3f} below its value at release (limit {self.limit:.3f})"
        what = f"{self.feature} drifted" if self.feature else "The score drifted"
        return f"{what}: PSI {self.measured:.2f} (limit {self.limit:.2f})"

    @property
    def state(self) -> str:
        """`resolved`, `acknowledged` or `open`, as the badge shows it."""
        if self.closed_at:
            return "resolved"
        return "acknowledged" if self.acknowledged_at else "open"

    def ledger_ref(self) -> Obj:
        """How the ledger names this alert."""
        return Obj(kind="alert", id=str(self.pk), name=self.deployment.name, version=str(self.version.number))
