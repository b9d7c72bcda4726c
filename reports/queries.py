"""What was decided in a period, and how it stood at its end: approvals, promotions and revocations, as of a date."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from django.db.models import QuerySet
from django.utils import timezone

from access.permissions import Permission, visible_to
from access.principal import Principal
from registry.models import Promotion
from reports.forms import Period
from reviews.models import Approval, Lapse, Revocation


@dataclass(frozen=True)
class ApprovalLine:
    """One approval with how it stood at the moment that was asked about."""

    approval: Approval
    state: str


@dataclass(frozen=True)
class Decisions:
    """What a report lists; `at` is the moment as of which states are told."""

    at: datetime
    approvals: tuple[ApprovalLine, ...]
    promotions: tuple[Promotion, ...]
    revocations: tuple[Revocation, ...]


def decisions(period: Period, by: Principal, *, most: int = 500) -> Decisions:
    """Everything that `by` may see of the period, newest first, at most `most` lines of each kind; in four statements."""
    since, until = bounds(period)
    approvals = visible_to(Approval.objects.all(), by, Permission.SEE_MODEL, through="version__model")
    promotions = visible_to(Promotion.objects.all(), by, Permission.SEE_MODEL, through="model")
    revocations = visible_to(Revocation.objects.all(), by, Permission.SEE_MODEL, through="version__model")
    approvals = narrow(approvals, period, "version__model").filter(approved_at__gte=since, approved_at__lt=until)
    promotions = narrow(promotions, period, "model").filter(at__gte=since, at__lt=until)
    revocations = narrow(revocations, period, "version__model").filter(at__gte=since, at__lt=until)
    lines = approvals.select_related("version__model", "stage", "promotion__by", "revocation__by", "lapse").order_by(
        "-approved_at", "-pk"
    )
    return Decisions(
        at=until,
        approvals=tuple(ApprovalLine(one, state_at(one, until)) for one in lines[:most]),
        promotions=tuple(
            promotions.select_related("version__model", "previous", "stage", "by").order_by("-at", "-pk")[:most]
        ),
        revocations=tuple(revocations.select_related("version__model", "by").order_by("-at", "-pk")[:most]),
    )


def state_at(approval: Approval, at: datetime) -> str:
    """`revoked`, `lapsed`, `expired`, `released` or `approved`, as it was just before `at`."""
    if approval.revocation is not None and approval.revocation.at < at:
        return "revoked"
    lapse = getattr(approval, "lapse", None)
    if lapse is not None and lapse.kind != Lapse.Kind.EXPIRED and lapse.at < at:
        return "lapsed"
    if approval.valid_until <= at:
        return "expired"
    if approval.promotion is not None and approval.promotion.at < at:
        return "released"
    return "approved"


def bounds(period: Period) -> tuple[datetime, datetime]:
    """From when (inclusive) until when (exclusive, never in the future), in UTC."""
    since = datetime.combine(period.since, time.min, UTC) if period.since else datetime(1970, 1, 1, tzinfo=UTC)
    if period.until is None:
        return since, timezone.now()
    return since, min(datetime.combine(period.until, time.min, UTC) + timedelta(days=1), timezone.now())


def narrow(rows: QuerySet, period: Period, path: str) -> QuerySet:  # type: ignore[type-arg]  # any kind of rows
    """The rows of the period's tier and model; `path` leads from them to the registered model."""
    if period.tier:
        rows = rows.filter(**{f"{path}__tier": period.tier})
    return rows.filter(**{f"{path}__name__icontains": period.model}) if period.model else rows
