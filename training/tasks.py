"""The training job."""

from __future__ import annotations

from django.urls import reverse

from jobs.models import Job
from jobs.work import Work, handles
from notices.ends import Words, in_words
from training import worker
from training.actions import TRAIN_JOB
from training.models import TrainingJob


@handles(TRAIN_JOB)
def train(work: Work) -> None:
    """Train, evaluate and register what the job's training row asks for."""
    worker.run(work)


@in_words(TRAIN_JOB)
def in_a_notification(job: Job) -> Words:
    """How the one who asked is told that it is over."""
    training = TrainingJob.objects.select_related("model").get(job=job)
    return Words(f"Training of {training.model.name}", reverse("training:detail", kwargs={"uuid": job.uuid}))
