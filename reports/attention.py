"""Lists what governance has to look at: open findings, exceptions in force, approvals that run out, break-glass, live versions under grace.

As things are now, except break-glass uses, which are those of the period.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from access.permissions import Permission, visible_to
from access.principal import Principal
from registry.models import ModelVersion
from reports.forms import Period
from reports.queries import bounds, narrow
from reviews.models import Approval, BreakGlass, Finding, GateException, Grace, Round

AHEAD: Final = (7, 30, 60)
"""Days before the end of an approval at which it moves up in the list."""

_OVER: Final = (Round.State.WITHDRAWN, Round.State.SUPERSEDED, Round.State.REJECTED)
_UNUSED: Final = (
    ModelVersion.State.REJECTED,
    ModelVersion.State.REVOKED,
    ModelVersion.State.RETIRED,
)


@dataclass(frozen=True)
class Ending:
    """An approval that runs out within `days`, and whether somebody asked to renew it."""

    approval: Approval
    days: int
    renewing: bool


@dataclass(frozen=True)
class Attention:
    """The five lists at the moment `at`, most pressing first."""

    at: datetime
    findings: Sequence[Finding]
    exceptions: Sequence[GateException]
    endings: Sequence[Ending]
    break_glasses: Sequence[BreakGlass]
    graces: Sequence[Grace]


def attention(period: Period, by: Principal, *, most: int = 500) -> Attention:
    """What `by` may see of it, at most `most` lines of each; in seven statements."""
    now = timezone.now()
    return Attention(
        at=now,
        findings=tuple(_findings(period, by)[:most]),
        exceptions=tuple(_exceptions(period, by, now)[:most]),
        endings=_endings(period, by, now, most),
        break_glasses=tuple(_break_glasses(period, by)[:most]),
        graces=tuple(_graces(period, by, now)[:most]),
    )


def _findings(period: Period, by: Principal) -> QuerySet[Finding]:
    rows = visible_to(Finding.objects.all(), by, Permission.SEE_MODEL, through="version__model")
    rows = rows.filter(state__in=[Finding.State.OPEN, Finding.State.ANSWERED])
    return narrow(rows, period, "version__model").select_related("version__model", "owner").order_by("due_at", "pk")


def _exceptions(period: Period, by: Principal, now: datetime) -> QuerySet[GateException]:
    rows = visible_to(GateException.objects.all(), by, Permission.SEE_MODEL, through="round__review__version__model")
    rows = rows.filter(withdrawn_at=None, ends_at__gt=now).exclude(round__state__in=_OVER)
    related = ("round__review__version__model", "round__review__stage", "person")
    rows = narrow(rows, period, "round__review__version__model").select_related(*related)
    return rows.prefetch_related("round__policies").order_by("ends_at", "pk")


def _in_force(approvals: QuerySet[Approval], now: datetime) -> QuerySet[Approval]:
    return approvals.filter(revocation=None, lapse=None, valid_until__gt=now).exclude(version__state__in=_UNUSED)


def _endings(period: Period, by: Principal, now: datetime, most: int) -> list[Ending]:
    later = Approval.objects.filter(
        version=OuterRef("version"),
        stage=OuterRef("stage"),
        valid_until__gt=OuterRef("valid_until"),
        revocation=None,
        lapse=None,
    )
    rows = visible_to(Approval.objects.all(), by, Permission.SEE_MODEL, through="version__model")
    rows = _in_force(rows, now).filter(valid_until__lte=now + timedelta(days=max(AHEAD))).exclude(Exists(later))
    rows = rows.exclude(basis=Approval.Basis.BREAK_GLASS)  # hours by design, and in a list of its own
    rows = narrow(rows, period, "version__model").select_related("version__model", "stage")
    renewing = rows.filter(recertifications__closed_at=None, recertifications__isnull=False).values_list(
        "pk", flat=True
    )
    asked = set(renewing)
    return [
        Ending(one, next(days for days in AHEAD if one.valid_until <= now + timedelta(days=days)), one.pk in asked)
        for one in rows.order_by("valid_until", "pk")[:most]
    ]


def _break_glasses(period: Period, by: Principal) -> QuerySet[BreakGlass]:
    since, until = bounds(period)
    rows = visible_to(BreakGlass.objects.all(), by, Permission.SEE_MODEL, through="version__model")
    rows = narrow(rows, period, "version__model").filter(asked_at__gte=since, asked_at__lt=until)
    return rows.select_related("version__model", "stage", "asked_by", "seconded_by").order_by("-asked_at", "-pk")


def _graces(period: Period, by: Principal, now: datetime) -> QuerySet[Grace]:
    rows = visible_to(Grace.objects.all(), by, Permission.SEE_MODEL, through="approval__version__model")
    standing = _in_force(Approval.objects.filter(promotion__isnull=False), now)
    rows = rows.filter(approval__in=standing)
    related = ("approval__version__model", "approval__stage", "policy_version__policy")
    return narrow(rows, period, "approval__version__model").select_related(*related).order_by("until", "pk")
