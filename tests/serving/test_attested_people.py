"""What an attestation proves about people: who stood in for whom, who had a hand in it, and what was excepted."""

from __future__ import annotations

import copy
from datetime import timedelta

import pytest
from django.utils import timezone

from access.models import User
from countersign.proof.attestation import NotVerified, verify
from foundation.keys import registry_signer
from registry.models import ModelVersion, Stage
from reviews.actions import give_delegation
from reviews.models import Review
from reviews.promotion import promote
from serving.attestations import release_attestation
from tests.conftest import as_
from tests.reviews.conftest import MakeCandidate, approve, ask, candidate, make_candidate, sign
from tests.reviews.rules import in_force
from tests.reviews.test_exceptions import GATE, grant
from tests.reviews.test_people import attached_evidence

__all__ = ["candidate", "make_candidate"]

pytestmark = pytest.mark.django_db


def attested(review: Review, stage: Stage, rita: User) -> dict[str, object]:
    promotion = promote(review.version, stage, by=as_(rita))
    return release_attestation(ModelVersion.objects.get(pk=review.version_id), stage, promotion.release)


def test_a_signature_for_somebody_is_verified_offline(
    candidate: ModelVersion, production: Stage, alice: User, bob: User, carol: User, dave: User, rita: User
) -> None:
    now = timezone.now()
    give_delegation(
        dave, group="Risk officers", starts_at=now, ends_at=now + timedelta(days=9), reason="Away.", by=as_(carol)
    )
    review = ask(candidate, production, alice)
    sign(review, "validator", bob)
    sign(review, "risk", dave, on_behalf_of="carol")

    attestation = attested(review, production, rita)

    assert verify(attestation, registry_signer().public, at=timezone.now()).version == candidate.number


def test_everybody_with_a_hand_in_it_is_an_author_offline_too(
    candidate: ModelVersion, production: Stage, alice: User, bob: User, carol: User, dave: User, rita: User
) -> None:
    from countersign.proof.dsse import open_sealed

    attached_evidence(dave, candidate)
    review = ask(candidate, production, alice)
    approve(review, bob, carol)

    attestation = attested(review, production, rita)

    authors = open_sealed(attestation["provenance"], registry_signer().public)["predicate"]["authors"]  # type: ignore[arg-type]  # JSON
    assert authors == sorted([str(alice.uuid), str(dave.uuid)])


def test_exceptions_are_verified_offline_and_cannot_be_left_out(
    make_candidate: MakeCandidate, production: Stage, alice: User, bob: User, carol: User, rita: User
) -> None:
    in_force(gates={GATE: {"excepted_by": "risk"}})
    review = ask(make_candidate(auc=0.74), production, alice)
    given = grant(review, carol, days=30)
    approve(review, bob, carol)

    attestation = attested(review, production, rita)

    verified = verify(attestation, registry_signer().public, at=timezone.now())
    assert verified.valid_until == given.ends_at
    without = copy.deepcopy(attestation) | {"exceptions": []}
    with pytest.raises(NotVerified, match="exceptions in the attestation are not those"):
        verify(without, registry_signer().public, at=timezone.now())
