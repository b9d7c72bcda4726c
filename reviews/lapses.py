"""The one way in which an approval ends that nobody had to decide: it ran out, a condition was overdue, a grace or a break-glass ended."""

from __future__ import annotations

from datetime import datetime

from access.principal import Principal
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from foundation.refusals import Conflict
from notices.actions import tell
from notices.models import Notification
from registry.lifecycle import can_move, move
from registry.models import Alias, ModelVersion, Stage
from registry.releases import drop_stage_aliases
from reviews import announcements
from reviews.evaluation import page_of
from reviews.locking import locked_version
from reviews.models import Approval, BreakGlass, Lapse, Review
from reviews.queries import approval_in_force


@governed(Action.APPROVAL_LAPSE)
def lapse(approval: Approval, kind: Lapse.Kind, reason: str, now: datetime, *, by: Principal) -> Lapse:
    """End `approval` at `now` for a reason that people will read; a second call changes nothing and returns the same lapse.

    The stage's alias drops when the version holds it by this approval and no other one of it is in force there. When it was the
    version's last approval, the version expires, or is in review again where a review of it is open. Raises `Conflict` for an
    approval that was revoked: that ended it already, and for good. Asks for no permission of its own: it can only take away, and what
    leads to it is time, or a decision that was permitted.
    """
    version = locked_version(approval.version)
    approval = (
        Approval.objects.select_for_update(of=("self",)).select_related("stage", "round__review").get(pk=approval.pk)
    )
    approval.version = version
    if earlier := Lapse.objects.filter(approval=approval).first():
        return earlier
    if approval.revocation_id is not None:
        raise Conflict(
            f"The approval of {version} was revoked; there is nothing left to lapse.", code="already-revoked"
        )
    found = Lapse.objects.create(approval=approval, kind=kind, reason=reason, at=now)
    dropped = _drop(approval, now, by)
    _leave(version, found, by)
    append(
        Action.APPROVAL_LAPSE,
        by=by,
        obj=found.ledger_ref(),
        why=reason,
        before={"state": "standing"},
        after={"kind": str(kind), "stage": approval.stage.name, "aliases_dropped": [alias.name for alias in dropped]},
    )
    if approval_in_force(version, approval.stage, now) is None:
        announcements.lapsed(found, dropped)
        _tell(found)
    return found


def _drop(approval: Approval, now: datetime, by: Principal) -> list[Alias]:
    held = Alias.objects.filter(
        version=approval.version, stage=approval.stage, promotion__isnull=False, promotion=approval.promotion_id
    )
    if not held.exists() or approval_in_force(approval.version, approval.stage, now) is not None:
        return []
    return drop_stage_aliases(approval.version, stage=approval.stage, by=by)


def _leave(version: ModelVersion, found: Lapse, by: Principal) -> None:
    """What becomes of a version whose last approval ended; one that lost a stage and keeps another approval is live no more."""
    if Approval.objects.filter(version=version, revocation=None, lapse=None).exists():
        held = Alias.objects.filter(version=version, stage__isnull=False).exists()
        name = "" if held or version.state != ModelVersion.State.LIVE else "demote"
    else:
        name = "fall_back" if Review.objects.open().filter(version=version).exists() else "expire"
    if name and can_move(version, name):
        move(version, name, by=by, decision=found)


def _tell(found: Lapse) -> None:
    version, stage = found.approval.version, found.approval.stage
    emergency = found.kind == Lapse.Kind.BREAK_GLASS
    tell(
        [version.model.owner, found.approval.round.review.requested_by],
        event=f"lapse:{found.uuid}",
        kind=Notification.Kind.EMERGENCY if emergency else Notification.Kind.OVERDUE,
        title=f"The approval of {version} for {stage} has ended",
        body=found.reason,
        link=page_of(version),
        about=version.model,
    )


@governed(Action.BREAK_GLASS_END)
def end_break_glass(
    version: ModelVersion,
    stage: Stage,
    reason: str,
    now: datetime,
    *,
    state: BreakGlass.State = BreakGlass.State.ROLLED_BACK,
    by: Principal,
) -> BreakGlass | None:
    """End the break-glass that is in force for `version` at `stage`, with its approval; None where there is none.

    Inside the transaction of what ended it: a rollback, a revocation, an approval that took its place.
    """
    version = locked_version(version)
    in_force = BreakGlass.objects.select_for_update(of=("self",)).filter(
        version=version, stage=stage, state=BreakGlass.State.IN_FORCE
    )
    case = in_force.select_related("stage").first()
    if case is None:
        return None
    case.version, case.state, case.ended_at = version, state, now
    case.save(update_fields=["state", "ended_at"])
    approval = Approval.objects.filter(break_glass=case).first()
    if approval is not None and approval.revocation_id is None:
        lapse(approval, Lapse.Kind.BREAK_GLASS, reason, now, by=by)
    append(
        Action.BREAK_GLASS_END,
        by=by,
        obj=case.ledger_ref(),
        why=reason,
        before={"state": BreakGlass.State.IN_FORCE},
        after={"state": str(state)},
    )
    return case
