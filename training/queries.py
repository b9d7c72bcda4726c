"""What pages and other rooms ask about training jobs."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.utils import timezone

from access.principal import Principal
from foundation.refusals import NotFound
from jobs.models import Job
from training.models import TrainingJob

FIRST_POLL_SECONDS = 2
SLOWEST_POLL_SECONDS = 10


@dataclass(frozen=True)
class Progress:
    """How far a job is, ready to show: seconds so far, words for what is left, and how soon to ask again (0: not at all)."""

    elapsed_seconds: float
    estimate: str
    poll_seconds: int


def find_training(uuid: UUID, by: Principal) -> TrainingJob:
    """The job with this id; raises `NotFound` when there is none or `by` may not see its model: the two look the same."""
    training = TrainingJob.objects.seen_by(by).with_everything_shown().filter(job__uuid=uuid).first()
    if training is None:
        raise NotFound("There is no training job at this address that you may see.")
    return training


def progress_of(job: Job) -> Progress:
    """Elapsed time and estimate; polls every 2 s at first and slows to 10 s for long jobs."""
    if job.started_at is None:
        return Progress(
            0.0, "waiting for a worker" if not job.is_finished else "", 0 if job.is_finished else FIRST_POLL_SECONDS
        )
    elapsed = ((job.finished_at or timezone.now()) - job.started_at).total_seconds()
    if job.is_finished:
        return Progress(elapsed, "", 0)
    poll = int(min(SLOWEST_POLL_SECONDS, max(FIRST_POLL_SECONDS, elapsed // 15)))
    return Progress(elapsed, _estimate(elapsed, job.fraction), poll)


def _estimate(elapsed: float, fraction: float) -> str:
    """A rough guess, and said to be one: steps are not equally long."""
    if fraction < 0.2:
        return ""
    left = elapsed * (1 - fraction) / fraction
    if left < 10:
        return "a few seconds left"
    return f"about {round(left / 10) * 10} s left" if left < 90 else f"about {round(left / 60)} min left"
