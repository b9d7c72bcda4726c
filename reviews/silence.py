"""Decides what follows when nobody decides in time: people are told before and after the due date, then the policy's word counts.

It escalates, or it rejects the case; it never approves. A case that silence rejected says nothing about the bytes: the version is
registered again, and a new review of it can be asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from django.contrib.auth.models import Group
from django.db.models import QuerySet

from access.models import User
from access.principal import Principal
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from notices.actions import tell
from notices.models import Notification
from registry.lifecycle import can_move, move
from reviews.actions.cases import close_review, close_round
from reviews.clock import CLOCK, Effect, due
from reviews.evaluation import page_of
from reviews.locking import locked_review
from reviews.models import Escalation, Review, Round
from reviews.notices import awaited
from reviews.policies import Overdue, Silence
from reviews.rulebook import rules_of

BEFORE: Final = timedelta(hours=24)


def _open_rounds() -> QuerySet[Round]:
    rows = Round.objects.filter(state=Round.State.OPEN, review__closed_at=None)
    return rows.select_related("review__version__model__owner", "review__stage", "review__requested_by").order_by("pk")


@due
def tellings(now: datetime) -> Sequence[Effect]:
    """Open rounds whose slot holders are to be told that they fall due within a day, or are overdue; each once."""
    found: dict[str, Effect] = {}
    for round_ in _open_rounds().filter(review__due_at__lte=now + BEFORE):
        deadline = round_.review.due_at
        if deadline <= now:
            found[_event(round_, "overdue")] = partial(_tell, round_, "overdue")
        elif round_.opened_at < deadline - BEFORE:
            # Who was asked less than a day before the due date was told of it just then.
            found[_event(round_, "due")] = partial(_tell, round_, "due")
    told = set(Notification.objects.filter(event__in=found).values_list("event", flat=True))
    return [effect for event, effect in found.items() if event not in told]


def _event(round_: Round, what: str) -> str:
    return f"round:{round_.pk}:{what}"


def _tell(round_: Round, what: str, now: datetime) -> None:
    review = round_.review
    overdue = what == "overdue"
    tell(
        [*awaited(round_), *([review.requested_by] if overdue else [])],
        event=_event(round_, what),
        kind=Notification.Kind.OVERDUE if overdue else Notification.Kind.DUE,
        title=f"{'Overdue' if overdue else 'Due within a day'}: {review.version} for {review.stage}",
        body=f"The decision was wanted by {review.due_at:%d %B %Y, %H:%M} UTC.{_what_follows(round_)}",
        link=page_of(review.version),
        about=review.version.model,
    )


def _what_follows(round_: Round) -> str:
    words = [
        f" After {one.after_days} days "
        + ("it is rejected." if one.then is Silence.REJECT else f"the policy brings it before {one.to}.")
        for one in rules_of(round_).overdue
    ]
    return "".join(words)


@due
def silences(now: datetime) -> Sequence[Effect]:
    """What the policies of overdue rounds say follows by now, and has not been carried out."""
    found: list[Effect] = []
    for round_ in (
        _open_rounds().filter(review__due_at__lte=now - timedelta(days=1)).prefetch_related("escalations__group")
    ):
        done = {(one.kind, one.group.name if one.group else "") for one in round_.escalations.all()}
        for rule in rules_of(round_).overdue:
            over = round_.review.due_at + timedelta(days=rule.after_days) <= now
            if over and (str(rule.then), rule.to if rule.then is Silence.ESCALATE else "") not in done:
                found.append(partial(_follow, round_, rule))
    return found


def _follow(round_: Round, rule: Overdue, now: datetime) -> None:
    if rule.then is Silence.REJECT:
        reject_by_silence(round_, rule, now, by=CLOCK)
    else:
        escalate(round_, rule, now, by=CLOCK)


@governed(Action.REVIEW_ESCALATE)
def escalate(round_: Round, rule: Overdue, now: datetime, *, by: Principal) -> Escalation | None:
    """Bring an overdue round before the group that its policy names; None where that was done or the round is decided by now."""
    overdue = _still_overdue(round_, rule, now)
    if overdue is None:
        return None
    round_ = overdue
    group = Group.objects.get(name=rule.to)
    if round_.escalations.filter(group=group).exists():
        return None
    found = Escalation.objects.create(
        round=round_, kind=Escalation.Kind.ESCALATED, group=group, reason=_why(round_, rule), at=now
    )
    review = round_.review
    members = User.objects.people().active().filter(groups=group)
    tell(
        [*members, review.requested_by, review.version.model.owner],
        event=f"round:{round_.pk}:escalated:{group.pk}",
        kind=Notification.Kind.OVERDUE,
        title=f"Escalated to {group.name}: {review.version} for {review.stage}",
        body=found.reason,
        link=page_of(review.version),
        about=review.version.model,
    )
    append(Action.REVIEW_ESCALATE, by=by, obj=review.ledger_ref(), why=found.reason, after={"to": group.name})
    return found


@governed(Action.REVIEW_ESCALATE)
def reject_by_silence(round_: Round, rule: Overdue, now: datetime, *, by: Principal) -> Escalation | None:
    """Reject an overdue round because its policy says so; None where the round is decided by now. The version may be asked for anew."""
    overdue = _still_overdue(round_, rule, now)
    if overdue is None:
        return None
    round_ = overdue
    review = round_.review
    found = Escalation.objects.create(round=round_, kind=Escalation.Kind.REJECTED, reason=_why(round_, rule), at=now)
    close_round(round_, Round.State.REJECTED, by)
    close_review(review)
    append(Action.REVIEW_ESCALATE, by=by, obj=review.ledger_ref(), why=found.reason, after={"rejected": True})
    if not Review.objects.open().filter(version=review.version).exists() and can_move(
        review.version, "withdraw_review"
    ):
        move(review.version, "withdraw_review", by=by, decision=found)
    tell(
        [*awaited(round_), review.requested_by, review.version.model.owner],
        event=f"round:{round_.pk}:silence",
        kind=Notification.Kind.DECISION,
        title=f"Rejected by silence: {review.version} for {review.stage}",
        body=found.reason,
        link=page_of(review.version),
        about=review.version.model,
    )
    return found


def _still_overdue(round_: Round, rule: Overdue, now: datetime) -> Round | None:
    """The round under its review's lock, when it is still open and past its time: a last signature may have come in between."""
    review = locked_review(round_.review)
    fresh = Round.objects.select_for_update(of=("self",)).get(pk=round_.pk)
    fresh.review = review
    over = review.due_at + timedelta(days=rule.after_days) <= now
    return fresh if fresh.is_open and review.closed_at is None and over else None


def _why(round_: Round, rule: Overdue) -> str:
    days = f"{rule.after_days} day{'' if rule.after_days == 1 else 's'}"
    what = "rejects the case" if rule.then is Silence.REJECT else f"brings it before {rule.to}"
    return f"Nobody decided within {days} after it was due on {round_.review.due_at:%d %B %Y}; the policy then {what}."
