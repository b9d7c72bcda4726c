import copy
from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth.models import Group
from django.utils import timezone

from access import actions as access_actions
from access.models import User
from access.permissions import Permission, grant
from access.principal import Principal
from audit.events import Action
from audit.models import Pending
from foundation.refusals import Conflict, Forbidden, Invalid
from registry import actions as registry_actions
from registry.models import ModelVersion, Stage
from reviews.actions import (
    dismiss_changes_request,
    open_round,
    request_review,
    withdraw_review,
    withdraw_sign_off,
)
from reviews.actions.drafts import draft_policy
from reviews.evaluation import current_subject, examine
from reviews.models import Approval, PolicyVersion, Review, Round, SignOff
from reviews.standing import Standing
from reviews.statements import MAX_REASON, read_sign_off
from tests.conftest import MakeVersion, as_
from tests.reviews.conftest import MakeCandidate, approve, ask, attach, join, proof_of, sign
from tests.reviews.evidence import CARD, metrics
from tests.reviews.publishing import make_author, make_signer, publish

pytestmark = pytest.mark.django_db


def test_last_missing_signature_approves_the_round(review: Review, bob: User, carol: User) -> None:
    sign(review, "validator", bob)
    assert review.current_round.state == Round.State.OPEN

    sign(review, "risk", carol)

    assert review.current_round.state == Round.State.APPROVED
    assert Approval.objects.get(round=review.current_round).valid_until > timezone.now() + timedelta(days=360)
    review.version.refresh_from_db()
    assert review.version.state == ModelVersion.State.APPROVED


def test_statement_says_everything_that_was_signed(review: Review, bob: User) -> None:
    given = sign(review, "validator", bob, reason="Reproduced the metrics.")

    said = read_sign_off(given.statement)

    assert (said.model, said.version, said.stage, said.slot, said.decision) == (
        "credit",
        1,
        "production",
        "validator",
        "approve",
    )
    assert said.artifact == review.version.digest
    assert set(said.facets) == {"artifact", "data", "environment", "evaluation", "card", "policy"}
    assert said.subject_digest == review.current_round.subject_digest
    assert said.reviewer == str(bob.uuid)
    assert said.predicate["meaning"] == "I reviewed the evidence and accept the residual risk for the intended use."
    assert said.predicate["reason"] == "Reproduced the metrics."
    assert said.predicate["reauthentication"]["method"] == "password"
    assert said.predicate["previous"] is None


def test_statements_of_a_round_are_chained(review: Review, bob: User, carol: User) -> None:
    first, second = sign(review, "validator", bob), sign(review, "risk", carol)

    assert read_sign_off(second.statement).predicate["previous"] == first.statement_digest


def test_author_cannot_satisfy_the_policy(review: Review, alice: User) -> None:
    join(alice, "Model validation")

    with pytest.raises(Forbidden, match="You asked for this review, so you may not sign it"):
        sign(review, "validator", alice)


def test_author_cannot_satisfy_the_policy_when_somebody_else_asks(
    candidate: ModelVersion, production: Stage, alice: User, bob: User, erin: User
) -> None:
    may_request(erin, candidate)
    review = ask(candidate, production, erin)
    join(alice, "Model validation")

    with pytest.raises(Forbidden, match="You registered this version"):
        sign(review, "validator", alice)


def test_whoever_ran_the_training_cannot_sign(
    model: object, make_candidate: MakeCandidate, production: Stage, alice: User, bob: User
) -> None:
    from registry.store import ArtifactStore
    from tests.factories import stored_tiny_model

    version = registry_actions.register_version(
        make_candidate().model, stored_tiny_model(ArtifactStore()), trained_by=bob, admit=False, by=as_(alice)
    )
    registry_actions.admit_version(version, by=as_(alice))
    review = ask(version, production, alice)

    with pytest.raises(Forbidden, match="You ran the training of this version"):
        sign(review, "validator", bob)


def test_owner_of_the_service_account_that_registered_it_cannot_sign(
    make_candidate: MakeCandidate, production: Stage, alice: User, bob: User
) -> None:
    operator = Principal.system("operator")
    robot = access_actions.create_service_account("trainer", owner=bob, description="Trains at night", by=operator)
    access_actions.assign_role(_role("Service: register"), to=robot, by=operator)
    access_actions.assign_role(_role("Data scientist"), to=robot, by=operator)
    version = make_candidate(by=robot)
    review = ask(version, production, alice)

    with pytest.raises(Forbidden, match="You own the service account trainer, which registered this version"):
        sign(review, "validator", bob)


def test_service_account_cannot_sign(review: Review, scorer: User) -> None:
    access_actions.assign_role(_role("Reviewer"), to=scorer, by=Principal.system("operator"))
    scorer.groups.add(Group.objects.get(name="Model validation"))

    with pytest.raises(Forbidden, match="Service accounts do not sign"):
        sign(review, "validator", scorer)


def test_superuser_cannot_sign(review: Review, root: User) -> None:
    with pytest.raises(Forbidden):
        sign(review, "validator", root)

    access_actions.assign_role(_role("Reviewer"), to=root, by=Principal.system("operator"))
    with pytest.raises(Forbidden, match="Only members of Model validation"):
        sign(review, "validator", root)


def test_deactivated_person_cannot_sign(review: Review, bob: User) -> None:
    access_actions.deactivate(bob, by=Principal.system("operator"))

    with pytest.raises(Forbidden):
        sign(review, "validator", bob)


def test_person_who_left_the_group_since_the_page_was_drawn_cannot_sign(review: Review, bob: User, erin: User) -> None:
    access_actions.remove_from_group(Group.objects.get(name="Model validation"), bob, by=Principal.system("operator"))

    with pytest.raises(Forbidden, match="you are not among them"):
        sign(review, "validator", bob)


def test_one_person_fills_one_slot(review: Review, bob: User) -> None:
    join(bob, "Risk officers")
    sign(review, "validator", bob)

    with pytest.raises(Forbidden, match="one person fills one slot"):
        sign(review, "risk", bob)


def test_member_of_another_group_cannot_fill_the_slot(review: Review, carol: User) -> None:
    with pytest.raises(Forbidden, match="Only members of Model validation"):
        sign(review, "validator", carol)


def test_alternates_may_sign_when_nobody_in_the_group_is_independent(
    candidate: ModelVersion, production: Stage, alice: User, carol: User
) -> None:
    review = ask(candidate, production, alice)

    sign(review, "validator", carol)

    assert examine(candidate, production).standing.slots[0].lacking == 0  # type: ignore[union-attr]  # a review is open


def test_slot_that_nobody_can_fill_is_said_at_submission(
    candidate: ModelVersion, production: Stage, alice: User
) -> None:
    ask(candidate, production, alice)

    waiting = {one.key: one for one in examine(candidate, production).unmet}

    assert (
        "Nobody eligible: no member of Model validation, nor of the alternates that the policy names, Risk officers, is independent"
        in waiting["slot-validator"].explanation
    )
    assert "An administrator" in waiting["slot-validator"].cleared_by


def test_reauthentication_is_used_up_by_the_signature(review: Review, bob: User, carol: User) -> None:
    proof = proof_of(bob)
    given = sign(review, "validator", bob, proof=proof)
    withdraw_sign_off(given, reason="Second thoughts.", by=as_(bob))

    with pytest.raises(Conflict, match="already used"):
        sign(review, "validator", bob, proof=proof)


def test_reauthentication_older_than_five_minutes_does_not_sign(review: Review, bob: User) -> None:
    proof = proof_of(bob)

    with (
        time_machine.travel(timezone.now() + timedelta(minutes=5, seconds=1)),
        pytest.raises(Conflict, match="more than 5 minutes ago"),
    ):
        sign(review, "validator", bob, proof=proof)


def test_somebody_elses_reauthentication_does_not_sign(review: Review, bob: User, carol: User) -> None:
    with pytest.raises(Forbidden, match="somebody else's"):
        sign(review, "validator", bob, proof=proof_of(carol))


def test_refused_signature_does_not_use_up_the_reauthentication(review: Review, bob: User) -> None:
    proof = proof_of(bob)
    with pytest.raises(Conflict):
        sign(review, "validator", bob, proof=proof, expected="0" * 64)

    sign(review, "validator", bob, proof=proof)

    assert SignOff.objects.count() == 1


def test_signing_what_has_changed_since_shows_the_difference(review: Review, bob: User, alice: User) -> None:
    seen = current_subject(review.current_round).digest
    registry_actions.revise_card(
        review.version, CARD | {"limitations": "Not for anyone under 18, ever."}, by=as_(alice)
    )

    with pytest.raises(Conflict) as caught:
        sign(review, "validator", bob, expected=seen)

    assert caught.value.code == "subject-changed"
    assert [change["facet"] for change in caught.value.extra["changed"]] == ["card"]
    assert not SignOff.objects.exists()


def test_same_idempotency_key_returns_the_same_sign_off(review: Review, bob: User) -> None:
    first = sign(review, "validator", bob, key="a-key-of-the-page")

    again = sign(review, "validator", bob, key="a-key-of-the-page")

    assert again == first
    assert SignOff.objects.count() == 1


def test_idempotency_key_of_another_decision_is_refused(review: Review, bob: User, carol: User) -> None:
    sign(review, "validator", bob, key="a-key-of-the-page")

    with pytest.raises(Conflict, match="used for another decision"):
        sign(review, "risk", carol, key="a-key-of-the-page")


def test_idempotency_key_of_the_same_person_for_another_decision_is_refused(review: Review, bob: User) -> None:
    sign(review, "validator", bob, key="a-key-of-the-page")

    with pytest.raises(Conflict, match="used for another decision"):
        sign(review, "validator", bob, decision="request_changes", key="a-key-of-the-page")


@pytest.mark.parametrize("who", ["carol", "scorer"])
def test_idempotency_key_gives_nobody_elses_sign_off_away(
    review: Review, bob: User, who: str, request: pytest.FixtureRequest
) -> None:
    sign(review, "validator", bob, key="a-key-of-the-page")

    with pytest.raises(Conflict, match="used for another decision"):
        sign(review, "validator", request.getfixturevalue(who), key="a-key-of-the-page")


@pytest.mark.parametrize("key", ["7-signs", "x" * 65])
def test_idempotency_key_has_8_to_64_characters(review: Review, bob: User, key: str) -> None:
    with pytest.raises(Invalid, match="8 to 64 characters") as caught:
        sign(review, "validator", bob, key=key)

    assert set(caught.value.errors) == {"idempotency_key"}


def test_slot_holder_who_may_not_see_the_model_signs_nothing(review: Review, root: User) -> None:
    join(root, "Model validation")

    with pytest.raises(Forbidden, match="see_model"):
        sign(review, "validator", root)


@pytest.mark.parametrize(
    ("decision", "reason", "slot", "field"),
    [
        ("maybe", "Because.", "validator", "decision"),
        ("approve", "  ", "validator", "reason"),
        ("approve", "x" * 10_001, "validator", "reason"),
        ("approve", "Because.", "queen", "slot"),
    ],
)
def test_wrong_input_is_refused_with_its_field(
    review: Review, bob: User, decision: str, reason: str, slot: str, field: str
) -> None:
    with pytest.raises(Invalid) as caught:
        sign(review, slot, bob, decision=decision, reason=reason)

    assert field in caught.value.errors


def test_changed_facet_makes_only_the_sign_offs_that_answer_for_it_stale(
    review: Review, bob: User, alice: User, carol: User, make_candidate: MakeCandidate
) -> None:
    given = sign(review, "validator", bob)
    registry_actions.revise_card(
        review.version, CARD | {"limitations": "Not for anyone under 18, ever."}, by=as_(alice)
    )
    kept = examine(review.version, review.stage).standing
    assert kept is not None
    assert [one.standing for one in kept.signatures] == [Standing.COUNTS]

    attach(review.version, "metrics", metrics(auc=0.86), by=alice)

    standing = examine(review.version, review.stage).standing
    assert standing is not None
    (signature,) = standing.signatures
    assert (signature.standing, signature.changed) == (Standing.STALE, ("evaluation",))
    assert signature.sign_off == given
    assert standing.slots[0].lacking == 1


def test_stale_signature_never_counts_until_given_anew(review: Review, bob: User, alice: User, carol: User) -> None:
    sign(review, "validator", bob)
    attach(review.version, "metrics", metrics(auc=0.86), by=alice)
    sign(review, "risk", carol)
    assert review.current_round.state == Round.State.OPEN

    sign(review, "validator", bob, reason="Read the new metrics.")

    assert review.current_round.state == Round.State.APPROVED
    assert SignOff.objects.filter(withdrawn_at=None).count() == 2


def test_round_keeps_the_subject_and_the_gates_of_its_newest_signature(
    review: Review, bob: User, alice: User, carol: User
) -> None:
    sign(review, "validator", bob)
    attach(review.version, "metrics", metrics(auc=0.86), by=alice)

    sign(review, "risk", carol)

    round_ = review.current_round
    now = {one.gate.key: one.measured for one in examine(review.version, review.stage).gates}
    assert round_.state == Round.State.OPEN
    assert round_.subject_digest == current_subject(round_).digest
    assert dict(round_.gate_results.values_list("key", "measured")) == now


def test_round_keeps_the_subject_that_it_was_approved_on_when_an_objection_goes_away(
    candidate: ModelVersion, production: Stage, alice: User, bob: User, carol: User, dave: User, erin: User
) -> None:
    content = copy.deepcopy(PolicyVersion.objects.get(policy__name="production-tier-1").content)
    content["slots"][1]["answers_for"].remove("card")
    publish("production-tier-1", content, author=make_author(erin), signer=make_signer(dave))
    review = ask(candidate, production, alice)
    asked = sign(review, "risk", carol, decision="request_changes", reason="Explain the age gap.")
    sign(review, "risk", dave)
    sign(review, "validator", bob)
    registry_actions.revise_card(candidate, CARD | {"limitations": "Not for anyone under 18, ever."}, by=as_(alice))

    withdraw_sign_off(asked, reason="It is explained.", by=as_(carol))

    round_ = review.current_round
    assert round_.state == Round.State.APPROVED
    assert round_.subject_digest == current_subject(round_).digest


def test_tags_and_description_are_outside_the_subject(review: Review, bob: User, alice: User) -> None:
    seen = current_subject(review.current_round).digest

    registry_actions.set_version_tag(review.version, "season", "spring", by=as_(alice))

    assert current_subject(review.current_round).digest == seen


def test_request_for_changes_blocks_until_its_author_clears_it(review: Review, bob: User, carol: User) -> None:
    given = sign(review, "risk", carol, decision="request_changes", reason="Explain the age gap.")
    sign(review, "validator", bob)
    assert "Changes requested by Carol Adeyemi" in [one.title for one in examine(review.version, review.stage).unmet]

    sign(review, "risk", carol, reason="Explained.")

    assert review.current_round.state == Round.State.APPROVED
    given.refresh_from_db()
    assert given.withdrawn_why == "Replaced by a newer decision of the same person."


def test_a_newer_decision_leaves_what_was_taken_back_before_as_it_was(review: Review, bob: User) -> None:
    first = sign(review, "validator", bob, decision="request_changes", reason="Explain the age gap.")
    withdraw_sign_off(first, reason="I read the wrong table.", by=as_(bob))
    first.refresh_from_db()
    then = first.withdrawn_at

    sign(review, "validator", bob)

    first.refresh_from_db()
    assert (first.withdrawn_at, first.withdrawn_why) == (then, "I read the wrong table.")


def test_a_newer_decision_leaves_those_of_earlier_rounds_as_they_were(review: Review, bob: User, alice: User) -> None:
    first = sign(review, "validator", bob, decision="request_changes", reason="Explain the age gap.")
    open_round(review, by=as_(alice))

    sign(review, "validator", bob)

    first.refresh_from_db()
    assert first.withdrawn_at is None


def test_another_slot_holder_dismisses_a_request_with_a_reason(review: Review, bob: User, carol: User) -> None:
    asked = sign(review, "risk", carol, decision="request_changes", reason="Explain the age gap.")

    dismissed = dismiss_changes_request(asked, reason="Answered in the card, section limitations.", by=as_(bob))

    assert dismissed.dismissed_by == bob
    assert not [one for one in examine(review.version, review.stage).unmet if one.key.startswith("changes-")]


@pytest.mark.parametrize("who", ["alice", "carol", "dave"])
def test_request_is_not_dismissed_by_its_author_the_requester_or_an_onlooker(
    review: Review, who: str, request: pytest.FixtureRequest, carol: User
) -> None:
    asked = sign(review, "risk", carol, decision="request_changes", reason="Explain the age gap.")
    person = request.getfixturevalue(who)

    with pytest.raises((Forbidden, Conflict)):
        dismiss_changes_request(asked, reason="Never mind.", by=as_(person))


def test_slot_holder_who_may_not_see_the_model_dismisses_nothing(review: Review, root: User, carol: User) -> None:
    asked = sign(review, "risk", carol, decision="request_changes", reason="Explain the age gap.")
    join(root, "Model validation")

    with pytest.raises(Forbidden, match="see_model"):
        dismiss_changes_request(asked, reason="Never mind.", by=as_(root))


def test_whoever_signed_holds_the_slot_also_after_they_left_its_group(
    review: Review, bob: User, carol: User, erin: User
) -> None:
    sign(review, "validator", bob)
    asked = sign(review, "risk", carol, decision="request_changes", reason="Explain the age gap.")
    access_actions.remove_from_group(Group.objects.get(name="Model validation"), bob, by=Principal.system("operator"))

    assert dismiss_changes_request(asked, reason="Answered in the card.", by=as_(bob)).dismissed_by == bob


def test_request_in_a_closed_round_is_not_dismissed(review: Review, bob: User, carol: User, alice: User) -> None:
    asked = sign(review, "risk", carol, decision="request_changes", reason="Explain the age gap.")
    open_round(review, by=as_(alice))

    with pytest.raises(Conflict, match="Round 1 is closed"):
        dismiss_changes_request(asked, reason="Answered in the card.", by=as_(bob))


def test_request_taken_back_or_dismissed_is_neither_again(review: Review, bob: User, carol: User) -> None:
    asked = sign(review, "risk", carol, decision="request_changes", reason="Explain the age gap.")
    dismiss_changes_request(asked, reason="Answered in the card.", by=as_(bob))

    with pytest.raises(Conflict, match="already"):
        withdraw_sign_off(asked, reason="I never meant it.", by=as_(carol))
    with pytest.raises(Conflict, match="already"):
        dismiss_changes_request(asked, reason="Answered twice.", by=as_(bob))

    asked.refresh_from_db()
    assert (asked.dismissed_by, asked.withdrawn_why) == (bob, "Answered in the card.")


@pytest.mark.parametrize("reason", ["", "  ", "x" * 10_001])
def test_taking_back_and_dismissing_have_a_reason(review: Review, bob: User, carol: User, reason: str) -> None:
    asked = sign(review, "risk", carol, decision="request_changes", reason="Explain the age gap.")

    with pytest.raises(Invalid):
        withdraw_sign_off(asked, reason=reason, by=as_(carol))
    with pytest.raises(Invalid):
        dismiss_changes_request(asked, reason=reason, by=as_(bob))

    asked.refresh_from_db()
    assert asked.withdrawn_at is None


@pytest.mark.parametrize("set_aside", ["withdrawn", "dismissed"])
def test_round_is_approved_when_its_last_objection_goes_away(
    review: Review, bob: User, carol: User, dave: User, set_aside: str
) -> None:
    join(dave, "Risk officers")
    asked = sign(review, "risk", carol, decision="request_changes", reason="Explain the age gap.")
    sign(review, "risk", dave)
    sign(review, "validator", bob)
    assert review.current_round.state == Round.State.OPEN

    if set_aside == "withdrawn":
        withdraw_sign_off(asked, reason="It is explained.", by=as_(carol))
    else:
        dismiss_changes_request(asked, reason="It is explained.", by=as_(bob))

    assert review.current_round.state == Round.State.APPROVED


def test_rejection_closes_the_case(review: Review, bob: User, carol: User) -> None:
    sign(review, "validator", bob, decision="reject", reason="Trained on the test rows.")

    review.refresh_from_db()
    review.version.refresh_from_db()
    assert review.current_round.state == Round.State.REJECTED
    assert review.closed_at is not None
    assert review.version.state == ModelVersion.State.REJECTED
    with pytest.raises(Conflict, match="closed"):
        sign(review, "risk", carol)


def test_withdrawn_sign_off_stays_visible_and_does_not_count(review: Review, bob: User, carol: User) -> None:
    given = sign(review, "validator", bob)

    withdraw_sign_off(given, reason="I overlooked the drift.", by=as_(bob))
    sign(review, "risk", carol)

    assert review.current_round.state == Round.State.OPEN
    assert SignOff.objects.count() == 2


def test_nobody_withdraws_the_decision_of_another(review: Review, bob: User, carol: User) -> None:
    given = sign(review, "validator", bob)

    for somebody in (as_(carol), Principal.system("operator")):
        with pytest.raises(Forbidden, match="Only the person who gave"):
            withdraw_sign_off(given, reason="I know better.", by=somebody)


def test_closed_round_never_opens_again(approved: Review, bob: User) -> None:
    given = SignOff.objects.get(person=bob)

    with pytest.raises(Conflict, match="is closed"):
        withdraw_sign_off(given, reason="Too late.", by=as_(bob))
    with pytest.raises(Conflict, match="is closed"):
        sign(approved, "validator", bob)


def test_new_round_starts_without_signatures_and_keeps_the_record(
    review: Review, bob: User, carol: User, alice: User
) -> None:
    sign(review, "validator", bob, decision="request_changes", reason="Explain the age gap.")

    second = open_round(review, by=as_(alice))

    first = review.rounds.get(number=1)
    assert (first.state, second.number, second.state) == (Round.State.CHANGES_REQUESTED, 2, Round.State.OPEN)
    assert not second.sign_offs.exists()
    with pytest.raises(Conflict, match="is closed"):
        sign(first, "risk", carol)


def test_whoever_opens_a_new_round_cannot_sign_it(review: Review, model: object, bob: User) -> None:
    may_request(bob, review.version)
    open_round(review, by=as_(bob))

    with pytest.raises(Forbidden, match="You asked for this review"):
        sign(review, "validator", bob)


def test_only_one_review_per_version_and_stage_is_open(review: Review, alice: User, production: Stage) -> None:
    with pytest.raises(Conflict, match="open already"):
        ask(review.version, production, alice)


def test_withdrawn_review_frees_the_version_for_another(review: Review, alice: User, production: Stage) -> None:
    withdraw_review(review, by=as_(alice))

    review.version.refresh_from_db()
    assert review.version.state == ModelVersion.State.REGISTERED
    assert ask(review.version, production, alice).current_round.is_open


def test_quarantined_version_cannot_be_submitted(
    model: object, make_version: MakeVersion, alice: User, production: Stage
) -> None:
    from registry.store import ArtifactStore
    from tests.factories import stored_tiny_model

    version = registry_actions.register_version(model, stored_tiny_model(ArtifactStore()), admit=False, by=as_(alice))  # type: ignore[arg-type]  # the fixture

    with pytest.raises(Conflict):
        ask(version, production, alice)


def test_review_needs_a_reason_and_a_future_date(candidate: ModelVersion, production: Stage, alice: User) -> None:
    with pytest.raises(Invalid) as caught:
        request_review(candidate, production, why=" ", due_at=timezone.now() - timedelta(days=1), by=as_(alice))

    assert set(caught.value.errors) == {"why", "due_at"}


def test_onlooker_cannot_request_a_review(candidate: ModelVersion, production: Stage, dave: User) -> None:
    with pytest.raises(Forbidden, match="request_review"):
        ask(candidate, production, dave)


def test_policy_published_meanwhile_asks_for_a_new_round(
    review: Review, bob: User, carol: User, alice: User, erin: User, dave: User
) -> None:
    sign(review, "validator", bob)
    publish_stricter_policy(erin, dave)

    with pytest.raises(Conflict, match="A policy was published since"):
        sign(review, "risk", carol)
    assert "policy-changed" in [one.key for one in examine(review.version, review.stage).unmet]
    open_round(review, by=as_(alice))
    approve(review, bob, carol)

    assert review.current_round.state == Round.State.APPROVED


def test_policy_that_does_not_type_check_is_not_saved(erin: User) -> None:
    access_actions.assign_role(_role("Policy author"), to=erin, by=Principal.system("operator"))
    content = PolicyVersion.objects.get(policy__name="staging").content
    content["gates"][0]["passes"] = "scan.admited"

    with pytest.raises(Invalid, match=r"Did you mean scan\.admitted"):
        draft_policy("staging", content, by=as_(erin))

    assert PolicyVersion.objects.filter(policy__name="staging").count() == 1


def test_policy_with_a_group_that_does_not_exist_is_not_saved(erin: User) -> None:
    access_actions.assign_role(_role("Policy author"), to=erin, by=Principal.system("operator"))
    content = PolicyVersion.objects.get(policy__name="staging").content
    content["slots"][0]["group"] = "The moon"

    with pytest.raises(Invalid, match="There is no group The moon"):
        draft_policy("staging", content, by=as_(erin))


def test_the_longest_reason_is_taken(review: Review, bob: User) -> None:
    assert len(sign(review, "validator", bob, reason="x" * MAX_REASON).reason) == MAX_REASON


def test_every_decision_is_in_the_ledger(review: Review, bob: User) -> None:
    before = Pending.objects.count()

    sign(review, "validator", bob)

    payloads = [bytes(row.payload).decode() for row in Pending.objects.order_by("pk")[before:]]
    assert any(f'"{Action.SIGN_OFF_GIVE.value}"' in payload for payload in payloads)


def test_refused_decision_is_in_the_ledger(review: Review, alice: User) -> None:
    join(alice, "Model validation")
    with pytest.raises(Forbidden):
        sign(review, "validator", alice)

    last = bytes(Pending.objects.latest("pk").payload).decode()
    assert Action.SIGN_OFF_GIVE.value in last
    assert '"outcome":"denied"' in last


def may_request(user: User, version: ModelVersion) -> None:
    for permission in (Permission.SEE_MODEL, Permission.REQUEST_REVIEW):
        grant(version.model, permission, to=user, by=Principal.system("operator"))


def publish_stricter_policy(author: User, signer: User) -> PolicyVersion:
    content = PolicyVersion.objects.get(policy__name="production-tier-1", status="published").content
    content["valid_months"] = 6
    return publish("production-tier-1", content, author=make_author(author), signer=make_signer(signer))


def _role(name: str):
    from access.models import Role

    return Role.objects.get(name=name)
