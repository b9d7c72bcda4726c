"""What follows when nobody decides: told before and after, then escalated or rejected. Never approved."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
import time_machine
from django.utils import timezone

from access.models import User
from access.principal import Principal
from audit.events import Action
from audit.models import Pending
from notices.models import Notification
from registry.models import ModelVersion, Stage
from reviews.actions import give_delegation, open_round
from reviews.clock import CLOCK, tick
from reviews.evaluation import examine
from reviews.models import Approval, Escalation, Review, Round
from reviews.promotion import promote
from reviews.rulebook import rules_for
from reviews.silence import escalate, reject_by_silence
from tests.conftest import as_
from tests.reviews.conftest import ask, sign
from tests.reviews.rules import in_force

pytestmark = pytest.mark.django_db

SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


def at(moment: datetime) -> None:
    """One tick of the clock at that moment."""
    with time_machine.travel(moment, tick=False):
        tick(moment)


def told(review: Review, what: str) -> set[str]:
    event = f"round:{review.current_round.pk}:{what}"
    return set(Notification.objects.filter(event=event).values_list("person__username", flat=True))


def asked_under(candidate: ModelVersion, production: Stage, alice: User, **overdue: object) -> Review:
    in_force(overdue=overdue)
    return ask(candidate, production, alice)


def test_slot_holders_are_told_a_day_before_and_when_it_is_overdue_once_each(review: Review, bob: User) -> None:
    at(review.due_at - DAY - SECOND)
    assert told(review, "due") == set()

    at(review.due_at - DAY)
    assert told(review, "due") == {"bob", "carol"}
    assert told(review, "overdue") == set()

    at(review.due_at)
    at(review.due_at + SECOND)
    assert told(review, "overdue") == {"bob", "carol", "alice"}
    assert Notification.objects.filter(event__endswith=":overdue").count() == 3


def test_whoever_signed_already_is_not_told(review: Review, bob: User) -> None:
    sign(review, "validator", bob)

    at(review.due_at - DAY)

    assert told(review, "due") == {"carol"}


def test_those_who_stand_in_are_told_too(review: Review, carol: User, dave: User) -> None:
    now = timezone.now()
    give_delegation(dave, group="Risk officers", starts_at=now, ends_at=now + 30 * DAY, reason="Away.", by=as_(carol))

    at(review.due_at - DAY)

    assert told(review, "due") == {"bob", "carol", "dave"}


def test_a_review_asked_for_on_short_notice_is_not_announced_twice(
    candidate: ModelVersion, production: Stage, alice: User, bob: User, carol: User
) -> None:
    from reviews.actions import request_review

    review = request_review(
        candidate, production, why="Now.", due_at=timezone.now() + timedelta(hours=20), by=as_(alice)
    )

    at(timezone.now() + SECOND)

    assert told(review, "due") == set()


def test_an_overdue_round_is_escalated_to_the_group_that_the_policy_names(
    candidate: ModelVersion, production: Stage, alice: User, bob: User, carol: User
) -> None:
    review = asked_under(candidate, production, alice, after_days=3, then="escalate", to="Risk officers")

    at(review.due_at + 3 * DAY - SECOND)
    assert not Escalation.objects.exists()
    at(review.due_at + 3 * DAY)
    at(review.due_at + 4 * DAY)

    found = Escalation.objects.get()
    assert (found.kind, found.group.name if found.group else "") == ("escalate", "Risk officers")
    assert "Nobody decided within 3 days" in found.reason
    assert review.current_round.is_open
    assert {"carol", "alice"} <= told(review, f"escalated:{found.group_id}")


def test_an_overdue_round_is_rejected_where_the_policy_says_so(
    candidate: ModelVersion, production: Stage, alice: User, bob: User, carol: User
) -> None:
    review = asked_under(candidate, production, alice, after_days=5, then="reject")

    at(review.due_at + 5 * DAY)

    review.refresh_from_db()
    assert review.current_round.state == Round.State.REJECTED
    assert review.closed_at is not None
    assert not Approval.objects.exists()
    assert "rejects the case" in Escalation.objects.get().reason
    assert told(review, "silence") == {"alice", "bob", "carol"}


def test_what_silence_rejected_can_be_asked_for_again(
    candidate: ModelVersion, production: Stage, alice: User, bob: User, carol: User
) -> None:
    review = asked_under(candidate, production, alice, after_days=1, then="reject")
    at(review.due_at + DAY)

    candidate.refresh_from_db()
    assert candidate.state == ModelVersion.State.REGISTERED
    assert "round" in {one.key for one in examine(candidate, production).unmet}
    assert ask(candidate, production, alice).current_round.is_open


def test_silence_never_approves(
    candidate: ModelVersion, production: Stage, alice: User, bob: User, carol: User
) -> None:
    in_force()
    review = ask(candidate, production, alice)
    sign(review, "validator", bob)

    for days in (1, 30, 300):
        at(review.due_at + days * DAY)

    assert not Approval.objects.exists()
    assert review.current_round.is_open


def test_a_decision_just_in_time_stops_the_silence(
    candidate: ModelVersion, production: Stage, alice: User, bob: User, carol: User
) -> None:
    review = asked_under(candidate, production, alice, after_days=1, then="reject")
    sign(review, "validator", bob)
    sign(review, "risk", carol)

    at(review.due_at + DAY)

    assert review.current_round.state == Round.State.APPROVED


def test_whether_it_is_still_overdue_is_asked_again_under_the_lock(
    candidate: ModelVersion, production: Stage, alice: User, bob: User, carol: User
) -> None:
    review = asked_under(candidate, production, alice, after_days=1, then="escalate", to="Risk officers")
    (rule,) = rules_for(1, production).overdue
    round_, over = review.current_round, review.due_at + DAY

    assert escalate(round_, rule, over - SECOND, by=CLOCK) is None
    assert reject_by_silence(round_, rule, over - SECOND, by=CLOCK) is None
    assert escalate(round_, rule, over, by=CLOCK) is not None
    assert escalate(round_, rule, over, by=CLOCK) is None, "once for each group"
    sign(review, "validator", bob)
    sign(review, "risk", carol)
    assert reject_by_silence(round_, rule, over, by=CLOCK) is None
    assert Escalation.objects.count() == 1
    assert review.current_round.state == Round.State.APPROVED


def test_silence_decides_nothing_in_a_case_that_is_closed(
    candidate: ModelVersion, production: Stage, alice: User, bob: User, carol: User
) -> None:
    review = asked_under(candidate, production, alice, after_days=1, then="reject")
    Review.objects.filter(pk=review.pk).update(closed_at=timezone.now())
    (rule,) = rules_for(1, production).overdue

    assert reject_by_silence(review.current_round, rule, review.due_at + DAY, by=CLOCK) is None


def test_a_version_that_another_case_is_about_stays_in_review(
    candidate: ModelVersion, production: Stage, alice: User, bob: User, carol: User
) -> None:
    review = asked_under(candidate, production, alice, after_days=1, then="reject")
    ask(candidate, Stage.objects.get(name="staging"), alice)

    at(review.due_at + DAY)

    candidate.refresh_from_db()
    assert review.current_round.state == Round.State.REJECTED
    assert candidate.state == ModelVersion.State.IN_REVIEW


def test_what_is_live_stays_live_when_silence_rejects_its_renewal(
    candidate: ModelVersion, production: Stage, alice: User, bob: User, carol: User, rita: User
) -> None:
    review = asked_under(candidate, production, alice, after_days=1, then="reject")
    sign(review, "validator", bob)
    sign(review, "risk", carol)
    promote(candidate, production, by=as_(rita))
    with time_machine.travel(Approval.objects.get().valid_until - 40 * DAY, tick=False):
        renewal = ask(candidate, production, alice)

    at(renewal.due_at + DAY)

    candidate.refresh_from_db()
    assert renewal.current_round.state == Round.State.REJECTED
    assert candidate.state == ModelVersion.State.LIVE


def test_a_new_round_is_not_overdue_when_it_opens(
    candidate: ModelVersion, production: Stage, alice: User, bob: User, carol: User
) -> None:
    review = asked_under(candidate, production, alice, after_days=1, then="reject")
    with time_machine.travel(review.due_at + timedelta(hours=20), tick=False):
        open_round(review, by=as_(alice))

    at(review.due_at + DAY)

    assert review.current_round.is_open


def test_of_two_policies_the_earlier_silence_comes_first_and_both_come(
    candidate: ModelVersion, production: Stage, alice: User, bob: User, carol: User
) -> None:
    in_force(
        "production-tier-2",
        applies_to={"stage": "production", "tiers": [1, 2]},
        overdue={"after_days": 9, "then": "reject"},
    )
    in_force(overdue={"after_days": 2, "then": "escalate", "to": "Risk officers"})

    assert [(one.after_days, str(one.then)) for one in rules_for(1, production).overdue] == [
        (2, "escalate"),
        (9, "reject"),
    ]


def test_the_clock_signs_for_what_it_did(
    candidate: ModelVersion, production: Stage, alice: User, bob: User, carol: User
) -> None:
    review = asked_under(candidate, production, alice, after_days=1, then="reject")

    at(review.due_at + DAY)

    payloads = [bytes(row.payload).decode() for row in Pending.objects.all()]
    (entry,) = [payload for payload in payloads if f'"{Action.REVIEW_ESCALATE.value}"' in payload]
    assert Principal.system("clock").actor.id in entry
