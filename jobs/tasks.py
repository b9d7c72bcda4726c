"""The two Celery tasks of the outbox: perform one job, and sweep up what the broker or a worker lost."""

from __future__ import annotations

import os
import socket
from uuid import UUID

from celery import shared_task

from jobs import work


@shared_task(name="jobs.perform")  # type: ignore[untyped-decorator]  # Celery has no types
def perform(uuid: str) -> None:
    """Carry out the job with this id, if nobody else has claimed it."""
    work.perform(UUID(uuid), worker=f"{socket.gethostname()}:{os.getpid()}")


@shared_task(name="jobs.sweep")  # type: ignore[untyped-decorator]  # Celery has no types
def sweep() -> None:
    """Publish lost jobs again; runs every few seconds from the supervisor's beat."""
    work.sweep()
