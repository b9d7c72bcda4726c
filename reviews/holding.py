"""Decides what holds an approval back besides gates and signatures: threads that must be resolved first, and overdue conditions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db.models import QuerySet
from django.urls import reverse

from foundation.refusals import Requirement, RequirementStatus
from reviews.conditions import Owed, owed
from reviews.discussion import known_discussion
from reviews.models import Review, Thread
from reviews.standing import RoundStanding


def held_back(review: Review, standing: RoundStanding, at: datetime) -> bool:
    """Whether a round that has its signatures has to wait all the same."""
    return unresolved(review).exists() or any(one.overdue for one in owed(standing.signatures, at))


def unresolved(review: Review) -> QuerySet[Thread]:
    """The threads of the review that must be resolved before an approval, and are not."""
    return Thread.objects.filter(review=review).holding()


def thread_requirements(review: Review, link: str) -> Iterable[Requirement]:
    """One requirement for every thread that holds the approval back."""
    known = known_discussion(review)
    for thread in known.holding if known is not None else unresolved(review).select_related("opened_by"):
        yield Requirement(
            f"thread-{thread.uuid}",
            f"A question of {thread.opened_by} is answered",
            RequirementStatus.UNSATISFIED,
            measured="open",
            required="resolved",
            explanation=f"This thread{f' on {thread.section}' if thread.section else ''} must be resolved before approval.",
            cleared_by=f"{thread.opened_by}, or another slot holder, by resolving it",
            link=f"{link}#{thread.anchor}",
        )


def condition_requirements(standing: RoundStanding, at: datetime) -> Iterable[Requirement]:
    """One requirement for every condition of a signature that counts: it holds until its date, and from then on only when verified."""
    for one in owed(standing.signatures, at):
        yield Requirement(
            f"condition-{one.id}",
            f"Condition: {one.title}",
            RequirementStatus.UNSATISFIED if one.overdue else RequirementStatus.SATISFIED,
            measured=_measured(one),
            required=f"verified by {one.due_at:%d %B %Y}",
            explanation=_explanation(one),
            cleared_by=_cleared_by(one),
            link=reverse("reviews:finding", args=[one.id]),
        )


def _measured(one: Owed) -> str:
    if one.met:
        return "verified"
    answered = one.finding is not None and one.finding.state == one.finding.State.ANSWERED
    return "answered, not verified" if answered else "open"


def _explanation(one: Owed) -> str:
    if one.met:
        return "Verified and closed."
    if one.overdue:
        return f"The approval was given on this condition, and its date passed on {one.due_at:%d %B %Y}."
    return "The approval ends when this is not verified by its date."


def _cleared_by(one: Owed) -> str:
    if one.finding is None or one.met:
        return ""
    return f"{one.finding.owner}, by doing it, and the slot {one.finding.verifying_slot}, by verifying it or giving it a later date"
