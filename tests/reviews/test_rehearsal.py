"""What a policy would change, worked out on real cases: open reviews as they are, promotions as they were."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from access.models import User
from audit.models import Pending
from countersign.proof.canonical import digest_of
from foundation.refusals import Conflict, Forbidden, RequirementStatus
from jobs.models import Job
from registry.models import ModelVersion, RegisteredModel, Stage
from reviews import rehearsal
from reviews.actions import draft_policy, rehearse_policy, request_review, withdraw_sign_off
from reviews.actions.rehearsals import begin_rehearsal, keep_rehearsal, rehearsal_of, rehearsal_under_way
from reviews.break_glass import ask as ask_ahead
from reviews.break_glass import second
from reviews.evaluation import examine
from reviews.models import Approval, PolicyRehearsal, PolicyVersion, Review
from reviews.promotion import promote, roll_back
from reviews.rehearsal import (
    FAILS,
    HOLDS,
    UNGOVERNED,
    GateChange,
    PromotionCase,
    Rehearsed,
    ReviewCase,
    read_result,
    rehearse,
    visible_part,
)
from reviews.shipped import shipped_policies
from tests.conftest import as_
from tests.reviews.conftest import MakeCandidate, approve, ask, attach, join, proof_of, sign
from tests.reviews.evidence import metrics
from tests.reviews.publishing import make_author, make_signer, publish

pytestmark = pytest.mark.django_db

AUC_GATE = 5
BETTER_THAN_LIVE = {"passes": "metrics.auc >= production.metrics.auc + 0.05", "when": "production.exists"}


def tier_1(**gates: Any) -> dict[str, Any]:
    """The tier 1 text with its limit on the AUC changed."""
    content: dict[str, Any] = copy.deepcopy(shipped_policies()["production-tier-1"])
    assert content["gates"][AUC_GATE]["key"] == "auc-floor"
    content["gates"][AUC_GATE] |= gates
    return content


def two_validators() -> dict[str, Any]:
    content = tier_1()
    content["slots"][0]["people"] = 2
    return content


@pytest.fixture
def author(erin: User) -> User:
    return make_author(erin)


def draft(author: User, content: dict[str, Any], name: str = "production-tier-1") -> PolicyVersion:
    return draft_policy(name, content, by=as_(author))


def rehearsed(author: User, content: dict[str, Any], name: str = "production-tier-1") -> Rehearsed:
    return rehearse(draft(author, content, name))


@pytest.fixture
def promoted(review: Review, bob: User, carol: User, rita: User) -> Review:
    approve(review, bob, carol)
    promote(review.version, review.stage, by=as_(rita))
    return review


@pytest.fixture
def successor(promoted: Review, make_candidate: MakeCandidate, alice: User, bob: User, carol: User) -> Review:
    """A second version, signed and not promoted."""
    found = ask(make_candidate(auc=0.86), promoted.stage, alice)
    approve(found, bob, carol)
    return found


def go_ahead(review: Review, first: User, other: User) -> None:
    """Put the version live before its review has ended."""
    case = ask_ahead(
        review.version,
        review.stage,
        reason="outage",
        text="The live version refuses everybody.",
        hours=2,
        reauthentication=proof_of(first),
        by=as_(first),
    )
    second(case, reauthentication=proof_of(other), by=as_(other))


def review_case(before: str = HOLDS, after: str = HOLDS, **more: Any) -> ReviewCase:
    return ReviewCase("", "credit", 1, "production", 1, before, after, **more)


class TestTelling:
    """What is counted of a result."""

    @pytest.mark.parametrize(
        "otherwise",
        [{"gates": (GateChange("a", "A", "", HOLDS),)}, {"sign_offs": ("A: one person of B, new",)}, {"after": FAILS}],
        ids=lambda one: next(iter(one)),
    )
    def test_a_review_changes_by_a_gate_a_sign_off_or_its_verdict(self, otherwise: dict[str, Any]) -> None:
        assert review_case(**otherwise).changes
        assert not review_case().changes

    @pytest.mark.parametrize(
        ("before", "after", "stopped", "freed"),
        [
            (HOLDS, FAILS, True, False),
            (UNGOVERNED, FAILS, True, False),
            (FAILS, HOLDS, False, True),
            (FAILS, UNGOVERNED, False, True),
            (FAILS, FAILS, False, False),
            (HOLDS, HOLDS, False, False),
        ],
    )
    def test_a_review_is_stopped_or_freed_by_what_is_new(
        self, before: str, after: str, stopped: bool, freed: bool
    ) -> None:
        found = Rehearsed("p", 2, "", 1, "", (review_case(before, after),), ())

        assert (len(found.stopped), len(found.freed)) == (stopped, freed)

    def test_only_promotions_that_would_have_failed_are_counted_as_failed(self) -> None:
        held, lost = (PromotionCase("", "credit", 1, "production", 1, "", outcome) for outcome in (HOLDS, FAILS))

        assert Rehearsed("p", 2, "", 1, "", (), (held, lost)).failed == (lost,)


class TestOpenReviews:
    """Now against then."""

    def test_a_tightened_limit_names_the_gate_and_its_numbers(self, review: Review, author: User) -> None:
        (case,) = rehearsed(author, tier_1(passes="metrics.auc_low >= 0.9")).reviews

        (gate,) = case.gates
        assert (case.before, case.after) == (HOLDS, FAILS)
        assert (gate.key, gate.before, gate.after) == ("auc-floor", "satisfied", "unsatisfied")
        assert (gate.measured, gate.required) == ("0.84", "at least 0.9")

    def test_the_same_rules_change_nothing(self, review: Review, author: User) -> None:
        (case,) = rehearsed(author, tier_1()).reviews

        assert not case.changes

    def test_a_loosened_limit_frees_what_fails_now(
        self, make_candidate: MakeCandidate, production: Stage, alice: User, author: User
    ) -> None:
        ask(make_candidate(auc=0.7), production, alice)

        found = rehearsed(author, tier_1(passes="metrics.auc_low >= 0.6"))

        assert len(found.freed) == 1
        assert not found.stopped

    def test_gates_that_come_and_go_are_named(self, review: Review, author: User) -> None:
        content = tier_1()
        gone = content["gates"].pop(0)
        content["gates"].append(content["gates"][0] | {"key": "new-one", "title": "Brand new"})

        (case,) = rehearsed(author, content).reviews

        assert {(gate.key, gate.before, gate.after) for gate in case.gates} == {
            (gone["key"], "satisfied", ""),
            ("new-one", "", "satisfied"),
        }

    def test_sign_offs_that_come_and_go_are_named(self, review: Review, author: User) -> None:
        content = tier_1()
        content["slots"][0]["people"] = 2
        content["slots"][1] |= {"title": "Business owner", "group": "Business owners"}

        (case,) = rehearsed(author, content).reviews

        assert "Model validator of Model validation: 2 people instead of 1" in case.sign_offs
        assert "Business owner: one person of Business owners, new" in case.sign_offs
        assert "Risk officer of Risk officers: no longer asked" in case.sign_offs

    def test_a_policy_that_is_moved_off_leaves_no_rule(self, review: Review, author: User) -> None:
        content = tier_1()
        content["applies_to"]["tiers"] = [3]

        (case,) = rehearsed(author, content).reviews

        assert (case.before, case.after) == (HOLDS, UNGOVERNED)

    def test_further_policies_go_on_applying(self, review: Review, author: User) -> None:
        content = copy.deepcopy(shipped_policies()["production-tier-3"])
        content["applies_to"]["tiers"] = [1]

        (case,) = rehearsed(author, content, "another").reviews

        assert case.before == case.after == HOLDS
        assert any(gate.before == "" for gate in case.gates)
        assert not any(gate.after == "" for gate in case.gates)

    def test_reviews_of_other_tiers_are_no_cases(self, review: Review, author: User) -> None:
        assert rehearsed(author, shipped_policies()["staging"], "staging").reviews == ()

    def test_it_says_which_version_it_was_compared_with(self, author: User) -> None:
        assert rehearsed(author, tier_1()).against == 1
        assert rehearsed(author, tier_1(), "another").against is None

    def test_a_review_is_compared_with_the_version_that_is_live(
        self, promoted: Review, make_candidate: MakeCandidate, alice: User, author: User
    ) -> None:
        ask(make_candidate(auc=0.86), promoted.stage, alice)

        (case,) = rehearsed(author, tier_1(**BETTER_THAN_LIVE)).reviews

        assert case.after == FAILS
        assert case.gates[0].required.startswith("at least 0.9")

    def test_a_renewal_is_not_compared_with_the_version_itself(
        self, promoted: Review, alice: User, bob: User, carol: User, author: User
    ) -> None:
        soon = Approval.objects.get().valid_until - timedelta(days=40)
        with time_machine.travel(soon, tick=False):
            renewal = request_review(promoted.version, promoted.stage, why="Anew.", by=as_(alice))
            version = draft(author, tier_1(**BETTER_THAN_LIVE))
            (case,) = rehearse(version).reviews
            approve(renewal, bob, carol)
            renewed = rehearse(version).promotions[0]

        assert renewed.at == soon.isoformat()
        assert not any(gate.after == "unsatisfied" for gate in (*case.gates, *renewed.gates))

    def test_closed_reviews_are_no_cases(self, promoted: Review, author: User) -> None:
        assert rehearsed(author, tier_1()).reviews == ()


class TestPastPromotions:
    """On the evidence of then."""

    def test_what_would_have_failed_is_named_with_its_reason(self, promoted: Review, author: User) -> None:
        (case,) = rehearsed(author, tier_1(passes="metrics.auc_low >= 0.9")).promotions

        assert case.outcome == FAILS
        assert [(gate.key, gate.measured, gate.required) for gate in case.gates] == [
            ("auc-floor", "0.84", "at least 0.9")
        ]

    def test_evidence_of_later_plays_no_part(self, promoted: Review, alice: User, author: User) -> None:
        attach(promoted.version, "metrics", metrics(0.99), by=alice)

        (case,) = rehearsed(author, tier_1(passes="metrics.auc_low >= 0.9")).promotions

        assert case.gates[0].measured == "0.84"

    def test_it_is_compared_with_the_version_that_was_live_then(
        self, successor: Review, rita: User, author: User
    ) -> None:
        promote(successor.version, successor.stage, by=as_(rita))

        newest, first = rehearsed(author, tier_1(**BETTER_THAN_LIVE)).promotions

        assert (first.version, first.outcome) == (1, HOLDS)
        assert newest.outcome == FAILS
        assert newest.gates[0].required.startswith("at least 0.9")

    def test_signatures_that_would_have_lacked_are_counted(self, promoted: Review, author: User) -> None:
        content = tier_1()
        content["slots"][0]["people"] = 2
        content["slots"].append(
            {"key": "business", "title": "Business owner", "group": "Business owners", "answers_for": ["card"]}
        )

        (case,) = rehearsed(author, content).promotions

        assert case.outcome == FAILS
        assert case.sign_offs == (
            "2 people of Model validation had to sign; 1 had",
            "one person of Business owners had to sign; nobody had",
        )

    def test_promotions_elsewhere_are_no_cases(self, promoted: Review, author: User) -> None:
        assert rehearsed(author, shipped_policies()["staging"], "staging").promotions == ()

    def test_promotions_of_other_tiers_are_no_cases(self, promoted: Review, author: User) -> None:
        content = tier_1()
        content["applies_to"]["tiers"] = [3]

        assert rehearsed(author, content).promotions == ()

    def test_rollbacks_are_no_cases(self, successor: Review, rita: User, author: User) -> None:
        model, stage = successor.version.model, successor.stage
        promote(successor.version, stage, by=as_(rita))
        roll_back(model, stage, reason="Back.", reauthentication=proof_of(rita), by=as_(rita))

        found = rehearsed(author, tier_1())

        assert [one.version for one in found.promotions] == [2, 1]
        assert found.left_out == 0

    def test_older_promotions_than_so_many_are_counted_as_left_out(
        self, successor: Review, rita: User, author: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        promote(successor.version, successor.stage, by=as_(rita))
        monkeypatch.setattr(rehearsal, "MOST_PROMOTIONS", 1)

        found = rehearsed(author, tier_1())

        assert [one.version for one in found.promotions] == [2]
        assert found.left_out == 1

    def test_a_signature_that_was_taken_back_stands_behind_nothing(
        self, review: Review, bob: User, carol: User, dave: User, rita: User, author: User
    ) -> None:
        join(dave, "Model validation")
        withdraw_sign_off(sign(review, "validator", bob), reason="Too soon.", by=as_(bob))
        approve(review, dave, carol)
        promote(review.version, review.stage, by=as_(rita))

        (case,) = rehearsed(author, two_validators()).promotions

        assert case.sign_offs == ("2 people of Model validation had to sign; 1 had",)

    def test_a_request_for_changes_stands_behind_nothing(
        self, review: Review, bob: User, carol: User, rita: User, author: User
    ) -> None:
        sign(review, "validator", bob, decision="request_changes")
        go_ahead(review, rita, carol)

        (case,) = rehearsed(author, tier_1()).promotions

        assert "one person of Model validation had to sign; nobody had" in case.sign_offs

    def test_a_signature_of_later_stands_behind_nothing(
        self, review: Review, bob: User, carol: User, rita: User, author: User
    ) -> None:
        before = sign(review, "validator", bob)
        go_ahead(review, rita, carol)
        withdraw_sign_off(before, reason="I looked again.", by=as_(bob))
        sign(review, "risk", carol)

        (case,) = rehearsed(author, tier_1()).promotions

        assert case.sign_offs == ("one person of Risk officers had to sign; nobody had",)


class TestKeeping:
    """The result is kept with its digest, and shown to whom it may be."""

    def test_the_result_is_kept_and_read_again(self, review: Review, author: User) -> None:
        kept = rehearse_policy(draft(author, tier_1(passes="metrics.auc_low >= 0.9")), by=as_(author))

        fresh = PolicyRehearsal.objects.get(pk=kept.pk)
        assert digest_of(fresh.result) == fresh.digest
        assert len(read_result(fresh.result).stopped) == 1
        assert b'"policy.rehearse"' in bytes(Pending.objects.latest("pk").payload)

    def test_it_belongs_to_one_text(self, author: User) -> None:
        version = draft(author, tier_1())
        rehearse_policy(version, by=as_(author))

        changed = draft(author, tier_1(passes="metrics.auc_low >= 0.9"))

        assert rehearsal_of(changed) is None

    def test_models_that_one_may_not_see_are_counted_only(self, review: Review, author: User, alice: User) -> None:
        found = rehearsed(author, tier_1())

        assert visible_part(found, as_(alice)).found.reviews == found.reviews
        stranger = visible_part(found, as_(newcomer()))
        assert (stranger.found.reviews, stranger.hidden) == ((), 1)

    def test_promotions_that_one_may_not_see_are_counted_only(self, promoted: Review, author: User) -> None:
        stranger = visible_part(rehearsed(author, tier_1()), as_(newcomer()))

        assert (stranger.found.promotions, stranger.hidden) == ((), 1)

    def test_reader_does_not_rehearse(self, author: User, bob: User, monkeypatch: pytest.MonkeyPatch) -> None:
        version = draft(author, tier_1())
        found = rehearse(version)
        monkeypatch.setattr("reviews.actions.rehearsals.AT_ONCE", -1)
        monkeypatch.setattr("reviews.actions.rehearsals.rehearse", lambda version: pytest.fail("worked for a reader"))

        with pytest.raises(Forbidden):
            rehearse_policy(version, by=as_(bob))
        with pytest.raises(Forbidden):
            begin_rehearsal(version, by=as_(bob))
        with pytest.raises(Forbidden):
            keep_rehearsal(version, found, by=as_(bob))

        assert not Job.objects.exists()

    def test_who_only_publishes_rehearses_too(self, author: User, dave: User) -> None:
        version = draft(author, tier_1())

        assert rehearse_policy(version, by=as_(make_signer(dave))).by == dave

    def test_as_many_cases_as_a_page_waits_for_are_rehearsed_at_once(
        self, review: Review, author: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("reviews.actions.rehearsals.AT_ONCE", 1)

        assert isinstance(begin_rehearsal(draft(author, tier_1()), by=as_(author)), PolicyRehearsal)

    def test_it_says_how_far_it_is(
        self, promoted: Review, make_candidate: MakeCandidate, alice: User, author: User
    ) -> None:
        ask(make_candidate(), promoted.stage, alice)
        said: list[tuple[int, int]] = []

        rehearse(draft(author, tier_1()), progress=lambda done, total: said.append((done, total)))

        assert said == [(1, 2), (2, 2)]

    def test_what_is_in_force_is_not_rehearsed(self, author: User) -> None:
        with pytest.raises(Conflict, match="drafts and proposed texts are rehearsed"):
            rehearse_policy(PolicyVersion.objects.get(policy__name="staging"), by=as_(author))

    def test_many_cases_are_a_job(
        self,
        review: Review,
        author: User,
        monkeypatch: pytest.MonkeyPatch,
        perform_jobs: Any,
    ) -> None:
        monkeypatch.setattr("reviews.actions.rehearsals.AT_ONCE", 0)
        version = draft(author, tier_1())

        begun = begin_rehearsal(version, by=as_(author))

        assert isinstance(begun, Job)
        assert rehearsal_under_way(version) == begun
        assert rehearsal_under_way(draft(author, shipped_policies()["staging"], "staging")) is None
        assert rehearsal_of(version) is None
        perform_jobs()
        kept = rehearsal_of(version)
        assert kept is not None
        assert len(read_result(kept.result).reviews) == 1

    def test_a_text_that_changed_meanwhile_gets_no_result(
        self, review: Review, author: User, monkeypatch: pytest.MonkeyPatch, perform_jobs: Any
    ) -> None:
        monkeypatch.setattr("reviews.actions.rehearsals.AT_ONCE", 0)
        begin_rehearsal(draft(author, tier_1()), by=as_(author))
        draft(author, tier_1(passes="metrics.auc_low >= 0.9"))

        perform_jobs()

        assert not PolicyRehearsal.objects.exists()


def test_cost_does_not_grow_with_the_number_of_cases(
    model: RegisteredModel, make_candidate: MakeCandidate, production: Stage, alice: User, author: User
) -> None:
    version = draft(author, tier_1(passes="metrics.auc_low >= 0.9"))
    ask(make_candidate(), production, alice)
    with CaptureQueriesContext(connection) as one:
        rehearse(version)
    for _ in range(3):
        ask(make_candidate(), production, alice)
    with CaptureQueriesContext(connection) as four:
        assert len(rehearse(version).reviews) == 4

    assert len(four) == len(one)
    assert rehearsal.BATCH >= 4


def newcomer() -> User:
    return User.objects.create_user("nina", "nina@example.org", "correct horse battery", display_name="Nina")


def test_limits_that_came_after_the_test_are_told_by_a_fact(
    review: Review, make_candidate: MakeCandidate, author: User, dave: User
) -> None:
    content = tier_1(passes="evidence.measured_after_policy")
    publish("production-tier-1", content, author=author, signer=make_signer(dave))
    evaluated_since = make_candidate(auc=0.86)

    assert _limits_first(review.version, review.stage) is RequirementStatus.UNSATISFIED
    assert _limits_first(evaluated_since, review.stage) is RequirementStatus.SATISFIED


def _limits_first(version: ModelVersion, stage: Stage) -> RequirementStatus:
    found = examine(version, stage)
    return next(outcome.status for outcome in found.gates if outcome.gate.key == "auc-floor")
