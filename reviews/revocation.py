"""Taking approvals back at once: aliases drop in the same transaction, so that pulls and serving stop."""

from __future__ import annotations

from access.permissions import Permission, Verdict, permit, verdict
from access.principal import Principal
from access.stepup import Confirmation, prove
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from foundation.refusals import Conflict, Forbidden, Invalid
from registry.lifecycle import move
from registry.models import ModelVersion
from registry.releases import drop_stage_aliases
from reviews import announcements
from reviews.actions.cases import close_review, close_round, person_of
from reviews.actions.signatures import MAX_REASON
from reviews.lapses import end_break_glass
from reviews.locking import locked_version
from reviews.models import Approval, BreakGlass, Review, Revocation, Round, Slot
from reviews.people import candidate
from reviews.statements import seal_revocation

RISK_OFFICERS = "Risk officers"


@governed(Action.VERSION_REVOKE)
def revoke(version: ModelVersion, *, reason: str, reauthentication: Confirmation, by: Principal) -> Revocation:
    """Withdraw every standing approval of `version`, for all stages and for good, with a signed reason. Uses up `reauthentication`."""
    version = locked_version(version)
    permit(by, Permission.SEE_MODEL, version.model)
    answer = may_revoke(by, version)
    if not answer.allowed:
        raise Forbidden(answer.reason, code="may-not-revoke")
    person = person_of(by)
    if not reason.strip() or len(reason) > MAX_REASON:
        sentence = "Give the reason: it is signed, and everyone who used the version will read it."
        raise Invalid(sentence, errors={"reason": sentence})
    standing = Approval.objects.filter(version=version, revocation=None)
    if not standing.exists():
        raise Conflict(f"No approval of {version} stands; there is nothing to revoke.", code="nothing-to-revoke")
    proof = prove(reauthentication, user=person)
    revocation = Revocation.objects.create(
        version=version,
        reason=reason.strip(),
        statement=dict(seal_revocation(version, proof, reason=reason.strip())),
        reauthentication=proof.reauthentication,
        by=person,
        at=proof.at,
    )
    standing.update(revocation=revocation)
    _close_cases(version, by)
    dropped = drop_stage_aliases(version, by=by)
    for case in version.break_glasses.filter(state=BreakGlass.State.IN_FORCE).select_related("stage"):
        end_break_glass(version, case.stage, f"Revoked: {revocation.reason}", proof.at, by=by)
    move(version, "revoke", by=by, decision=revocation)
    revocation.receipt = append(
        Action.VERSION_REVOKE,
        by=by,
        obj=revocation.ledger_ref(),
        after={"reason": revocation.reason, "aliases_dropped": [alias.name for alias in dropped]},
    )
    announcements.revoked(revocation, dropped)
    return revocation


def may_revoke(by: Principal, version: ModelVersion) -> Verdict:
    """Whether `by` may revoke: any holder of a slot in a round of the version, any risk officer, or who was given the permission."""
    if by.user is None or not by.user.is_person or not by.user.is_active:
        return Verdict(False, "Only an active person can revoke an approval.")
    if verdict(by, Permission.REVOKE_VERSION, version.model).allowed:
        return Verdict(True, "You were given the permission to revoke.")
    holders = set(Slot.objects.filter(round__review__version=version).values_list("group__name", flat=True)) | {
        RISK_OFFICERS
    }
    mine = candidate(by.user).groups & holders
    if mine:
        return Verdict(True, f"You are a member of {sorted(mine)[0]}.")
    return Verdict(False, f"An approval is revoked by a member of {' or '.join(sorted(holders))}, and you are none.")


def _close_cases(version: ModelVersion, by: Principal) -> None:
    for review in Review.objects.open().filter(version=version).select_related("version__model"):
        current = review.rounds.order_by("-number").first()
        if current is not None and current.is_open:
            close_round(current, Round.State.WITHDRAWN, by)
        close_review(review)
