"""The only way a stage's alias moves.

Everything is asked again in the transaction that moves it, and a refusal lists all that is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.utils import timezone

from access.permissions import Permission, permit
from access.principal import Principal
from access.stepup import Confirmation, prove
from audit import integrity
from audit.actions import Receipt, append
from audit.events import Action
from audit.governed import governed
from countersign.proof.dsse import Envelope, envelope_digest, seal, statement
from foundation.keys import registry_signer
from foundation.refusals import Conflict, Invalid, Requirement
from registry.models import Alias, ModelVersion, Promotion, RegisteredModel, Stage
from registry.releases import RELEASE_TYPE, place_stage_alias, read_release
from reviews import announcements
from reviews.actions.cases import close_review, person_of
from reviews.evaluation import Evaluation, examine, overruled, page_of
from reviews.grounds import about
from reviews.lapses import end_break_glass
from reviews.locking import locked_review, locked_version
from reviews.models import Approval, Review, Rollback
from reviews.proof import ground_of, why_unsound
from reviews.queries import approval_in_force
from reviews.rulebook import rules_for, rules_of
from reviews.statements import MAX_REASON, seal_rollback


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
    integrity.require_sound()
    for review in Review.objects.open().of(version, stage):
        locked_review(review)
    found = examine(version, stage)
    if found.holder == version and not _renews(found):
        raise Conflict(f"{version} holds {stage} already.", code="already-live", link=page_of(version))
    if found.unmet:
        raise refusal(found)
    approval = _sound_approval(found)
    _compare(found, expected_previous)
    promotion = place(approval, found.holder, by=by)
    if found.review is not None and found.review.closed_at is None:
        close_review(found.review)
    promotion.receipt = _record(Action.VERSION_PROMOTE, promotion, by)  # type: ignore[attr-defined]  # transient, for the page
    return promotion


@governed(Action.VERSION_ROLL_BACK)
def roll_back(
    model: RegisteredModel, stage: Stage, *, reason: str, reauthentication: Confirmation, by: Principal
) -> Promotion:
    """Move the stage's alias back to the version that held it before, while that version's approval stands; a signed decision.

    Uses up `reauthentication`. A break-glass that put the version live which is left ends with it.
    """
    model = RegisteredModel.objects.locked(model.pk)
    permit(by, Permission.PROMOTE_VERSION, model)
    person = person_of(by)
    if not reason.strip() or len(reason) > MAX_REASON:
        sentence = "Give the reason: it is signed, and kept with the rollback."
        raise Invalid(sentence, errors={"reason": sentence})
    alias = model.aliases.filter(stage=stage).select_related("promotion__previous", "version").first()
    approval = _to_go_back_to(model, stage, alias)
    proof = prove(reauthentication, user=person, accepted=accepted_for_rollback(approval))
    left = alias.version if alias else None
    statement_ = seal_rollback(
        approval.version, stage, proof, reason=reason.strip(), left=left.number if left else None
    )
    digest = envelope_digest(statement_)
    promotion = place(approval, left, by=by, rollback=True, cites={"rollback": digest})
    Rollback.objects.create(
        promotion=promotion,
        person=person,
        reason=reason.strip(),
        statement=dict(statement_),
        statement_digest=digest,
        reauthentication=proof.reauthentication,
        signed_at=proof.at,
    )
    if left is not None:
        end_break_glass(left, stage, f"{person} rolled it back: {reason.strip()}", proof.at, by=by)
    promotion.receipt = _record(Action.VERSION_ROLL_BACK, promotion, by)  # type: ignore[attr-defined]  # transient, for the page
    return promotion


def accepted_for_rollback(approval: Approval) -> tuple[str, ...]:
    """How a rollback by `approval` is confirmed: as the rules in force ask for, and those that the approval was given under."""
    now, then = rules_for(approval.version.model.tier, approval.stage), rules_of(approval.round)
    return tuple(method for method in now.reauthentication if method in then.reauthentication)


def champion_before(alias: Alias) -> ModelVersion | None:
    """The version that held the stage before the one that holds it now; renewals of its own approval do not count."""
    moves = (
        Promotion.objects.filter(model=alias.model_id, stage=alias.stage_id)
        .select_related("previous")
        .order_by("-at", "-pk")
    )
    for one in moves:
        if one.version_id != alias.version_id:
            return None
        if one.previous_id != one.version_id:
            return one.previous
    return None


def place(
    approval: Approval,
    previous: ModelVersion | None,
    *,
    by: Principal,
    rollback: bool = False,
    cites: Mapping[str, Any] | None = None,
) -> Promotion:
    """Move the alias by `approval`, with a release of its own that also says `cites`; inside the transaction of what decided it."""
    version = approval.version
    release = _release(approval, previous, by=by, cites=cites or {})
    promotion = place_stage_alias(version.model, approval.stage, version, release=release, rollback=rollback, by=by)
    Approval.objects.filter(pk=approval.pk).update(promotion=promotion)
    approval.promotion = promotion
    announcements.promoted(version, approval.stage, previous, basis=str(approval.basis), rollback=rollback)
    return promotion


def _renews(found: Evaluation) -> bool:
    """Whether the version holds the stage by another approval than the one that its newest review gave."""
    return found.approval is not None and found.approval.promotion_id is None


def _to_go_back_to(model: RegisteredModel, stage: Stage, alias: Alias | None) -> Approval:
    if alias is None or alias.promotion is None:
        raise Conflict(f"No version of {model} holds {stage}; there is nothing to roll back.", code="nothing-live")
    previous = champion_before(alias)
    if previous is None:
        raise Conflict(
            f"{alias.version} was the first in {stage}; there is no earlier version to roll back to.",
            code="no-previous",
        )
    previous = locked_version(previous)
    approval = approval_to_return_to(previous, stage, timezone.now())
    if approval is None:
        raise Conflict(
            f"The approval of {previous} for {stage} does not stand any more, so there is no rollback to it. It needs a new review.",
            code="approval-not-standing",
            link=page_of(previous),
        )
    return approval


def approval_to_return_to(previous: ModelVersion, stage: Stage, now: datetime) -> Approval | None:
    """The approval by which a rollback to `previous` is possible at `now`: in force, valid for a promotion, and by a review or envelope."""
    approval = approval_in_force(previous, stage, now)
    if (
        approval is None
        or approval.valid_until <= now
        or approval.basis == Approval.Basis.BREAK_GLASS
        or overruled(approval)
    ):
        return None
    approval.version = previous
    return approval


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
    if found.holder == found.version:
        return
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
        link=page_of(found.version),
        extra={"compared_with": expected, "live_now": holder, "gates": changed_gates(found)},
    )


def changed_gates(found: Evaluation) -> list[dict[str, str]]:
    """The gates that say something else than when the round was last looked at: against the version that is live now."""
    before = {one.key: one for one in found.round.gate_results.all()} if found.round else {}
    rows = []
    for outcome in found.gates:
        was = before.get(outcome.gate.key)
        if was is None or (was.status, was.production) == (str(outcome.status), outcome.production):
            continue
        rows.append(
            {
                "key": outcome.gate.key,
                "title": outcome.gate.title,
                "was": was.status,
                "now": str(outcome.status),
                "production_was": was.production,
                "production_now": outcome.production,
                "measured": outcome.measured,
                "required": outcome.required,
            }
        )
    return rows


def _release(approval: Approval, previous: ModelVersion | None, *, by: Principal, cites: Mapping[str, Any]) -> Envelope:
    """The registry's signed permission for one move of one alias."""
    version = approval.version
    now = timezone.now()
    ground = ground_of(approval, now)
    if ground.problem:
        raise Conflict(f"The approval of {version} does not hold: {ground.problem}", code="approval-unsound")
    predicate = {
        **about(version, approval.stage),
        **ground.cites,
        **_measured_before(approval),
        **cites,
        "previous": previous.number if previous else None,
        "valid_until": ground.valid_until.isoformat(),
        "pulls_until": ground.pulls_until.isoformat(),
        "promoted_by": str(by.user.uuid) if by.user else by.part,
        "at": now.isoformat(),
    }
    name = f"{version.model.name}/{version.number}"
    return seal(
        statement(subject_name=name, subject_sha256=version.digest, predicate_type=RELEASE_TYPE, predicate=predicate),
        registry_signer(),
    )


def _measured_before(approval: Approval) -> dict[str, Any]:
    """What was measured against the bounds of an envelope when its approval was first used: each later release by it says so too."""
    if approval.basis != Approval.Basis.ENVELOPE or approval.promotion is None:
        return {}
    return {"bounds": read_release(approval.promotion.release).predicate["bounds"]}


def _record(action: Action, promotion: Promotion, by: Principal) -> Receipt:
    return append(
        action,
        by=by,
        obj=promotion.ledger_ref(),
        before={"version": promotion.previous.number if promotion.previous else None},
        after={"version": promotion.version.number, "stage": promotion.stage.name, "release": promotion.release_digest},
    )
