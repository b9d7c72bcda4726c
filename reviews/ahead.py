"""What stands over a page because of time: an emergency, an end that comes, a grace that runs, what went live by an envelope."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet
from django.urls import reverse

from access.permissions import Permission, visible_to
from access.principal import Principal
from registry.models import ModelVersion, RegisteredModel, Stage
from reviews.break_glass import ADMITTED
from reviews.envelopes import envelope_for, fit_of
from reviews.evaluation import Evaluation, page_of
from reviews.models import Approval, BreakGlass, Grace

UNDER_WAY = (BreakGlass.State.ASKED, BreakGlass.State.IN_FORCE)
MOST = 5


@dataclass(frozen=True)
class Note:
    """One callout: `look` is a modifier of `.callout` (bad, warn, or empty), `href` leads to what can be done."""

    look: str
    icon: str
    title: str
    text: str
    href: str = ""
    label: str = ""


def notes_for(case: Evaluation, now: datetime) -> list[Note]:
    """What a reader of the version's page has to know of envelopes and ends, besides its banners."""
    if case.version.state == ModelVersion.State.REGISTERED:
        return list(_envelope(case.version, case.stage, now))
    if case.approval is None or case.holder != case.version:
        return []
    return list(_standing(case.approval, case.stage, now))


def may_ask(version: ModelVersion, by: Principal) -> bool:
    """Whether to show the way to a break-glass: to those who have the right by a role; a grant on one model works without the link."""
    return version.state in ADMITTED and by.allows(Permission.BREAK_GLASS)


def notes_of_model(model: RegisteredModel, now: datetime) -> list[Note]:
    """The same over a model's page, for what is live of it."""
    found = [_emergency(case) for case in _cases().filter(version__model=model)]
    graces = Grace.objects.filter(approval__promotion__alias__model=model, approval__lapse=None).exclude(unmet=[])
    rows = graces.select_related("approval__version__model", "approval__stage", "policy_version__policy")
    return found + [_grace(one) for one in rows]


def emergencies_seen_by(by: Principal) -> list[Note]:
    """What is live ahead of its review, or waits for a second person, of all models that the reader may see."""
    rows = visible_to(_cases(), by, Permission.SEE_MODEL, through="version__model")
    return [_emergency(case) for case in rows[:MOST]]


def _cases() -> QuerySet[BreakGlass]:
    rows = BreakGlass.objects.filter(state__in=UNDER_WAY)
    return rows.select_related("version__model", "stage", "asked_by", "seconded_by")


def _emergency(case: BreakGlass) -> Note:
    href, until = reverse("reviews:break-glass", args=[case.uuid]), f"{case.ends_at:%d %b %Y, %H:%M} UTC"
    if case.state == BreakGlass.State.IN_FORCE:
        return Note(
            "bad",
            "alert",
            f"{case.version} is live in {case.stage.title.lower()} ahead of its review, until {until}.",
            f"{case.get_reason_display()}. Asked for by {case.asked_by}, seconded by {case.seconded_by}.",
            href,
            "The break-glass",
        )
    return Note(
        "bad",
        "alert",
        f"A break-glass of {case.version} for {case.stage.title.lower()} waits for a second person, until {until}.",
        f"{case.get_reason_display()}. Asked for by {case.asked_by}. Nothing has moved yet.",
        href,
        "Look at it",
    )


def _standing(approval: Approval, stage: Stage, now: datetime) -> Iterable[Note]:
    if approval.basis == Approval.Basis.ENVELOPE:
        yield Note(
            "",
            "refresh",
            "It went live within the retraining envelope.",
            "Reviewers had signed its bounds in advance; nobody reviewed this version itself.",
            reverse("reviews:envelope", args=[approval.version.model.name]) + f"?stage={stage.name}",
            "The envelope",
        )
    if approval.valid_until <= now < approval.pulls_until:
        yield Note(
            "warn",
            "hourglass",
            f"The approval ran out on {approval.valid_until:%d %b %Y}.",
            f"Pulls and serving go on until {approval.pulls_until:%d %b %Y, %H:%M} UTC; nothing new is deployed.",
        )


def _grace(grace: Grace) -> Note:
    approval = grace.approval
    return Note(
        "warn",
        "policy",
        f"{approval.version} does not meet {grace.policy_version}; it may stay live until {grace.until:%d %b %Y, %H:%M} UTC.",
        " ".join(grace.unmet),
        page_of(approval.version),
        "Ask for a review under the new rules",
    )


def _envelope(version: ModelVersion, stage: Stage, now: datetime) -> Sequence[Note]:
    envelope = envelope_for(version, stage)
    if envelope is None:
        return []
    fit = fit_of(version, envelope, now)
    if fit.inside:
        text = "It is inside every bound, and goes live by itself within seconds if it is the newest version."
        return [Note("", "refresh", "A retraining envelope applies.", text)]
    why = [f"{one.title}: {one.measured} instead of {one.required}." for one in fit.outside]
    why += [f"{title} does not pass." for title in fit.failing]
    why += [fit.obstacle] if fit.obstacle else []
    return [
        Note(
            "warn",
            "refresh",
            "It is outside the retraining envelope, so it needs a normal review.",
            " ".join(why),
            reverse("reviews:envelope", args=[version.model.name]) + f"?stage={stage.name}",
            "The envelope",
        )
    ]
