"""The abuse cases of a release: one's own approval by detours, a decision that a later one overruled, rules bent for one's own case."""

from __future__ import annotations

import pytest

from access.models import User
from access.permissions import Permission, grant
from access.principal import Principal
from foundation.refusals import Conflict, Forbidden
from registry import actions as registry
from registry.models import ModelVersion, RegisteredModel, Stage
from reviews.actions import open_round, withdraw_review
from reviews.models import PolicyVersion, Review
from reviews.promotion import promote, roll_back
from reviews.queries import waiting_for
from reviews.revocation import revoke
from tests.conftest import as_
from tests.reviews.conftest import (
    MakeCandidate,
    approved,
    ask,
    attach,
    candidate,
    make_candidate,
    proof_of,
    review,
    sign,
)
from tests.reviews.evidence import CARD, evidence
from tests.reviews.publishing import make_author, make_signer, propose
from tests.reviews.publishing import sign as sign_policy
from tests.serving.conftest import release

__all__ = ["approved", "candidate", "make_candidate", "review"]

pytestmark = pytest.mark.django_db


def champion(model: RegisteredModel) -> int | None:
    """Number of the version that is live in production."""
    alias = model.aliases.filter(name="champion").select_related("version").first()
    return alias.version.number if alias else None


def copied(original: ModelVersion, *, by: User) -> ModelVersion:
    """The same bytes registered again by somebody else, with the same evidence, as a client does with `models:/<name>/<number>`."""
    copy = registry.register_version(
        original.model, original.files, by=as_(by), source=f"models:/{original}", admit=False
    )
    copy = registry.admit_version(copy, by=as_(by))
    for kind, content in evidence().items():
        if kind != "signature":
            attach(copy, kind, content, by=by)
    registry.revise_card(copy, CARD, by=as_(by))
    return copy


class TestOnesOwn:
    """Nobody approves what they made, whoever registers it."""

    @pytest.fixture
    def bobs(self, make_candidate: MakeCandidate, model: RegisteredModel, bob: User) -> ModelVersion:
        """A version that bob made."""
        for permission in (Permission.REGISTER_VERSION, Permission.EDIT_MODEL):
            grant(model, permission, to=bob, by=Principal.system("operator"))
        return make_candidate(by=bob)

    def test_bytes_that_somebody_else_registered_again_stay_ones_own(
        self, bobs: ModelVersion, alice: User, bob: User, production: Stage
    ) -> None:
        review = ask(copied(bobs, by=alice), production, alice)

        assert not waiting_for(as_(bob)).filter(pk=review.pk).exists()
        with pytest.raises(Forbidden, match="same bytes"):
            sign(review, "validator", bob)


class TestOverruled:
    """The latest decision counts; never "any approval ever"."""

    def test_an_approval_that_a_later_round_rejected_promotes_nothing(
        self, approved: Review, alice: User, carol: User, rita: User, production: Stage
    ) -> None:
        later = open_round(approved, by=as_(alice))
        sign(later, "risk", carol, decision="reject", reason="It fails people over 65.")

        with pytest.raises(Conflict) as refused:
            promote(approved.version, production, by=as_(rita))

        assert "round" in {one.key for one in refused.value.requirements if one.blocks}
        assert champion(approved.version.model) is None

    def test_a_request_for_changes_is_not_got_rid_of_by_withdrawing_the_review(
        self, approved: Review, alice: User, carol: User, rita: User, production: Stage
    ) -> None:
        later = open_round(approved, by=as_(alice))
        sign(later, "risk", carol, decision="request_changes", reason="Say what happens to people over 65.")
        withdraw_review(approved, by=as_(alice))

        with pytest.raises(Conflict):
            promote(approved.version, production, by=as_(rita))

        assert champion(approved.version.model) is None

    def test_a_case_that_is_withdrawn_takes_an_approval_with_it_that_nobody_used(
        self, approved: Review, alice: User, rita: User, production: Stage
    ) -> None:
        open_round(approved, by=as_(alice))
        withdraw_review(approved, by=as_(alice))

        with pytest.raises(Conflict, match="withdrew the case before anything was promoted"):
            promote(approved.version, production, by=as_(rita))

        assert champion(approved.version.model) is None

    def test_a_stage_does_not_roll_back_to_what_was_rejected_since(
        self,
        make_candidate: MakeCandidate,
        alice: User,
        bob: User,
        carol: User,
        rita: User,
        production: Stage,
    ) -> None:
        first, second = (
            release(make_candidate(), by=alice, validator=bob, risk=carol, promoter=rita) for _ in range(2)
        )
        sign(ask(first, production, alice), "risk", carol, decision="reject", reason="It fails people over 65.")

        with pytest.raises(Conflict, match="approval"):
            roll_back(first.model, production, reason="It does worse.", reauthentication=proof_of(rita), by=as_(rita))

        assert champion(first.model) == second.number

    def test_a_stage_does_not_roll_back_to_what_was_revoked(
        self,
        make_candidate: MakeCandidate,
        alice: User,
        bob: User,
        carol: User,
        rita: User,
        production: Stage,
    ) -> None:
        first, second = (
            release(make_candidate(), by=alice, validator=bob, risk=carol, promoter=rita) for _ in range(2)
        )
        revoke(first, reason="It fails people over 65.", reauthentication=proof_of(carol), by=as_(carol))

        with pytest.raises(Conflict):
            roll_back(first.model, production, reason="It does worse.", reauthentication=proof_of(rita), by=as_(rita))

        assert champion(first.model) == second.number


class TestOwnRules:
    """Nobody weakens the rules of their own case."""

    def test_a_policy_is_not_moved_off_the_case_of_whoever_publishes_it(
        self, review: Review, alice: User, bob: User
    ) -> None:
        make_signer(alice)
        make_author(bob)
        in_force = PolicyVersion.objects.get(policy__name="production-tier-1", status="published")
        elsewhere = {**in_force.content, "applies_to": {**in_force.content["applies_to"], "tiers": [3]}}
        proposed = propose("production-tier-1", elsewhere, author=bob)

        with pytest.raises(Forbidden, match="rules of their own round"):
            sign_policy(proposed, alice)
