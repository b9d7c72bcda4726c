"""Mail that leaves after the commit. At least once: a mail that was sent just before a crash is sent again."""

from __future__ import annotations

from typing import Final

from celery import shared_task
from django.conf import settings
from django.core.mail import send_mail
from django.utils import timezone

from jobs.work import Work, handles
from reviews import clock
from reviews.evaluation import page_of
from reviews.models import Round
from reviews.notices import NOTIFY, recipients

SUBJECTS: Final = {"turn": "Your sign-off is asked for", "decision": "A decision on your request"}


@handles(NOTIFY)
def notify(work: Work) -> None:
    """Write to everybody whom the event concerns; the address in the mail leads to the page, never to a decision."""
    round_ = Round.objects.select_related("review__version__model", "review__stage", "review__requested_by").get(
        pk=work.payload["round"]
    )
    event = str(work.payload["event"])
    review = round_.review
    lines = [
        f"{review.version} for {review.stage}: round {round_.number} is {round_.get_state_display().lower()}.",
        "",
        review.why,
        "",
        f"Due {review.due_at:%d %B %Y}. Read the evidence and decide here:",
        f"{settings.PORTAL_URL}{page_of(review.version)}",
        "",
        f"Event {work.job.uuid}",
    ]
    for person in recipients(round_, event):
        work.check()
        send_mail(f"{SUBJECTS[event]}: {review.version}", "\n".join(lines), settings.DEFAULT_FROM_EMAIL, [person.email])
    work.log(f"Told {len(recipients(round_, event))} people: {event}")


@shared_task(name="reviews.tick")  # type: ignore[untyped-decorator]  # Celery has no types
def tick() -> int:
    """Everything that is due by now; see `reviews.clock`."""
    return clock.tick(timezone.now())
