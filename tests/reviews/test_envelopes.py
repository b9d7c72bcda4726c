"""Whether a retrained version goes live by itself inside what reviewers signed, and never outside it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Protocol
from uuid import uuid4

import pytest
import time_machine
from django.utils import timezone

from access.models import User
from audit import integrity
from audit.models import Integrity, Pending
from datasets.models import DatasetVersion, Recipe
from foundation.refusals import Conflict, Forbidden, Invalid
from notices.models import Notification
from registry import actions as registry_actions
from registry.models import Alias, ModelVersion, Promotion, Stage
from registry.releases import read_release
from registry.store import ArtifactStore
from reviews.actions import request_review
from reviews.bounds import Bounds
from reviews.clock import CLOCK, tick
from reviews.envelopes import (
    expire_envelope,
    fit_of,
    propose_envelope,
    sign_envelope,
    suggested,
    use_envelope,
    withdraw_envelope,
)
from reviews.evaluation import examine
from reviews.models import Approval, RetrainingEnvelope, Review
from reviews.promotion import promote, roll_back
from reviews.queries import approval_in_force
from tests.conftest import as_
from tests.databases import without_triggers
from tests.factories import stored_tiny_model
from tests.reviews.conftest import approve, attach, proof_of
from tests.reviews.conftest import ask as ask_review
from tests.reviews.evidence import CARD, evidence
from tests.reviews.test_lapses import entries
from tests.reviews.test_people import data_of
from tests.reviews.test_renewal import PutInForce, at, live, put_in_force

__all__ = ["put_in_force"]

pytestmark = pytest.mark.django_db

State = RetrainingEnvelope.State
SETTINGS = {"learning_rate": 0.1, "max_iter": 200, "random_state": 7}


class Trained(Protocol):
    """What the fixture `trained` gives."""

    def __call__(
        self,
        *,
        of: ModelVersion | None = None,
        settings: dict[str, Any] | None = None,
        features: tuple[str, ...] = ("AGEP", "SCHL"),
        by_job: bool = True,
        data: DatasetVersion | None = None,
        by: User | None = None,
        **changes: float,
    ) -> ModelVersion:
        """A version as a training job would leave it."""


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """A clock that stands still, a little later at every version."""
    with time_machine.travel(timezone.now(), tick=False) as found:
        yield found


@pytest.fixture
def source(alice: User) -> DatasetVersion:
    return data_of(alice, "employment")


@pytest.fixture
def trained(model: Any, alice: User, source: DatasetVersion, clock: time_machine.Traveller) -> Trained:
    recipe = Recipe.objects.create(
        dataset=source.dataset, name="plain", number=1, content={}, digest="c" * 64, created_by=alice
    )

    def make(
        *,
        of: ModelVersion | None = None,
        settings: dict[str, Any] | None = None,
        features: tuple[str, ...] = ("AGEP", "SCHL"),
        by_job: bool = True,
        data: DatasetVersion | None = None,
        by: User | None = None,
        **changes: float,
    ) -> ModelVersion:
        clock.shift(60)
        who = as_(by or alice)
        version = registry_actions.register_version(
            model,
            stored_tiny_model(ArtifactStore()),
            dataset_version=data or source,
            recipe=recipe,
            retrain_of=of,
            trained_by=by or alice,
            job_uuid=uuid4() if by_job else None,
            admit=False,
            by=who,
        )
        version = registry_actions.admit_version(version, by=who)
        found = copy.deepcopy(evidence(**changes))
        found["metrics"]["training"] = {"algorithm": "gradient_boosting", "settings": settings or SETTINGS}
        found["data"]["features"] = list(features)
        for kind, content in found.items():
            if kind != "signature":
                attach(version, kind, content, by=by or alice)
        registry_actions.revise_card(version, CARD, by=who)
        return version

    return make


@pytest.fixture
def base(trained: Trained, production: Stage, alice: User, bob: User, carol: User, rita: User) -> ModelVersion:
    version = trained()
    approve(ask_review(version, production, alice), bob, carol)
    promote(version, production, by=as_(rita))
    version.refresh_from_db()
    return version


def bounds_of(base: ModelVersion, stage: Stage, **changes: Any) -> dict[str, Any]:
    found = suggested(base, stage)
    assert isinstance(found, Bounds)
    return found.as_dict() | changes


def proposed(base: ModelVersion, stage: Stage, by: User, days: int = 180, **changes: Any) -> RetrainingEnvelope:
    return propose_envelope(
        base.model,
        stage,
        base=base,
        bounds=bounds_of(base, stage, **changes),
        why="New data every month, nothing else changes.",
        valid_until=timezone.now() + timedelta(days=days),
        by=as_(by),
    )


def sign(envelope: RetrainingEnvelope, slot: str, by: User) -> None:
    sign_envelope(envelope, slot, reason="I accept it.", reauthentication=proof_of(by), by=as_(by))


@pytest.fixture
def envelope(base: ModelVersion, production: Stage, alice: User, bob: User, carol: User) -> RetrainingEnvelope:
    found = proposed(base, production, alice)
    sign(found, "validator", bob)
    sign(found, "risk", carol)
    found.refresh_from_db()
    return found


class TestSigning:
    def test_bounds_start_from_how_the_live_version_was_made(self, base: ModelVersion, production: Stage) -> None:
        found = bounds_of(base, production)

        assert found["dataset"] == "employment"
        assert found["features"] == ["AGEP", "SCHL"]
        assert found["settings"] == {"learning_rate": {"allowed": [0.1]}, "max_iter": {"allowed": [200]}}

    def test_it_counts_once_every_slot_has_signed(
        self, base: ModelVersion, production: Stage, alice: User, bob: User, carol: User
    ) -> None:
        found = proposed(base, production, alice)
        sign(found, "validator", bob)
        found.refresh_from_db()
        half = found.state
        sign(found, "risk", carol)

        found.refresh_from_db()
        assert (half, found.state) == (State.PROPOSED, State.SIGNED)
        assert len(entries("envelope.sign")) == 2

    def test_a_signer_who_may_not_see_the_model_is_told_nothing(
        self, base: ModelVersion, production: Stage, alice: User, bob: User, carol: User
    ) -> None:
        bob.role_assignments.all().delete()

        proposed(base, production, alice)

        told = Notification.objects.filter(title__contains="proposes a retraining envelope")
        assert [one.person for one in told] == [carol]

    @pytest.mark.parametrize(("who", "why"), [("alice", "Only"), ("dave", "Only"), ("root", "no role")])
    def test_only_the_slots_holders_sign(
        self, base: ModelVersion, production: Stage, alice: User, who: str, why: str, request: pytest.FixtureRequest
    ) -> None:
        found = proposed(base, production, alice)

        with pytest.raises(Forbidden, match=why):
            sign(found, "validator", request.getfixturevalue(who))

    def test_whoever_proposes_does_not_sign(
        self, base: ModelVersion, production: Stage, alice: User, bob: User
    ) -> None:
        found = proposed(base, production, alice)
        with without_triggers():
            RetrainingEnvelope.objects.filter(pk=found.pk).update(proposed_by=bob)

        with pytest.raises(Forbidden, match="asked for"):
            sign(found, "validator", bob)

    def test_one_person_fills_one_slot(self, base: ModelVersion, production: Stage, alice: User, bob: User) -> None:
        from django.contrib.auth.models import Group

        bob.groups.add(Group.objects.get(name="Risk officers"))
        found = proposed(base, production, alice)
        sign(found, "validator", bob)

        with pytest.raises(Forbidden, match="one person"):
            sign(found, "risk", bob)

    @pytest.mark.parametrize(
        "changes",
        [
            {"max_uses": 0},
            {"metrics": []},
            {"metrics": [{"metric": "nonsense", "margin": 0.1}]},
            {"settings": {"max_iter": {"low": 5}}},
            {"surprise": True},
            {"worst_gap_at_most": 2.0},
        ],
    )
    def test_bounds_that_bind_nothing_are_refused(
        self, base: ModelVersion, production: Stage, alice: User, changes: dict[str, Any]
    ) -> None:
        with pytest.raises(Invalid):
            proposed(base, production, alice, **changes)

    def test_it_lasts_no_longer_than_an_approval(self, base: ModelVersion, production: Stage, alice: User) -> None:
        with pytest.raises(Invalid, match="as long as"):
            proposed(base, production, alice, days=500)

    def test_it_starts_from_a_version_that_was_reviewed(self, trained: Trained, production: Stage, alice: User) -> None:
        with pytest.raises(Conflict, match="signed review"):
            proposed(trained(), production, alice)

    def test_policy_may_forbid_it(
        self, base: ModelVersion, production: Stage, alice: User, put_in_force: PutInForce
    ) -> None:
        put_in_force(envelopes=False)

        with pytest.raises(Conflict, match="does not allow"):
            proposed(base, production, alice)


class TestUse:
    def test_retrained_version_inside_goes_live_by_itself(
        self, envelope: RetrainingEnvelope, base: ModelVersion, trained: Trained, production: Stage
    ) -> None:
        version = trained(of=base, auc=0.851)

        at(timezone.now())

        approval = approval_in_force(version, production, timezone.now())
        promotion = Promotion.objects.latest("pk")
        assert live(version, production)
        assert approval is not None
        assert approval.basis == Approval.Basis.ENVELOPE
        assert approval.valid_until == envelope.valid_until
        assert promotion.by is None
        assert len(entries("envelope.use")) == 1

    def test_nothing_goes_live_by_itself_while_the_ledger_does_not_verify(
        self, envelope: RetrainingEnvelope, base: ModelVersion, trained: Trained, production: Stage
    ) -> None:
        version = trained(of=base, auc=0.851)
        alarm = Integrity.objects.create(pk=1, at=timezone.now(), problems=[["root", "The entries are others."]])

        at(timezone.now())
        with pytest.raises(Conflict, match="the ledger does not verify"):
            use_envelope(envelope, version, timezone.now(), by=CLOCK)
        refused = [row for row in Pending.objects.all() if b'"envelope.use"' in bytes(row.payload)]
        assert not live(version, production)
        assert len(refused) == 1, "the clock did not even try"

        alarm.delete()
        at(timezone.now())
        assert live(version, production)

    def test_what_waited_for_the_ledger_goes_live_at_the_tick_after_somebody_answers_for_it(
        self, envelope: RetrainingEnvelope, base: ModelVersion, trained: Trained, production: Stage, carol: User
    ) -> None:
        version = trained(of=base, auc=0.851)
        Integrity.objects.create(pk=1, at=timezone.now(), problems=[["root", "The entries are others."]])
        at(timezone.now())
        at(timezone.now())
        assert not live(version, production)

        integrity.acknowledge(["root"], reason="The disk was replaced.", by=as_(carol))
        at(timezone.now())

        assert live(version, production)
        assert len(entries("envelope.use")) == 1
        assert Integrity.objects.get().problems, "the ledger is as it was; somebody answered for it"

    def test_release_cites_bounds_and_signatures(
        self, envelope: RetrainingEnvelope, base: ModelVersion, trained: Trained
    ) -> None:
        trained(of=base, auc=0.851)
        at(timezone.now())

        said = read_release(Promotion.objects.latest("pk").release).predicate
        assert said["envelope"]["digest"] == envelope.digest
        assert said["envelope"]["signatures"] == sorted(envelope.signatures.values_list("statement_digest", flat=True))
        assert {one["bound"] for one in said["bounds"]} >= {"bound-data", "bound-metric-auc", "bound-worst-gap"}

    def test_page_says_who_signed_in_advance(
        self, envelope: RetrainingEnvelope, base: ModelVersion, trained: Trained, production: Stage
    ) -> None:
        version = trained(of=base, auc=0.851)
        at(timezone.now())

        found = {one.key: one for one in examine(version, production).requirements}
        assert not [one for one in found.values() if one.blocks]
        assert "in advance by Bob Lindqvist" in found["slot-validator"].explanation

    def test_two_ticks_use_it_once(
        self, envelope: RetrainingEnvelope, base: ModelVersion, trained: Trained, production: Stage
    ) -> None:
        version = trained(of=base, auc=0.851)
        at(timezone.now())
        at(timezone.now())

        assert use_envelope(envelope, version, timezone.now(), by=CLOCK) is None
        assert Approval.objects.filter(envelope=envelope).count() == 1

    @pytest.mark.parametrize(
        ("made", "outside"),
        [
            ({"auc": 0.84}, "bound-metric-auc"),
            ({"ece": 0.045}, "bound-metric-ece"),
            ({"age": 0.6}, "bound-worst-gap"),
            ({"features": ("AGEP", "SCHL", "RAC1P")}, "bound-features"),
            ({"features": ("AGEP",)}, "bound-features"),
            ({"settings": SETTINGS | {"learning_rate": 0.3}}, "bound-setting-learning_rate"),
            ({"settings": SETTINGS | {"depth": 12}}, "bound-setting-depth"),
            ({"settings": {"learning_rate": 0.1}}, "bound-setting-max_iter"),
            ({"by_job": False}, "bound-made"),
        ],
    )
    def test_outside_any_bound_nothing_happens_by_itself(
        self,
        envelope: RetrainingEnvelope,
        base: ModelVersion,
        trained: Trained,
        production: Stage,
        made: dict[str, Any],
        outside: str,
    ) -> None:
        version = trained(of=base, **made)

        at(timezone.now())

        assert live(base, production)
        assert not Review.objects.filter(version=version).exists()
        assert outside in {one.key for one in fit_of(version, envelope, timezone.now()).outside}

    def test_other_data_source_is_outside(
        self, envelope: RetrainingEnvelope, base: ModelVersion, trained: Trained, production: Stage, alice: User
    ) -> None:
        version = trained(of=base, data=data_of(alice, "census", rows=50))

        at(timezone.now())

        assert live(base, production)
        assert [one.key for one in fit_of(version, envelope, timezone.now()).outside] == ["bound-data"]

    def test_gate_that_fails_keeps_it_back(
        self, envelope: RetrainingEnvelope, base: ModelVersion, trained: Trained, production: Stage, alice: User
    ) -> None:
        version = trained(of=base, auc=0.851)
        registry_actions.revise_card(version, {**CARD, "limitations": ""}, by=as_(alice))

        at(timezone.now())

        assert live(base, production)
        assert fit_of(version, envelope, timezone.now()).failing

    def test_version_that_is_no_retraining_needs_a_review(
        self, envelope: RetrainingEnvelope, base: ModelVersion, trained: Trained, production: Stage
    ) -> None:
        trained(auc=0.86)

        at(timezone.now())

        assert live(base, production)

    def test_version_whose_review_was_asked_for_is_left_to_it(
        self, envelope: RetrainingEnvelope, base: ModelVersion, trained: Trained, production: Stage, alice: User
    ) -> None:
        request_review(trained(of=base, auc=0.851), production, why="Look.", by=as_(alice))

        at(timezone.now())

        assert live(base, production)

    def test_unsigned_envelope_moves_nothing(
        self, base: ModelVersion, trained: Trained, production: Stage, alice: User, bob: User
    ) -> None:
        found = proposed(base, production, alice)
        sign(found, "validator", bob)
        trained(of=base, auc=0.851)
        RetrainingEnvelope.objects.filter(pk=found.pk).update(state=State.SIGNED)

        at(timezone.now())

        assert live(base, production)

    def test_it_is_used_up(
        self, base: ModelVersion, trained: Trained, production: Stage, alice: User, bob: User, carol: User
    ) -> None:
        found = proposed(base, production, alice, max_uses=1)
        sign(found, "validator", bob)
        sign(found, "risk", carol)
        first = trained(of=base, auc=0.851)
        at(timezone.now())

        trained(of=base, auc=0.852)
        at(timezone.now())

        assert live(first, production)

    def test_signer_who_trained_the_version_is_no_signer_of_it(
        self, envelope: RetrainingEnvelope, base: ModelVersion, trained: Trained, production: Stage, bob: User
    ) -> None:
        version = trained(of=base, auc=0.851)
        with without_triggers():
            ModelVersion.objects.filter(pk=version.pk).update(trained_by=bob)

        at(timezone.now())

        assert live(base, production)
        version.refresh_from_db()
        assert "had a hand" in fit_of(version, envelope, timezone.now()).obstacle

    def test_published_policy_ends_its_use(
        self,
        envelope: RetrainingEnvelope,
        base: ModelVersion,
        trained: Trained,
        production: Stage,
        put_in_force: PutInForce,
    ) -> None:
        put_in_force(due_days=5)
        trained(of=base, auc=0.851)

        at(timezone.now())

        assert live(base, production)

    def test_withdrawn_envelope_moves_nothing_more(
        self, envelope: RetrainingEnvelope, base: ModelVersion, trained: Trained, production: Stage, bob: User
    ) -> None:
        withdraw_envelope(envelope, reason="The data changed.", by=as_(bob))
        trained(of=base, auc=0.851)

        at(timezone.now())

        assert live(base, production)

    def test_it_runs_out_to_the_second(self, envelope: RetrainingEnvelope) -> None:
        with time_machine.travel(envelope.valid_until - timedelta(seconds=1), tick=False):
            tick(timezone.now())
            before = RetrainingEnvelope.objects.get().state
        with time_machine.travel(envelope.valid_until, tick=False):
            tick(timezone.now())
            expire_envelope(envelope, timezone.now(), by=CLOCK)

        assert (before, RetrainingEnvelope.objects.get().state) == (State.SIGNED, State.EXPIRED)
        assert len(entries("envelope.withdraw")) == 1

    def test_rollback_returns_to_the_reviewed_version(
        self, envelope: RetrainingEnvelope, base: ModelVersion, trained: Trained, production: Stage, rita: User
    ) -> None:
        trained(of=base, auc=0.851)
        at(timezone.now())

        roll_back(base.model, production, reason="Worse.", reauthentication=proof_of(rita), by=as_(rita))

        assert Alias.objects.get(stage=production).version == base


class TestProof:
    @pytest.fixture
    def used(self, envelope: RetrainingEnvelope, base: ModelVersion, trained: Trained, production: Stage) -> Approval:
        version = trained(of=base, auc=0.851)
        at(timezone.now())
        return Approval.objects.get(version=version)

    def test_bounds_widened_in_the_row_are_not_those_that_were_signed(self, used: Approval, production: Stage) -> None:
        with without_triggers():
            RetrainingEnvelope.objects.update(bounds=used.envelope.bounds | {"max_uses": 50})  # type: ignore[union-attr]  # it has one

        assert approval_in_force(used.version, production, timezone.now()) is None

    def test_signature_that_was_taken_away_is_missed(self, used: Approval, production: Stage) -> None:
        with without_triggers():
            used.envelope.signatures.filter(slot_key="risk").delete()  # type: ignore[union-attr]  # it has one

        assert approval_in_force(used.version, production, timezone.now()) is None

    def test_longer_rows_do_not_make_it_longer(self, used: Approval, production: Stage) -> None:
        far = used.valid_until + timedelta(days=90)
        Approval.objects.filter(pk=used.pk).update(valid_until=far, pulls_until=far)

        assert approval_in_force(used.version, production, used.valid_until) is None


class TestRefusals:
    def test_only_those_who_may_ask_for_reviews_propose(
        self, base: ModelVersion, production: Stage, dave: User
    ) -> None:
        with pytest.raises(Forbidden):
            proposed(base, production, dave)

    @pytest.mark.parametrize(("why", "days", "field"), [(" ", 90, "why"), ("New data.", 0, "valid_until")])
    def test_proposal_is_explained_and_ends_in_the_future(
        self, base: ModelVersion, production: Stage, alice: User, why: str, days: int, field: str
    ) -> None:
        with pytest.raises(Invalid) as caught:
            propose_envelope(
                base.model,
                production,
                base=base,
                bounds=bounds_of(base, production),
                why=why,
                valid_until=timezone.now() + timedelta(days=days),
                by=as_(alice),
            )

        assert set(caught.value.errors) == {field}

    def test_one_envelope_is_open_at_a_time(self, base: ModelVersion, production: Stage, alice: User) -> None:
        proposed(base, production, alice)

        with pytest.raises(Conflict, match="already"):
            proposed(base, production, alice)

    def test_signature_stands_in_a_slot_of_the_policy_and_has_a_reason(
        self, base: ModelVersion, production: Stage, alice: User, bob: User
    ) -> None:
        found = proposed(base, production, alice)

        with pytest.raises(Invalid, match="no slot friend"):
            sign(found, "friend", bob)
        with pytest.raises(Invalid, match="reason"):
            sign_envelope(found, "validator", reason=" ", reauthentication=proof_of(bob), by=as_(bob))

    def test_ended_envelope_is_not_signed_nor_ended_again(
        self, base: ModelVersion, production: Stage, alice: User, bob: User
    ) -> None:
        found = proposed(base, production, alice)
        withdraw_envelope(found, reason="Not now.", by=as_(alice))

        with pytest.raises(Conflict, match="not open for signatures"):
            sign(found, "validator", bob)
        with pytest.raises(Conflict, match="ended already"):
            withdraw_envelope(found, reason="Not now.", by=as_(alice))

    def test_bounds_proposed_under_an_earlier_policy_are_not_signed(
        self, base: ModelVersion, production: Stage, alice: User, bob: User, put_in_force: PutInForce
    ) -> None:
        found = proposed(base, production, alice)
        put_in_force(due_days=5)

        with pytest.raises(Conflict, match="policy was published"):
            sign(found, "validator", bob)

    def test_onlookers_do_not_end_it_and_nobody_without_a_reason(
        self, envelope: RetrainingEnvelope, alice: User, dave: User
    ) -> None:
        with pytest.raises(Forbidden):
            withdraw_envelope(envelope, reason="I would rather not.", by=as_(dave))
        with pytest.raises(Invalid):
            withdraw_envelope(envelope, reason=" ", by=as_(alice))

        assert RetrainingEnvelope.objects.get().state == State.SIGNED

    def test_only_those_who_may_move_the_stage_use_and_expire_it(
        self, envelope: RetrainingEnvelope, base: ModelVersion, trained: Trained, production: Stage, alice: User
    ) -> None:
        version = trained(of=base, auc=0.851)

        with pytest.raises(Forbidden):
            use_envelope(envelope, version, timezone.now(), by=as_(alice))
        with pytest.raises(Forbidden):
            expire_envelope(envelope, envelope.valid_until, by=as_(alice))

        assert live(base, production)

    def test_it_does_not_run_out_early(self, envelope: RetrainingEnvelope) -> None:
        expire_envelope(envelope, timezone.now(), by=CLOCK)

        assert RetrainingEnvelope.objects.get().state == State.SIGNED
