"""What a certificate says: names, times, meanings and methods from the signed statements; and in large words when it does not hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from access.models import User
from audit import keys
from audit.actions import append_alone
from audit.events import Action, Obj
from audit.receipts import forget_tiles, issue_receipt
from audit.sequencer import Sequencer
from countersign.proof.merkle import leaf_hash
from countersign.proof.receipts import verify_receipt
from foundation.refusals import Conflict
from registry.models import Alias, ModelVersion, Stage
from registry.queries import evidence_of
from reports.brief import charts
from reports.certificate import Holds, Receipt, certificate_of
from reports.pdf import printed
from reports.signed import Logged, logged_of
from reviews.models import Approval, GateResult, Grace, Lapse, RetrainingEnvelope, Review, Revocation
from reviews.promotion import promote, requirements
from reviews.revocation import revoke
from tests.audit.conftest import happen, ledger_of_its_own, sequencer
from tests.conftest import as_
from tests.databases import without_triggers
from tests.reports.standing import allow_exceptions, except_gate
from tests.reports.test_signed import renewed
from tests.reviews.conftest import MakeCandidate, approve, ask, proof_of
from tests.reviews.test_envelopes import Trained, base, clock, envelope, source, trained
from tests.reviews.test_people import registered_the_same_bytes
from tests.reviews.test_renewal import at

__all__ = ["base", "clock", "envelope", "ledger_of_its_own", "sequencer", "source", "trained"]

ClientFor = Callable[[User], Client]
DAY = timedelta(days=1)


def test_prints_name_time_meaning_and_method_of_every_signature(released: ModelVersion) -> None:
    found = certificate_of(released, at=timezone.now())

    assert found.holds is Holds.IN_FORCE
    assert [(one.name, one.decision, one.method) for one in found.signatures] == [
        ("Bob Lindqvist", "Approve", "Password"),
        ("Carol Adeyemi", "Approve", "Password"),
    ]
    assert all(one.meaning.startswith("I reviewed the evidence") and one.signed_at.tzinfo for one in found.signatures)
    assert found.policies
    assert found.subject_digest == found.approval.round.subject_digest


def test_what_is_printed_was_signed_and_is_not_what_a_row_says(released: ModelVersion, bob: User) -> None:
    User.objects.filter(pk=bob.pk).update(display_name="Somebody Else")

    found = certificate_of(released, at=timezone.now())

    assert {one.name for one in found.signatures} == {"Bob Lindqvist", "Carol Adeyemi"}
    assert {one.reason for one in found.signatures} == {"I read it all."}


def test_a_version_that_was_never_approved_has_none_and_the_refusal_says_what_is_missing(
    candidate: ModelVersion,
) -> None:
    with pytest.raises(Conflict, match="has not been approved") as caught:
        certificate_of(candidate, at=timezone.now())

    assert {one.key for one in caught.value.unmet} >= {"slot-validator", "slot-risk"}


def test_an_approval_without_release_says_so(approved: Review) -> None:
    found = certificate_of(approved.version, at=timezone.now())

    assert found.holds is Holds.NOT_RELEASED
    assert "has not been promoted" in found.why_not


def test_a_revoked_approval_prints_so_with_the_reason(released: ModelVersion, carol: User) -> None:
    revoke(released, reason="Data breach.", reauthentication=proof_of(carol), by=as_(carol))

    found = certificate_of(released, at=timezone.now())

    assert (found.holds, found.in_force) == (Holds.REVOKED, False)
    assert found.revocation is not None
    assert found.revocation.reason == "Data breach."
    assert len(found.signatures) == 2


def test_an_expired_approval_prints_so(released: ModelVersion) -> None:
    end = Approval.objects.get().valid_until

    found = certificate_of(released, at=end + timedelta(seconds=1))

    assert found.holds is Holds.EXPIRED
    assert len(found.signatures) == 2


def test_an_approval_whose_version_was_moved_by_hand_does_not_hold(released: ModelVersion) -> None:
    ModelVersion.objects.update(state=ModelVersion.State.REGISTERED)

    found = certificate_of(released, at=timezone.now())

    assert found.holds is Holds.UNSOUND
    assert found.holds.heading == "DOES NOT HOLD"


def test_the_page_shows_it_to_those_who_may_see_the_model(
    released: ModelVersion, client_for: ClientFor, dave: User, scorer: User
) -> None:
    address = f"/models/{released.model.name}/v/{released.number}/certificate/"

    page = client_for(dave).get(address)

    text = page.content.decode()
    assert page.status_code == 200
    assert "Bob Lindqvist" in text
    assert released.digest in text
    assert "In force" in text


def test_the_page_of_a_revoked_approval_says_so_in_large_words(
    released: ModelVersion, client_for: ClientFor, carol: User
) -> None:
    revoke(released, reason="Data <b>breach</b>.", reauthentication=proof_of(carol), by=as_(carol))

    text = client_for(carol).get(f"/models/credit/v/{released.number}/certificate/").content.decode()

    assert "<h2>REVOKED</h2>" in text
    assert "&lt;b&gt;breach" in text


def test_absent_forbidden_and_unapproved_are_told_apart_only_for_those_who_may_see(
    candidate: ModelVersion, client_for: ClientFor, dave: User
) -> None:
    client = client_for(dave)

    assert client.get("/models/credit/v/99/certificate/").status_code == 404
    assert client.get("/models/nothing/v/1/certificate/").status_code == 404
    assert client.get(f"/models/credit/v/{candidate.number}/certificate/").status_code == 409
    nobody = Client().get(f"/models/credit/v/{candidate.number}/certificate/")
    assert nobody.status_code in {302, 401, 404}
    assert candidate.digest not in nobody.content.decode()


def test_reading_the_page_takes_a_fixed_number_of_statements(
    released: ModelVersion, client_for: ClientFor, dave: User, django_assert_max_num_queries
) -> None:
    client = client_for(dave)

    with django_assert_max_num_queries(70):
        client.get(f"/models/credit/v/{released.number}/certificate/")


def test_the_certificate_ends_with_its_approval(released: ModelVersion, client_for: ClientFor, dave: User) -> None:
    end = Approval.objects.get().valid_until
    with time_machine.travel(end + timedelta(days=1), tick=False):
        found = certificate_of(released, at=timezone.now())

    assert found.why_not.startswith("The approval has run out")


def test_every_step_and_signature_carries_its_entry_and_hash_under_a_checkpoint_that_stays(
    sequencer: Sequencer, released: ModelVersion, dave: User, client_for: ClientFor
) -> None:
    forget_tiles()
    sequencer.tick()
    found = certificate_of(released, at=timezone.now())
    happen()
    sequencer.tick()

    later = certificate_of(released, at=timezone.now())

    assert later.receipt == found.receipt
    assert found.receipt.checkpoint is not None
    named = dict(found.receipt.steps) | {one.names: one.logged for one in found.signatures}
    assert list(named) == ["Review asked for", "Approved", "Released", "Bob Lindqvist", "Carol Adeyemi"]
    for one in named.values():
        assert one is not None
        proven = verify_receipt(
            issue_receipt(one.entry, found.receipt.checkpoint.note).encode(), keys.trusted_verifiers()
        )
        assert leaf_hash(proven.payload).hex() == one.leaf
    page = client_for(dave).get("/models/credit/v/1/certificate/").content.decode()
    assert all(one is not None and one.leaf in page for one in named.values())


def test_each_signature_of_a_break_glass_has_an_entry_of_its_own(sequencer: Sequencer, alice: User) -> None:
    case = Obj(kind="break_glass", id="b1")
    for action, digest in ((Action.BREAK_GLASS_ASK, "aa"), (Action.BREAK_GLASS_SECOND, "bb")):
        append_alone(action, by=as_(alice), obj=case, after={"statement": digest})
    sequencer.tick()

    first, second = logged_of(case, statement="aa"), logged_of(case, statement="bb")

    assert first is not None
    assert second is not None
    assert second.entry == first.entry + 1


def test_it_may_be_relied_upon_before_it_is_released_and_while_it_is_in_force(
    approved: Review, production: Stage, rita: User
) -> None:
    before = certificate_of(approved.version, at=timezone.now())
    promote(approved.version, production, by=as_(rita))
    after = certificate_of(approved.version, at=timezone.now())

    assert [(one.holds, one.in_force) for one in (before, after)] == [
        (Holds.NOT_RELEASED, True),
        (Holds.IN_FORCE, True),
    ]
    assert (after.ahead_of_review, after.by_envelope) == (False, False)


def test_what_a_signer_does_afterwards_takes_no_signature_from_it(released: ModelVersion, bob: User) -> None:
    registered_the_same_bytes(bob, released)

    with time_machine.travel(timezone.now() + timedelta(hours=1)):
        found = certificate_of(released, at=timezone.now())

    assert [one.name for one in found.signatures] == ["Bob Lindqvist", "Carol Adeyemi"]


@pytest.mark.parametrize("row", ["approval", "revocation"])
def test_a_revocation_shows_whichever_row_of_it_somebody_took_away(
    released: ModelVersion, make_candidate: MakeCandidate, carol: User, row: str
) -> None:
    revoke(released, reason="Data breach.", reauthentication=proof_of(carol), by=as_(carol))
    with without_triggers():
        if row == "approval":
            Approval.objects.update(revocation=None)
        else:
            Revocation.objects.update(version=make_candidate())

    found = certificate_of(ModelVersion.objects.get(pk=released.pk), at=timezone.now())

    assert found.holds is Holds.REVOKED
    assert found.revocation == Revocation.objects.get()


def test_gates_that_passed_are_counted_and_those_beside_them_named(
    make_candidate: MakeCandidate, production: Stage, alice: User, bob: User, carol: User
) -> None:
    allow_exceptions("auc-floor", slot="risk")
    review = ask(make_candidate(auc=0.70), production, alice)
    except_gate(review, "auc-floor", carol)
    approve(review, bob, carol)
    results = GateResult.objects.filter(round=review.current_round)
    with without_triggers():
        results.filter(pk=results.filter(status="satisfied")[0].pk).update(status="not_applicable")
    statuses = Counter(results.values_list("status", flat=True))

    found = certificate_of(review.version, at=timezone.now())

    assert found.gates_passed == statuses.pop("satisfied") > 1
    assert statuses.pop("not_applicable") > 0
    assert len(found.gates_open) == statuses.total() > 0
    assert "auc-floor" in {one.key for one in found.gates_open}


def test_it_is_drawn_with_the_version_that_it_was_compared_with(
    released: ModelVersion, make_candidate: MakeCandidate, production: Stage, alice: User, bob: User, carol: User
) -> None:
    newer = make_candidate()
    approve(ask(newer, production, alice), bob, carol)

    found = certificate_of(newer, at=timezone.now())

    own = evidence_of(newer)
    assert found.compared_with == released
    assert found.charts == charts(newer, own, released, evidence_of(released))
    assert found.charts != charts(newer, own, released, {})


def test_of_several_stages_the_highest_is_shown_unless_one_is_named(approved: Review, candidate: ModelVersion) -> None:
    first = Approval.objects.get()
    staging = Stage.objects.get(name="staging")
    lower = renewed(first)
    with without_triggers():
        Approval.objects.filter(pk=lower.pk).update(stage=staging)

    found = certificate_of(candidate, at=timezone.now())
    assert (found.approval, found.successor) == (first, None)
    assert certificate_of(candidate, at=timezone.now(), stage=staging).approval == lower


def test_the_newest_approval_is_shown_and_succeeds_all_before_it(approved: Review) -> None:
    first = Approval.objects.get()
    second = renewed(first)
    third = renewed(second)
    assert certificate_of(approved.version, at=timezone.now()).approval == third
    with without_triggers():
        Approval.objects.update(approved_at=first.approved_at)

    assert certificate_of(approved.version, at=timezone.now()).approval == third
    assert certificate_of(approved.version, at=timezone.now(), number=first.pk).successor == third


def test_an_approval_of_another_version_succeeds_none(
    approved: Review, make_candidate: MakeCandidate, production: Stage, alice: User, bob: User, carol: User
) -> None:
    approve(ask(make_candidate(), production, alice), bob, carol)

    found = certificate_of(approved.version, at=timezone.now())

    assert (found.holds, found.successor) == (Holds.NOT_RELEASED, None)


def test_a_revoked_approval_succeeds_none(approved: Review, carol: User) -> None:
    first = Approval.objects.get()
    renewed(first)
    revoke(approved.version, reason="Data breach.", reauthentication=proof_of(carol), by=as_(carol))
    with without_triggers():
        Approval.objects.filter(pk=first.pk).update(revocation=None)

    assert certificate_of(approved.version, at=timezone.now(), number=first.pk).successor is None


def test_what_is_missing_is_said_for_the_stage_that_was_asked_for(candidate: ModelVersion, production: Stage) -> None:
    staging = Stage.objects.get(name="staging")
    said = {}
    for stage in (None, staging):
        with pytest.raises(Conflict) as refused:
            certificate_of(candidate, at=timezone.now(), stage=stage)
        said[stage] = refused.value

    assert said[None].requirements == requirements(candidate, production) != said[staging].requirements
    assert said[staging].requirements == requirements(candidate, staging)
    assert (said[None].code, said[None].title) == ("no-approval", "No certificate")


def test_it_ends_at_the_very_moment_until_which_it_is_valid(released: ModelVersion) -> None:
    end = Approval.objects.get().valid_until

    holds = [certificate_of(released, at=moment).holds for moment in (end - timedelta(microseconds=1), end)]

    assert holds == [Holds.IN_FORCE, Holds.EXPIRED]


def test_an_approval_that_the_clock_found_expired_is_expired(released: ModelVersion) -> None:
    Lapse.objects.create(
        approval=Approval.objects.get(), kind=Lapse.Kind.EXPIRED, reason="It ran out.", at=timezone.now()
    )

    found = certificate_of(released, at=timezone.now())

    assert (found.holds, found.in_force) == (Holds.EXPIRED, False)
    assert found.why_not.startswith("The approval has run out")


def test_pulls_go_on_after_the_end_until_the_policy_s_moment_and_only_of_what_was_released(
    released: ModelVersion,
) -> None:
    approval = Approval.objects.get()
    until = approval.valid_until + 30 * DAY
    Approval.objects.update(pulls_until=until)

    before, then = (certificate_of(released, at=at).why_not for at in (until - timedelta(microseconds=1), until))
    with without_triggers():
        Approval.objects.update(promotion=None)
    unreleased = certificate_of(released, at=approval.valid_until).why_not

    assert "pull it until" in before
    assert "pull it until" not in then + unreleased


def test_what_has_to_be_met_is_told_until_its_moment_and_only_while_the_approval_stands(released: ModelVersion) -> None:
    approval = Approval.objects.get()
    until = timezone.now() + DAY
    Grace.objects.create(
        approval=approval, policy_version=approval.round.policies.get(), until=until, unmet=["No audit.", "No owner."]
    )

    before, then = (certificate_of(released, at=at).notes for at in (until - timedelta(microseconds=1), until))
    Lapse.objects.create(approval=approval, kind=Lapse.Kind.GRACE, reason="Too late.", at=timezone.now())
    ended = certificate_of(released, at=timezone.now()).notes

    assert before == (f"A policy was tightened: it has to be met by {until:%d %B %Y}. Not met: No audit. No owner.",)
    assert (then, ended) == ((), ())


def test_a_release_whose_alias_is_gone_says_that_nothing_is_live(released: ModelVersion) -> None:
    Alias.objects.all().delete()

    assert certificate_of(released, at=timezone.now()).notes == ("It is not live in production any more: nothing is.",)


def test_an_approval_that_was_never_released_is_not_said_to_be_live_no_more(approved: Review) -> None:
    assert certificate_of(approved.version, at=timezone.now()).notes == ()


def test_one_by_a_retraining_envelope_names_those_who_signed_in_advance(
    envelope: RetrainingEnvelope, base: ModelVersion, trained: Trained, client_for: ClientFor, dave: User
) -> None:
    version = trained(of=base, auc=0.851)
    at(timezone.now())

    found = certificate_of(version, at=timezone.now())

    assert (found.by_envelope, found.ahead_of_review, found.holds) == (True, False, Holds.IN_FORCE)
    assert [one.name for one in found.signatures] == ["Bob Lindqvist", "Carol Adeyemi"]
    assert found.conditions == ()
    page = client_for(dave).get(f"/models/credit/v/{version.number}/certificate/").content.decode()
    assert "By a retraining envelope" in page
    assert "By a retraining envelope" in printed(found)


@pytest.mark.parametrize(
    ("review", "promotion", "entry"),
    [(None, None, None), (Logged(1, "aa"), None, 1), (Logged(1, "aa"), Logged(3, "cc"), 3)],
)
def test_its_entry_is_the_release_s_else_the_review_s(
    review: Logged | None, promotion: Logged | None, entry: int | None
) -> None:
    receipt = Receipt(review, None, promotion, None)

    assert receipt.entry == entry
    assert len(receipt.steps) == sum(one is not None for one in (review, promotion))


def test_no_checkpoint_is_named_while_a_step_is_not_in_the_ledger(sequencer: Sequencer, approved: Review) -> None:
    assert certificate_of(approved.version, at=timezone.now()).receipt == Receipt(None, None, None, None)
    forget_tiles()
    sequencer.tick()

    found = certificate_of(approved.version, at=timezone.now()).receipt

    assert [title for title, _ in found.steps] == ["Review asked for", "Approved"]
    assert found.checkpoint is not None
