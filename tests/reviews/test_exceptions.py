"""Excepting a failed gate: who may, of what, until when, how it shows, and when it counts no more."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from access.models import Reauthentication, User
from countersign.proof.dsse import Signer, envelope_digest, seal
from foundation.refusals import Conflict, Forbidden, Invalid, Requirement, RequirementStatus
from notices.models import Notification
from registry import actions as registry_actions
from registry.models import ModelVersion, Stage
from registry.releases import read_release
from reviews.actions import grant_exception, open_round, withdraw_exception
from reviews.evaluation import current_subject, examine, page_of
from reviews.exceptions import EXCEPTION_TYPE, read_exception
from reviews.models import Approval, GateException, Review
from reviews.promotion import promote
from reviews.queries import approval_in_force
from tests.conftest import as_
from tests.databases import without_triggers
from tests.reviews.conftest import MakeApproved, MakeCandidate, approve, ask, attach, join, proof_of, sign
from tests.reviews.evidence import CARD, metrics
from tests.reviews.rules import in_force
from tests.reviews.test_people import attached_evidence

pytestmark = pytest.mark.django_db

GATE = "auc-floor"
DAY = timedelta(days=1)


@pytest.fixture
def weak(make_candidate: MakeCandidate, production: Stage, alice: User, bob: User, carol: User) -> Review:
    """A review of a version whose AUC is too low, under a policy that lets risk officers except that."""
    in_force(gates={GATE: {"excepted_by": "risk"}, "calibration": {"excepted_by": "risk"}})
    return ask(make_candidate(auc=0.74), production, alice)


def grant(
    review: Review,
    by: User,
    gate: str = GATE,
    *,
    days: float = 90,
    ends: datetime | None = None,
    reason: str = "The only model for a new product.",
    control: str = "Every refusal is read by a person.",
    expected: str = "",
    proof: Reauthentication | None = None,
) -> GateException:
    round_ = review.current_round
    return grant_exception(
        round_,
        gate,
        reason=reason,
        compensating_control=control,
        ends_at=ends or timezone.now() + timedelta(days=days),
        reauthentication=proof or proof_of(by),
        expected_subject=expected or current_subject(round_).digest,
        by=as_(by),
    )


def gate(review: Review, key: str = GATE) -> Requirement:
    return next(one for one in examine(review.version, review.stage).requirements if one.key == key)


def test_an_excepted_gate_does_not_block_and_says_who_why_and_until_when(weak: Review, carol: User) -> None:
    assert gate(weak).status is RequirementStatus.UNSATISFIED

    given = grant(weak, carol)

    found = gate(weak)
    assert found.status is RequirementStatus.EXCEPTED
    assert not found.blocks
    assert f"Excepted by Carol Adeyemi as Risk officer until {given.ends_at:%d %B %Y}" in found.explanation
    assert "The only model for a new product." in found.explanation
    assert "Every refusal is read by a person." in found.explanation


def test_what_is_signed_says_what_was_measured_and_accepted(weak: Review, carol: User) -> None:
    given = grant(weak, carol)

    said = read_exception(given.statement)

    assert (said.gate, said.slot, said.person) == (GATE, "risk", str(carol.uuid))
    assert said.artifact == weak.version.digest
    assert said.predicate["gate"]["measured"] == "0.73"
    assert said.predicate["gate"]["required"] == "at least 0.75"
    assert said.predicate["compensating_control"] == "Every refusal is read by a person."
    assert said.predicate["reauthentication"]["method"] == "password"


def test_the_approval_and_the_release_end_with_the_exception(
    weak: Review, production: Stage, bob: User, carol: User, rita: User
) -> None:
    given = grant(weak, carol, days=30)
    approve(weak, bob, carol)

    promotion = promote(weak.version, production, by=as_(rita))

    approval = Approval.objects.get(version=weak.version)
    release = read_release(promotion.release)
    assert approval.valid_until == given.ends_at
    assert release.valid_until == given.ends_at
    assert release.predicate["exceptions"] == [given.statement_digest]
    version = ModelVersion.objects.get(pk=weak.version_id)
    assert approval_in_force(version, production, given.ends_at - timedelta(seconds=1)) is not None
    assert approval_in_force(version, production, given.ends_at) is None


def test_the_approval_ends_with_the_exception_that_stands_and_not_with_the_one_it_replaced(
    weak: Review, bob: User, carol: User
) -> None:
    grant(weak, carol, days=10)
    given = grant(weak, carol, days=30)

    approve(weak, bob, carol)

    assert Approval.objects.get(version=weak.version).valid_until == given.ends_at


def test_without_the_exception_nothing_is_promoted(
    weak: Review, production: Stage, bob: User, carol: User, rita: User
) -> None:
    approve(weak, bob, carol)

    with pytest.raises(Conflict) as caught:
        promote(weak.version, production, by=as_(rita))

    assert [one.key for one in caught.value.unmet] == [GATE]


def test_an_exception_after_the_approval_shortens_it(
    weak: Review, production: Stage, bob: User, carol: User, rita: User
) -> None:
    approve(weak, bob, carol)

    given = grant(weak, carol, days=30)

    assert Approval.objects.get(version=weak.version).valid_until == given.ends_at
    assert promote(weak.version, production, by=as_(rita))


def test_no_exception_lasts_longer_than_the_approval(weak: Review, bob: User, carol: User) -> None:
    with pytest.raises(Invalid, match="no later than the approval could last"):
        grant(weak, carol, days=367)
    approve(weak, bob, carol)

    with pytest.raises(Invalid, match="no later than the approval could last"):
        grant(weak, carol, ends=Approval.objects.get(version=weak.version).valid_until + DAY)


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"days": -1}, "ends_at"), ({"reason": " "}, "reason"), ({"control": ""}, "compensating_control")],
)
def test_an_exception_needs_reason_control_and_end(
    weak: Review, carol: User, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as caught:
        grant(weak, carol, **changes)

    assert field in caught.value.errors


def test_only_holders_of_the_slot_that_the_policy_names_grant_it(weak: Review, bob: User, dave: User) -> None:
    for person in (bob, dave):
        with pytest.raises(Forbidden, match="Only members of Risk officers may sign as Risk officer"):
            grant(weak, person)


def test_no_author_grants_an_exception(weak: Review, carol: User) -> None:
    attached_evidence(carol, weak.version)

    with pytest.raises(Forbidden, match="You attached evidence"):
        grant(weak, carol)


def test_a_gate_that_the_policy_lets_nobody_except_has_to_be_met(weak: Review, carol: User, alice: User) -> None:
    registry_actions.revise_card(weak.version, dict.fromkeys(CARD, ""), by=as_(alice))

    with pytest.raises(Forbidden, match="The policy lets nobody except"):
        grant(weak, carol, "card")


def test_a_gate_that_passes_is_not_excepted(weak: Review, carol: User) -> None:
    with pytest.raises(Conflict, match="does not fail"):
        grant(weak, carol, "calibration")


def test_a_gate_that_cannot_be_evaluated_is_not_excepted(
    make_candidate: MakeCandidate, production: Stage, alice: User, bob: User, carol: User
) -> None:
    in_force(
        gates={"held-out": {"excepted_by": "risk", "passes": "metrics.brier_low / 0.0 > fairness.worst_gap_low / 0.0"}}
    )
    in_force(gates={GATE: {"excepted_by": "risk", "passes": "production.metrics.auc_low > 0.1"}})
    review = ask(make_candidate(), production, alice)
    assert gate(review).status is RequirementStatus.ERROR

    with pytest.raises(Conflict, match="cannot be evaluated"):
        grant(review, carol)


def test_an_unknown_gate_is_refused(weak: Review, carol: User) -> None:
    with pytest.raises(Invalid, match="no gate queen"):
        grant(weak, carol, "queen")


def test_a_warning_is_not_excepted(weak: Review, carol: User) -> None:
    warning = next(one.gate.key for one in examine(weak.version, weak.stage).gates if one.gate.warning)

    with pytest.raises(Conflict, match="is a warning"):
        grant(weak, carol, warning)


def test_one_person_signs_the_slot_and_grants_as_its_holder(weak: Review, bob: User, carol: User) -> None:
    sign(weak, "risk", carol)

    assert grant(weak, carol)


def test_whoever_fills_another_slot_does_not_grant(weak: Review, bob: User, carol: User) -> None:
    join(bob, "Risk officers")
    sign(weak, "validator", bob)

    with pytest.raises(Forbidden, match="one person fills one slot"):
        grant(weak, bob)


@pytest.mark.parametrize("change", ["card", "metrics"])
def test_an_exception_for_other_facets_counts_no_more(weak: Review, carol: User, alice: User, change: str) -> None:
    grant(weak, carol)

    if change == "card":
        registry_actions.revise_card(weak.version, CARD | {"limitations": "Not for landlords."}, by=as_(alice))
    else:
        attach(weak.version, "metrics", metrics(auc=0.70), by=alice)

    assert gate(weak).status is RequirementStatus.UNSATISFIED
    (exception,) = examine(weak.version, weak.stage).exceptions
    assert "It was given before the" in exception.why_not


def test_an_exception_against_another_champion_counts_no_more(
    weak: Review, make_approved: MakeApproved, production: Stage, carol: User, rita: User
) -> None:
    grant(weak, carol)
    other = make_approved(auc=0.85)
    promote(other, production, by=as_(rita))

    assert gate(weak).status is RequirementStatus.UNSATISFIED
    (exception,) = examine(weak.version, weak.stage).exceptions
    assert exception.why_not == "It was given against another live version."


def test_it_still_counts_when_the_version_took_the_place_of_the_one_it_was_compared_with(
    make_candidate: MakeCandidate,
    make_approved: MakeApproved,
    production: Stage,
    alice: User,
    bob: User,
    carol: User,
    rita: User,
) -> None:
    promote(make_approved(auc=0.76), production, by=as_(rita))
    in_force(gates={GATE: {"excepted_by": "risk"}, "auc-production": {"excepted_by": "risk"}})
    review = ask(make_candidate(auc=0.74), production, alice)
    grant(review, carol)
    grant(review, carol, "auc-production")
    approve(review, bob, carol)

    promote(review.version, production, by=as_(rita))

    assert gate(review).status is RequirementStatus.EXCEPTED


def test_an_exception_ends_on_its_day(weak: Review, carol: User) -> None:
    given = grant(weak, carol, days=3)

    with time_machine.travel(given.ends_at, tick=False):
        assert gate(weak).status is RequirementStatus.UNSATISFIED
    with time_machine.travel(given.ends_at - timedelta(seconds=1), tick=False):
        assert gate(weak).status is RequirementStatus.EXCEPTED


def test_an_exception_is_for_one_round(weak: Review, carol: User, alice: User) -> None:
    grant(weak, carol)

    open_round(weak, by=as_(alice))

    assert gate(weak).status is RequirementStatus.UNSATISFIED


def test_whoever_granted_it_takes_it_back_and_the_gate_blocks_again(weak: Review, bob: User, carol: User) -> None:
    given = grant(weak, carol)
    with pytest.raises(Forbidden, match="Only the person who granted"):
        withdraw_exception(given, reason="I know better.", by=as_(bob))

    withdraw_exception(given, reason="The control was never set up.", by=as_(carol))

    assert gate(weak).status is RequirementStatus.UNSATISFIED
    with pytest.raises(Conflict, match="taken back already"):
        withdraw_exception(given, reason="Again.", by=as_(carol))


def test_whoever_granted_it_finds_on_the_page_how_to_take_it_back(
    weak: Review, bob: User, carol: User, client: Client
) -> None:
    given = grant(weak, carol)
    page, way = page_of(weak.version), reverse("reviews:withdraw-exception", args=["credit", 1, given.uuid])

    client.force_login(bob)
    assert way not in client.get(page).content.decode()
    client.force_login(carol)
    assert way in client.get(page).content.decode()


def test_an_exception_is_not_taken_back_from_under_a_live_version(
    weak: Review, production: Stage, bob: User, carol: User, rita: User
) -> None:
    given = grant(weak, carol)
    approve(weak, bob, carol)
    promote(weak.version, production, by=as_(rita))

    with pytest.raises(Conflict, match="Revoke the approval instead"):
        withdraw_exception(given, reason="Too late.", by=as_(carol))


def test_a_newer_exception_replaces_the_older_one(weak: Review, carol: User) -> None:
    first = grant(weak, carol)

    second = grant(weak, carol, days=10)

    first.refresh_from_db()
    assert first.withdrawn_why == "Replaced by a newer exception."
    assert f"until {second.ends_at:%d %B %Y}" in gate(weak).explanation


def test_granting_what_has_changed_since_shows_the_difference(weak: Review, carol: User, alice: User) -> None:
    seen = current_subject(weak.current_round).digest
    registry_actions.revise_card(weak.version, CARD | {"limitations": "Not for landlords."}, by=as_(alice))

    with pytest.raises(Conflict) as caught:
        grant(weak, carol, expected=seen)

    assert caught.value.code == "subject-changed"


def test_an_exception_uses_up_a_fresh_confirmation(weak: Review, carol: User) -> None:
    proof = proof_of(carol)
    grant(weak, carol, proof=proof)

    with pytest.raises(Conflict, match="already used"):
        grant(weak, carol, proof=proof)


def test_owner_and_requester_are_told(weak: Review, carol: User) -> None:
    given = grant(weak, carol)

    assert Notification.objects.get(event=f"exception:{given.uuid}").person == weak.requested_by


# What somebody could try past the product.


def test_a_row_that_nobody_signed_excepts_nothing(weak: Review, carol: User) -> None:
    given = grant(weak, carol)
    forged = seal({**read_exception(given.statement).predicate, "_type": "x"}, Signer(Ed25519PrivateKey.generate()))
    with without_triggers():
        GateException.objects.filter(pk=given.pk).update(
            statement=dict(forged), statement_digest=envelope_digest(forged)
        )

    assert gate(weak).status is RequirementStatus.UNSATISFIED


@pytest.mark.parametrize("column", ["ends_at", "gate_key"])
def test_a_row_that_says_more_than_was_signed_excepts_nothing(weak: Review, carol: User, column: str) -> None:
    given = grant(weak, carol)
    value = given.ends_at + DAY if column == "ends_at" else "calibration"
    with without_triggers():
        GateException.objects.filter(pk=given.pk).update(**{column: value})

    assert gate(weak).status is RequirementStatus.UNSATISFIED


def test_a_release_whose_exception_is_gone_is_not_believed(
    weak: Review, production: Stage, bob: User, carol: User, rita: User
) -> None:
    given = grant(weak, carol)
    approve(weak, bob, carol)
    promote(weak.version, production, by=as_(rita))
    with without_triggers():
        GateException.objects.filter(pk=given.pk).delete()

    version = ModelVersion.objects.get(pk=weak.version_id)

    assert approval_in_force(version, production, timezone.now()) is None


def test_the_type_of_the_statement_is_its_own() -> None:
    assert EXCEPTION_TYPE == "https://countersign.dev/exception/v1"
