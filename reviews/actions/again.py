"""Asking those whose signatures became stale to look again: one click, and each of them is told once for each state of the subject."""

from __future__ import annotations

from django.utils import timezone

from access.models import User
from access.permissions import Permission, permit
from access.principal import Principal
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from foundation.refusals import Conflict
from notices.actions import tell
from notices.models import Notification
from reviews.evaluation import current_subject, page_of
from reviews.locking import locked_review
from reviews.models import APPROVING, Round
from reviews.standing import Signature, Standing, standing_of


@governed(Action.SIGN_OFF_REQUEST)
def request_again(round_: Round, *, by: Principal) -> list[User]:
    """Tell everybody whose approval in the open round went stale what changed, and that it has to be given anew; returns them.

    For whoever may request reviews. Nothing that was signed is touched: it stays, struck through.
    """
    review = locked_review(round_.review)
    permit(by, Permission.REQUEST_REVIEW, review.version.model)
    round_ = Round.objects.select_related("compared_with").get(pk=round_.pk)
    round_.review = review
    if review.closed_at is not None or not round_.is_open:
        raise Conflict("This round is closed; nobody can sign in it any more. Open a new one.", code="round-closed")
    subject = current_subject(round_)
    stale = stale_in(standing_of(round_, subject.facets, timezone.now()).signatures)
    if not stale:
        raise Conflict("Every signature still covers what is there; nobody has to sign anew.", code="nothing-stale")
    for signature in stale:
        tell(
            [signature.sign_off.person],
            event=f"round:{round_.pk}:again:{subject.digest[:16]}",
            kind=Notification.Kind.TURN,
            title=f"Please sign again: {review.version} for {review.stage}",
            body=f"The {', '.join(signature.changed)} changed after you signed as {signature.sign_off.slot.title}.",
            link=f"{page_of(review.version)}?stage={review.stage.name}",
            about=review.version.model,
        )
    people = [signature.sign_off.person for signature in stale]
    append(
        Action.SIGN_OFF_REQUEST,
        by=by,
        obj=round_.ledger_ref(),
        after={"subject": subject.digest, "people": [str(person.uuid) for person in people]},
    )
    return people


def stale_in(signatures: tuple[Signature, ...]) -> list[Signature]:
    """The approvals that no longer cover what is there."""
    return [
        one
        for one in signatures
        if one.standing is Standing.STALE and one.said is not None and one.said.decision in APPROVING
    ]
