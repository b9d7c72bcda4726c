"""Decides what has to be said over the panel besides what blocks: an emergency under way, an end in sight, what was agreed or excepted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.urls import reverse

from foundation.refusals import RequirementStatus
from reviews.evaluation import Evaluation
from reviews.models import BreakGlass, Grace, Round

SOON: Final = timedelta(days=60)


@dataclass(frozen=True)
class Banner:
    """One thing that everybody has to see. `look` is a modifier of `.callout`; `link` leads to where something can be done about it."""

    look: str
    icon: str
    title: str
    text: str
    link: str = ""
    action: str = ""


def banners_of(found: Evaluation, rounds: Sequence[Round]) -> list[Banner]:
    """The banners of one case, the most urgent first; `rounds` are those of the version for the stage, as `rounds_of` reads them."""
    emergencies = _emergencies(found) if any(getattr(one, "emergency", True) for one in rounds) else ()
    return [*emergencies, *_graces(found), *_conditions(found), *_end(found, found.at)]


def _emergencies(found: Evaluation) -> Iterable[Banner]:
    states = (BreakGlass.State.ASKED, BreakGlass.State.IN_FORCE)
    cases = BreakGlass.objects.filter(version=found.version, stage=found.stage, state__in=states)
    for case in cases.select_related("asked_by", "seconded_by"):
        in_force = case.state == BreakGlass.State.IN_FORCE
        text = (
            f"{case.get_reason_display()}: {case.text} Asked for by {case.asked_by}, seconded by {case.seconded_by}. Rolled back by "
            f"itself on {case.ends_at:%d %b %Y, %H:%M} UTC unless the review approves it."
            if in_force
            else f"{case.get_reason_display()}: {case.text} Asked for by {case.asked_by}; a second person has to sign it until "
            f"{case.ends_at:%d %b %Y, %H:%M} UTC."
        )
        yield Banner(
            "bad",
            "alert",
            f"Live in {found.stage.title.lower()} ahead of its review" if in_force else "Break-glass asked for",
            text,
            reverse("reviews:break-glass", args=[case.uuid]),
            "Show the break-glass",
        )


def _graces(found: Evaluation) -> Iterable[Banner]:
    if found.holder != found.version or found.approval is None:
        return
    graces = Grace.objects.filter(approval=found.approval, approval__lapse=None).exclude(unmet=[])
    for grace in graces.select_related("policy_version"):
        yield Banner(
            "warn",
            "clock",
            f"A newer policy has to be met until {grace.until:%d %b %Y}",
            f"{grace.policy_version.policy.title}, version {grace.policy_version.number}: {' '.join(map(str, grace.unmet))}",
        )


def _conditions(found: Evaluation) -> Iterable[Banner]:
    owed = [one for one in found.requirements if one.key.startswith("condition-") and one.measured != "verified"]
    for one in owed:
        overdue = one.status is RequirementStatus.UNSATISFIED
        yield Banner(
            "bad" if overdue else "warn",
            "flag",
            one.title,
            f"To be {one.required}. {one.explanation}",
            one.link,
            "Show it",
        )


def _end(found: Evaluation, now: datetime) -> Iterable[Banner]:
    approval = found.approval
    if approval is None or approval.revocation_id or found.holder != found.version:
        return
    if now < approval.valid_until <= now + SOON:
        days = (approval.valid_until - now).days
        yield Banner(
            "warn",
            "clock",
            f"The approval runs out in {days} day{'s' * (days != 1)}",
            f"On {approval.valid_until:%d %b %Y}. A new review keeps it in {found.stage.title.lower()}.",
        )
