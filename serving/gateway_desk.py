"""Decides in which order the gateway asks and writes: one thread with one connection looks at what changed, answers what still counts, and
commits the entries of everybody who waits in one transaction. No answer leaves before its entry is committed.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeVar

import structlog
from django.db import OperationalError, connection

from audit.actions import in_one_group
from audit.governed import unavailable
from foundation.refusals import Refusal, Unavailable
from serving.live import Snapshot

R = TypeVar("R")
T = TypeVar("T")
MOST_AT_ONCE: Final = 256
MOST_WAITING: Final = 4_096
"""How many requests may wait for their entries; more are told to come again, so that those who wait are answered within a second or so."""

log = structlog.get_logger(__name__)


class _Job:
    """What one request wants to know, and what is to be recorded where there is something to say."""

    __slots__ = ("answer", "future", "read", "write")

    def __init__(
        self, read: Callable[[Snapshot], Any], write: Callable[[Any], Any] | None, future: asyncio.Future[Any]
    ) -> None:
        self.read, self.write, self.future = read, write, future
        self.answer: Any = None


class Desk:
    """Where all requests of the process come together."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self._loop = asyncio.get_running_loop()
        self._jobs: deque[_Job] = deque()
        self._came = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="desk")
        self._thread.start()

    async def ask(
        self, read: Callable[[Snapshot], T | None], write: Callable[[T], R], *, always: bool = False
    ) -> R | None:
        """What `write` gives for what `read` found, once its entries are committed; None where `read` found nothing.

        Raises what either raises; `Unavailable` where the database did not take the entries, or too many wait. `always`: for the end of
        what was begun, which waits with however many.
        """
        if len(self._jobs) >= MOST_WAITING and not always:
            raise Unavailable(
                "More is asked for here than can be put on record. Try again in a second.", code="too-busy"
            )
        answer: R | None = await self._put(read, write)
        return answer

    async def read(self, read: Callable[[Snapshot], T]) -> T:
        """What `read` gives."""
        found: T = await self._put(read, None)
        return found

    async def close(self) -> None:
        """Finish what was asked, then stop."""
        self._closing = True
        self._came.set()
        await asyncio.to_thread(self._thread.join)

    async def _put(self, read: Callable[[Snapshot], Any], write: Callable[[Any], Any] | None) -> Any:
        job = _Job(read, write, self._loop.create_future())
        self._jobs.append(job)
        self._came.set()
        return await job.future

    def _run(self) -> None:
        try:
            while True:
                self._came.wait()
                self._came.clear()
                while self._jobs:
                    self._work([self._jobs.popleft() for _ in range(min(len(self._jobs), MOST_AT_ONCE))])
                if self._closing:
                    return
        finally:
            connection.close()

    def _work(self, jobs: list[_Job]) -> None:
        try:
            self.snapshot.look()
            found = [job for job in jobs if self._reads(job) and job.write]
            if found:
                with in_one_group():
                    for job in found:
                        self._writes(job)
        except Exception as error:
            # Nothing was committed, so nobody of this batch is answered; the next one begins with a new connection.
            log.exception("gateway.batch_failed", jobs=len(jobs))
            connection.close()
            refusal = (unavailable(error) if isinstance(error, OperationalError | OSError) else None) or Unavailable(
                "The ledger could not take the entry, so nothing was handed out. Try again in a few seconds.",
                code="not-recorded",
            )
            for job in jobs:
                job.answer = refusal
        self._loop.call_soon_threadsafe(_deliver, jobs)

    def _reads(self, job: _Job) -> bool:
        try:
            job.answer = job.read(self.snapshot)
        except Refusal as refusal:
            job.answer = refusal
            return False
        return job.answer is not None

    def _writes(self, job: _Job) -> None:
        try:
            job.answer = job.write(job.answer) if job.write else job.answer
        except Refusal as refusal:  # raised before it wrote anything
            job.answer = refusal


def _deliver(jobs: list[_Job]) -> None:
    for job in jobs:
        if job.future.done():  # who asked went away
            continue
        if isinstance(job.answer, Refusal):
            job.future.set_exception(job.answer)
        else:
            job.future.set_result(job.answer)
