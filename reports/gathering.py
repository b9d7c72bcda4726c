"""Reads the facts for the report of review quality, of rounds opened in a period that one may see: in eight statements."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from access.models import User
from access.permissions import Permission, visible_to
from access.principal import Principal
from reports.forms import Period
from reports.quality import Facts, FindingFact, ReadingFact, RoundFact, SeatFact, VoteFact
from reports.queries import bounds, narrow
from reviews.models import Approval, Escalation, EvidenceReading, Finding, Round, SignOff, Slot
from reviews.reading import SECTIONS

MOST = 20_000
"""Rounds at most; a longer period is cut at its beginning."""


def facts_of(period: Period, by: Principal) -> Facts:
    """What `by` may see of the period."""
    since, until = bounds(period)
    rounds = visible_to(Round.objects.all(), by, Permission.SEE_MODEL, through="review__version__model")
    rounds = narrow(rounds, period, "review__version__model").filter(opened_at__gte=since, opened_at__lt=until)
    # What a retraining envelope let through was decided by nobody in that moment, and would make deciding look quick.
    rounds = rounds.exclude(approvals__basis=Approval.Basis.ENVELOPE)
    rounds = rounds.order_by("-opened_at", "-pk")[:MOST]
    inside = rounds.values("pk")
    escalated = set(Escalation.objects.filter(round__in=inside, at__lt=until).values_list("round_id", flat=True))
    votes = [
        VoteFact(*row)
        for row in SignOff.objects.filter(round__in=inside, signed_at__lt=until)
        .order_by("signed_at", "pk")
        .values_list("round", "slot__title", "person", "decision", "signed_at")
    ]
    readings = EvidenceReading.objects.filter(review__in=rounds.values("review"))
    seats = _seats(inside, until)
    people = {one.person for one in votes} | {one.person for one in seats}
    findings = visible_to(Finding.objects.all(), by, Permission.SEE_MODEL, through="version__model")
    findings = narrow(findings, period, "version__model").filter(raised_at__gte=since, raised_at__lt=until)
    return Facts(
        at=until,
        rounds=_rounds(rounds, escalated, until),
        votes=votes,
        readings=[ReadingFact(*row) for row in readings.values_list("review", "person", "section", "at")],
        seats=seats,
        findings=[
            FindingFact(*row)
            for row in findings.exclude(state=Finding.State.WITHDRAWN).values_list(
                "severity", "state", "raised_at", "due_at", "closed_at"
            )
        ],
        people={user.pk: str(user) for user in User.objects.filter(pk__in=people)},
        sections=SECTIONS,
    )


def _rounds(rounds: QuerySet[Round], escalated: set[int], until: datetime) -> list[RoundFact]:
    rows = rounds.values_list(
        "pk",
        "review",
        "review__stage__title",
        "review__version__model__tier",
        "opened_at",
        "review__due_at",
        "closed_at",
        "state",
    )
    found = []
    for pk, review, stage, tier, opened_at, due_at, closed_at, state in rows:
        closed = closed_at is not None and closed_at < until
        end, ended = (closed_at, state) if closed else (None, str(Round.State.OPEN))
        found.append(RoundFact(pk, review, stage, tier, opened_at, due_at, end, ended, pk in escalated))
    return found


def _seats(rounds: QuerySet[Any, Any], until: datetime) -> list[SeatFact]:
    """Who was asked in rounds that were open then, by the slots' groups as they are now; independence is decided at signing."""
    members = Slot.objects.filter(
        Q(round__closed_at=None) | Q(round__closed_at__gte=until),
        round__in=rounds,
        group__user__is_active=True,
        group__user__kind=User.Kind.PERSON,
    )
    return [SeatFact(*row) for row in members.values_list("round", "group__user").distinct()]
