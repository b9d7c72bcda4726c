"""What a policy that comes into force does to rounds that are open: each is closed and the next one opened under the new rules.

Until that tick nothing can be signed or promoted in such a round (the requirement `policy-changed`). Signatures do not carry over:
they were given under other rules. What is live already gets a dated grace instead (`reviews.renewal`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from access.permissions import Permission, permit
from access.principal import Principal
from audit.events import Action
from audit.governed import governed
from notices.actions import tell
from notices.models import Notification
from reviews.actions.cases import open_round
from reviews.clock import CLOCK, Effect, due
from reviews.evaluation import page_of
from reviews.locking import locked_review
from reviews.models import Round
from reviews.policies import PolicyRef, Rules
from reviews.rulebook import applying, in_force, rules_for, rules_of


@due
def outdated_rounds(now: datetime) -> Sequence[Effect]:
    """Open rounds whose rules are not those in force any more; where no policy applies at all, nothing can be opened."""
    texts = in_force()
    rounds = Round.objects.filter(state=Round.State.OPEN, review__closed_at=None).select_related(
        "review__version__model", "review__stage"
    )
    found = []
    for round_ in rounds.prefetch_related("policies__policy").order_by("pk"):
        review = round_.review
        rules = applying(texts, review.version.model.tier, review.stage.name)
        if rules.slots and {_cited(ref) for ref in rules.refs} != _opened_under(round_):
            found.append(partial(_supersede, round_))
    return found


def _opened_under(round_: Round) -> set[tuple[str, int, str]]:
    return {(version.policy.name, version.number, version.digest) for version in round_.policies.all()}


def _cited(ref: PolicyRef) -> tuple[str, int, str]:
    return ref.name, ref.number, ref.digest


def _supersede(round_: Round, _now: datetime) -> None:
    supersede(round_, by=CLOCK)


@governed(Action.ROUND_OPEN)
def supersede(round_: Round, *, by: Principal) -> Round | None:
    """Open the next round of a case under the rules in force, in the name of its requester; nothing where that was done already."""
    review = locked_review(round_.review)
    permit(by, Permission.REQUEST_REVIEW, review.version.model)
    current = review.current_round
    current.review = review
    rules = rules_for(review.version.model.tier, review.stage)
    before = rules_of(current)
    if review.closed_at is not None or not current.is_open or not rules.slots or before.digest == rules.digest:
        return None
    opened = open_round(review, by=by)
    tell(
        [review.requested_by],
        event=f"round:{opened.pk}:policy",
        kind=Notification.Kind.DECISION,
        title=f"New rules apply to {review.version} for {review.stage}",
        body=f"{_what_came(before, rules)} Round {opened.number} was opened in your name under them; what was signed in round "
        f"{current.number} stays on record and has to be given anew.",
        link=page_of(review.version),
        about=review.version.model,
    )
    return opened


def _what_came(before: Rules, after: Rules) -> str:
    old, new = ({_cited(ref) for ref in rules.refs} for rules in (before, after))
    came = [f"{name}, version {number}" for name, number, _ in sorted(new - old)]
    gone = [f"{name}, version {number}" for name, number, _ in sorted(old - new)]
    return f"In force now: {'; '.join(came)}." if came else f"No longer in force here: {'; '.join(gone)}."
