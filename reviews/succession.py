"""What a new approval does for a version that is live already: it takes the place of the one by which it is, at once."""

from __future__ import annotations

from datetime import datetime

from foundation.refusals import Refusal
from notices.actions import tell
from notices.models import Notification
from registry import queries as registry
from registry.models import Promotion
from reviews.clock import CLOCK
from reviews.evaluation import page_of
from reviews.lapses import end_break_glass
from reviews.models import Approval, BreakGlass


def take_over(approval: Approval, now: datetime) -> Promotion | None:
    """Renew the release of a version that holds the stage, inside the transaction that approved it; None where it does not hold it.

    Every requirement is asked for as for a promotion. Where one is not met the version stays live by its older approval until
    that one ends, and its owner is told what is missing.
    """
    # Here and not above: promotions build on the actions of cases, and those lead here.
    from reviews.promotion import promote

    version, stage = approval.version, approval.stage
    holder = registry.stage_holder(version.model, stage)
    if holder is None or holder.pk != version.pk:
        return None
    try:
        promotion = promote(version, stage, by=CLOCK)
    except Refusal as refusal:
        tell(
            [version.model.owner],
            event=f"not-renewed:{approval.pk}",
            kind=Notification.Kind.OVERDUE,
            title=f"{version} was approved anew, but not everything is met",
            body=str(refusal),
            link=page_of(version),
            about=version.model,
        )
        return None
    reason = "Its review approved it; that approval has taken its place."
    end_break_glass(version, stage, reason, now, state=BreakGlass.State.APPROVED, by=CLOCK)
    return promotion
