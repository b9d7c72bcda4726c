"""The training job."""

from __future__ import annotations

from jobs.work import Work, handles
from training import worker
from training.actions import TRAIN_JOB


@handles(TRAIN_JOB)
def train(work: Work) -> None:
    """Train, evaluate and register what the job's training row asks for."""
    worker.run(work)
