"""Who is told of what happens to a round: everybody who may fill a slot that it is their turn, the requester that it was decided.

Inside the transaction of what happened; nobody is told of what they did themselves.
"""

from __future__ import annotations

from access.models import User
from access.principal import Principal
from notices.actions import seeing, tell
from notices.models import Notification
from reviews.evaluation import page_of
from reviews.models import Round
from reviews.people import Seating


def tell_reviewers(round_: Round, *, by: Principal) -> None:
    """Tell everybody who may fill a slot of a new round; inside the transaction that opened it."""
    review = round_.review
    tell(
        _others(awaited(round_), by),
        event=f"round:{round_.pk}:turn",
        kind=Notification.Kind.TURN,
        title=f"Your sign-off is asked for: {review.version} for {review.stage}",
        body=f"{review.why}\n\nDue {review.due_at:%d %B %Y}.",
        link=page_of(review.version),
    )


def tell_requester(round_: Round, *, by: Principal) -> None:
    """Tell the requester that the round was decided, or that changes are asked for."""
    review = round_.review
    given = round_.sign_offs.order_by("-signed_at", "-pk").first()
    word = "Changes are asked for" if round_.is_open else str(round_.get_state_display())
    tell(
        _others([review.requested_by], by),
        event=f"round:{round_.pk}:{round_.state}:{given.pk if given else 0}",
        kind=Notification.Kind.DECISION,
        title=f"{word}: {review.version} for {review.stage}",
        body=f"{given.who}: {given.reason}" if given else "",
        link=page_of(review.version),
        about=review.version.model,
    )


def awaited(round_: Round) -> list[User]:
    """The people who may fill a slot of the round, see its model and have not signed in it, those who stand in for them included."""
    slots = list(round_.slots.select_related("group", "alternates"))
    seating = Seating.of_round(round_, slots=slots)
    signed = {given.person_id for given in seating.sign_offs}
    signed |= {given.delegation.delegator_id for given in seating.sign_offs if given.delegation}
    found = {person.pk: person for slot in slots for person in seating.eligible(slot)}
    found |= {
        one.delegate_id: one.delegate
        for one in seating.delegations
        if one.delegator_id not in signed and any(seating.may_sign_for(one, slot).allowed for slot in slots)
    }
    return seeing([person for pk, person in sorted(found.items()) if pk not in signed], round_.review.version.model)


def _others(people: list[User], by: Principal) -> list[User]:
    return [person for person in people if by.user is None or person.pk != by.user.pk]
