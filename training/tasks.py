"""The training job, and the one that compares a version with production once more."""

from __future__ import annotations

from django.urls import reverse

from jobs.models import Job
from jobs.work import Work, handles
from notices.ends import Words, in_words
from registry.models import ModelVersion
from training import worker
from training.actions import COMPARE_JOB, TRAIN_JOB
from training.models import TrainingJob


@handles(TRAIN_JOB)
def train(work: Work) -> None:
    """Train, evaluate and register what the job's training row asks for."""
    worker.run(work)


@handles(COMPARE_JOB)
def compare(work: Work) -> None:
    """Compare the payload's version with its champion once more."""
    worker.compare(work)


@in_words(TRAIN_JOB)
def in_a_notification(job: Job) -> Words:
    """How the one who asked is told that it is over."""
    training = TrainingJob.objects.select_related("model").get(job=job)
    page = reverse("training:detail", kwargs={"uuid": job.uuid})
    return Words(f"Training of {training.model.name}", page, about=training.model)


@in_words(COMPARE_JOB)
def comparison_in_a_notification(job: Job) -> Words:
    """How the one who asked for another comparison is told that it is over."""
    version = ModelVersion.objects.select_related("model").get(pk=job.payload["version"])
    page = reverse("reviews:version", args=[version.model.name, version.number])
    return Words(f"Comparing {version} with production", f"{page}#changes", about=version.model)
