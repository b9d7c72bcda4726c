"""Whether releases by an emergency, an envelope or a rollback are verified offline, and every forgery of them is refused."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from access.models import User
from countersign.proof.attestation import NotVerified, VerifiedRelease, verify
from countersign.proof.dsse import open_sealed
from foundation.keys import registry_signer
from foundation.refusals import Conflict, Refusal
from registry.models import ModelVersion, RegisteredModel, Stage
from reviews.break_glass import ask as ask_ahead
from reviews.break_glass import second
from reviews.clock import CLOCK
from reviews.lapses import lapse
from reviews.models import Lapse, RetrainingEnvelope
from reviews.promotion import promote, roll_back
from serving.actions import create_deployment
from serving.attestations import current_status, release_attestation
from serving.models import Deployment
from serving.queries import approved, assigned
from tests.conftest import as_
from tests.reviews.conftest import MakeCandidate, ask, proof_of, sign
from tests.reviews.test_envelopes import Trained, base, clock, envelope, source, trained
from tests.reviews.test_renewal import PutInForce, at, put_in_force
from tests.sealing import resealed
from tests.serving.conftest import release

__all__ = ["base", "clock", "envelope", "put_in_force", "source", "trained"]

pytestmark = pytest.mark.django_db

Attestation = dict[str, Any]


def attested(version: ModelVersion, stage: Stage) -> Attestation:
    found = approved(ModelVersion.objects.select_related("model").get(pk=version.pk), stage)
    return release_attestation(found.version, stage, found.release)


def check(attestation: Attestation, moment: datetime | None = None) -> VerifiedRelease:
    return verify(attestation, registry_signer().public, at=moment or timezone.now())


def refused(attestation: Attestation, moment: datetime | None = None) -> str:
    with pytest.raises(NotVerified) as caught:
        check(attestation, moment)
    return caught.value.reason


class TestBreakGlass:
    @pytest.fixture
    def in_force(
        self,
        released: ModelVersion,
        make_candidate: MakeCandidate,
        production: Stage,
        rita: User,
        carol: User,
    ) -> Iterator[ModelVersion]:
        with time_machine.travel(timezone.now(), tick=False):
            version = make_candidate(auc=0.86)
            case = ask_ahead(
                version,
                production,
                reason="outage",
                text="The live version refuses everybody.",
                hours=2,
                reauthentication=proof_of(rita),
                by=as_(rita),
            )
            second(case, reauthentication=proof_of(carol), by=as_(carol))
            yield version

    def test_it_is_verified_with_both_people_and_its_basis(
        self, in_force: ModelVersion, production: Stage, rita: User, carol: User
    ) -> None:
        found = check(attested(in_force, production))

        assert found.basis == "break_glass"
        assert {one.reviewer for one in found.sign_offs} == {str(rita.uuid), str(carol.uuid)}
        assert found.pulls_until == timezone.now() + timedelta(hours=2)

    def test_it_ends_with_its_hours(self, in_force: ModelVersion, production: Stage) -> None:
        attestation = attested(in_force, production)
        end = timezone.now() + timedelta(hours=2)
        status = attestation["status"]
        attestation["status"] = resealed(status, expires_at=(end + timedelta(days=1)).isoformat())

        assert check(attestation, end - timedelta(seconds=1)).version == in_force.number
        assert refused(attestation, end) == "expired"

    def test_statement_that_is_missing_or_another_is_refused(self, in_force: ModelVersion, production: Stage) -> None:
        attestation = attested(in_force, production)
        swapped, without = copy.deepcopy(attestation), copy.deepcopy(attestation)
        swapped["break_glass"]["seconds"] = swapped["break_glass"]["asks"]
        del without["break_glass"]["seconds"]

        assert refused(swapped) == "break-glass"
        assert refused(without) == "malformed"

    @pytest.mark.parametrize(
        ("role", "changes", "reason"),
        [
            ("seconds", {"role": "declines"}, "break-glass"),
            ("seconds", {"asked": "0" * 64}, "break-glass"),
            ("seconds", {"hours": 100}, "break-glass"),
            ("seconds", {"groups": []}, "break-glass"),
            ("seconds", {"version": 99}, "sign-offs"),
            ("asks", {"stage": "staging"}, "sign-offs"),
        ],
    )
    def test_statement_that_says_something_else_is_refused(
        self, in_force: ModelVersion, production: Stage, role: str, changes: dict[str, Any], reason: str
    ) -> None:
        assert refused(_with(attested(in_force, production), role, **changes)) == reason

    def test_one_person_twice_is_refused(self, in_force: ModelVersion, production: Stage, rita: User) -> None:
        forged = _with(
            attested(in_force, production), "seconds", person={"id": str(rita.uuid), "name": "", "username": ""}
        )

        with pytest.raises(NotVerified, match="signed the break-glass twice"):
            check(forged)

    def test_author_as_second_is_refused(self, in_force: ModelVersion, production: Stage, alice: User) -> None:
        forged = _with(
            attested(in_force, production), "seconds", person={"id": str(alice.uuid), "name": "", "username": ""}
        )

        assert refused(forged) == "independence"

    def test_release_that_outlasts_the_hours_is_refused(self, in_force: ModelVersion, production: Stage) -> None:
        attestation = attested(in_force, production)
        later = (timezone.now() + timedelta(hours=3)).isoformat()
        attestation["release"] = resealed(attestation["release"], pulls_until=later)

        assert refused(attestation) == "break-glass"

    def test_late_second_is_refused(self, in_force: ModelVersion, production: Stage) -> None:
        later = (timezone.now() + timedelta(hours=2)).isoformat()

        assert refused(_with(attested(in_force, production), "seconds", issued=later)) == "break-glass"

    def test_unknown_basis_is_refused(self, in_force: ModelVersion, production: Stage) -> None:
        attestation = attested(in_force, production)
        attestation["release"] = resealed(attestation["release"], basis="because")

        assert refused(attestation) == "basis"

    def test_workers_get_it_and_lose_it(
        self, in_force: ModelVersion, production: Stage, deployment: Deployment, released: ModelVersion
    ) -> None:
        during, _ = assigned(deployment)
        end = timezone.now() + timedelta(hours=2)
        at(end)
        with time_machine.travel(end, tick=False):
            after, _ = assigned(deployment)

        assert during is not None
        assert during.version == in_force
        assert after is not None
        assert after.version == released


def _with(attestation: Attestation, role: str, /, **changes: Any) -> Attestation:
    """One statement of the break-glass changed, and everything that names it changed along, all signed by the registry."""
    from countersign.proof.dsse import envelope_digest

    found = copy.deepcopy(attestation)
    found["break_glass"][role] = resealed(found["break_glass"][role], **changes)
    asks = envelope_digest(found["break_glass"]["asks"])
    if role == "asks":
        found["break_glass"]["seconds"] = resealed(found["break_glass"]["seconds"], asked=asks)
    names = {"asks": asks, "seconds": envelope_digest(found["break_glass"]["seconds"])}
    found["release"] = resealed(found["release"], break_glass=names)
    return found


class TestEnvelope:
    @pytest.fixture
    def used(
        self, envelope: RetrainingEnvelope, base: ModelVersion, trained: Trained, production: Stage
    ) -> ModelVersion:
        version = trained(of=base, auc=0.851)
        at(timezone.now())
        return version

    def test_it_is_verified_with_the_people_who_signed_in_advance(
        self, used: ModelVersion, production: Stage, bob: User, carol: User
    ) -> None:
        found = check(attested(used, production))

        assert found.basis == "envelope"
        assert {(one.slot, one.reviewer) for one in found.sign_offs} == {
            ("validator", str(bob.uuid)),
            ("risk", str(carol.uuid)),
        }

    def test_other_bounds_are_refused(self, used: ModelVersion, production: Stage) -> None:
        attestation = attested(used, production)
        attestation["envelope"]["document"]["bounds"]["max_uses"] = 50

        assert refused(attestation) == "envelope"

    def test_signature_too_few_is_refused(self, used: ModelVersion, production: Stage) -> None:
        from countersign.proof.dsse import envelope_digest

        attestation = attested(used, production)
        left = attestation["envelope"]["signatures"][:1]
        cited = {
            "digest": open_sealed(attestation["release"], registry_signer().public)["predicate"]["envelope"]["digest"],
            "signatures": [envelope_digest(one) for one in left],
        }
        attestation["envelope"]["signatures"] = left
        attestation["release"] = resealed(attestation["release"], envelope=cited)

        assert refused(attestation) == "threshold"

    def test_signer_who_is_an_author_is_refused(self, used: ModelVersion, production: Stage, bob: User) -> None:
        attestation = attested(used, production)
        attestation["provenance"] = resealed(attestation["provenance"], authors=[str(bob.uuid)])

        assert refused(attestation) == "independence"

    def test_release_without_measurements_is_refused(self, used: ModelVersion, production: Stage) -> None:
        attestation = attested(used, production)
        attestation["release"] = resealed(attestation["release"], bounds=[])

        assert refused(attestation) == "envelope"

    def test_release_that_outlasts_the_envelope_is_refused(self, used: ModelVersion, production: Stage) -> None:
        attestation = attested(used, production)
        later = (timezone.now() + timedelta(days=999)).isoformat()
        attestation["release"] = resealed(attestation["release"], valid_until=later, pulls_until=later)

        assert refused(attestation) == "envelope"


class TestRollback:
    @pytest.fixture
    def back(
        self,
        released: ModelVersion,
        make_candidate: MakeCandidate,
        production: Stage,
        alice: User,
        bob: User,
        carol: User,
        rita: User,
    ) -> ModelVersion:
        release(make_candidate(auc=0.86), by=alice, validator=bob, risk=carol, promoter=rita)
        roll_back(released.model, production, reason="Worse.", reauthentication=proof_of(rita), by=as_(rita))
        return released

    def test_the_signed_decision_is_verified(self, back: ModelVersion, production: Stage) -> None:
        attestation = attested(back, production)

        assert check(attestation).version == back.number
        assert open_sealed(attestation["rollback"], registry_signer().public)["predicate"]["reason"] == "Worse."

    def test_another_decision_is_refused(self, back: ModelVersion, production: Stage) -> None:
        attestation = attested(back, production)
        attestation["rollback"] = resealed(attestation["rollback"], reason="Better.")

        assert refused(attestation) == "rollback-decision"


def test_nothing_new_is_deployed_once_the_approval_ran_out_although_pulls_go_on(
    make_candidate: MakeCandidate,
    model: RegisteredModel,
    production: Stage,
    put_in_force: PutInForce,
    alice: User,
    bob: User,
    carol: User,
    rita: User,
    erin: User,
) -> None:
    put_in_force(pulls_after_expiry_days=14)
    version = release(make_candidate(), by=alice, validator=bob, risk=carol, promoter=rita)
    end = approved(version, production).approval.valid_until

    with time_machine.travel(end - timedelta(seconds=1), tick=False):
        create_deployment("in-time", model=model, stage=production, by=as_(erin))
    with time_machine.travel(end, tick=False):
        with pytest.raises(Conflict, match="nothing new is deployed"):
            create_deployment("too-late", model=model, stage=production, by=as_(erin))
        attestation = attested(version, production)
        assert approved(version, production).version == version
        assert check(attestation).pulls_until == end + timedelta(days=14)


def test_an_approval_that_ended_at_one_stage_ends_there_offline_too(
    released: ModelVersion, production: Stage, alice: User, bob: User, rita: User
) -> None:
    staging = Stage.objects.get(name="staging")
    review = ask(released, staging, alice)
    for slot in review.current_round.slots.all():
        sign(review, slot.key, bob)
    promote(ModelVersion.objects.get(pk=released.pk), staging, by=as_(rita))
    at_production, at_staging = attested(released, production), attested(released, staging)
    approval = approved(released, production).approval

    lapse(approval, Lapse.Kind.CONDITION, "A condition was not verified.", timezone.now(), by=CLOCK)

    now = current_status()
    assert refused(at_production | {"status": now}) == "revoked"
    assert check(at_staging | {"status": now}).version == released.number


def test_nothing_is_approved_after_the_end_of_pulls(released: ModelVersion, production: Stage) -> None:
    found = approved(released, production)

    with time_machine.travel(found.approval.pulls_until, tick=False), pytest.raises(Refusal):
        approved(released, production)
