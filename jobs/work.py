"""The worker's side of a job: claim it, keep the lease, report progress, and let effects happen only while the claim holds.

A worker that was killed, or that slept through its lease, can no longer commit anything for the job: every write of its own
asks for `attempt = mine`.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import DatabaseError, close_old_connections, transaction
from django.db.models import F, Value
from django.db.models.functions import Concat, Right
from django.utils import timezone

from access.principal import Principal
from audit.actions import append
from audit.events import Action, Outcome
from foundation.refusals import Refusal
from jobs.models import Job
from jobs.publishing import publish

log = structlog.get_logger(__name__)

LEASE: Final = timedelta(seconds=60)
HEARTBEAT_SECONDS: Final = 10.0
REPUBLISH_AFTER: Final = timedelta(seconds=30)
LOG_TAIL_CHARACTERS: Final = 20_000


class Cancelled(Exception):
    """The person who asked for the work, or somebody who may, asked for it to stop."""


class LeaseLost(Exception):
    """Another attempt owns the job now; this one must leave no trace."""


Handler = Callable[["Work"], None]
_handlers: dict[str, Handler] = {}
Follower = Callable[[Job], None]
_followers: list[Follower] = []


def handles(kind: str) -> Callable[[Handler], Handler]:
    """Register the function that performs jobs of one kind. One kind, one handler."""

    def register(handler: Handler) -> Handler:
        if _handlers.setdefault(kind, handler) is not handler:
            raise ValueError(f"Two handlers for jobs of kind {kind}.")
        return handler

    return register


def when_over(follower: Follower) -> Follower:
    """Register a function of a room above that is called with every job that ended, inside the transaction that ended it."""
    _followers.append(follower)
    return follower


def _is_over(job: Job) -> None:
    for follower in _followers:
        follower(job)


class Work:
    """One attempt at one job, as its handler sees it."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.attempt = job.attempt
        self.payload: dict[str, Any] = job.payload
        self.principal = replace(Principal.of(job.requested_by, via=f"job:{job.uuid}"), job=job.kind)

    def _mine(self) -> Any:
        return Job.objects.filter(pk=self.job.pk, attempt=self.attempt, state=Job.State.RUNNING)

    def progress(self, step: str, done: int, total: int) -> None:
        """Say which step of how many the work is at; also a check."""
        self.check()
        self._mine().update(step=step, done=done, total=total)
        self.log(step)

    def log(self, line: str) -> None:
        """Add one line to the tail that the job's page shows; only the newest characters are kept."""
        stamped = f"{timezone.now():%H:%M:%S} {line}\n"
        self._mine().update(log=Right(Concat(F("log"), Value(stamped)), LOG_TAIL_CHARACTERS))

    def keep(self, result: dict[str, Any]) -> None:
        """Remember what is done so far as the job's `result`, for an attempt that goes on where this one was killed; also a check."""
        self.check()
        self._mine().update(result=result)
        self.job.result = result

    def check(self) -> None:
        """Raise `Cancelled` when somebody asked for that, `LeaseLost` when this attempt no longer owns the job."""
        row = self._mine().values("cancel_requested_at").first()
        if row is None:
            raise LeaseLost
        if row["cancel_requested_at"] is not None:
            raise Cancelled

    def beat(self) -> bool:
        """Renew the lease; says whether this attempt still owned it."""
        return bool(self._mine().update(lease_until=timezone.now() + LEASE))

    @contextmanager
    def finishing(self) -> Iterator[Job]:
        """A transaction that holds the job's row and ends it as succeeded: the work's effects belong inside.

        Raises `LeaseLost` or `Cancelled` before anything was done when the job is not this attempt's any more.
        """
        with transaction.atomic():
            job = Job.objects.select_for_update().filter(pk=self.job.pk).get()
            if job.attempt != self.attempt or job.state != Job.State.RUNNING:
                raise LeaseLost
            if job.cancel_requested_at is not None:
                raise Cancelled
            yield job
            job.state, job.finished_at, job.lease_until = Job.State.SUCCEEDED, timezone.now(), None
            job.done = job.total = max(job.total, 1)
            job.save(update_fields=["state", "finished_at", "lease_until", "done", "total", "result"])
            append(Action.JOB_FINISH, by=self.principal, obj=job.ledger_ref())
            _is_over(job)


def claim(uuid: UUID, *, worker: str) -> Work | None:
    """Take a waiting or abandoned job for this worker, or nothing when somebody else has it. One conditional UPDATE decides."""
    now = timezone.now()
    taken = (
        Job.objects.claimable(now)
        .filter(uuid=uuid)
        .update(
            state=Job.State.RUNNING,
            attempt=F("attempt") + 1,
            lease_until=now + LEASE,
            worker=worker,
            started_at=now,
        )
    )
    if not taken:
        return None
    return Work(Job.objects.select_related("requested_by").get(uuid=uuid))


def perform(uuid: UUID, *, worker: str) -> None:
    """Claim and carry out one job; whatever happens, its row says how it ended."""
    work = claim(uuid, worker=worker)
    if work is None:
        return
    with _heartbeat(work):
        try:
            _handlers[work.job.kind](work)
        except LeaseLost:
            log.warning("job_lease_lost", job=str(uuid), attempt=work.attempt)
        except Cancelled:
            _end(work, Job.State.CANCELLED, "Cancelled on request.")
        except Refusal as refusal:
            _end(work, Job.State.FAILED, str(refusal))
        except Exception as error:
            log.exception("job_failed", job=str(uuid), kind=work.job.kind)
            work.log(traceback.format_exc(limit=-4))
            _end(work, Job.State.FAILED, f"{type(error).__name__}: {error}")
        else:
            _succeed_if_left_open(work)


def _succeed_if_left_open(work: Work) -> None:
    """End the job of a handler whose effects needed no `finishing` of its own."""
    if not Job.objects.filter(pk=work.job.pk, state=Job.State.RUNNING, attempt=work.attempt).exists():
        return
    with work.finishing():
        pass


def _end(work: Work, state: Job.State, error: str) -> None:
    with transaction.atomic():
        ended = Job.objects.filter(pk=work.job.pk, attempt=work.attempt, state=Job.State.RUNNING).update(
            state=state, error=error, finished_at=timezone.now(), lease_until=None
        )
        if ended:
            append(
                Action.JOB_FAIL, by=work.principal, obj=work.job.ledger_ref(), outcome=Outcome.ERROR, why=f"job-{state}"
            )
            _is_over(Job.objects.select_related("requested_by").get(pk=work.job.pk))


@contextmanager
def _heartbeat(work: Work) -> Iterator[None]:
    """Renew the lease from a thread of its own until the work is over."""
    stop = threading.Event()

    def renew() -> None:
        while not stop.wait(HEARTBEAT_SECONDS):
            try:
                if not work.beat():
                    return
            except DatabaseError:  # the lease outlasts several beats, and the next one may get through
                log.warning("lease_not_renewed", job=str(work.job.uuid), attempt=work.attempt)
            finally:
                close_old_connections()

    thread = threading.Thread(target=renew, name=f"lease-{work.job.uuid}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=HEARTBEAT_SECONDS)


def sweep() -> int:
    """Publish again what is waiting or was abandoned, and end what has no attempt left; returns how many jobs were touched."""
    now = timezone.now()
    given_up = 0
    for job in Job.objects.abandoned(now).select_related("requested_by"):
        with transaction.atomic():
            ended = (
                Job.objects.abandoned(now)
                .filter(pk=job.pk)
                .update(
                    state=Job.State.FAILED,
                    error="The worker was lost and no attempt is left. Press Retry to run it again.",
                    finished_at=now,
                    lease_until=None,
                )
            )
            if ended:
                given_up += 1
                append(
                    Action.JOB_FAIL,
                    by=Principal.of(job.requested_by, via=f"job:{job.uuid}"),
                    obj=job.ledger_ref(),
                    outcome=Outcome.ERROR,
                    why="job-lost",
                )
                _is_over(Job.objects.select_related("requested_by").get(pk=job.pk))
    lost = Job.objects.claimable(now).filter(published_at__lt=now - REPUBLISH_AFTER)
    waiting = list(lost.values_list("uuid", flat=True)[:500])
    Job.objects.filter(uuid__in=waiting).update(published_at=now)
    for uuid in waiting:
        publish(uuid)
    return given_up + len(waiting)
