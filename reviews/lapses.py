"""The one way in which an approval ends that nobody had to decide: it ran out, a condition was overdue, a grace or a break-glass ended."""

from __future__ import annotations

from datetime import datetime

from access.permissions import Permission, permit
from access.principal import Principal
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from foundation.refusals import Conflict
from notices.actions import tell
from notices.models import Notification
from registry.lifecycle import can_move, move
from registry.models import Alias, ModelVersion
from registry.releases import drop_stage_aliases
from reviews.evaluation import page_of
from reviews.locking import locked_version
from reviews.models import Approval, Lapse, Review
from reviews.queries import approval_in_force


@governed(Action.APPROVAL_LAPSE)
def lapse(approval: Approval, kind: Lapse.Kind, reason: str, now: datetime, *, by: Principal) -> Lapse:
    """End `approval` at `now` for a reason that people will read; a second call changes nothing and returns the same lapse.

    The stage's alias drops when the version holds it by this approval and no other one of it is in force there. When it was the
    version's last approval, the version expires, or is in review again where a review of it is open. Raises `Conflict` for an
    approval that was revoked: that ended it already, and for good.
    """
    version = locked_version(approval.version)
    permit(by, Permission.PROMOTE_VERSION, version.model)
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
    )
