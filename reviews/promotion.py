"""The only way a stage's alias moves.

Everything is asked again in the transaction that moves it, and a refusal lists all that is missing.
"""

from __future__ import annotations

from typing import Final

from django.utils import timezone

from access.permissions import Permission, permit
from access.principal import Principal
from audit.actions import Receipt, append
from audit.events import Action
from audit.governed import governed
from foundation.dsse import Envelope, seal, statement
from foundation.keys import registry_signer
from foundation.refusals import Conflict, Requirement
from registry.models import ModelVersion, Promotion, RegisteredModel, Stage
from registry.releases import RELEASE_TYPE, place_stage_alias
from reviews.actions.cases import close_review, person_of
from reviews.evaluation import Evaluation, examine, overruled, page_of
from reviews.locking import locked_review, locked_version
from reviews.models import Approval, Review
from reviews.proof import round_name, why_unsound
from reviews.queries import approval_in_force
from reviews.rulebook import rules_of
from reviews.standing import standing_of
from reviews.subjects import frozen


class _AsReviewed:
    """Stands for: the champion must still be the one that the review compared with."""


AS_REVIEWED: Final = _AsReviewed()


def requirements(version: ModelVersion, stage: Stage, *, by: Principal | None = None) -> tuple[Requirement, ...]:
    """Everything that a promotion of `version` to `stage` asks for, met or not; with `by`, only for those who may see the model."""
    if by is not None:
        permit(by, Permission.SEE_MODEL, version.model)
    return examine(version, stage).requirements


@governed(Action.VERSION_PROMOTE)
def promote(
    version: ModelVersion, stage: Stage, *, by: Principal, expected_previous: int | _AsReviewed | None = AS_REVIEWED
) -> Promotion:
    """Move the stage's alias to `version`, or refuse with every unmet requirement.

    `expected_previous`: number of the version that the caller saw there (None: no version); by default the one that the review
    compared with. When another one holds the stage by now, nothing moves.
    """
    version = locked_version(version)
    permit(by, Permission.PROMOTE_VERSION, version.model)
    person_of(by)
    for review in Review.objects.open().of(version, stage):
        locked_review(review)
    found = examine(version, stage)
    if found.holder == version:
        raise Conflict(f"{version} holds {stage} already.", code="already-live", link=page_of(version))
    if found.unmet:
        raise refusal(found)
    approval = _sound_approval(found)
    _compare(found, expected_previous)
    envelope = _release(approval, found.holder, by=by)
    promotion = place_stage_alias(version.model, stage, version, release=envelope, by=by)
    Approval.objects.filter(pk=approval.pk).update(promotion=promotion)
    if found.review is not None and found.review.closed_at is None:
        close_review(found.review)
    promotion.receipt = _record(Action.VERSION_PROMOTE, promotion, by)  # type: ignore[attr-defined]  # transient, for the page
    return promotion


@governed(Action.VERSION_ROLL_BACK)
def roll_back(model: RegisteredModel, stage: Stage, *, by: Principal) -> Promotion:
    """Move the stage's alias back to the version that the last promotion replaced, while that version's approval stands."""
    model = RegisteredModel.objects.locked(model.pk)
    permit(by, Permission.PROMOTE_VERSION, model)
    alias = model.aliases.filter(stage=stage).select_related("promotion__previous", "version").first()
    if alias is None or alias.promotion is None:
        raise Conflict(f"No version of {model} holds {stage}; there is nothing to roll back.", code="nothing-live")
    previous = alias.promotion.previous
    if previous is None:
        raise Conflict(
            f"{alias.version} was the first in {stage}; there is no earlier version to roll back to.",
            code="no-previous",
        )
    previous = locked_version(previous)
    approval = approval_in_force(previous, stage, timezone.now())
    if approval is None or overruled(approval):
        raise Conflict(
            f"The approval of {previous} for {stage} does not stand any more, so there is no rollback to it. It needs a new review.",
            code="approval-not-standing",
            link=page_of(previous),
        )
    envelope = _release(approval, alias.version, by=by)
    promotion = place_stage_alias(model, stage, previous, release=envelope, rollback=True, by=by)
    Approval.objects.filter(pk=approval.pk).update(promotion=promotion)
    promotion.receipt = _record(Action.VERSION_ROLL_BACK, promotion, by)  # type: ignore[attr-defined]  # transient, for the page
    return promotion


def refusal(found: Evaluation) -> Conflict:
    """The refusal of a promotion with everything that was asked for."""
    number = len(found.unmet)
    return Conflict(
        f"{found.version} cannot go to {found.stage.title.lower()} yet: {number} requirement{'s are' if number > 1 else ' is'} not met.",
        code="requirements-unmet",
        title="Not approved",
        requirements=found.requirements,
        link=page_of(found.version),
    )


def _sound_approval(found: Evaluation) -> Approval:
    """The approval behind met requirements, verified from its envelopes; there is none where a row was written by hand."""
    approval = found.approval
    if approval is None:
        raise Conflict(
            f"{found.version} has every signature, but its round was not concluded. Withdraw and give the last signature anew.",
            code="no-approval",
        )
    if why := why_unsound(approval, timezone.now(), released=False):
        raise Conflict(
            f"The approval of {found.version} does not hold: {why}",
            code="approval-unsound",
            link=page_of(found.version),
        )
    return approval


def _compare(found: Evaluation, expected: int | _AsReviewed | None) -> None:
    holder = found.holder.number if found.holder else None
    if isinstance(expected, _AsReviewed):
        compared = found.round.compared_with if found.round else None
        expected = compared.number if compared else None
    if holder == expected:
        return
    then = f"version {expected}" if expected is not None else "no version"
    now = f"version {holder}" if holder is not None else "no version"
    raise Conflict(
        f"{found.stage} of {found.version.model} moved meanwhile: {then} was compared with, {now} is live now. "
        "All gates were asked again and hold; look at the comparison, then promote against the version that is live now.",
        code="stage-moved",
        extra={"compared_with": expected, "live_now": holder},
    )


def _release(approval: Approval, previous: ModelVersion | None, *, by: Principal) -> Envelope:
    """The registry's signed permission for one move of one alias."""
    round_, version = approval.round, approval.version
    rules = rules_of(round_)
    subject = frozen(round_)
    now = timezone.now()
    standing = standing_of(round_, subject.facets, now)
    ends = [signature.said.expires for signature in standing.counting if signature.said]
    predicate = {
        "model": version.model.name,
        "version": version.number,
        "stage": approval.stage.name,
        "digest": version.digest,
        "round": round_name(round_),
        "subject_digest": subject.digest,
        "sign_offs": sorted(signature.sign_off.statement_digest for signature in standing.counting),
        "policies": [ref.as_dict() for ref in rules.refs],
        "previous": previous.number if previous else None,
        "valid_until": min([approval.valid_until, *ends]).isoformat(),
        "promoted_by": str(person_of(by).uuid),
        "at": now.isoformat(),
    }
    name = f"{version.model.name}/{version.number}"
    return seal(
        statement(subject_name=name, subject_sha256=version.digest, predicate_type=RELEASE_TYPE, predicate=predicate),
        registry_signer(),
    )


def _record(action: Action, promotion: Promotion, by: Principal) -> Receipt:
    return append(
        action,
        by=by,
        obj=promotion.ledger_ref(),
        before={"version": promotion.previous.number if promotion.previous else None},
        after={"version": promotion.version.number, "stage": promotion.stage.name, "release": promotion.release_digest},
    )
