"""The timer's work: count what the workers have logged and measure it, deployment by deployment."""

from __future__ import annotations

import structlog
from celery import shared_task

from access.principal import Principal
from foundation.refusals import NotFound
from jobs.work import Work, handles
from monitoring import actions
from monitoring.ingest import ingest
from serving.models import Deployment

log = structlog.get_logger(__name__)


@shared_task(name="monitoring.tick")  # type: ignore[untyped-decorator]  # Celery has no types
def tick() -> int:
    """Count and measure every deployment; one that fails does not keep the others waiting. Returns how many rows were counted."""
    by = Principal.system("monitoring")
    rows = 0
    for deployment in Deployment.objects.all():
        try:
            rows += catch_up(deployment, by=by)
        except Exception:
            log.exception("monitoring_tick_failed", deployment=deployment.name)
    return rows


def catch_up(deployment: Deployment, *, by: Principal) -> int:
    """Count what this deployment's worker has logged and measure the windows that grew; returns the rows counted."""
    taken = ingest(deployment, by=by)
    actions.evaluate(deployment, by=by)
    return taken.rows


@handles(actions.TICK)
def evaluate_now(work: Work) -> None:
    """The evaluation that somebody asked for."""
    deployment = Deployment.objects.filter(pk=work.payload["deployment"]).first()
    if deployment is None:
        raise NotFound("This deployment is gone.")
    work.progress("Counting and measuring predictions", 0, 1)
    rows = catch_up(deployment, by=work.principal)
    with work.finishing() as job:
        job.result = {"rows": rows}
