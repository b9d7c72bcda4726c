"""What a certificate says: names, times, meanings and methods from the signed statements; and in large words when it does not hold."""

from __future__ import annotations

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
from registry.models import ModelVersion
from reports.certificate import Holds, certificate_of
from reports.signed import logged_of
from reviews.models import Approval, Review
from reviews.revocation import revoke
from tests.audit.conftest import happen, ledger_of_its_own, sequencer
from tests.conftest import as_
from tests.reviews.conftest import proof_of

__all__ = ["ledger_of_its_own", "sequencer"]

ClientFor = Callable[[User], Client]


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
