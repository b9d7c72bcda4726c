"""Who is told by e-mail that it is their turn.

Mail leaves through an outbox job after the commit; nothing can be approved by a link in it.
"""

from __future__ import annotations

from access.models import User
from access.principal import Principal
from jobs.actions import enqueue
from reviews.models import Round, SignOff
from reviews.people import deeds_of, eligible_people

NOTIFY = "reviews.notify"


def tell_reviewers(round_: Round, *, by: Principal) -> None:
    """Tell everybody who may fill a slot of a new round; inside the transaction that opened it."""
    enqueue(NOTIFY, {"round": round_.pk, "event": "turn"}, by=by)


def tell_requester(round_: Round, *, by: Principal) -> None:
    """Tell the requester that the round was decided, or that changes are asked for."""
    enqueue(NOTIFY, {"round": round_.pk, "event": "decision"}, by=by)


def recipients(round_: Round, event: str) -> list[User]:
    """The active people with an address whom the event concerns, read when the mail is written."""
    review = round_.review
    if event == "decision":
        people = [review.requested_by]
    else:
        deeds = deeds_of(review.version, review)
        signed = set(SignOff.objects.filter(round=round_, withdrawn_at=None).values_list("person_id", flat=True))
        found = {person.pk: person for slot in round_.slots.all() for person in eligible_people(slot, deeds)}
        people = [person for pk, person in sorted(found.items()) if pk not in signed]
    return [person for person in people if person.is_active and person.email]
