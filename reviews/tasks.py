"""What time decides, and what takes long, on a worker."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from jobs.work import Work, handles
from reviews import clock
from reviews.actions.rehearsals import REHEARSABLE, REHEARSE, keep_rehearsal
from reviews.models import PolicyVersion
from reviews.rehearsal import rehearse


@handles(REHEARSE)
def rehearse_policy(work: Work) -> None:
    """Rehearse a policy with many cases; a text that was changed meanwhile needs a new rehearsal, and this one ends without a result."""
    version = PolicyVersion.objects.select_related("policy").get(pk=work.payload["version"])
    if version.digest != work.payload["digest"] or version.status not in REHEARSABLE:
        work.log("The text was changed or decided meanwhile.")
        return
    found = rehearse(version, progress=lambda done, total: work.progress(f"{done} of {total} cases", done, total))
    with work.finishing():
        keep_rehearsal(version, found, by=work.principal)


@shared_task(name="reviews.tick")  # type: ignore[untyped-decorator]  # Celery has no types
def tick() -> int:
    """Everything that is due by now; see `reviews.clock`."""
    return clock.tick(timezone.now())
