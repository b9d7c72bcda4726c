"""Handing a job's id to the broker. A broker that is down loses nothing: the row stays queued and the sweeper comes by."""

from __future__ import annotations

from uuid import UUID

import structlog
from celery import current_app
from kombu.exceptions import OperationalError

log = structlog.get_logger(__name__)


def publish(uuid: UUID) -> None:
    """Send the id of a queued job to the workers; a refused connection is logged and left to the sweeper."""
    try:
        current_app.send_task("jobs.perform", args=[str(uuid)], retry=False)
    except (OperationalError, OSError) as error:
        log.warning("job_not_published", job=str(uuid), error=str(error))
