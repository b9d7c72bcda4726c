"""What other rooms ask: is there an approval in force, verified from signatures, and what waits for whom."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Count, F, Q, QuerySet

from access.models import User
from access.permissions import Permission, visible_to
from access.principal import Principal
from registry.models import ModelVersion, Stage
from reviews.models import APPROVING, Approval, Review, Round, SignOff, Slot
from reviews.people import deeds_of, made_by, seat_of
from reviews.proof import why_unsound


def approval_in_force(version: ModelVersion, stage: Stage, at: datetime) -> Approval | None:
    """The approval by which `version` may be served at `stage` at the moment `at`, or None.

    Verifies the release and every statement from their envelopes, that they fill the signed policy's slots, that they are for
    these bytes, that no revocation stands and that nothing has run out. Rows alone prove nothing.
    """
    approvals = (
        Approval.objects.filter(
            version=version, stage=stage, revocation=None, promotion__isnull=False, valid_until__gt=at
        )
        .select_related("version__model", "stage", "promotion", "round__review__version__model", "round__review__stage")
        .order_by("-approved_at")
    )
    return next((approval for approval in approvals if not why_unsound(approval, at, released=True)), None)


def waiting_for(by: Principal) -> QuerySet[Review]:
    """The open reviews that wait for a signature of `by`: their group, independent, not signed yet, and they may see the model."""
    if by.user is None or not by.user.is_person or not by.user.is_active:
        return Review.objects.none()
    rounds = {slot.round_id for slot in _slots_of(by.user)}
    reviews = Review.objects.open().filter(rounds__in=rounds)
    return visible_to(reviews, by, Permission.SEE_MODEL, through="version__model")


def _slots_of(user: User) -> list[Slot]:
    """The slots of open rounds that `user` could fill now; alternates only where they are called."""
    mine = Q(group__user=user) | Q(alternates__user=user)
    approvals = Count(
        "sign_offs", filter=Q(sign_offs__withdrawn_at=None, sign_offs__decision__in=APPROVING), distinct=True
    )
    slots = (
        Slot.objects.filter(mine, round__state=Round.State.OPEN, round__review__closed_at=None)
        .exclude(round__sign_offs__in=SignOff.objects.filter(person=user, withdrawn_at=None))
        .exclude(_related_to(user))
        .annotate(given=approvals)
        .filter(given__lt=F("people"))
        .select_related("round__review__version", "group", "alternates")
        .distinct()
    )
    groups = set(user.groups.values_list("pk", flat=True))
    return [slot for slot in slots if slot.group_id in groups or _alternates_called(slot)]


def _related_to(user: User) -> Q:
    """Rounds of versions that the user, or a service account of theirs, had a hand in (`independence`, as a condition in SQL)."""
    condition = Q(round__review__version__digest__in=made_by(user).values("digest"))
    for relation in ("round__opened_by", "round__review__requested_by"):
        condition |= Q(**{relation: user}) | Q(**{f"{relation}__owner": user})
    return condition


def _alternates_called(slot: Slot) -> bool:
    review = slot.round.review
    return seat_of(slot, deeds_of(review.version, review)).alternates_called
