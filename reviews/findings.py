"""Decides what may be done with a finding now and by whom, and how each of its steps is recorded and told."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone

from access.models import User
from access.permissions import Permission, visible_to
from access.principal import Principal
from audit.actions import append
from audit.events import Action
from notices.actions import tell
from notices.models import Notification
from reviews.independence import Eligibility, conflict_of, eligibility
from reviews.models import Finding, FindingEvent, Slot
from reviews.people import candidate, deeds_of, eligible_people, seat_of
from reviews.policies import Conditions
from reviews.rulebook import rules_for

MAX_TITLE: Final = 160
MAX_TEXT: Final = 10_000
State = Finding.State
Kind = FindingEvent.Kind

ENDED: Final = frozenset({State.CLOSED, State.LAPSED, State.WITHDRAWN})
"""Nothing is owed any more: verified, too late, or taken back."""


@dataclass(frozen=True)
class Step:
    """What one kind of step does: the state it leads to (empty: none), its word in the ledger, and the notice about it."""

    state: str
    action: Action
    notice: Notification.Kind
    sentence: str


STEPS: Final[Mapping[str, Step]] = {
    Kind.RAISED: Step(State.OPEN, Action.FINDING_RAISE, Notification.Kind.TURN, "You owe: {finding}"),
    Kind.COMMENTED: Step("", Action.FINDING_COMMENT, Notification.Kind.FINDING, "Said about {finding}"),
    Kind.ANSWERED: Step(State.ANSWERED, Action.FINDING_ANSWER, Notification.Kind.TURN, "To be verified: {finding}"),
    Kind.RETURNED: Step(State.OPEN, Action.FINDING_RETURN, Notification.Kind.TURN, "Sent back to you: {finding}"),
    Kind.CLOSED: Step(State.CLOSED, Action.FINDING_CLOSE, Notification.Kind.FINDING, "Verified and closed: {finding}"),
    Kind.EXTENDED: Step("", Action.FINDING_EXTEND, Notification.Kind.FINDING, "A later due date for {finding}"),
    Kind.LAPSED: Step(State.LAPSED, Action.FINDING_LAPSE, Notification.Kind.OVERDUE, "Overdue, and lapsed: {finding}"),
    Kind.WITHDRAWN: Step(State.WITHDRAWN, Action.FINDING_WITHDRAW, Notification.Kind.FINDING, "Withdrawn: {finding}"),
}


def take_step(
    finding: Finding,
    kind: FindingEvent.Kind,
    *,
    by: Principal,
    body: str = "",
    at: datetime | None = None,
    **signed: Any,
) -> FindingEvent:
    """Record one step of a finding, in the ledger as well, and tell whom it concerns; inside the transaction of what permitted it.

    `signed`: `due_at`, `statement`, `statement_digest` and `reauthentication` of an extension.
    """
    at = at or timezone.now()
    step = STEPS[kind]
    before = {"state": finding.state, "due": finding.due_at.isoformat()}
    event = FindingEvent.objects.create(finding=finding, kind=kind, body=body.strip(), by=by.user, at=at, **signed)
    finding.state = step.state or finding.state
    finding.due_at = signed.get("due_at", finding.due_at)
    finding.closed_at = at if finding.state in ENDED else None
    finding.save(update_fields=["state", "due_at", "closed_at"])
    after = {"state": finding.state, "due": finding.due_at.isoformat(), "severity": finding.severity}
    if finding.sign_off is not None:
        after["sign_off"] = str(finding.sign_off.uuid)
    append(
        step.action,
        by=by,
        obj=finding.ledger_ref(),
        before=before if kind != Kind.RAISED else {},
        after=after | {"statement": event.statement_digest} if event.statement_digest else after,
    )
    _tell(finding, event, step, by)
    return event


def address_of(finding: Finding) -> str:
    """The address of its page."""
    return reverse("reviews:finding", args=[finding.uuid])


def visible_findings(by: Principal) -> QuerySet[Finding]:
    """The findings about models that one may see."""
    rows = Finding.objects.select_related(
        "version__model", "owner", "raised_by", "verifying_group", "sign_off__round__review__stage", "review__stage"
    )
    return visible_to(rows, by, Permission.SEE_MODEL, through="version__model")


def slot_of(finding: Finding) -> Slot | None:
    """The slot that verifies a condition; None for a plain finding, which its group verifies."""
    if finding.sign_off is None:
        return None
    slots = finding.sign_off.round.slots.select_related("group", "alternates")
    return slots.filter(key=finding.verifying_slot).first()


def may_verify(user: User, finding: Finding) -> Eligibility:
    """Whether `user` may close, send back or extend it: of the verifying slot or group, independent of the version, and not its owner."""
    if user.pk == finding.owner_id:
        return Eligibility(False, "You own this finding, so somebody else has to verify it.")
    slot, deeds = slot_of(finding), deeds_of(finding.version, finding.review)
    if slot is not None:
        return eligibility(candidate(user), seat_of(slot, deeds), deeds)
    if not _members(finding).filter(pk=user.pk).exists():
        return Eligibility(False, f"Only members of {finding.verifying_group} verify this finding, and you are none.")
    if conflict := conflict_of(user.pk, deeds):
        return Eligibility(False, f"{conflict} Its findings are verified by somebody independent, too.")
    return Eligibility(True, f"You are a member of {finding.verifying_group} and independent of this version.")


@dataclass(frozen=True)
class Extendable:
    """How far away a later due date may be, in days from now, and how its signer may confirm that it is them."""

    at_most_days: int
    reauthentication: Collection[str] | None


def how_extendable(finding: Finding) -> Extendable:
    """What the rules in force for the stage of its review say; a finding outside any review gets the default of a policy."""
    if finding.review is None:
        return Extendable(Conditions().at_most_days, None)
    rules = rules_for(finding.version.model.tier, finding.review.stage)
    if not rules.documents:
        return Extendable(Conditions().at_most_days, None)
    return Extendable(rules.conditions.at_most_days, rules.reauthentication)


def verifiers(finding: Finding) -> list[User]:
    """The people who may verify it, by name."""
    slot, deeds = slot_of(finding), deeds_of(finding.version, finding.review)
    if slot is not None:
        found = eligible_people(slot, deeds)
    else:
        found = [person for person in _members(finding) if not conflict_of(person.pk, deeds)]
    return [person for person in found if person.pk != finding.owner_id]


def _members(finding: Finding) -> QuerySet[User]:
    people = User.objects.people().active().filter(groups=finding.verifying_group_id)
    return people.order_by("display_name", "username")


def _tell(finding: Finding, event: FindingEvent, step: Step, by: Principal) -> None:
    people = _concerned(finding, event)
    tell(
        [person for person in people if by.user is None or person.pk != by.user.pk],
        event=f"finding:{finding.uuid}:{event.pk}",
        kind=step.notice,
        title=step.sentence.format(finding=finding.title),
        body=f"{finding.version}. {event.body or finding.detail}".strip(),
        link=address_of(finding),
        about=finding.version.model,
    )


def _concerned(finding: Finding, event: FindingEvent) -> list[User]:
    if event.kind in {Kind.RAISED, Kind.RETURNED}:
        return [finding.owner]
    if event.kind == Kind.ANSWERED:
        return verifiers(finding)
    raiser = [finding.raised_by] if finding.raised_by else []
    return [finding.owner, *raiser]
