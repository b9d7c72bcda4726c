"""Tells whoever asked for long work that it is over.

The rooms above put their kinds of work into words; of a kind without words nobody is told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.db.models import Model

from jobs.models import Job
from jobs.work import when_over
from notices.actions import tell
from notices.models import Notification


@dataclass(frozen=True)
class Words:
    """What the work was, to continue a sentence ("Training of credit"), and the page that shows its result.

    `about`: the registered model that it names; whoever may not see that any more is told nothing.
    """

    what: str
    link: str
    about: Model | None = None


Describe = Callable[[Job], Words]
_words: dict[str, Describe] = {}


def in_words(kind: str) -> Callable[[Describe], Describe]:
    """Register the function that puts jobs of one kind into words: their requesters are told when such a job is over."""

    def register(describe: Describe) -> Describe:
        if _words.setdefault(kind, describe) is not describe:
            raise ValueError(f"Jobs of kind {kind} are put into words twice.")
        return describe

    return register


@when_over
def tell_requester(job: Job) -> None:
    """Tell of one try that succeeded or failed; who cancelled it knows. Inside the transaction that ended it."""
    describe = _words.get(job.kind)
    if describe is None or job.state == Job.State.CANCELLED:
        return
    words = describe(job)
    good = job.state == Job.State.SUCCEEDED
    tell(
        [job.requested_by],
        event=f"job:{job.uuid}:{job.attempt}",
        kind=Notification.Kind.JOB,
        title=f"{words.what} {'is done' if good else 'failed'}",
        body="" if good else job.error,
        link=words.link,
        about=words.about,
    )
