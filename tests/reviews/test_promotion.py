"""Whether an unsigned version can go live, by any door: actions, forged rows, replayed statements, SQL."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.utils import timezone

from access.models import User
from audit.events import Action
from countersign.proof.dsse import Signer, envelope_digest, seal, statement
from foundation.keys import registry_signer
from foundation.refusals import Conflict, Forbidden, Invalid, Refusal, RequirementStatus
from registry import actions as registry_actions
from registry.models import Alias, ModelVersion, Promotion, Stage
from registry.releases import RELEASE_TYPE, place_stage_alias
from reviews.actions import request_review, withdraw_sign_off
from reviews.models import Approval, PolicyVersion, Review, Revocation, Round, SignOff
from reviews.promotion import promote, requirements, roll_back
from reviews.proof import why_unsound
from reviews.queries import approval_in_force
from reviews.revocation import revoke
from tests.conftest import as_
from tests.databases import without_triggers
from tests.reviews.conftest import MakeApproved, MakeCandidate, ask, attach, proof_of, sign
from tests.reviews.evidence import CARD, metrics

pytestmark = pytest.mark.django_db


def live(version: ModelVersion, stage: Stage) -> bool:
    return Alias.objects.filter(stage=stage, version=version).exists()


def signed(user: User) -> dict[str, Any]:
    """A rollback's reason and confirmation."""
    return {"reason": "It does worse.", "reauthentication": proof_of(user), "by": as_(user)}


@pytest.fixture
def in_production(approved: Review, production: Stage, rita: User) -> ModelVersion:
    promote(approved.version, production, by=as_(rita))
    return ModelVersion.objects.get(pk=approved.version_id)


@pytest.fixture
def second(in_production: ModelVersion, make_approved: MakeApproved) -> ModelVersion:
    return make_approved(auc=0.86)


def test_version_that_nobody_reviewed_is_refused_with_everything_that_is_missing(
    make_candidate: MakeCandidate, production: Stage, rita: User, bob: User, carol: User
) -> None:
    version = make_candidate(auc=0.6)

    with pytest.raises(Conflict) as caught:
        promote(version, production, by=as_(rita))

    unmet = {one.key: one for one in caught.value.unmet}
    assert set(unmet) == {"auc-floor", "slot-validator", "slot-risk"}
    assert unmet["auc-floor"].measured == "0.59"
    assert unmet["auc-floor"].required == "at least 0.75"
    assert unmet["slot-validator"].status is RequirementStatus.WAITING
    assert unmet["slot-validator"].cleared_by == "Bob Lindqvist"
    assert unmet["slot-risk"].cleared_by == "Carol Adeyemi"
    assert all(one.link for one in unmet.values())
    assert not live(version, production)


def test_version_without_evidence_is_refused_by_every_gate(
    model: object, make_version: object, production: Stage, rita: User
) -> None:
    version = make_version(model)  # type: ignore[operator]  # the fixture

    with pytest.raises(Conflict) as caught:
        promote(version, production, by=as_(rita))

    assert len(caught.value.unmet) >= 14
    assert "There is no value for metrics.auc_low" in str(caught.value)


def test_signed_version_is_promoted(approved: Review, production: Stage, rita: User) -> None:
    promotion = promote(approved.version, production, by=as_(rita))

    approved.refresh_from_db()
    assert live(approved.version, production)
    assert approved.closed_at is not None
    assert Approval.objects.get(version=approved.version).promotion == promotion
    assert approval_in_force(approved.version, production, timezone.now()) is not None
    assert not [one for one in requirements(approved.version, production) if one.blocks]


@pytest.mark.parametrize("who", ["alice", "bob", "dave", "erin", "scorer", "root"])
def test_only_those_who_may_promote_do(
    approved: Review, production: Stage, who: str, request: pytest.FixtureRequest
) -> None:
    person = request.getfixturevalue(who)

    with pytest.raises(Forbidden):
        promote(approved.version, production, by=as_(person))

    assert not live(approved.version, production)


@pytest.mark.parametrize("who", ["dave", "root"])
def test_whoever_may_not_promote_is_not_told_what_is_missing(
    candidate: ModelVersion, production: Stage, who: str, request: pytest.FixtureRequest
) -> None:
    person = request.getfixturevalue(who)

    with pytest.raises(Forbidden):
        promote(candidate, production, by=as_(person))


def test_half_signed_version_is_refused(review: Review, production: Stage, bob: User, rita: User) -> None:
    sign(review, "validator", bob)

    with pytest.raises(Conflict) as caught:
        promote(review.version, production, by=as_(rita))

    assert [one.key for one in caught.value.unmet] == ["slot-risk"]


def test_gates_are_asked_again_at_promotion(approved: Review, production: Stage, alice: User, rita: User) -> None:
    attach(approved.version, "metrics", metrics(auc=0.7), by=alice)

    with pytest.raises(Conflict) as caught:
        promote(approved.version, production, by=as_(rita))

    assert {"auc-floor", "slot-validator", "slot-risk"} <= {one.key for one in caught.value.unmet}


def test_stale_approval_is_refused_after_the_card_changed(
    approved: Review, production: Stage, alice: User, rita: User
) -> None:
    registry_actions.revise_card(
        approved.version, CARD | {"limitations": "Also not for landlords, it turns out."}, by=as_(alice)
    )

    with pytest.raises(Conflict) as caught:
        promote(approved.version, production, by=as_(rita))

    (unmet,) = caught.value.unmet
    assert unmet.key == "slot-risk"
    assert "signed before the card changed" in unmet.explanation


def test_approval_for_one_stage_is_none_for_another(approved: Review, rita: User) -> None:
    staging = Stage.objects.get(name="staging")

    with pytest.raises(Conflict) as caught:
        promote(approved.version, staging, by=as_(rita))

    assert [one.key for one in caught.value.unmet] == ["slot-reviewer"]


def test_expired_approval_neither_promotes_nor_stays_in_force(approved: Review, production: Stage, rita: User) -> None:
    with time_machine.travel(timezone.now() + timedelta(days=366)), pytest.raises(Conflict) as caught:
        promote(approved.version, production, by=as_(rita))

    assert "expired" in {one.key for one in caught.value.unmet}


def test_approval_in_force_ends_when_it_runs_out(in_production: ModelVersion, production: Stage) -> None:
    until = Approval.objects.get(version=in_production).valid_until

    assert approval_in_force(in_production, production, until - timedelta(seconds=1)) is not None
    assert approval_in_force(in_production, production, until) is None


def test_longer_validity_written_into_the_row_does_not_last_longer(
    in_production: ModelVersion, production: Stage
) -> None:
    until = Approval.objects.get(version=in_production).valid_until
    Approval.objects.update(valid_until=until + timedelta(days=900), pulls_until=until + timedelta(days=900))

    assert approval_in_force(in_production, production, until + timedelta(days=1)) is None


def test_longer_validity_written_before_the_promotion_does_not_help(
    approved: Review, production: Stage, rita: User
) -> None:
    Approval.objects.update(
        valid_until=timezone.now() + timedelta(days=900), pulls_until=timezone.now() + timedelta(days=900)
    )

    with time_machine.travel(timezone.now() + timedelta(days=366)), pytest.raises(Conflict) as caught:
        promote(approved.version, production, by=as_(rita))

    assert {one.key for one in caught.value.unmet} == {"slot-validator", "slot-risk"}


def test_alias_moves_only_from_the_champion_that_was_compared_with(
    second: ModelVersion, make_approved: MakeApproved, production: Stage, rita: User
) -> None:
    third = make_approved(auc=0.87)
    promote(second, production, by=as_(rita))

    with pytest.raises(Conflict, match="version 1 was compared with, version 2 is live now") as caught:
        promote(third, production, by=as_(rita))
    assert caught.value.code == "stage-moved"
    promote(third, production, by=as_(rita), expected_previous=2)

    assert live(third, production)


def test_gates_are_judged_against_the_champion_of_now(
    second: ModelVersion, make_approved: MakeApproved, production: Stage, rita: User
) -> None:
    third = make_approved(auc=0.845)
    attached = make_approved(auc=0.9)
    promote(attached, production, by=as_(rita))

    with pytest.raises(Conflict) as caught:
        promote(third, production, by=as_(rita), expected_previous=attached.number)

    assert [one.key for one in caught.value.unmet] == ["auc-production"]


def test_promotion_is_not_repeated(in_production: ModelVersion, production: Stage, rita: User) -> None:
    with pytest.raises(Conflict, match="already"):
        promote(in_production, production, by=as_(rita))


def test_rollback_returns_to_the_version_before(
    second: ModelVersion, in_production: ModelVersion, production: Stage, rita: User
) -> None:
    promote(second, production, by=as_(rita))

    promotion = roll_back(second.model, production, **signed(rita))

    assert promotion.rollback
    assert live(in_production, production)
    assert approval_in_force(in_production, production, timezone.now()) is not None


def test_no_rollback_to_a_revoked_version(
    second: ModelVersion, in_production: ModelVersion, production: Stage, rita: User, carol: User
) -> None:
    promote(second, production, by=as_(rita))
    revoke(in_production, reason="Wrong label.", reauthentication=proof_of(carol), by=as_(carol))

    with pytest.raises(Conflict, match="does not stand any more"):
        roll_back(second.model, production, **signed(rita))

    assert live(second, production)


def test_first_version_has_nothing_to_roll_back_to(in_production: ModelVersion, production: Stage, rita: User) -> None:
    with pytest.raises(Conflict, match="no earlier version"):
        roll_back(in_production.model, production, **signed(rita))


def test_revocation_drops_the_alias_and_ends_the_approval(
    in_production: ModelVersion, production: Stage, carol: User
) -> None:
    revocation = revoke(in_production, reason="The label leaks.", reauthentication=proof_of(carol), by=as_(carol))

    in_production.refresh_from_db()
    assert not live(in_production, production)
    assert in_production.state == ModelVersion.State.REVOKED
    assert approval_in_force(in_production, production, timezone.now()) is None
    assert Approval.objects.get(version=in_production).revocation == revocation


def test_revoked_version_is_not_promoted_again(
    in_production: ModelVersion, production: Stage, carol: User, rita: User
) -> None:
    revoke(in_production, reason="The label leaks.", reauthentication=proof_of(carol), by=as_(carol))

    with pytest.raises(Conflict) as caught:
        promote(in_production, production, by=as_(rita))

    assert {"version-state", "revoked"} <= {one.key for one in caught.value.unmet}


@pytest.mark.parametrize("who", ["alice", "dave", "erin", "root", "scorer"])
def test_onlookers_do_not_revoke(
    in_production: ModelVersion, production: Stage, who: str, request: pytest.FixtureRequest
) -> None:
    person = request.getfixturevalue(who)

    with pytest.raises(Forbidden):
        revoke(in_production, reason="I would rather not.", reauthentication=proof_of(person), by=as_(person))

    assert live(in_production, production)


def test_revocation_needs_a_reason_and_a_fresh_proof(in_production: ModelVersion, carol: User) -> None:
    with pytest.raises(Invalid):
        revoke(in_production, reason=" ", reauthentication=proof_of(carol), by=as_(carol))
    proof = proof_of(carol)
    with time_machine.travel(timezone.now() + timedelta(minutes=6)), pytest.raises(Conflict, match="5 minutes"):
        revoke(in_production, reason="Leak.", reauthentication=proof, by=as_(carol))


def test_nothing_to_revoke_is_said(candidate: ModelVersion, carol: User) -> None:
    with pytest.raises(Conflict, match="nothing to revoke"):
        revoke(candidate, reason="Leak.", reauthentication=proof_of(carol), by=as_(carol))


# What somebody could try past the product.


def test_rows_written_by_hand_do_not_make_a_signature(
    review: Review, production: Stage, bob: User, carol: User, rita: User
) -> None:
    round_ = review.current_round
    real = sign(review, "validator", bob)
    SignOff.objects.create(
        round=round_,
        slot=round_.slots.get(key="risk"),
        person=carol,
        decision="approve",
        reason="Forged",
        statement=real.statement,
        statement_digest="f" * 64,
        reauthentication=proof_of(carol),
        idempotency_key="forged-key",
        signed_at=timezone.now(),
    )
    Round.objects.filter(pk=round_.pk).update(state="approved", closed_at=timezone.now())
    Approval.objects.create(
        version=review.version,
        stage=production,
        round=round_,
        valid_until=timezone.now() + timedelta(days=300),
        pulls_until=timezone.now() + timedelta(days=300),
    )
    ModelVersion.objects.filter(pk=review.version_id).update(state="approved")

    with pytest.raises(Conflict) as caught:
        promote(review.version, production, by=as_(rita))

    (unmet,) = caught.value.unmet
    assert unmet.key == "slot-risk"
    assert "is not valid and does not count" in unmet.explanation


def test_statement_signed_with_another_key_does_not_count(
    review: Review, production: Stage, bob: User, carol: User, rita: User
) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from countersign.proof.dsse import open_sealed

    sign(review, "validator", bob)
    given = sign(review, "risk", carol)
    _overwrite(
        given, seal(open_sealed(given.statement, registry_signer().public), Signer(Ed25519PrivateKey.generate()))
    )

    with pytest.raises(Conflict) as caught:
        promote(review.version, production, by=as_(rita))

    assert [one.key for one in caught.value.unmet] == ["slot-risk"]


def test_statement_replayed_on_another_version_does_not_count(
    approved: Review, make_candidate: MakeCandidate, production: Stage, alice: User, bob: User, carol: User, rita: User
) -> None:
    other = ask(make_candidate(), production, alice)
    round_ = other.current_round
    for original in approved.current_round.sign_offs.all():
        SignOff.objects.create(
            round=round_,
            slot=round_.slots.get(key=original.slot.key),
            person=original.person,
            decision="approve",
            reason=original.reason,
            statement=original.statement,
            statement_digest=original.statement_digest[::-1],
            reauthentication=proof_of(original.person),
            idempotency_key=f"replayed-{original.pk}",
            signed_at=timezone.now(),
        )

    with pytest.raises(Conflict) as caught:
        promote(other.version, production, by=as_(rita))

    assert {one.key for one in caught.value.unmet} == {"slot-validator", "slot-risk"}


def test_decision_rewritten_in_the_row_is_not_believed(
    review: Review, production: Stage, bob: User, carol: User, rita: User
) -> None:
    sign(review, "validator", bob)
    given = sign(review, "risk", carol, decision="request_changes", reason="Explain.")
    _sql("UPDATE reviews_signoff SET decision = 'approve' WHERE id = %s", given.pk)

    with pytest.raises(Refusal):
        promote(review.version, production, by=as_(rita))

    assert not live(review.version, production)


def test_approval_row_for_a_version_that_nobody_signed_is_not_in_force(review: Review, production: Stage) -> None:
    _mark_approved(review)
    Round.objects.filter(pk=review.current_round.pk).update(state="approved", closed_at=timezone.now())
    approval = Approval.objects.create(
        version=review.version,
        stage=production,
        round=review.current_round,
        valid_until=timezone.now() + timedelta(days=300),
        pulls_until=timezone.now() + timedelta(days=300),
    )

    assert approval_in_force(review.version, production, timezone.now()) is None
    assert (
        why_unsound(approval, timezone.now(), released=False)
        == "Valid signatures do not fill every slot of the policy."
    )


def test_slots_deleted_from_the_round_do_not_lower_the_quorum(review: Review, production: Stage, bob: User) -> None:
    sign(review, "validator", bob)
    round_ = review.current_round
    with without_triggers():
        round_.slots.filter(key="risk").delete()
    _mark_approved(review)
    Round.objects.filter(pk=round_.pk).update(state="approved", closed_at=timezone.now())
    round_.refresh_from_db()
    approval = Approval.objects.create(
        version=review.version,
        stage=production,
        round=round_,
        valid_until=timezone.now() + timedelta(days=300),
        pulls_until=timezone.now() + timedelta(days=300),
    )

    assert (
        why_unsound(approval, timezone.now(), released=False)
        == "Valid signatures do not fill every slot of the policy."
    )


def test_policy_weakened_in_the_database_decides_nothing(approved: Review, production: Stage, rita: User) -> None:
    weak = copy.deepcopy(PolicyVersion.objects.get(policy__name="production-tier-1").content)
    weak["gates"] = []
    with without_triggers():
        PolicyVersion.objects.filter(policy__name="production-tier-1").update(content=weak)

    with pytest.raises(Conflict, match="Without a policy nothing may pass"):
        promote(approved.version, production, by=as_(rita))


def test_release_for_other_signatures_is_not_in_force(in_production: ModelVersion, production: Stage) -> None:
    approval = Approval.objects.select_related("promotion").get(version=in_production)
    assert approval.promotion is not None
    forged = seal(
        statement(
            subject_name="credit/1", subject_sha256=in_production.digest, predicate_type=RELEASE_TYPE, predicate={}
        ),
        registry_signer(),
    )
    promotion = Promotion(
        model=in_production.model,
        version=in_production,
        stage=production,
        release=dict(forged),
        release_digest=envelope_digest(forged),
        by=approval.promotion.by,
    )
    promotion.save(force_insert=True)
    Approval.objects.filter(pk=approval.pk).update(promotion=promotion)

    assert approval_in_force(in_production, production, timezone.now()) is None


def test_self_made_release_does_not_place_the_alias_without_the_registrys_key(
    candidate: ModelVersion, production: Stage, rita: User
) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    envelope = seal(
        statement(subject_name="credit/1", subject_sha256=candidate.digest, predicate_type=RELEASE_TYPE, predicate={}),
        Signer(Ed25519PrivateKey.generate()),
    )

    with pytest.raises(Conflict):
        place_stage_alias(candidate.model, production, candidate, release=envelope, by=as_(rita))


def test_revoked_version_is_not_in_force_although_the_revocation_was_erased(
    in_production: ModelVersion, production: Stage, carol: User
) -> None:
    revoke(in_production, reason="The label leaks.", reauthentication=proof_of(carol), by=as_(carol))
    with without_triggers():
        Approval.objects.filter(version=in_production).update(revocation=None)
        Revocation.objects.all().delete()

    assert approval_in_force(ModelVersion.objects.get(pk=in_production.pk), production, timezone.now()) is None


def _mark_approved(review: Review) -> None:
    ModelVersion.objects.filter(pk=review.version_id).update(state="approved")
    review.version.refresh_from_db(fields=["state"])


def _overwrite(given: SignOff, envelope: object) -> None:
    _sql("UPDATE reviews_signoff SET statement = %s WHERE id = %s", _json(envelope), given.pk)


def _json(value: object) -> str:
    import json

    return json.dumps(value)


def _sql(query: str, *values: Any) -> None:
    """As somebody does who owns the database and took the triggers off."""
    with without_triggers(), connection.cursor() as cursor:
        cursor.execute(query, values)


def test_promotion_is_in_the_ledger(in_production: ModelVersion) -> None:
    from audit.models import Pending

    assert any(Action.VERSION_PROMOTE.value in bytes(row.payload).decode() for row in Pending.objects.all())


def test_withdrawn_signature_reopens_what_it_had_filled(
    review: Review, production: Stage, bob: User, rita: User
) -> None:
    given = sign(review, "validator", bob)
    withdraw_sign_off(given, reason="Overlooked the drift.", by=as_(bob))

    with pytest.raises(Conflict) as caught:
        promote(review.version, production, by=as_(rita))

    assert {one.key for one in caught.value.unmet} == {"slot-validator", "slot-risk"}


def test_review_cannot_be_requested_for_what_is_live(
    in_production: ModelVersion, production: Stage, alice: User
) -> None:
    with pytest.raises(Conflict, match="live in Production already"):
        request_review(in_production, production, why="Again.", by=as_(alice))


def test_revocation_statement_names_who_and_why(in_production: ModelVersion, carol: User) -> None:
    from countersign.proof.dsse import open_sealed

    revocation = revoke(in_production, reason="The label leaks.", reauthentication=proof_of(carol), by=as_(carol))

    said = open_sealed(Revocation.objects.get(pk=revocation.pk).statement, registry_signer().public)["predicate"]
    assert (said["reason"], said["revoker"]["id"], said["version"]) == ("The label leaks.", str(carol.uuid), 1)
