"""Letting somebody else sign in one's capacity while one is away: explicit, dated, and never passed on."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.contrib.auth.models import Group
from django.urls import reverse
from django.utils import timezone

from access.models import User
from access.permissions import Permission, visible_to
from access.principal import Principal
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from foundation.refusals import Conflict, Forbidden, Invalid
from notices.actions import tell
from notices.models import Notification
from registry.models import RegisteredModel
from reviews.actions.cases import person_of
from reviews.models import Delegation
from reviews.people import standing_delegations

LONGEST: Final = timedelta(days=90)
FARTHEST: Final = timedelta(days=365)
MAX_REASON: Final = 1_000


@governed(Action.DELEGATION_GIVE)
def give_delegation(
    delegate: User, *, group: str, starts_at: datetime, ends_at: datetime, reason: str, by: Principal
) -> Delegation:
    """Let `delegate` sign as a member of `group` for whoever calls, from `starts_at` (not before now) to `ends_at`, at most 90 days.

    The caller has to be a member; one who only stands in for a member cannot pass that on. Both are told. Whether the delegate is
    independent of a version is asked when they sign.
    """
    giver = User.objects.locked(person_of(by).pk)
    capacity = _capacity(giver, group)
    receiver = _receiver(delegate, giver)
    now = timezone.now()
    starts_at = max(starts_at, now)
    _check_dates(starts_at, ends_at, now)
    _check_reason(reason)
    _check_no_other(giver, receiver, capacity, starts_at, ends_at)
    given = Delegation.objects.create(
        delegator=giver, delegate=receiver, group=capacity, reason=reason.strip(), starts_at=starts_at, ends_at=ends_at
    )
    append(
        Action.DELEGATION_GIVE,
        by=by,
        obj=given.ledger_ref(),
        after={
            "delegator": str(giver.uuid),
            "delegate": str(receiver.uuid),
            "group": capacity.name,
            "starts_at": starts_at.isoformat(),
            "ends_at": ends_at.isoformat(),
        },
    )
    _tell_given(given)
    return given


@governed(Action.DELEGATION_END)
def end_delegation(delegation: Delegation, *, by: Principal) -> Delegation:
    """Take a delegation back before its end, or hand it back; what was signed by it stands."""
    given = (
        Delegation.objects.select_for_update(of=("self",))
        .select_related("delegator", "delegate", "group")
        .get(pk=delegation.pk)
    )
    person = person_of(by)
    if person.pk not in {given.delegator_id, given.delegate_id}:
        raise Forbidden("Only the two people whom a delegation names can end it.", code="not-yours")
    now = timezone.now()
    if given.ended_at is not None or given.ends_at <= now:
        raise Conflict("This delegation has ended already.", code="delegation-ended")
    given.ended_at = now
    given.save(update_fields=["ended_at"])
    append(Action.DELEGATION_END, by=by, obj=given.ledger_ref(), after={"ended_at": now.isoformat()})
    for one, other in ((given.delegator, given.delegate), (given.delegate, given.delegator)):
        tell(
            [one],
            event=f"delegation:{given.uuid}:ended",
            kind=Notification.Kind.TURN,
            title=f"The delegation between you and {other} as {given.group.name} has ended",
            body=f"{person} ended it.",
            link=reverse("reviews:delegations"),
        )
    return given


def _capacity(giver: User, name: str) -> Group:
    if not giver.is_active or not giver.is_person:
        raise Forbidden("Only an active person can let somebody sign for them.", code="not-a-person")
    group = Group.objects.filter(name=name).first()
    if group is None:
        raise Invalid(f"There is no group {name}.", errors={"group": "Choose one of your groups."})
    if giver.groups.filter(pk=group.pk).exists():
        return group
    held = standing_delegations(timezone.now()).filter(delegate=giver, group=group).first()
    if held is not None:
        raise Forbidden(
            f"You sign as {group} only for {held.delegator}, and a delegation cannot be passed on. "
            f"{held.delegator} can give it to somebody else.",
            code="not-transitive",
        )
    raise Forbidden(
        f"You are not a member of {group}, so there is nothing that you could delegate.", code="not-a-member"
    )


def _receiver(delegate: User, giver: User) -> User:
    fresh = User.objects.get(pk=delegate.pk)
    sentence = ""
    if fresh.pk == giver.pk:
        sentence = "Choose somebody else than yourself."
    elif not fresh.is_person or not fresh.is_active:
        sentence = f"{fresh} cannot sign: choose an active person."
    elif not _sees_something(fresh):
        sentence = f"{fresh} may see no model, so they could sign nothing; an administrator can give them a role first."
    if sentence:
        raise Invalid(sentence, code="delegate", errors={"delegate": sentence})
    return fresh


def _sees_something(person: User) -> bool:
    by = Principal.of(person)
    return (
        by.allows(Permission.SEE_MODEL) or visible_to(RegisteredModel.objects.all(), by, Permission.SEE_MODEL).exists()
    )


def _check_dates(starts_at: datetime, ends_at: datetime, now: datetime) -> None:
    errors = {}
    if starts_at > now + FARTHEST:
        errors["starts_at"] = "A delegation begins within a year."
    if ends_at <= starts_at:
        errors["ends_at"] = "It has to end after it began."
    elif ends_at - starts_at > LONGEST:
        errors["ends_at"] = f"A delegation lasts at most {LONGEST.days} days."
    if errors:
        raise Invalid(" ".join(errors.values()), code="dates", errors=errors)


def _check_reason(reason: str) -> None:
    sentence = "Say why somebody signs for you." if not reason.strip() else ""
    if len(reason) > MAX_REASON:
        sentence = f"At most {MAX_REASON:,} characters."
    if sentence:
        raise Invalid(sentence, errors={"reason": sentence})


def _check_no_other(giver: User, receiver: User, group: Group, starts_at: datetime, ends_at: datetime) -> None:
    """The same two people need one delegation at a time; the giver's row is locked."""
    same = Delegation.objects.filter(delegator=giver, delegate=receiver, group=group, ended_at=None)
    if same.filter(starts_at__lt=ends_at, ends_at__gt=starts_at).exists():
        raise Conflict(f"{receiver} may sign for you as {group} in that time already.", code="delegation-exists")


def _tell_given(given: Delegation) -> None:
    link = reverse("reviews:delegations")
    dates = f"from {given.starts_at:%d %b %Y, %H:%M} to {given.ends_at:%d %b %Y, %H:%M} UTC"
    tell(
        [given.delegate],
        event=f"delegation:{given.uuid}:given",
        kind=Notification.Kind.TURN,
        title=f"You may sign for {given.delegator} as {given.group.name}",
        body=f"{dates.capitalize()}. {given.reason}",
        link=link,
    )
    tell(
        [given.delegator],
        event=f"delegation:{given.uuid}:given",
        kind=Notification.Kind.TURN,
        title=f"{given.delegate} may sign for you as {given.group.name}",
        body=f"{dates.capitalize()}. You can end it at any time.",
        link=link,
    )
