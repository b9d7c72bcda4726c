"""Two people at once, on PostgreSQL: exactly one outcome, whichever comes first."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from access import actions as access_actions
from access.models import Role, User
from access.principal import Principal
from foundation.refusals import Refusal
from registry.models import Alias, ModelVersion, Promotion, Stage
from reviews.evaluation import current_subject
from reviews.models import Approval, Review, Round, SignOff
from reviews.promotion import promote
from reviews.queries import approval_in_force
from reviews.revocation import revoke
from tests.conftest import as_
from tests.reviews.conftest import MakeApproved, MakeCandidate, ask, proof_of, sign
from tests.reviews.contest import Tally, last_votes, promotions, signers

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """Run every act in a thread of its own, started together; what each returned, or the refusal that it met."""
    barrier = threading.Barrier(len(acts))
    results: list[Any] = [None] * len(acts)

    def run(place: int, act: Callable[[], Any]) -> None:
        try:
            barrier.wait(timeout=10)
            results[place] = act()
        except Refusal as refusal:
            results[place] = refusal
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(place, act)) for place, act in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return results


@pytest.mark.parametrize("attempt", range(4))
def test_two_last_signatures_approve_exactly_once(review: Review, bob: User, carol: User, attempt: int) -> None:
    subject = current_subject(review.current_round).digest
    proofs = {person.pk: proof_of(person) for person in (bob, carol)}

    at_once(
        lambda: sign(review, "validator", bob, expected=subject, proof=proofs[bob.pk]),
        lambda: sign(review, "risk", carol, expected=subject, proof=proofs[carol.pk]),
    )

    assert review.current_round.state == Round.State.APPROVED
    assert Approval.objects.count() == 1
    assert SignOff.objects.count() == 2


def test_one_person_signing_twice_at_once_signs_once(review: Review, bob: User) -> None:
    proof = proof_of(bob)

    results = at_once(*[lambda: sign(review, "validator", bob, key="one-and-the-same", proof=proof)] * 4)

    assert SignOff.objects.count() == 1
    assert {result.pk for result in results} == {SignOff.objects.get().pk}


def test_one_proof_signs_one_decision_although_used_twice_at_once(review: Review, bob: User) -> None:
    proof = proof_of(bob)

    results = at_once(*[lambda: sign(review, "validator", bob, proof=proof)] * 2)

    assert SignOff.objects.count() == 1
    assert sum(isinstance(result, Refusal) for result in results) == 1


@pytest.mark.parametrize("attempt", range(4))
def test_two_promotions_at_once_move_the_alias_once(
    approved: Review, production: Stage, rita: User, attempt: int
) -> None:
    results = at_once(*[lambda: promote(approved.version, production, by=as_(rita))] * 3)

    assert Promotion.objects.count() == 1
    assert sum(isinstance(result, Promotion) for result in results) == 1


def test_of_two_versions_promoted_at_once_one_wins(
    approved: Review, make_approved: MakeApproved, production: Stage, rita: User
) -> None:
    other = make_approved(auc=0.86)

    results = at_once(
        lambda: promote(approved.version, production, by=as_(rita)), lambda: promote(other, production, by=as_(rita))
    )

    (winner,) = [result for result in results if isinstance(result, Promotion)]
    (loser,) = [result for result in results if isinstance(result, Refusal)]
    assert Alias.objects.get(stage=production).version_id == winner.version_id
    assert loser.code in {"stage-moved", "requirements-unmet"}


@pytest.mark.parametrize("attempt", range(6))
def test_promotion_racing_revocation_is_never_live_afterwards(
    approved: Review, production: Stage, carol: User, rita: User, attempt: int
) -> None:
    proof = proof_of(carol)

    at_once(
        lambda: promote(approved.version, production, by=as_(rita)),
        lambda: revoke(approved.version, reason="The label leaks.", reauthentication=proof, by=as_(carol)),
    )

    assert not Alias.objects.filter(stage=production).exists()
    assert ModelVersion.objects.get(pk=approved.version_id).state == ModelVersion.State.REVOKED
    assert approval_in_force(approved.version, production, timezone.now()) is None


def test_request_for_changes_racing_the_last_approval_leaves_no_half_state(
    review: Review, bob: User, carol: User
) -> None:
    sign(review, "validator", bob)
    subject = current_subject(review.current_round).digest
    proofs = {person.pk: proof_of(person) for person in (bob, carol)}

    at_once(
        lambda: sign(review, "validator", bob, decision="request_changes", expected=subject, proof=proofs[bob.pk]),
        lambda: sign(review, "risk", carol, expected=subject, proof=proofs[carol.pk]),
    )

    round_ = review.current_round
    standing_request = SignOff.objects.filter(round=round_, decision="request_changes", withdrawn_at=None).exists()
    assert standing_request is (round_.state == Round.State.OPEN)
    assert Approval.objects.exists() is (round_.state == Round.State.APPROVED)


def test_two_reviews_of_one_version_requested_at_once_are_one(
    candidate: ModelVersion, production: Stage, alice: User
) -> None:
    at_once(*[lambda: ask(candidate, production, alice)] * 3)

    assert Review.objects.count() == 1


ROUNDS = int(os.environ.get("COUNTERSIGN_CONTEST_ROUNDS", "2"))
CONTENDERS = int(os.environ.get("COUNTERSIGN_CONTENDERS", "40"))


@pytest.mark.timeout(0)
def test_of_many_contenders_one_wins_every_time(
    make_candidate: MakeCandidate, production: Stage, alice: User, bob: User, rita: User
) -> None:
    """Two rounds of forty by default; `python -m tests.reviews.soak` asks for more."""
    people, votes, moves = signers(CONTENDERS), Tally(), Tally()
    for person in people:
        access_actions.assign_role(Role.objects.get(name="Reviewer"), to=person, by=Principal.system("operator"))
    began = time.monotonic()

    for number in range(ROUNDS):
        review = ask(make_candidate(auc=min(0.95, 0.85 + number / 1_000)), production, alice)
        sign(review, "validator", bob)
        last_votes(review, people, votes)
        promotions(review.version, production, as_(rita), CONTENDERS, moves)
        print(  # noqa: T201 - progress of the long form
            f"round {number + 1}, {time.monotonic() - began:.0f} s: other than one winner "
            f"{votes.without_one_winner} and {moves.without_one_winner}",
            flush=True,
        )

    print(  # noqa: T201 - the figures of the long form
        f"{ROUNDS} rounds, {CONTENDERS} contenders, {time.monotonic() - began:.0f} s; "
        f"votes without one winner: {votes.without_one_winner} of {votes.contests}, losers told {dict(votes.refusals)}; "
        f"promotions without one winner: {moves.without_one_winner} of {moves.contests}, losers told {dict(moves.refusals)}"
    )
    assert (votes.contests, votes.without_one_winner) == (ROUNDS, 0)
    assert (moves.contests, moves.without_one_winner) == (ROUNDS, 0)
    assert votes.refusals == {"round-closed": ROUNDS * (CONTENDERS - 1)}
    assert moves.refusals == {"already-live": ROUNDS * (CONTENDERS - 1)}
