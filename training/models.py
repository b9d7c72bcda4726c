"""Training jobs: what was asked to be trained, from which data, by which recipe, and which version came of it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from audit.events import Obj
from datasets.models import DatasetVersion, Recipe
from jobs.models import Job
from registry.models import ModelVersion, RegisteredModel


class TrainingJob(models.Model):
    """One training run on a worker, from data and recipe to a registered version with evidence."""

    job = models.OneToOneField(Job, on_delete=models.PROTECT, related_name="training")
    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="training_jobs")
    dataset_version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="training_jobs")
    recipe = models.ForeignKey(Recipe, on_delete=models.PROTECT, related_name="training_jobs")
    algorithm = models.CharField(max_length=40)
    parameters = models.JSONField(default=dict)
    split = models.JSONField(default=dict, help_text="{train: [years], test: [years]}")
    seed = models.PositiveIntegerField(default=0)
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

    class Meta:
        ordering = ["-created_at"]

    def ledger_ref(self) -> Obj:
        """How the ledger names this training job."""
        return Obj(kind="training", id=str(self.job.uuid), name=self.model.name)
