"""Approvals with conditions: where they are allowed, what is signed, and that an approval ends when one is not verified in time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from access.models import User
from audit.events import Action
from audit.models import Pending
from foundation.refusals import Conflict, Invalid
from notices.models import Notification
from registry.models import ModelVersion, Stage
from reviews.actions import (
    answer_finding,
    close_finding,
    extend_finding,
    open_round,
    open_thread,
    resolve_thread,
    sign_off,
    withdraw_sign_off,
)
from reviews.actions.findings import approval_on, lapse_condition
from reviews.break_glass import ask as ask_ahead
from reviews.break_glass import second
from reviews.clock import CLOCK, tick
from reviews.conditions import owed
from reviews.evaluation import examine
from reviews.models import Approval, Finding, FindingEvent, Lapse, Review, Round
from reviews.promotion import promote
from reviews.proof import why_unsound
from reviews.queries import approval_in_force
from reviews.revocation import revoke
from reviews.standing import standing_of
from reviews.statements import read_sign_off
from reviews.subjects import frozen
from tests.conftest import as_
from tests.databases import without_triggers
from tests.reviews.conditional import allow_conditions, condition, only_finding, sign_with, signed_with
from tests.reviews.conftest import MakeCandidate, ask, attach, join, proof_of, sign
from tests.reviews.evidence import metrics
from tests.reviews.test_lapses import entries
from tests.sealing import resealed

pytestmark = pytest.mark.django_db


@pytest.fixture
def review(
    make_candidate: MakeCandidate, production: Stage, alice: User, bob: User, carol: User, dave: User, erin: User
) -> Review:
    allow_conditions(dave, erin)
    return ask(make_candidate(), production, alice)


@pytest.fixture
def conditional(review: Review, alice: User, bob: User, carol: User) -> Review:
    """Approved by bob on one condition that alice owes, and by carol."""
    sign_with(review, "validator", bob, condition(alice))
    sign(review, "risk", carol)
    return review


def meet(alice: User, bob: User) -> None:
    answer_finding(only_finding(), "Done, see the new slices.", by=as_(alice))
    close_finding(only_finding(), "I read the slices.", by=as_(bob))


class TestSigning:
    def test_a_counting_signature_with_conditions_makes_the_approval_conditional(self, conditional: Review) -> None:
        assert conditional.current_round.state == Round.State.APPROVED_WITH_CONDITIONS
        assert conditional.current_round.is_approved
        assert Approval.objects.count() == 1
        conditional.version.refresh_from_db()
        assert conditional.version.state == ModelVersion.State.APPROVED

    def test_conditions_are_signed_and_become_findings(self, conditional: Review, alice: User, bob: User) -> None:
        finding = only_finding()

        (said,) = read_sign_off(signed_with(finding)).predicate["conditions"]

        assert said["id"] == str(finding.uuid)
        entries = [bytes(row.payload).decode() for row in Pending.objects.all()]
        given = {one.partition('"slot":"')[2][:4]: one for one in entries if f'"{Action.SIGN_OFF_GIVE}"' in one}
        assert f'"id":"{finding.uuid}"' in given["vali"].partition('"conditions":[')[2]
        assert '"conditions"' not in given["risk"]
        assert said["due"] == finding.due_at.isoformat()
        assert said["owner"]["username"] == "alice"
        assert said["verifying_slot"] == "validator"
        assert (finding.owner, finding.raised_by, finding.state) == (alice, bob, "open")
        assert [event.kind for event in finding.events.all()] == ["raised"]
        assert Notification.objects.filter(person=alice, event__startswith="finding:").count() == 1
        assert any(f'"{Action.FINDING_RAISE}"' in str(row.payload) for row in Pending.objects.all())

    def test_a_policy_that_knows_none_refuses_them(
        self, make_candidate: MakeCandidate, production: Stage, alice: User, bob: User, dave: User, erin: User
    ) -> None:
        allow_conditions(dave, erin, allowed=False)
        review = ask(make_candidate(), production, alice)

        with pytest.raises(Conflict, match="does not allow an approval with conditions") as refused:
            sign_with(review, "validator", bob, condition(alice))

        assert refused.value.code == "no-conditions"
        assert not Finding.objects.exists()

    def test_an_approval_with_conditions_needs_one(self, review: Review, bob: User) -> None:
        with pytest.raises(Invalid, match="Write down what has to be done"):
            sign_with(review, "validator", bob)

    def test_and_at_most_twenty(self, review: Review, alice: User, bob: User) -> None:
        with pytest.raises(Invalid, match="from 1 to 20 conditions"):
            sign_with(review, "validator", bob, *[condition(alice)] * 21)

    def test_twenty_and_the_longest_words_are_allowed(self, review: Review, alice: User, bob: User) -> None:
        longest = condition(alice, title="x" * 160, detail="x" * 10_000)

        sign_with(review, "validator", bob, *[longest] * 20)

        assert Finding.objects.count() == 20

    def test_a_plain_approval_carries_none(self, review: Review, alice: User, bob: User) -> None:
        with pytest.raises(Invalid, match="Only an approval with conditions"):
            sign_with(review, "validator", bob, condition(alice), decision="approve")

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"title": " "}, "title"),
            ({"title": "x" * 161}, "title"),
            ({"detail": "x" * 10_001}, "detail"),
            ({"severity": "terrible"}, "severity"),
            ({"named": "nobody"}, "owner"),
            ({"days": -1}, "due_at"),
            ({"days": 30.1}, "due_at"),
            ({"slot": "moon"}, "verifying_slot"),
            ({"thread": "0f8fad5b-d9cb-469f-a165-70867728950e"}, "thread"),
        ],
    )
    def test_what_is_wrong_is_named(
        self, review: Review, alice: User, bob: User, changes: dict[str, Any], field: str
    ) -> None:
        with pytest.raises(Invalid) as refused:
            sign_with(review, "validator", bob, condition(alice, **changes))

        assert set(refused.value.errors) == {f"conditions[0].{field}"}
        assert not review.current_round.sign_offs.exists()

    def test_the_last_moment_that_the_policy_allows_is_allowed_and_now_is_not(
        self, review: Review, alice: User, bob: User
    ) -> None:
        with time_machine.travel(timezone.now(), tick=False):
            with pytest.raises(Invalid, match="a due date within 30 days"):
                sign_with(review, "validator", bob, condition(alice, days=0))
            sign_with(review, "validator", bob, condition(alice, days=30))

        assert Finding.objects.count() == 1

    def test_a_thread_of_another_review_is_none(
        self, review: Review, make_candidate: MakeCandidate, production: Stage, alice: User, bob: User, carol: User
    ) -> None:
        thread = open_thread(ask(make_candidate(), production, alice), "Explain the gap.", by=as_(carol))

        with pytest.raises(Invalid, match="no such thread"):
            sign_with(review, "validator", bob, condition(alice, thread=str(thread.uuid)))

    def test_the_owner_is_an_active_person(self, review: Review, alice: User, bob: User) -> None:
        User.objects.filter(pk=alice.pk).update(is_active=False)

        with pytest.raises(Invalid, match="active person"):
            sign_with(review, "validator", bob, condition(alice))

    def test_the_owner_may_see_the_model(self, review: Review, bob: User, root: User) -> None:
        with pytest.raises(Invalid, match="who may see this model"):
            sign_with(review, "validator", bob, condition(root))

    def test_the_thread_that_it_came_from_is_signed_with_it_and_resolved_on_record(
        self, review: Review, alice: User, bob: User, carol: User
    ) -> None:
        thread = open_thread(review, "Explain the gap.", by=as_(carol))

        given = sign_with(review, "validator", bob, condition(alice, thread=str(thread.uuid)))

        thread.refresh_from_db()
        (said,) = read_sign_off(given.statement).predicate["conditions"]
        assert said["thread"] == str(thread.uuid)
        assert (thread.resolved_by, thread.resolved_at) == (bob, given.signed_at)
        (entry,) = entries(Action.THREAD_RESOLVE)
        assert '"became":"condition"' in entry

    def test_a_thread_that_was_resolved_before_stays_resolved_by_whoever_did(
        self, review: Review, alice: User, bob: User, carol: User
    ) -> None:
        thread = open_thread(review, "Explain the gap.", by=as_(carol))
        resolve_thread(thread, by=as_(carol))

        sign_with(review, "validator", bob, condition(alice, thread=str(thread.uuid)))

        thread.refresh_from_db()
        assert thread.resolved_by == carol

    def test_somebody_else_than_the_owner_has_to_be_able_to_verify(
        self, review: Review, bob: User, carol: User
    ) -> None:
        with pytest.raises(Invalid, match="Nobody but Bob Lindqvist could verify it as Model validator"):
            sign_with(review, "risk", carol, condition(bob))

    def test_the_same_key_raises_nothing_twice(self, review: Review, alice: User, bob: User) -> None:
        given = sign_with(review, "validator", bob, condition(alice))

        again = sign_off(
            review.current_round,
            "validator",
            decision="approve_with_conditions",
            reason="Good enough, once this is done.",
            reauthentication=proof_of(bob),
            expected_subject=review.current_round.subject_digest,
            idempotency_key=given.idempotency_key,
            conditions=[condition(alice)],
            by=as_(bob),
        )

        assert again == given
        assert Finding.objects.count() == 1


class TestSettling:
    def test_conditions_go_with_a_signature_that_is_taken_back(self, review: Review, alice: User, bob: User) -> None:
        given = sign_with(review, "validator", bob, condition(alice))

        withdraw_sign_off(given, reason="Too soon.", by=as_(bob))

        assert only_finding().state == "withdrawn"
        round_ = review.current_round
        assert owed(standing_of(round_, frozen(round_).facets, timezone.now()).signatures, timezone.now()) == []

    def test_conditions_go_with_a_signature_that_is_replaced(self, review: Review, alice: User, bob: User) -> None:
        sign_with(review, "validator", bob, condition(alice))

        sign_with(review, "validator", bob, condition(alice, title="Explain it well"))

        assert {one.title: one.state for one in Finding.objects.all()} == {
            "Explain the gap under 25": "withdrawn",
            "Explain it well": "open",
        }

    def test_conditions_go_with_a_round_that_closes_without_an_approval(
        self, review: Review, alice: User, bob: User
    ) -> None:
        sign_with(review, "validator", bob, condition(alice))

        open_round(review, by=as_(alice))

        assert only_finding().state == "withdrawn"

    def test_conditions_go_with_a_signature_that_the_approval_does_not_rest_on(
        self, review: Review, alice: User, bob: User, carol: User, dave: User
    ) -> None:
        sign_with(review, "validator", bob, condition(alice))
        attach(review.version, "metrics", metrics(0.86), by=alice)
        join(dave, "Model validation")

        sign(review, "validator", dave)
        sign(review, "risk", carol)

        assert review.current_round.state == Round.State.APPROVED
        assert only_finding().state == "withdrawn"
        assert "does not rest on" in only_finding().events.latest("pk").body

    def test_conditions_of_an_approval_stay_when_another_version_is_decided(
        self,
        conditional: Review,
        make_candidate: MakeCandidate,
        production: Stage,
        alice: User,
        bob: User,
        carol: User,
    ) -> None:
        first = only_finding()
        another = ask(make_candidate(), production, alice)
        sign_with(another, "validator", bob, condition(alice, title="Another"))
        sign(another, "risk", carol)

        first.refresh_from_db()
        assert another.current_round.is_approved
        assert first.state == "open"

    def test_conditions_of_an_approval_stay_when_another_round_opens(self, conditional: Review, alice: User) -> None:
        open_round(conditional, by=as_(alice))

        assert only_finding().state == "open"


class TestPromotion:
    def test_a_conditional_approval_promotes(self, conditional: Review, rita: User, production: Stage) -> None:
        promote(conditional.version, production, by=as_(rita))

        approval = approval_in_force(conditional.version, production, timezone.now())
        assert approval is not None
        shown = [one for one in examine(conditional.version, production).requirements if "condition-" in one.key]
        assert [(one.status, one.measured) for one in shown] == [("satisfied", "open")]

    def test_not_past_a_date_that_the_clock_has_not_reached(
        self, conditional: Review, rita: User, production: Stage
    ) -> None:
        with time_machine.travel(only_finding().due_at, tick=False), pytest.raises(Conflict) as refused:
            promote(conditional.version, production, by=as_(rita))

        (unmet,) = refused.value.unmet
        assert unmet.key.startswith("condition-")
        assert "its date passed" in unmet.explanation

    def test_a_signed_date_cannot_be_moved_in_the_database(
        self, conditional: Review, rita: User, production: Stage
    ) -> None:
        promote(conditional.version, production, by=as_(rita))
        due = only_finding().due_at
        Finding.objects.update(due_at=due + timedelta(days=90))

        assert approval_in_force(conditional.version, production, due - timedelta(seconds=1)) is not None
        assert approval_in_force(conditional.version, production, due) is None

    def test_a_later_version_signed_without_conditions_owes_nothing(
        self, review: Review, bob: User, carol: User
    ) -> None:
        sign(review, "validator", bob)
        sign(review, "risk", carol)

        assert review.current_round.state == Round.State.APPROVED


class TestLapsing:
    def test_an_overdue_condition_ends_the_approval_at_its_date(
        self, conditional: Review, rita: User, production: Stage
    ) -> None:
        promote(conditional.version, production, by=as_(rita))
        due = only_finding().due_at

        tick(due - timedelta(seconds=1))
        assert not Lapse.objects.exists()
        with time_machine.travel(due, tick=False):
            tick(due)

        lapse = Lapse.objects.get()
        assert (lapse.kind, lapse.at) == (Lapse.Kind.CONDITION, due)
        assert "was not verified by" in lapse.reason
        assert only_finding().state == "lapsed"
        assert approval_in_force(conditional.version, production, due) is None
        assert not conditional.version.aliases.filter(stage=production).exists()

    def test_an_answer_that_nobody_verified_is_overdue_too(self, conditional: Review, alice: User) -> None:
        answer_finding(only_finding(), "Done.", by=as_(alice))
        due = only_finding().due_at

        with time_machine.travel(due, tick=False):
            tick(due)

        assert only_finding().state == "lapsed"
        assert "answered, but nobody verified" in Lapse.objects.get().reason

    def test_a_verified_one_ends_nothing(self, conditional: Review, alice: User, bob: User, production: Stage) -> None:
        meet(alice, bob)
        due = only_finding().due_at

        with time_machine.travel(due, tick=False):
            tick(due)
            assert not Lapse.objects.exists()
            assert not examine(conditional.version, production).unmet

    def test_a_second_tick_changes_nothing(self, conditional: Review) -> None:
        due = only_finding().due_at
        with time_machine.travel(due, tick=False):
            tick(due)
            tick(due + timedelta(minutes=1))

        assert Lapse.objects.count() == 1
        assert FindingEvent.objects.filter(kind="lapsed").count() == 1

    def test_only_the_clock_lapses(self, conditional: Review, carol: User) -> None:
        from foundation.refusals import Forbidden

        with pytest.raises(Forbidden, match="by time alone"):
            lapse_condition(only_finding(), only_finding().due_at, by=as_(carol))

    def test_the_moment_is_asked_again_under_the_lock(self, conditional: Review) -> None:
        assert lapse_condition(only_finding(), timezone.now(), by=CLOCK) is None
        assert approval_on(only_finding()) is not None

    def test_only_an_approval_of_the_conditions_own_round_that_stands_ends_with_it(
        self,
        conditional: Review,
        make_candidate: MakeCandidate,
        production: Stage,
        alice: User,
        bob: User,
        carol: User,
    ) -> None:
        first = only_finding()
        sign_with(ask(make_candidate(), production, alice), "validator", bob, condition(alice, title="Another"))
        undecided = Finding.objects.get(title="Another")
        assert approval_on(first) is not None

        assert approval_on(undecided) is None
        assert lapse_condition(undecided, undecided.due_at, by=CLOCK) is None
        revoke(conditional.version, reason="The label leaks.", reauthentication=proof_of(carol), by=as_(carol))
        assert approval_on(first) is None

    def test_what_is_live_ahead_of_its_review_does_not_end_with_a_condition(
        self, review: Review, production: Stage, alice: User, bob: User, carol: User, rita: User
    ) -> None:
        sign_with(review, "validator", bob, condition(alice))
        case = ask_ahead(
            review.version,
            production,
            reason="outage",
            text="The live version refuses everybody.",
            hours=2,
            reauthentication=proof_of(rita),
            by=as_(rita),
        )
        second(case, reauthentication=proof_of(carol), by=as_(carol))

        assert Approval.objects.get().round == only_finding().sign_off.round  # type: ignore[union-attr]  # it is a condition
        assert approval_on(only_finding()) is None

    def test_an_extension_moves_the_end(self, conditional: Review, bob: User, rita: User, production: Stage) -> None:
        promote(conditional.version, production, by=as_(rita))
        first = only_finding().due_at
        later = first + timedelta(days=5)
        extend_finding(only_finding(), later, reason="The data came late.", reauthentication=proof_of(bob), by=as_(bob))

        with time_machine.travel(first, tick=False):
            tick(first)
        assert not Lapse.objects.exists()
        assert approval_in_force(conditional.version, production, first) is not None
        with time_machine.travel(later, tick=False):
            tick(later)
        assert Lapse.objects.get().at == later

    @pytest.mark.parametrize(
        "changes",
        [
            {"finding": {"id": "0f8fad5b-d9cb-469f-a165-70867728950e"}},
            {"artifact": "0" * 64},
            {"reauthentication": {"method": "passkey"}},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_an_extension_that_says_something_else_moves_nothing(
        self, conditional: Review, bob: User, rita: User, production: Stage, changes: dict[str, Any]
    ) -> None:
        promote(conditional.version, production, by=as_(rita))
        first = only_finding().due_at
        given = extend_finding(
            only_finding(),
            first + timedelta(days=5),
            reason="The data came late.",
            reauthentication=proof_of(bob),
            by=as_(bob),
        )
        assert approval_in_force(conditional.version, production, first) is not None

        with without_triggers():
            FindingEvent.objects.filter(pk=given.pk).update(statement=dict(resealed(given.statement or {}, **changes)))

        assert approval_in_force(conditional.version, production, first) is None

    def test_a_forged_extension_moves_nothing(
        self, conditional: Review, bob: User, rita: User, production: Stage
    ) -> None:
        promote(conditional.version, production, by=as_(rita))
        finding = only_finding()
        due = finding.due_at
        FindingEvent.objects.create(
            finding=finding, kind="extended", due_at=due + timedelta(days=90), statement=signed_with(finding)
        )
        Finding.objects.update(due_at=due + timedelta(days=90))

        assert approval_in_force(conditional.version, production, due) is None
        assert "A condition" in why_unsound(Approval.objects.get(), due, released=True)

    def test_a_signed_condition_whose_row_is_gone_is_not_met(self, conditional: Review) -> None:
        round_ = conditional.current_round
        finding = only_finding()
        standing = standing_of(round_, frozen(round_).facets, timezone.now())
        with without_triggers():
            Finding.objects.filter(pk=finding.pk).update(uuid="0f8fad5b-d9cb-469f-a165-70867728950e", state="closed")

        (one,) = owed(standing.signatures, finding.due_at)

        assert one.overdue


class TestBeforeTheApproval:
    def test_an_overdue_condition_holds_the_round_open(
        self, review: Review, alice: User, bob: User, carol: User, production: Stage
    ) -> None:
        sign_with(review, "validator", bob, condition(alice, days=2))
        with time_machine.travel(timezone.now() + timedelta(days=3), tick=False):
            tick(timezone.now())
            sign(review, "risk", carol)

            assert review.current_round.state == Round.State.OPEN
            assert [one.key[:10] for one in examine(review.version, production).unmet] == ["condition-"]

            meet(alice, bob)

            assert review.current_round.state == Round.State.APPROVED_WITH_CONDITIONS

    def test_a_later_date_lets_it_be_approved(self, review: Review, alice: User, bob: User, carol: User) -> None:
        sign_with(review, "validator", bob, condition(alice, days=2))
        with time_machine.travel(timezone.now() + timedelta(days=3), tick=False):
            sign(review, "risk", carol)
            later = timezone.now() + timedelta(days=5)

            extend_finding(only_finding(), later, reason="Late data.", reauthentication=proof_of(bob), by=as_(bob))

        assert review.current_round.state == Round.State.APPROVED_WITH_CONDITIONS


class TestReminders:
    def remind(self, at: datetime) -> list[str]:
        with time_machine.travel(at, tick=False):
            tick(at)
            tick(at)
        return [one.title for one in Notification.objects.filter(person__username="alice").order_by("pk")]

    def test_a_week_and_a_day_before_and_when_overdue_each_once(self, conditional: Review) -> None:
        due = only_finding().due_at
        before = self.remind(due - timedelta(days=7, seconds=1))

        week = self.remind(due - timedelta(days=7))
        still = self.remind(due - timedelta(days=2))
        day = self.remind(due - timedelta(hours=24))
        over = self.remind(due)

        assert week == [*before, "Due within a week: Explain the gap under 25"]
        assert still == week
        assert day == [*week, "Due within a day: Explain the gap under 25"]
        assert "Overdue: Explain the gap under 25" in over[len(day) :]

    def test_a_later_date_is_reminded_of_anew(self, conditional: Review, bob: User) -> None:
        due = only_finding().due_at
        self.remind(due - timedelta(hours=20))
        with time_machine.travel(due - timedelta(hours=10), tick=False):
            extend_finding(
                only_finding(),
                due + timedelta(days=3),
                reason="Late.",
                reauthentication=proof_of(bob),
                by=as_(bob),
            )

        told = self.remind(due + timedelta(days=2, hours=12))

        assert told.count("Due within a day: Explain the gap under 25") == 2
