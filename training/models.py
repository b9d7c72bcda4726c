"""Training jobs: what was asked to be trained, from which data, by which recipe, and which version came of it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from access.permissions import Permission, visible_to
from access.principal import Principal
from audit.events import Obj
from datasets.models import DatasetVersion, Recipe
from jobs.models import Job
from registry.models import ModelVersion, RegisteredModel
from training.algorithms import OFFERS, Algorithm


class TrainingJobQuerySet(models.QuerySet["TrainingJob"]):
    """Questions about training jobs."""

    def seen_by(self, by: Principal) -> TrainingJobQuerySet:
        """The jobs of models that `by` may see."""
        return self.filter(model__in=visible_to(RegisteredModel.objects.all(), by, Permission.SEE_MODEL))

    def with_everything_shown(self) -> TrainingJobQuerySet:
        """With the rows that lists and pages name, in one query."""
        return self.select_related(
            "job", "model", "dataset_version__dataset", "recipe", "version", "requested_by", "retrain_of"
        )


class TrainingJob(models.Model):
    """One training run on a worker, from data and recipe to a registered version with evidence."""

    job = models.OneToOneField(Job, on_delete=models.PROTECT, related_name="training")
    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="training_jobs")
    dataset_version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="training_jobs")
    recipe = models.ForeignKey(Recipe, on_delete=models.PROTECT, related_name="training_jobs")
    algorithm = models.CharField(max_length=40)
    parameters = models.JSONField(default=dict)
    split = models.JSONField(default=dict, help_text="{train: [periods], test: [periods]} or {test_fraction: share}")
    seed = models.PositiveIntegerField(default=0)
    cutoff = models.FloatField(default=0.5, help_text="score from which the decision is positive")
    mitigation = models.JSONField(
        default=dict,
        blank=True,
        help_text="what is done against unequal treatment (training.mitigation.Plan); empty: nothing",
    )
    retrain_of = models.ForeignKey(
        ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="retraining_jobs"
    )
    reason = models.TextField(blank=True)
    run_id = models.CharField(max_length=64, blank=True)
    version = models.OneToOneField(
        ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="training_job"
    )
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="training_jobs")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = TrainingJobQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(condition=Q(cutoff__gt=0) & Q(cutoff__lt=1), name="training_cutoff_between_0_and_1")
        ]

    def __str__(self) -> str:
        return f"Training of {self.model.name} ({self.algorithm.replace('_', ' ')})"

    def get_algorithm_title(self) -> str:
        """The algorithm's name as people read it."""
        return OFFERS[Algorithm(self.algorithm)].title

    def get_absolute_url(self) -> str:
        """Its page in the portal."""
        return reverse("training:detail", args=[self.job.uuid])

    def ledger_ref(self) -> Obj:
        """How the ledger names this training job."""
        return Obj(kind="training", id=str(self.job.uuid), name=self.model.name)
