"""Whether an emergency takes two people, is on record before it acts, ends by itself, and leaves nothing behind."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
import time_machine
from django.utils import timezone

from access import actions as access_actions
from access.models import Role, User
from access.stepup import Rehearsal, StatementReady
from audit.models import Integrity
from countersign.proof.canonical import digest_of
from countersign.proof.dsse import envelope_digest, open_sealed
from foundation.keys import registry_signer
from foundation.refusals import Conflict, Forbidden, Invalid
from notices.models import Notification
from registry import actions as registry_actions
from registry.models import Alias, ModelVersion, Promotion, Stage
from registry.releases import read_release
from reviews.actions import request_review
from reviews.break_glass import ask, decline, give_up, may_answer, second, take_back
from reviews.clock import CLOCK, tick
from reviews.models import Approval, BreakGlass, Lapse, PolicyVersion, Review
from reviews.promotion import promote, roll_back
from reviews.queries import approval_in_force
from reviews.revocation import revoke
from tests.conftest import as_
from tests.databases import without_triggers
from tests.reviews.conftest import MakeApproved, MakeCandidate, approve, proof_of, sign
from tests.reviews.conftest import ask as ask_review
from tests.reviews.rules import in_force as in_force_policy
from tests.reviews.test_lapses import entries

pytestmark = pytest.mark.django_db

State = BreakGlass.State
TEXT = "The live version refuses everybody since noon."


def holder(stage: Stage) -> ModelVersion | None:
    alias = Alias.objects.filter(stage=stage).select_related("version__model").first()
    return alias.version if alias else None


def asked(version: ModelVersion, stage: Stage, by: User, *, hours: int = 24, text: str = TEXT) -> BreakGlass:
    return ask(version, stage, reason="outage", text=text, hours=hours, reauthentication=proof_of(by), by=as_(by))


def seconded(case: BreakGlass, by: User) -> BreakGlass:
    return second(case, reauthentication=proof_of(by), by=as_(by))


@pytest.fixture
def in_production(approved: Review, production: Stage, rita: User) -> ModelVersion:
    promote(approved.version, production, by=as_(rita))
    return ModelVersion.objects.get(pk=approved.version_id)


@pytest.fixture
def fix(in_production: ModelVersion, make_candidate: MakeCandidate) -> ModelVersion:
    """A version that nobody has reviewed and that would be needed now."""
    return make_candidate(auc=0.86)


@pytest.fixture
def in_force(fix: ModelVersion, production: Stage, rita: User, carol: User) -> BreakGlass:
    return seconded(asked(fix, production, rita), carol)


class TestAsking:
    def test_asking_is_on_record_and_moves_nothing(
        self, fix: ModelVersion, in_production: ModelVersion, production: Stage, rita: User
    ) -> None:
        case = asked(fix, production, rita)

        assert case.state == State.ASKED
        assert holder(production) == in_production
        assert approval_in_force(fix, production, timezone.now()) is None
        assert len(entries("break_glass.ask")) == 1

    def test_asking_opens_the_review_that_decides_afterwards(
        self, fix: ModelVersion, production: Stage, rita: User
    ) -> None:
        case = asked(fix, production, rita)

        assert case.review.closed_at is None
        assert case.review.requested_by == rita
        assert case.review.due_at == case.ends_at
        assert ModelVersion.objects.get(pk=fix.pk).state == ModelVersion.State.IN_REVIEW

    def test_open_review_is_used(self, fix: ModelVersion, production: Stage, alice: User, rita: User) -> None:
        review = ask_review(fix, production, alice)

        assert asked(fix, production, rita).review == review

    @pytest.mark.parametrize("who", ["alice", "bob", "dave", "erin", "root"])
    def test_only_those_with_the_permission_ask(
        self, fix: ModelVersion, production: Stage, who: str, request: pytest.FixtureRequest
    ) -> None:
        with pytest.raises(Forbidden):
            asked(fix, production, request.getfixturevalue(who))

        assert not BreakGlass.objects.exists()

    @pytest.mark.parametrize(
        ("wrong", "field"),
        [({"hours": 25}, "hours"), ({"hours": 0}, "hours"), ({"text": "Now!"}, "text")],
    )
    def test_what_is_missing_is_said_beside_its_field(
        self, fix: ModelVersion, production: Stage, rita: User, wrong: dict[str, object], field: str
    ) -> None:
        with pytest.raises(Invalid) as caught:
            asked(fix, production, rita, **wrong)  # type: ignore[arg-type]  # one wrong value of several types

        assert set(caught.value.errors) == {field}

    def test_rejected_version_does_not_go_ahead(
        self, fix: ModelVersion, production: Stage, alice: User, bob: User, carol: User, rita: User
    ) -> None:
        sign(ask_review(fix, production, alice), "risk", carol, decision="reject")

        with pytest.raises(Conflict, match="rejected"):
            asked(fix, production, rita)

    def test_passkey_is_asked_for_the_statement_that_is_then_made(
        self, fix: ModelVersion, production: Stage, rita: User
    ) -> None:
        rehearsal = Rehearsal.now()

        with pytest.raises(StatementReady) as first:
            ask(fix, production, reason="outage", text=TEXT, hours=2, reauthentication=rehearsal, by=as_(rita))
        with pytest.raises(StatementReady) as again:
            ask(fix, production, reason="outage", text=TEXT, hours=2, reauthentication=rehearsal, by=as_(rita))

        assert first.value.digest == again.value.digest
        assert not BreakGlass.objects.exists()
        assert not Review.objects.filter(version=fix).exists()


class TestSeconding:
    def test_second_signature_puts_it_live(self, in_force: BreakGlass, fix: ModelVersion, production: Stage) -> None:
        approval = approval_in_force(fix, production, timezone.now())

        assert holder(production) == fix
        assert approval is not None
        assert approval.basis == Approval.Basis.BREAK_GLASS
        assert approval.valid_until == in_force.ends_at
        assert ModelVersion.objects.get(pk=fix.pk).state == ModelVersion.State.LIVE

    def test_release_names_both_statements(self, in_force: BreakGlass) -> None:
        release = read_release(Promotion.objects.latest("pk").release)

        assert release.basis == "break_glass"
        assert release.predicate["break_glass"] == {
            "asks": in_force.asked_digest,
            "seconds": in_force.seconded_digest,
        }
        assert release.valid_until == in_force.ends_at

    def test_the_asker_is_not_the_second_person(self, fix: ModelVersion, production: Stage, carol: User) -> None:
        case = asked(fix, production, carol)

        with pytest.raises(Forbidden, match="second person"):
            seconded(case, carol)

        assert holder(production) != fix

    @pytest.mark.parametrize("who", ["alice", "bob", "dave", "erin", "root"])
    def test_only_the_policys_group_seconds(
        self, fix: ModelVersion, production: Stage, rita: User, who: str, request: pytest.FixtureRequest
    ) -> None:
        with pytest.raises(Forbidden):
            seconded(asked(fix, production, rita), request.getfixturevalue(who))

    def test_author_does_not_second_the_own_version(
        self, make_candidate: MakeCandidate, production: Stage, alice: User, rita: User, carol: User
    ) -> None:
        own = registry_actions.create_model("loans", tier=1, owner=carol, by=as_(alice))
        version = make_candidate(by=carol, model=own)

        with pytest.raises(Forbidden, match="registered this version"):
            seconded(asked(version, production, rita), carol)

    def test_it_cannot_be_seconded_after_its_hours(
        self, fix: ModelVersion, production: Stage, rita: User, carol: User
    ) -> None:
        case = asked(fix, production, rita, hours=2)

        with time_machine.travel(case.ends_at, tick=False), pytest.raises(Conflict, match="ran out"):
            seconded(case, carol)

    def test_it_is_not_seconded_while_the_ledger_does_not_verify(
        self, fix: ModelVersion, production: Stage, rita: User, carol: User
    ) -> None:
        case = asked(fix, production, rita)
        Integrity.objects.create(pk=1, at=timezone.now(), problems=[["root", "The entries are others."]])

        with pytest.raises(Conflict, match="the ledger does not verify"):
            seconded(case, carol)

        assert holder(production) != fix

    def test_it_is_seconded_once(self, in_force: BreakGlass, carol: User) -> None:
        with pytest.raises(Conflict, match="already"):
            seconded(in_force, carol)

    def test_stage_that_moved_meanwhile_is_left_alone(
        self, fix: ModelVersion, production: Stage, make_approved: MakeApproved, carol: User, rita: User
    ) -> None:
        case = asked(fix, production, rita)
        other = make_approved(auc=0.87)
        promote(other, production, by=as_(rita))

        with pytest.raises(Conflict, match="moved since"):
            seconded(case, carol)

        assert holder(production) == other

    def test_asker_who_lost_the_permission_has_asked_in_vain(
        self, fix: ModelVersion, production: Stage, rita: User, carol: User, erin: User
    ) -> None:
        case = asked(fix, production, rita)
        access_actions.withdraw_role(Role.objects.get(name="Release manager"), to=rita, by=as_(erin))

        with pytest.raises(Forbidden):
            seconded(case, carol)

    def test_everybody_whom_it_concerns_is_told(self, in_force: BreakGlass, alice: User, carol: User) -> None:
        for person in (alice, carol):
            told = Notification.objects.filter(person=person, event__startswith=f"break-glass:{in_force.uuid}")
            assert {one.kind for one in told} == {"emergency"}
            assert told.count() == 2

    def test_declining_ends_it(
        self, fix: ModelVersion, in_production: ModelVersion, production: Stage, rita: User, carol: User
    ) -> None:
        case = asked(fix, production, rita)

        decline(case, reason="The old one works.", reauthentication=proof_of(carol), by=as_(carol))

        case.refresh_from_db()
        assert case.state == State.DECLINED
        assert holder(production) == in_production
        with pytest.raises(Conflict):
            seconded(case, carol)


class TestProof:
    def test_rows_do_not_make_an_emergency(self, in_force: BreakGlass, fix: ModelVersion, production: Stage) -> None:
        with without_triggers():
            BreakGlass.objects.filter(pk=in_force.pk).update(seconded_statement=in_force.asked_statement)

        assert approval_in_force(fix, production, timezone.now()) is None

    def test_longer_rows_do_not_make_it_longer(
        self, in_force: BreakGlass, fix: ModelVersion, production: Stage
    ) -> None:
        far = timezone.now() + timedelta(days=30)
        with without_triggers():
            BreakGlass.objects.update(ends_at=far)
            Approval.objects.filter(break_glass=in_force).update(valid_until=far, pulls_until=far)

        assert approval_in_force(fix, production, in_force.ends_at - timedelta(seconds=1)) is not None
        assert approval_in_force(fix, production, in_force.ends_at) is None

    def test_statements_of_another_version_do_not_count(
        self,
        in_force: BreakGlass,
        make_candidate: MakeCandidate,
        fix: ModelVersion,
        production: Stage,
    ) -> None:
        other = make_candidate(auc=0.9)
        with without_triggers():
            BreakGlass.objects.update(version=other)
            Approval.objects.filter(break_glass=in_force).update(version=other)
            ModelVersion.objects.filter(pk=other.pk).update(state="live")

        assert approval_in_force(other, production, timezone.now()) is None

    def test_statements_say_what_was_asked(self, in_force: BreakGlass, rita: User, carol: User) -> None:
        said = open_sealed(in_force.asked_statement, registry_signer().public)
        answer = open_sealed(in_force.seconded_statement or {}, registry_signer().public)

        assert said["predicate"]["text"] == TEXT
        assert said["predicate"]["person"]["username"] == rita.username
        assert answer["predicate"]["asked"] == envelope_digest(in_force.asked_statement)
        assert answer["predicate"]["person"]["username"] == carol.username
        assert digest_of(said) != digest_of(answer)


class TestTheEnd:
    def at(self, moment: datetime) -> int:
        with time_machine.travel(moment, tick=False):
            return tick(moment)

    def test_nothing_happens_a_second_before(self, in_force: BreakGlass, fix: ModelVersion, production: Stage) -> None:
        self.at(in_force.ends_at - timedelta(seconds=1))

        in_force.refresh_from_db()
        assert in_force.state == State.IN_FORCE
        assert holder(production) == fix

    def test_at_the_end_the_version_before_is_live_again(
        self, in_force: BreakGlass, fix: ModelVersion, in_production: ModelVersion, production: Stage
    ) -> None:
        self.at(in_force.ends_at)

        in_force.refresh_from_db()
        latest = Promotion.objects.latest("pk")
        assert holder(production) == in_production
        assert in_force.state == State.ROLLED_BACK
        assert in_force.ended_at == in_force.ends_at
        assert Lapse.objects.get().kind == Lapse.Kind.BREAK_GLASS
        assert (latest.rollback, latest.by) == (True, None)
        assert ModelVersion.objects.get(pk=fix.pk).state == ModelVersion.State.IN_REVIEW
        with time_machine.travel(in_force.ends_at, tick=False):
            assert approval_in_force(in_production, production, timezone.now()) is not None

    def test_second_tick_changes_nothing(
        self, in_force: BreakGlass, in_production: ModelVersion, production: Stage
    ) -> None:
        self.at(in_force.ends_at)
        before = Promotion.objects.count()

        self.at(in_force.ends_at)
        with time_machine.travel(in_force.ends_at, tick=False):
            take_back(in_force, in_force.ends_at, by=CLOCK)

        assert Promotion.objects.count() == before
        assert holder(production) == in_production
        assert len(entries("break_glass.end")) == 1

    def test_late_tick_takes_it_back_too(
        self, in_force: BreakGlass, in_production: ModelVersion, production: Stage
    ) -> None:
        self.at(in_force.ends_at + timedelta(days=2))

        assert holder(production) == in_production

    def test_stage_is_left_empty_where_the_version_before_does_not_stand(
        self, in_force: BreakGlass, in_production: ModelVersion, production: Stage, carol: User
    ) -> None:
        revoke(in_production, reason="It fails.", reauthentication=proof_of(carol), by=as_(carol))

        self.at(in_force.ends_at)

        assert holder(production) is None
        assert Lapse.objects.get().reason.endswith("none before it whose approval stands.")

    def test_review_that_approves_takes_its_place_at_once(
        self, in_force: BreakGlass, fix: ModelVersion, production: Stage, bob: User, carol: User
    ) -> None:
        approve(in_force.review, bob, carol)

        in_force.refresh_from_db()
        approval = approval_in_force(fix, production, timezone.now())
        assert in_force.state == State.APPROVED
        assert approval is not None
        assert approval.basis == Approval.Basis.REVIEW
        self.at(in_force.ends_at)
        assert holder(production) == fix

    def test_review_that_refuses_ends_it_at_the_next_tick(
        self, in_force: BreakGlass, in_production: ModelVersion, production: Stage, carol: User
    ) -> None:
        sign(in_force.review, "risk", carol, decision="reject", reason="It is worse.")

        self.at(timezone.now())

        assert holder(production) == in_production

    def test_rollback_by_hand_ends_it(
        self, in_force: BreakGlass, in_production: ModelVersion, production: Stage, rita: User
    ) -> None:
        roll_back(in_production.model, production, reason="Enough.", reauthentication=proof_of(rita), by=as_(rita))

        in_force.refresh_from_db()
        assert in_force.state == State.ROLLED_BACK
        assert holder(production) == in_production
        assert Lapse.objects.get().approval.break_glass == in_force

    def test_revocation_ends_it(self, in_force: BreakGlass, fix: ModelVersion, production: Stage, carol: User) -> None:
        revoke(fix, reason="It leaks.", reauthentication=proof_of(carol), by=as_(carol))

        in_force.refresh_from_db()
        assert in_force.state == State.ROLLED_BACK
        assert holder(production) is None
        assert not Lapse.objects.exists()

    def test_no_rollback_leads_to_a_version_that_was_only_live_ahead(
        self,
        in_force: BreakGlass,
        production: Stage,
        make_candidate: MakeCandidate,
        alice: User,
        bob: User,
        carol: User,
        rita: User,
    ) -> None:
        other = make_candidate(auc=0.87)
        review = request_review(other, production, why="Better.", by=as_(alice))
        approve(review, bob, carol)
        promote(other, production, by=as_(rita))

        with pytest.raises(Conflict, match="does not stand"):
            roll_back(other.model, production, reason="Back.", reauthentication=proof_of(rita), by=as_(rita))

    def test_request_that_nobody_seconds_lapses(
        self, fix: ModelVersion, in_production: ModelVersion, production: Stage, rita: User
    ) -> None:
        case = asked(fix, production, rita, hours=2)

        self.at(case.ends_at - timedelta(seconds=1))
        case.refresh_from_db()
        waiting = case.state
        self.at(case.ends_at)
        give_up(case, case.ends_at, by=CLOCK)

        case.refresh_from_db()
        assert (waiting, case.state) == (State.ASKED, State.LAPSED)
        assert holder(production) == in_production
        assert len(entries("break_glass.end")) == 1


class TestRefusals:
    def test_policy_may_forbid_it(self, fix: ModelVersion, production: Stage, rita: User) -> None:
        policy = PolicyVersion.objects.get(policy__name="production-tier-1", status="published")
        in_force_policy(break_glass={**policy.content.get("break_glass", {}), "allowed": False})

        with pytest.raises(Conflict, match="does not allow"):
            asked(fix, production, rita)

    def test_what_is_live_needs_none(self, in_production: ModelVersion, production: Stage, rita: User) -> None:
        with pytest.raises(Conflict, match="live in Production already"):
            asked(in_production, production, rita)

    def test_one_is_under_way_at_a_time(self, fix: ModelVersion, production: Stage, rita: User) -> None:
        asked(fix, production, rita)

        with pytest.raises(Conflict, match="under way already"):
            asked(fix, production, rita)

    def test_reason_is_one_of_those_that_are_counted(self, fix: ModelVersion, production: Stage, rita: User) -> None:
        with pytest.raises(Invalid) as caught:
            ask(fix, production, reason="boredom", text=TEXT, hours=2, reauthentication=proof_of(rita), by=as_(rita))

        assert set(caught.value.errors) == {"reason"}

    def test_what_went_live_by_its_review_meanwhile_is_not_seconded(
        self, fix: ModelVersion, production: Stage, bob: User, carol: User, rita: User
    ) -> None:
        case = asked(fix, production, rita)
        approve(case.review, bob, carol)
        promote(fix, production, by=as_(rita))

        with pytest.raises(Conflict, match="live in Production already"):
            seconded(case, carol)

    def test_declining_needs_a_reason(self, fix: ModelVersion, production: Stage, rita: User, carol: User) -> None:
        case = asked(fix, production, rita)

        with pytest.raises(Invalid):
            decline(case, reason=" ", reauthentication=proof_of(carol), by=as_(carol))

    def test_whoever_was_deactivated_seconds_nothing(
        self, fix: ModelVersion, production: Stage, rita: User, carol: User
    ) -> None:
        case = asked(fix, production, rita)
        carol.is_active = False

        assert not may_answer(as_(carol), case).allowed

    def test_only_those_who_may_move_the_stage_carry_out_its_end(
        self, in_force: BreakGlass, fix: ModelVersion, production: Stage, alice: User
    ) -> None:
        with pytest.raises(Forbidden):
            take_back(in_force, in_force.ends_at, by=as_(alice))
        with pytest.raises(Forbidden):
            give_up(in_force, in_force.ends_at, by=as_(alice))

        assert holder(production) == fix
