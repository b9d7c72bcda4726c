"""Opening and closing the case for a version: request a review, open a new round, withdraw it."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.contrib.auth.models import Group
from django.utils import timezone

from access.models import User
from access.permissions import Permission, permit
from access.principal import Principal
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from foundation.refusals import Conflict, Forbidden, Invalid
from registry import queries as registry
from registry.lifecycle import can_move, move
from registry.models import ModelVersion, Stage
from reviews import announcements
from reviews.conditions import settle_conditions
from reviews.evaluation import examine
from reviews.lapses import lapse
from reviews.locking import locked_review, locked_version
from reviews.models import Approval, GateResult, Lapse, PolicyVersion, Review, Round, Slot
from reviews.notices import tell_reviewers
from reviews.policies import Rules, SlotRule
from reviews.rulebook import rules_for
from reviews.standing import standing_of
from reviews.subjects import facets_of, subject_of

MAX_WHY = 10_000


@governed(Action.REVIEW_REQUEST)
def request_review(
    version: ModelVersion, stage: Stage, *, why: str, due_at: datetime | None = None, by: Principal
) -> Review:
    """Open the case for moving `version` to `stage`, with a first round that freezes what is to be signed."""
    version = locked_version(version)
    permit(by, Permission.REQUEST_REVIEW, version.model)
    person = person_of(by)
    return open_case(version, stage, why=why, due_at=due_at, person=person, by=by)


def open_case(
    version: ModelVersion, stage: Stage, *, why: str, due_at: datetime | None = None, person: User, by: Principal
) -> Review:
    """The same in the name of `person`, inside the transaction of the action that needs the case: a renewal, an emergency.

    Where the version is live there already, the case renews the approval that it is live by.
    """
    rules = rules_for(version.model.tier, stage)
    renews = _check_request(version, stage, why, due_at, rules)
    move(version, "request_review", by=by)
    version.refresh_from_db(fields=["state"])
    review = Review.objects.create(
        version=version,
        stage=stage,
        why=why.strip(),
        requested_by=person,
        due_at=due_at or timezone.now() + timedelta(days=rules.due_days),
        renews=renews,
    )
    append(
        Action.REVIEW_REQUEST,
        by=by,
        obj=review.ledger_ref(),
        after={
            "stage": stage.name,
            "due": review.due_at.isoformat(),
            "requested_by": str(person.uuid),
            "renews": str(renews.pk) if renews else None,
        },
    )
    announcements.requested(review, _open(review, rules, by, person).number)
    return review


@governed(Action.ROUND_OPEN)
def open_round(review: Review, *, by: Principal) -> Round:
    """Another try: close the round that is under way and freeze the subject anew. Signatures of the old round do not carry over.

    The clock opens one in the requester's name.
    """
    review = locked_review(review)
    permit(by, Permission.REQUEST_REVIEW, review.version.model)
    if review.closed_at is not None:
        raise Conflict("This review is closed. Request a new one.", code="review-closed")
    rules = rules_for(review.version.model.tier, review.stage)
    if not rules.slots:
        raise _no_policy(review.version, review.stage)
    current = review.current_round
    if current.is_open:
        standing = standing_of(current, facets_of(review.version, rules), timezone.now())
        close_round(current, Round.State.CHANGES_REQUESTED if standing.changes_requests else Round.State.SUPERSEDED, by)
    _give_time(review, rules)
    return _open(review, rules, by, by.user or review.requested_by)


@governed(Action.REVIEW_WITHDRAW)
def withdraw_review(review: Review, *, by: Principal) -> Review:
    """Take the case back; the record of its rounds stays.

    An approval that nothing was promoted by ends with it: nobody finds it lying about later. Once promoted, the case is closed.
    """
    review = locked_review(review)
    permit(by, Permission.REQUEST_REVIEW, review.version.model)
    if review.closed_at is not None:
        raise Conflict("This review is closed already.", code="review-closed")
    current = review.current_round
    if current.is_open:
        close_round(current, Round.State.WITHDRAWN, by)
    unused = Approval.objects.filter(round__review=review, promotion=None, revocation=None, lapse=None)
    for approval in unused.select_related("version__model", "stage"):
        lapse(
            approval,
            Lapse.Kind.WITHDRAWN,
            f"{by.name} withdrew the case before anything was promoted by it.",
            timezone.now(),
            by=by,
        )
    review.version.refresh_from_db(fields=["state"])
    close_review(review)
    append(
        Action.REVIEW_WITHDRAW,
        by=by,
        obj=review.ledger_ref(),
        after={"round": current.number, "was": str(current.state)},
    )
    if not Review.objects.open().filter(version=review.version).exists() and can_move(
        review.version, "withdraw_review"
    ):
        move(review.version, "withdraw_review", by=by, decision=review)
    return review


def close_round(round_: Round, state: Round.State, by: Principal, *, valid_until: datetime | None = None) -> None:
    """End a round for good, inside the transaction of the action that decided it."""
    round_.state, round_.closed_at, round_.valid_until = state, timezone.now(), valid_until
    round_.save(update_fields=["state", "closed_at", "valid_until"])
    append(Action.ROUND_CLOSE, by=by, obj=round_.ledger_ref(), before={"state": "open"}, after={"state": str(state)})
    announcements.closed(round_)
    if not round_.is_approved:
        settle_conditions(round_, by=by)


def close_review(review: Review) -> None:
    """End a case, inside the transaction of the action that ended it."""
    review.closed_at = timezone.now()
    review.save(update_fields=["closed_at"])


def person_of(by: Principal) -> User:
    """Who acts; raises `Forbidden` where nobody in particular does."""
    if by.user is None:
        raise Forbidden("Somebody has to be signed in, so that the record can say who it was.")
    return by.user


def _give_time(review: Review, rules: Rules) -> None:
    """Reviewers get the policy's time for every round: a new one is not overdue when it opens."""
    review.due_at = max(review.due_at, timezone.now() + timedelta(days=rules.due_days))
    review.save(update_fields=["due_at"])


def _check_request(
    version: ModelVersion, stage: Stage, why: str, due_at: datetime | None, rules: Rules
) -> Approval | None:
    """Refuses what cannot be asked for; returns the approval that the case renews, where the version is live there already."""
    errors = {}
    if not why.strip():
        errors["why"] = "Say why this version: reviewers read it first."
    elif len(why) > MAX_WHY:
        errors["why"] = f"At most {MAX_WHY:,} characters."
    if due_at is not None and due_at <= timezone.now():
        errors["due_at"] = "The due date has to be in the future."
    if errors:
        raise Invalid("The review was not requested: " + " ".join(errors.values()), errors=errors)
    if Review.objects.open().of(version, stage).exists():
        raise Conflict(f"A review of {version} for {stage} is open already.", code="review-open")
    if not rules.slots:
        raise _no_policy(version, stage)
    if registry.stage_holder(version.model, stage) != version:
        return None
    return _to_renew(version, stage)


def _to_renew(version: ModelVersion, stage: Stage) -> Approval | None:
    """The approval by which the version is live; raises `Conflict` while it is too early to look at it again."""
    standing = version.approvals.filter(
        stage=stage, revocation=None, lapse=None, promotion__alias__isnull=False
    ).first()
    if standing is None or standing.may_be_renewed(timezone.now()):
        return standing
    raise Conflict(
        f"{version} is live in {stage} already. Its approval can be renewed from {standing.renewable_from:%d %B %Y} on.",
        code="already-live",
    )


def _no_policy(version: ModelVersion, stage: Stage) -> Conflict:
    return Conflict(
        f"No published policy says what a {version.model.get_tier_display()} model needs for {stage}. Publish one first.",
        code="no-policy",
    )


def _open(review: Review, rules: Rules, by: Principal, person: User | None = None) -> Round:
    holder = registry.stage_holder(review.version.model, review.stage)
    compared_with = holder if holder is not None and holder.pk != review.version_id else None
    subject = subject_of(review.version, review.stage, rules, compared_with)
    newest = review.rounds.order_by("-number").first()
    round_ = Round.objects.create(
        review=review,
        number=newest.number + 1 if newest else 1,
        subject=subject.text,
        subject_digest=subject.digest,
        compared_with=compared_with,
        opened_by=person or person_of(by),
    )
    for ref in rules.refs:
        round_.policies.add(PolicyVersion.objects.get(policy__name=ref.name, number=ref.number))
    Slot.objects.bulk_create(_slot(round_, rule, order) for order, rule in enumerate(rules.slots))
    record_gates(round_)
    append(
        Action.ROUND_OPEN,
        by=by,
        obj=round_.ledger_ref(),
        after={
            "subject": subject.digest,
            "policies": [ref.as_dict() for ref in rules.refs],
            "facets": dict(subject.facets),
        },
    )
    tell_reviewers(round_, by=Principal.of(round_.opened_by, via=by.via))
    return round_


def _slot(round_: Round, rule: SlotRule, order: int) -> Slot:
    groups = {name: Group.objects.filter(name=name).first() for name in (rule.group, rule.alternates) if name}
    group = groups.get(rule.group)
    if group is None:
        raise Conflict(
            f"The policy asks for a signature from {rule.group}, and there is no such group. An administrator can create it.",
            code="no-group",
        )
    return Slot(
        round=round_,
        key=rule.key,
        title=rule.title,
        group=group,
        alternates=groups.get(rule.alternates),
        people=rule.people,
        facets=list(rule.answers_for),
        delegable=rule.delegable,
        order=order,
    )


def record_gates(round_: Round) -> None:
    """Keep how the gates stood, for lists and for the record; decisions evaluate them anew."""
    outcomes = examine(round_.review.version, round_.review.stage).gates
    round_.gate_results.all().delete()
    GateResult.objects.bulk_create(
        GateResult(
            round=round_,
            key=outcome.gate.key,
            title=outcome.gate.title,
            status=outcome.status,
            warning_only=outcome.gate.warning,
            measured=outcome.measured[:200],
            required=outcome.required[:200],
            production=outcome.production[:200],
            explanation=outcome.explanation,
            section=outcome.gate.section,
            order=order,
        )
        for order, outcome in enumerate(outcomes)
    )
