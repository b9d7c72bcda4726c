"""Asking for long work, cancelling and repeating it. The worker's side is in `jobs.work`."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from access.principal import Principal
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from foundation.refusals import Conflict, Forbidden
from jobs.models import Job
from jobs.publishing import publish


@governed(Action.JOB_ENQUEUE)
def enqueue(kind: str, payload: dict[str, Any], *, by: Principal, max_attempts: int = 2) -> Job:
    """Keep one piece of work as a row in the caller's transaction and publish its id once that transaction has committed.

    `payload` holds ids and plain JSON only; state is read again by the worker. If the broker loses the id, the sweeper publishes it again.
    """
    if by.user is None:
        raise Forbidden("Somebody has to be signed in to ask for work, so that the record can say who asked.")
    job = Job.objects.create(kind=kind, payload=payload, requested_by=by.user, max_attempts=max_attempts)
    append(Action.JOB_ENQUEUE, by=by, obj=job.ledger_ref(), after={"kind": kind})
    transaction.on_commit(lambda: publish(job.uuid))
    return job


@governed(Action.JOB_CANCEL)
def request_cancel(job: Job, *, by: Principal) -> Job:
    """Ask for the work to stop: queued work ends at once, running work at its next check."""
    job = Job.objects.select_for_update().get(pk=job.pk)
    if job.is_finished:
        raise Conflict(
            f"This job already {job.get_state_display().lower()}; there is nothing to cancel.", code="job-finished"
        )
    now = timezone.now()
    job.cancel_requested_at = now
    if job.state == Job.State.QUEUED:
        job.state, job.finished_at = Job.State.CANCELLED, now
    job.save(update_fields=["cancel_requested_at", "state", "finished_at"])
    append(Action.JOB_CANCEL, by=by, obj=job.ledger_ref(), after={"state": job.state})
    return job


@governed(Action.JOB_RETRY)
def retry(job: Job, *, by: Principal) -> Job:
    """Queue failed or cancelled work once more, as the same job: its effects stay tied to one id, so nothing happens twice."""
    job = Job.objects.select_for_update().get(pk=job.pk)
    if job.state not in {Job.State.FAILED, Job.State.CANCELLED}:
        raise Conflict(
            f"Only failed or cancelled work can be repeated; this job is {job.get_state_display().lower()}.",
            code="job-not-failed",
        )
    before = job.state
    job.state = Job.State.QUEUED
    job.max_attempts = job.attempt + 1
    job.error, job.finished_at, job.cancel_requested_at, job.lease_until = "", None, None, None
    job.save(update_fields=["state", "max_attempts", "error", "finished_at", "cancel_requested_at", "lease_until"])
    if by.user is not None:
        job.retried_by.add(by.user)
    append(Action.JOB_RETRY, by=by, obj=job.ledger_ref(), before={"state": before}, after={"state": job.state})
    transaction.on_commit(lambda: publish(job.uuid))
    return job
