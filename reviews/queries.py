"""What other rooms ask: is there an approval in force, verified from signatures, and what waits for whom."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

from django.db.models import QuerySet
from django.urls import reverse

from access.principal import Principal
from registry.models import ModelVersion, Stage
from reviews.models import Approval, Review
from reviews.proof import why_unsound
from reviews.turns import turns_of


def approval_in_force(version: ModelVersion, stage: Stage, at: datetime) -> Approval | None:
    """The approval by which `version` may be served at `stage` at the moment `at`, or None.

    Verifies the release and every statement from their envelopes, that they fill the signed policy's slots, that they are for
    these bytes, that no revocation stands and that nothing has run out. Rows alone prove nothing.
    """
    approvals = (
        Approval.objects.filter(
            version=version, stage=stage, revocation=None, lapse=None, promotion__isnull=False, pulls_until__gt=at
        )
        .select_related(
            *("version__model", "stage", "promotion", "round__review__version__model", "round__review__stage"),
            *(
                "break_glass__version__model",
                "break_glass__stage",
                "envelope__model",
                "envelope__stage",
                "envelope__base",
            ),
        )
        .order_by("-approved_at")
    )
    return next((approval for approval in approvals if not why_unsound(approval, at, released=True)), None)


def where_to_decide(version: ModelVersion, stage: Stage) -> str:
    """The address of the open review of `version` for `stage`; where there is none, of the page on which one is requested."""
    page = "reviews:version" if Review.objects.open().of(version, stage).exists() else "reviews:request"
    return f"{reverse(page, args=[version.model.name, version.number])}?stage={quote(stage.name)}"


def waiting_for(by: Principal) -> QuerySet[Review]:
    """The open reviews that wait for a signature of `by`: their group or a delegation, independent, nothing valid signed yet."""
    return Review.objects.open().filter(pk__in={turn.review for turn in turns_of(by)})


def waiting_count(by: Principal) -> int:
    """How many reviews wait for `by`: the number beside "Inbox" on every page."""
    return len({turn.review for turn in turns_of(by)})
