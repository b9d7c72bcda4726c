"""Whether rules that hold by themselves hold where they meet: emergencies, envelopes, exceptions, policies, passkeys, the clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Group
from django.utils import timezone

from access import actions as access_actions
from access.models import User
from countersign.proof.dsse import envelope_digest, open_sealed, seal
from foundation.keys import registry_signer
from foundation.refusals import Conflict
from notices.models import Notification
from registry import actions as registry_actions
from registry.models import Alias, ModelVersion, Stage
from registry.releases import read_release
from reviews import clock as clocks
from reviews import emergencies, within
from reviews.actions import extend_finding, sign_policy, withdraw_review
from reviews.break_glass import ask, decline, second
from reviews.clock import Effect, tick
from reviews.envelopes import fit_of, withdraw_envelope
from reviews.exceptions import exceptions_of
from reviews.models import (
    Approval,
    BreakGlass,
    EnvelopeSignature,
    FindingEvent,
    GateException,
    PolicyVersion,
    RetrainingEnvelope,
    Review,
)
from reviews.policies import MOST_GATES, examine
from reviews.promotion import promote, roll_back
from reviews.publication import why_not_in_force
from reviews.queries import approval_in_force
from reviews.revocation import revoke
from reviews.rulebook import rules_of
from tests.conftest import as_
from tests.databases import without_triggers
from tests.passkeys import SoftKey, enrolled, sign_with
from tests.reviews.conditional import allow_conditions, condition, only_finding
from tests.reviews.conditional import sign_with as sign_with_conditions
from tests.reviews.conftest import MakeApproved, MakeCandidate, approve, attach, proof_of, sign
from tests.reviews.conftest import ask as ask_review
from tests.reviews.evidence import evidence
from tests.reviews.publishing import make_author, propose
from tests.reviews.rules import OPERATOR, in_force
from tests.reviews.test_break_glass import TEXT, asked, fix, holder, in_production, seconded
from tests.reviews.test_envelopes import Trained, base, clock, envelope, proposed, source, trained
from tests.reviews.test_exceptions import grant, weak
from tests.reviews.test_renewal import PutInForce, at, live, put_in_force

__all__ = ["base", "clock", "envelope", "fix", "in_production", "put_in_force", "source", "trained", "weak"]

pytestmark = pytest.mark.django_db

PASSKEY = {"method": "passkey", "at": "2026-01-01T00:00:00+00:00"}


def by_passkey(statement: Any, **changes: Any) -> dict[str, Any]:
    """The statement as somebody with the registry's key alone could make it: it says that a passkey signed, and none did."""
    value = open_sealed(statement, registry_signer().public)
    value["predicate"] |= {"reauthentication": PASSKEY} | changes
    return dict(seal(value, registry_signer()))


class TestClock:
    def test_a_question_that_fails_keeps_no_other_one_waiting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        done: list[datetime] = []

        def broken(now: datetime) -> Sequence[Effect]:
            raise Conflict("The stored text of a policy does not match its digest.", code="policy-damaged")

        def sound(now: datetime) -> Sequence[Effect]:
            return [done.append]

        monkeypatch.setattr(clocks, "DUE", [broken, sound])
        now = timezone.now()

        assert tick(now) == 1
        assert done == [now]


class TestBreakGlass:
    @pytest.mark.parametrize("rule", [{"allowed": False}, {"hours": 2}])
    def test_policy_published_since_it_was_asked_for_decides(
        self, fix: ModelVersion, production: Stage, rita: User, carol: User, rule: dict[str, Any]
    ) -> None:
        case = asked(fix, production, rita)
        in_force(break_glass={"allowed": True, "hours": 24, "seconded_by": "Risk officers"} | rule)

        with pytest.raises(Conflict, match="published since"):
            seconded(case, carol)

        assert holder(production) != fix

    def test_what_was_asked_under_another_policy_can_be_declined(
        self, fix: ModelVersion, production: Stage, rita: User, carol: User
    ) -> None:
        case = asked(fix, production, rita)
        in_force(break_glass={"allowed": False, "hours": 24, "seconded_by": "Risk officers"})

        decline(case, reason="No longer allowed.", reauthentication=proof_of(carol), by=as_(carol))

        assert BreakGlass.objects.get().state == BreakGlass.State.DECLINED

    def test_what_its_review_rejected_meanwhile_does_not_go_ahead(
        self, fix: ModelVersion, production: Stage, alice: User, rita: User, carol: User
    ) -> None:
        ask_review(fix, Stage.objects.get(name="staging"), alice)
        review = ask_review(fix, production, alice)
        case = asked(fix, production, rita)
        sign(review, "risk", carol, decision="reject")

        with pytest.raises(Conflict, match="rejected"):
            seconded(case, carol)

        assert holder(production) != fix

    def test_rejection_in_a_later_review_takes_it_back_too(
        self, fix: ModelVersion, in_production: ModelVersion, production: Stage, alice: User, rita: User, carol: User
    ) -> None:
        case = seconded(asked(fix, production, rita), carol)
        withdraw_review(case.review, by=as_(alice))
        sign(ask_review(ModelVersion.objects.get(pk=fix.pk), production, alice), "risk", carol, decision="reject")

        at(timezone.now())

        assert holder(production) == in_production

    @pytest.mark.parametrize("role", ["asked", "seconded"])
    def test_statement_that_no_passkey_signed_is_no_ground(
        self, fix: ModelVersion, production: Stage, rita: User, carol: User, role: str
    ) -> None:
        case = seconded(asked(fix, production, rita), carol)
        forged = by_passkey(getattr(case, f"{role}_statement"))
        changes: dict[str, Any] = {f"{role}_statement": forged, f"{role}_digest": envelope_digest(forged)}
        if role == "asked":
            answer = by_passkey(
                case.seconded_statement, reauthentication={"method": "password"}, asked=envelope_digest(forged)
            )
            changes |= {"seconded_statement": answer, "seconded_digest": envelope_digest(answer)}
        with without_triggers():
            BreakGlass.objects.filter(pk=case.pk).update(**changes)

        assert "passkey" in emergencies.ground(Approval.objects.get(break_glass=case)).problem

    def test_method_that_its_policy_does_not_accept_is_no_ground(
        self, fix: ModelVersion, production: Stage, rita: User, carol: User
    ) -> None:
        in_force(reauthentication=["password"])
        case = seconded(asked(fix, production, rita), carol)
        forged = by_passkey(case.seconded_statement, reauthentication={"method": "totp"})
        with without_triggers():
            BreakGlass.objects.filter(pk=case.pk).update(
                seconded_statement=forged, seconded_digest=envelope_digest(forged)
            )

        assert "accept" in emergencies.ground(Approval.objects.get(break_glass=case)).problem

    def test_both_by_passkey_are_a_ground(self, fix: ModelVersion, production: Stage, rita: User, carol: User) -> None:
        in_force(reauthentication=["passkey"])
        keys = {person.pk: SoftKey() for person in (rita, carol)}
        for person in (rita, carol):
            enrolled(person, keys[person.pk])
        case = sign_with(
            keys[rita.pk],
            rita,
            lambda proof: ask(
                fix, production, reason="outage", text=TEXT, hours=2, reauthentication=proof, by=as_(rita)
            ),
        )
        sign_with(keys[carol.pk], carol, lambda proof: second(case, reauthentication=proof, by=as_(carol)))

        assert emergencies.ground(Approval.objects.get(break_glass=case)).problem == ""
        assert holder(production) == fix

    def test_case_of_another_version_is_no_ground(
        self, fix: ModelVersion, production: Stage, rita: User, carol: User, make_candidate: MakeCandidate
    ) -> None:
        case = seconded(asked(fix, production, rita), carol)
        approval = Approval.objects.get(break_glass=case)
        approval.version = make_candidate(auc=0.9)

        assert "another version" in emergencies.ground(approval).problem


class TestNotices:
    @pytest.fixture
    def outsider(self, db: None) -> User:
        """Somebody whose group seconds emergencies, and who may see no model."""
        person = access_actions.create_person(
            "olga", display_name="Olga", email="olga@example.org", password="correct horse", by=OPERATOR
        )
        access_actions.add_to_group(Group.objects.create(name="Night watch"), person, by=OPERATOR)
        return person

    def test_nobody_is_told_of_what_they_may_not_see(
        self, fix: ModelVersion, production: Stage, alice: User, rita: User, outsider: User
    ) -> None:
        in_force(break_glass={"allowed": True, "hours": 24, "seconded_by": "Night watch"})
        asked(fix, production, rita)

        told = set(Notification.objects.filter(title__contains="credit").values_list("person__username", flat=True))
        assert "alice" in told
        assert "olga" not in told


class TestEnvelope:
    def test_signatures_of_a_withdrawn_envelope_do_not_count_for_the_same_bounds_again(
        self, envelope: RetrainingEnvelope, base: ModelVersion, trained: Trained, production: Stage, alice: User
    ) -> None:
        withdraw_envelope(envelope, reason="The data changed.", by=as_(alice))
        again = proposed(base, production, alice)
        assert again.digest == envelope.digest
        for row in envelope.signatures.all():
            row.pk, row.uuid, row.envelope = None, EnvelopeSignature._meta.get_field("uuid").get_default(), again
            with without_triggers():
                EnvelopeSignature.objects.filter(statement_digest=row.statement_digest).delete()
                row.save(force_insert=True)
        RetrainingEnvelope.objects.filter(pk=again.pk).update(state=RetrainingEnvelope.State.SIGNED)
        trained(of=base, auc=0.851)

        at(timezone.now())

        assert live(base, production)

    def test_how_it_was_made_is_what_the_training_job_says(
        self, envelope: RetrainingEnvelope, base: ModelVersion, trained: Trained, production: Stage, alice: User
    ) -> None:
        version = trained(of=base, auc=0.851, settings={"learning_rate": 0.9, "max_iter": 200, "random_state": 7})
        told = evidence(auc=0.851)["metrics"]
        told["training"] = {"algorithm": "gradient_boosting", "settings": {"learning_rate": 0.1, "max_iter": 200}}
        registry_actions.add_evidence(version, "metrics", told, by=as_(alice))

        at(timezone.now())

        assert live(base, production)
        outside = {one.key for one in fit_of(version, envelope, timezone.now()).outside}
        assert "bound-setting-learning_rate" in outside

    def test_it_ends_with_the_version_that_it_starts_from(
        self, envelope: RetrainingEnvelope, base: ModelVersion, trained: Trained, production: Stage, carol: User
    ) -> None:
        first = trained(of=base, auc=0.851)
        at(timezone.now())
        revoke(base, reason="It learned from stolen data.", reauthentication=proof_of(carol), by=as_(carol))
        trained(of=first, auc=0.852)

        at(timezone.now())

        assert live(first, production)

    def test_signature_that_no_passkey_gave_does_not_count(
        self, envelope: RetrainingEnvelope, base: ModelVersion, trained: Trained, production: Stage
    ) -> None:
        row = envelope.signatures.get(slot_key="risk")
        forged = by_passkey(row.statement)
        with without_triggers():
            EnvelopeSignature.objects.filter(pk=row.pk).update(
                statement=forged, statement_digest=envelope_digest(forged)
            )

        assert [said.slot for _, said in within.counting(envelope, timezone.now())] == ["validator"]

    @pytest.mark.parametrize("back", ["promote", "roll back"])
    def test_coming_back_by_it_still_cites_what_was_measured(
        self,
        envelope: RetrainingEnvelope,
        base: ModelVersion,
        trained: Trained,
        production: Stage,
        alice: User,
        bob: User,
        carol: User,
        rita: User,
        back: str,
    ) -> None:
        version = trained(of=base, auc=0.851)
        at(timezone.now())
        if back == "promote":
            roll_back(base.model, production, reason="Worse.", reauthentication=proof_of(rita), by=as_(rita))
            promotion = promote(version, production, by=as_(rita), expected_previous=base.number)
        else:
            other = trained(auc=0.86)
            approve(ask_review(other, production, alice), bob, carol)
            promote(other, production, by=as_(rita))
            promotion = roll_back(
                base.model, production, reason="Worse.", reauthentication=proof_of(rita), by=as_(rita)
            )

        assert read_release(promotion.release).predicate["bounds"]


class TestExceptions:
    def test_statement_that_no_passkey_signed_excepts_nothing(self, weak: Review, carol: User) -> None:
        given = grant(weak, carol)
        forged = by_passkey(given.statement)
        with without_triggers():
            GateException.objects.update(statement=forged, statement_digest=envelope_digest(forged))
        round_ = weak.current_round

        (found,) = exceptions_of(round_, rules_of(round_), timezone.now(), ())

        assert "passkey" in found.why_not

    def test_one_that_is_over_shortens_no_later_approval(
        self, weak: Review, alice: User, bob: User, carol: User
    ) -> None:
        given = grant(weak, carol, days=1)
        after = given.ends_at + timedelta(hours=1)
        with time_machine.travel(after, tick=False):
            attach(weak.version, "metrics", evidence(auc=0.86)["metrics"], by=alice)
            approve(weak, bob, carol)

        assert Approval.objects.get().valid_until > after

    def test_one_that_is_given_after_the_approval_shortens_pulls_too(
        self, weak: Review, bob: User, carol: User
    ) -> None:
        approve(weak, bob, carol)
        given = grant(weak, carol, days=30)

        approval = Approval.objects.get()
        assert (approval.valid_until, approval.pulls_until) == (given.ends_at, given.ends_at)


class TestConditions:
    @pytest.fixture
    def conditional(
        self,
        make_candidate: MakeCandidate,
        production: Stage,
        alice: User,
        bob: User,
        carol: User,
        dave: User,
        erin: User,
    ) -> Review:
        """Approved by bob on one condition that alice owes, and by carol."""
        allow_conditions(dave, erin)
        review = ask_review(make_candidate(), production, alice)
        sign_with_conditions(review, "validator", bob, condition(alice))
        sign(review, "risk", carol)
        return review

    def test_extension_that_no_passkey_signed_moves_nothing(
        self, conditional: Review, bob: User, rita: User, production: Stage
    ) -> None:
        promote(conditional.version, production, by=as_(rita))
        first = only_finding().due_at
        later = first + timedelta(days=5)
        event = extend_finding(only_finding(), later, reason="Late.", reauthentication=proof_of(bob), by=as_(bob))
        forged = by_passkey(event.statement)
        with without_triggers():
            FindingEvent.objects.filter(pk=event.pk).update(statement=forged, statement_digest=envelope_digest(forged))

        assert approval_in_force(conditional.version, production, first - timedelta(seconds=1)) is not None
        assert approval_in_force(conditional.version, production, first) is None


class TestRollback:
    def test_it_is_confirmed_as_the_policy_of_the_approval_asks_too(
        self,
        make_candidate: MakeCandidate,
        make_approved: MakeApproved,
        production: Stage,
        alice: User,
        bob: User,
        carol: User,
        dave: User,
        rita: User,
        put_in_force: PutInForce,
    ) -> None:
        put_in_force(reauthentication=["totp"])
        first = make_candidate(auc=0.85)
        review = ask_review(first, production, alice)
        for slot, person in (("validator", bob), ("risk", carol)):
            sign(review, slot, person, proof=proof_of(person, "totp"))
        promote(first, production, by=as_(rita))
        content = PolicyVersion.objects.get(policy__name="production-tier-1", status="published").content
        looser = propose(
            "production-tier-1", content | {"reauthentication": ["totp", "password"]}, author=make_author(dave)
        )
        sign_policy(looser, decision="approve", reason="Read.", reauthentication=proof_of(carol, "totp"), by=as_(carol))
        other = make_approved(auc=0.86)
        promote(other, production, by=as_(rita))

        with pytest.raises(Conflict, match="another confirmation"):
            roll_back(first.model, production, reason="Worse.", reauthentication=proof_of(rita), by=as_(rita))
        roll_back(first.model, production, reason="Worse.", reauthentication=proof_of(rita, "totp"), by=as_(rita))

        assert Alias.objects.get(stage=production).version == first


class TestPolicies:
    def test_signature_that_no_passkey_gave_puts_nothing_in_force(self, dave: User, carol: User, db: None) -> None:
        version = in_force(due_days=5)
        row = version.signatures.get()
        forged = by_passkey(row.statement)
        row.statement, row.statement_digest = forged, envelope_digest(forged)

        assert why_not_in_force(version, [row])

    def test_a_text_of_too_many_rules_is_refused_before_it_is_read(self) -> None:
        document, flaws = examine({"gates": [{}] * (MOST_GATES + 1), "slots": [], "title": "x"})

        assert document is None
        assert [flaw.where for flaw in flaws] == ["gates"]
