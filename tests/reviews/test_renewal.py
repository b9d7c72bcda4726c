"""What time does to an approval, to the second: nothing before its moment, once at it, once after it, and never silently."""

from __future__ import annotations

import copy
from datetime import datetime, timedelta
from typing import Protocol

import pytest
import time_machine
from django.utils import timezone

from access.models import User
from foundation.refusals import Conflict, Forbidden
from notices.models import Notification
from registry.models import Alias, ModelVersion, Promotion, Stage
from registry.releases import read_release
from reviews.actions import request_review, withdraw_review
from reviews.break_glass import ask as ask_ahead
from reviews.break_glass import second
from reviews.clock import CLOCK, tick
from reviews.models import Approval, Grace, Lapse, PolicyVersion, Reminder, Review
from reviews.promotion import champion_before, promote, roll_back
from reviews.proof import why_unsound
from reviews.queries import approval_in_force
from reviews.renewal import end_grace, give_grace, recertifications, recertify, remind, reminders
from tests.conftest import as_
from tests.reviews.conftest import MakeApproved, MakeCandidate, approve, ask, attach, proof_of
from tests.reviews.evidence import metrics
from tests.reviews.publishing import make_author, publish
from tests.reviews.test_lapses import entries

pytestmark = pytest.mark.django_db

SECOND = timedelta(seconds=1)


@pytest.fixture
def standing(approved: Review, production: Stage, rita: User) -> Approval:
    promote(approved.version, production, by=as_(rita))
    return Approval.objects.get(version=approved.version)


def at(moment: datetime) -> None:
    """A tick at exactly this moment."""
    with time_machine.travel(moment, tick=False):
        tick(moment)


def live(version: ModelVersion, stage: Stage) -> bool:
    return Alias.objects.filter(stage=stage, version=version).exists()


class PutInForce(Protocol):
    """What the fixture `put_in_force` gives."""

    def __call__(self, **changes: object) -> PolicyVersion:
        """The tier 1 policy with these changes, in force."""


@pytest.fixture
def put_in_force(dave: User, carol: User) -> PutInForce:
    def put(**changes: object) -> PolicyVersion:
        content = PolicyVersion.objects.filter(policy__name="production-tier-1").latest("number").content
        return publish("production-tier-1", content | changes, author=make_author(dave), signer=carol)

    return put


def gates(**changes: str) -> list[dict[str, object]]:
    """The gates of the tier 1 policy, with the floor of the AUC changed."""
    content = copy.deepcopy(PolicyVersion.objects.filter(policy__name="production-tier-1").latest("number").content)
    return [gate | changes if gate["key"] == "auc-floor" else gate for gate in content["gates"]]


class TestExpiry:
    def test_nothing_happens_a_second_before(self, standing: Approval, production: Stage) -> None:
        at(standing.pulls_until - SECOND)

        assert live(standing.version, production)
        assert not Lapse.objects.exists()

    def test_at_the_end_the_approval_lapses(self, standing: Approval, production: Stage) -> None:
        at(standing.pulls_until)

        assert not live(standing.version, production)
        assert (Lapse.objects.get().kind, Lapse.objects.get().at) == (Lapse.Kind.EXPIRED, standing.pulls_until)

    def test_late_and_repeated_ticks_do_it_once(self, standing: Approval) -> None:
        for days in (3, 3, 4):
            at(standing.pulls_until + timedelta(days=days))

        assert Lapse.objects.count() == 1
        assert len(entries("approval.lapse")) == 1

    def test_unused_approval_lapses_as_well(self, approved: Review) -> None:
        approval = Approval.objects.get(version=approved.version)

        at(approval.valid_until)

        assert Lapse.objects.get().approval == approval
        assert ModelVersion.objects.get(pk=approved.version_id).state == ModelVersion.State.IN_REVIEW

    def test_broken_effect_does_not_keep_the_others_back(
        self, standing: Approval, production: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from reviews import clock

        def broken(now: datetime) -> None:
            raise RuntimeError("broken")

        monkeypatch.setattr(clock, "DUE", [lambda now: [broken], *clock.DUE])

        at(standing.pulls_until)

        assert Lapse.objects.exists()


class TestPullsAfterTheEnd:
    @pytest.fixture
    def longer(self, make_approved: MakeApproved, production: Stage, rita: User, put_in_force: PutInForce) -> Approval:
        put_in_force(pulls_after_expiry_days=14)
        version = make_approved()
        promote(version, production, by=as_(rita))
        return Approval.objects.get(version=version)

    def test_pulls_go_on_and_promotions_end(self, longer: Approval, production: Stage) -> None:
        between = longer.valid_until + timedelta(days=3)

        assert longer.pulls_until == longer.valid_until + timedelta(days=14)
        with time_machine.travel(between, tick=False):
            assert approval_in_force(longer.version, production, between) == longer
            assert why_unsound(longer, between, released=False) == "The approval has run out."

    def test_pulls_end_at_their_own_end(self, longer: Approval, production: Stage) -> None:
        assert approval_in_force(longer.version, production, longer.pulls_until - SECOND) == longer
        assert approval_in_force(longer.version, production, longer.pulls_until) is None

    def test_clock_waits_for_the_end_of_pulls(self, longer: Approval, production: Stage) -> None:
        at(longer.valid_until)
        between = live(longer.version, production)
        at(longer.pulls_until)

        assert (between, live(longer.version, production)) == (True, False)

    def test_nobody_is_reminded_or_asked_anew_once_it_has_ended(self, longer: Approval) -> None:
        assert reminders(longer.valid_until - SECOND)
        assert recertifications(longer.valid_until - SECOND)

        assert not reminders(longer.valid_until)
        assert not recertifications(longer.valid_until)

    def test_rows_do_not_make_pulls_longer(self, longer: Approval, production: Stage) -> None:
        signed = longer.pulls_until
        Approval.objects.filter(pk=longer.pk).update(pulls_until=signed + timedelta(days=90))

        assert approval_in_force(longer.version, production, signed) is None

    def test_no_rollback_to_a_version_that_is_only_pulled_still(
        self, longer: Approval, production: Stage, make_approved: MakeApproved, rita: User
    ) -> None:
        later = longer.valid_until - timedelta(days=1)
        with time_machine.travel(later, tick=False):
            second = make_approved(auc=0.86)
            promote(second, production, by=as_(rita))

        with (
            time_machine.travel(longer.valid_until + timedelta(days=1), tick=False),
            pytest.raises(Conflict, match="does not stand"),
        ):
            roll_back(second.model, production, reason="Back.", reauthentication=proof_of(rita), by=as_(rita))


class TestReminders:
    def days(self) -> list[int]:
        return sorted(Reminder.objects.values_list("days", flat=True))

    @pytest.mark.parametrize("days", [60, 30, 7])
    def test_owner_is_reminded_from_the_day_on(self, standing: Approval, alice: User, days: int) -> None:
        at(standing.valid_until - timedelta(days=days) - SECOND)
        before = days in self.days()
        at(standing.valid_until - timedelta(days=days))

        assert not before
        assert days in self.days()
        assert Notification.objects.filter(person=alice, event=f"reminder:{standing.pk}:{days}").count() == 1

    def test_missed_days_are_told_as_the_nearest_one(self, standing: Approval) -> None:
        at(standing.valid_until - timedelta(days=5))

        assert self.days() == [7]

    def test_reminder_is_sent_once(self, standing: Approval) -> None:
        moment = standing.valid_until - timedelta(days=30)
        at(moment)
        at(moment + timedelta(days=1))
        remind(standing, 30, moment, by=CLOCK)

        assert self.days() == [30]
        assert len(entries("approval.remind")) == 1

    def test_day_before_the_approval_was_given_reminds_nobody(self, standing: Approval) -> None:
        end = standing.approved_at + timedelta(days=20)
        Approval.objects.filter(pk=standing.pk).update(valid_until=end, pulls_until=end)

        at(standing.approved_at + timedelta(days=1))
        early = self.days()
        at(end - timedelta(days=7))

        assert (early, self.days()) == ([], [7])

    def test_clock_has_nothing_to_do_before_the_first_day_and_after_it_was_told(self, standing: Approval) -> None:
        first = standing.valid_until - timedelta(days=60)

        assert not reminders(first - SECOND)
        assert reminders(first)
        at(first)
        assert not reminders(first)

    def test_only_those_who_may_ask_for_a_review_remind_of_it(self, standing: Approval, root: User) -> None:
        with pytest.raises(Forbidden, match="request_review"):
            remind(standing, 30, standing.valid_until - timedelta(days=30), by=as_(root))

        assert self.days() == []

    def test_nobody_is_reminded_of_what_is_not_live(self, approved: Review) -> None:
        approval = Approval.objects.get(version=approved.version)

        at(approval.valid_until - timedelta(days=30))

        assert self.days() == []


class TestRecertification:
    def test_review_opens_by_itself_on_the_first_day_of_reminding(
        self, standing: Approval, production: Stage, alice: User
    ) -> None:
        first = standing.valid_until - timedelta(days=60)
        at(first - SECOND)
        before = Review.objects.filter(renews=standing).exists()
        at(first)
        at(first)

        review = Review.objects.get(renews=standing)
        assert not before
        assert review.requested_by == alice
        assert review.why.startswith("Recertification")
        assert review.due_at == standing.valid_until
        assert live(standing.version, production)
        assert ModelVersion.objects.get(pk=standing.version_id).state == ModelVersion.State.LIVE

    def test_withdrawn_recertification_is_not_opened_again(self, standing: Approval, alice: User) -> None:
        first = standing.valid_until - timedelta(days=60)
        at(first)
        with time_machine.travel(first, tick=False):
            withdraw_review(Review.objects.get(renews=standing), by=as_(alice))

        at(first + timedelta(days=1))

        assert Review.objects.filter(renews=standing).count() == 1
        assert recertify(standing, first, by=CLOCK) is None

    def test_clock_has_nothing_to_do_once_it_was_opened(self, standing: Approval, alice: User) -> None:
        first = standing.valid_until - timedelta(days=60)
        assert recertifications(first)
        at(first)
        assert not recertifications(first)
        with time_machine.travel(first, tick=False):
            withdraw_review(Review.objects.get(renews=standing), by=as_(alice))

        assert not recertifications(first)

    @pytest.mark.parametrize("days", [20, 60])
    def test_approval_that_is_no_longer_than_the_reminding_is_not_renewed_at_once(
        self, standing: Approval, days: int
    ) -> None:
        end = standing.approved_at + timedelta(days=days)
        Approval.objects.filter(pk=standing.pk).update(valid_until=end, pulls_until=end)

        assert not recertifications(standing.approved_at + timedelta(days=1))

    def test_what_no_policy_asks_for_any_more_is_not_renewed(
        self, standing: Approval, put_in_force: PutInForce
    ) -> None:
        put_in_force(applies_to={"stage": "production", "tiers": [3]})

        assert not recertifications(standing.valid_until - timedelta(days=60))

    def test_what_is_live_ahead_of_its_review_is_neither_reminded_of_nor_renewed(
        self,
        make_candidate: MakeCandidate,
        production: Stage,
        put_in_force: PutInForce,
        alice: User,
        carol: User,
        rita: User,
    ) -> None:
        ahead = PolicyVersion.objects.get(policy__name="production-tier-1").content["break_glass"]
        put_in_force(remind_days=[1], break_glass=ahead | {"hours": 48})
        review = ask(make_candidate(), production, alice)
        case = ask_ahead(
            review.version,
            production,
            reason="outage",
            text="The live version refuses everybody.",
            hours=48,
            reauthentication=proof_of(rita),
            by=as_(rita),
        )
        second(case, reauthentication=proof_of(carol), by=as_(carol))
        withdraw_review(review, by=as_(alice))
        moment = Approval.objects.get().valid_until - timedelta(days=1)

        assert live(review.version, production)
        assert not reminders(moment)
        assert not recertifications(moment)

    def test_anybody_who_may_request_reviews_may_do_it_from_then_on(
        self, standing: Approval, production: Stage, alice: User
    ) -> None:
        first = standing.valid_until - timedelta(days=60)

        with time_machine.travel(first - SECOND, tick=False), pytest.raises(Conflict, match="can be renewed from"):
            request_review(standing.version, production, why="Anew.", by=as_(alice))
        with time_machine.travel(first, tick=False):
            review = request_review(standing.version, production, why="Anew.", by=as_(alice))

        assert review.renews == standing

    def test_renewal_takes_the_place_of_the_old_approval_in_one_step(
        self, standing: Approval, production: Stage, bob: User, carol: User
    ) -> None:
        first = standing.valid_until - timedelta(days=60)
        at(first)
        with time_machine.travel(first + timedelta(days=1), tick=False):
            approve(Review.objects.get(renews=standing), bob, carol)
            renewed = approval_in_force(standing.version, production, timezone.now())

        latest = Promotion.objects.latest("pk")
        assert renewed is not None
        assert renewed != standing
        assert (latest.previous, latest.by) == (standing.version, None)
        assert read_release(latest.release).previous == standing.version.number
        assert Alias.objects.get(stage=production).promotion == latest
        assert Approval.objects.get(pk=standing.pk).promotion_id == standing.promotion_id

    def test_old_approval_ends_and_the_renewed_version_stays_live(
        self, standing: Approval, production: Stage, bob: User, carol: User
    ) -> None:
        at(standing.valid_until - timedelta(days=60))
        with time_machine.travel(standing.valid_until - timedelta(days=59), tick=False):
            approve(Review.objects.get(renews=standing), bob, carol)
        told = Notification.objects.filter(event__startswith="lapse:").count()

        at(standing.pulls_until)

        assert Lapse.objects.get().approval == standing
        assert live(standing.version, production)
        assert Notification.objects.filter(event__startswith="lapse:").count() == told

    def test_renewal_whose_gates_fail_changes_nothing_and_says_so(
        self, standing: Approval, production: Stage, alice: User, bob: User, carol: User
    ) -> None:
        first = standing.valid_until - timedelta(days=60)
        with time_machine.travel(first, tick=False):
            attach(standing.version, "metrics", metrics(0.6), by=alice)
        at(first)
        with time_machine.travel(first, tick=False):
            approve(Review.objects.get(renews=standing), bob, carol)

        told = Notification.objects.get(person=alice, event__startswith="not-renewed:")
        assert "not everything is met" in told.title
        assert "0.59" in told.body
        assert Alias.objects.get(stage=production).promotion_id == standing.promotion_id

    def test_rollback_after_a_renewal_leads_to_the_version_before(
        self,
        standing: Approval,
        production: Stage,
        make_approved: MakeApproved,
        alice: User,
        bob: User,
        carol: User,
        rita: User,
    ) -> None:
        second = make_approved(auc=0.86)
        promote(second, production, by=as_(rita))
        approval = Approval.objects.get(version=second)
        with time_machine.travel(approval.valid_until - timedelta(days=40), tick=False):
            approve(request_review(second, production, why="Anew.", by=as_(alice)), bob, carol)

        assert champion_before(Alias.objects.get(stage=production)) == standing.version


class TestGrace:
    @pytest.fixture
    def stricter(self, standing: Approval, put_in_force: PutInForce) -> PolicyVersion:
        stricter = gates(passes="metrics.auc_low >= 0.95", requires="at least 0.95")
        return put_in_force(gates=stricter, grace_days=30)

    def test_live_version_gets_a_dated_grace(
        self, standing: Approval, stricter: PolicyVersion, production: Stage, alice: User
    ) -> None:
        now = timezone.now()

        at(now)

        grace = Grace.objects.get(approval=standing)
        assert grace.until == now + timedelta(days=30)
        assert any("at least 0.95" in sentence for sentence in grace.unmet)
        assert live(standing.version, production)
        assert Notification.objects.filter(person=alice, event=f"grace:{grace.pk}").exists()

    def test_grace_is_given_once(self, standing: Approval, stricter: PolicyVersion) -> None:
        now = timezone.now()
        at(now)
        at(now + timedelta(days=1))
        give_grace(stricter, now, by=CLOCK)

        assert Grace.objects.count() == 1
        assert len(entries("grace.give")) == 1

    def test_at_its_end_the_approval_lapses(
        self, standing: Approval, stricter: PolicyVersion, production: Stage
    ) -> None:
        at(timezone.now())
        grace = Grace.objects.get()
        at(grace.until - SECOND)
        before = live(standing.version, production)
        at(grace.until)
        at(grace.until)
        end_grace(grace, grace.until, by=CLOCK)

        assert before
        assert not live(standing.version, production)
        assert Lapse.objects.get().kind == Lapse.Kind.GRACE
        assert len(entries("approval.lapse")) == 1

    def test_version_that_meets_the_new_rules_by_then_stays(
        self, standing: Approval, stricter: PolicyVersion, production: Stage, alice: User
    ) -> None:
        at(timezone.now())
        attach(standing.version, "metrics", metrics(0.97), by=alice)

        at(Grace.objects.get().until)

        assert live(standing.version, production)
        assert not Lapse.objects.exists()

    def test_review_under_the_new_policy_can_be_asked_for_in_the_grace(
        self, standing: Approval, stricter: PolicyVersion, production: Stage, alice: User
    ) -> None:
        with pytest.raises(Conflict, match="can be renewed from"):
            request_review(standing.version, production, why="New rules.", by=as_(alice))
        at(timezone.now())

        assert request_review(standing.version, production, why="New rules.", by=as_(alice)).renews == standing

    def test_rules_that_are_met_need_no_grace(
        self, standing: Approval, production: Stage, put_in_force: PutInForce
    ) -> None:
        put_in_force(due_days=5)

        at(timezone.now())
        at(timezone.now() + timedelta(days=200))

        assert Grace.objects.get().unmet == []
        assert live(standing.version, production)

    def test_slot_that_nobody_signed_is_unmet(self, standing: Approval, put_in_force: PutInForce) -> None:
        slots = [*PolicyVersion.objects.get(policy__name="production-tier-1").content["slots"]]
        put_in_force(slots=[*slots, {"key": "legal", "title": "Legal", "group": "Legal and compliance"}])

        at(timezone.now())

        assert Grace.objects.get().unmet == ["Legal: 1 of 1 signature from Legal and compliance missing."]
