"""Policies are put in force by signatures, and by nothing else."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.utils import timezone

from access.models import User
from access.stepup import Rehearsal, StatementReady
from countersign.proof.dsse import envelope_digest
from foundation.refusals import Conflict, Forbidden, Invalid
from notices.models import Notification
from registry.models import Stage
from reviews.actions import draft_policy, propose_policy, sign_policy, take_back_policy
from reviews.actions.drafts import possible_signers
from reviews.models import PolicyRehearsal, PolicySignature, PolicyVersion, Review
from reviews.publication import approvals_of, read_policy_signature, why_not_in_force
from reviews.rulebook import document_of, in_force, rules_for
from reviews.shipped import is_shipped, shipped_policies
from tests.conftest import as_
from tests.databases import without_triggers
from tests.reviews.conftest import proof_of
from tests.reviews.publishing import make_author, make_signer, propose, publish, sign
from tests.sealing import resealed

pytestmark = pytest.mark.django_db


def stricter(name: str = "staging", **changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(shipped_policies()[name]), "valid_months": 3, **changes}


@pytest.fixture
def author(erin: User) -> User:
    return make_author(erin)


@pytest.fixture
def proposed(author: User, carol: User) -> PolicyVersion:
    return propose("staging", stricter(), author=author)


def stage(name: str = "staging") -> Stage:
    return Stage.objects.get(name=name)


class TestSigning:
    """Whose signatures put a text in force."""

    def test_last_signature_that_is_needed_puts_it_in_force(self, proposed: PolicyVersion, carol: User) -> None:
        sign(proposed, carol)

        proposed.refresh_from_db()
        assert (proposed.status, proposed.published_by) == ("published", carol)
        assert PolicyVersion.objects.get(policy__name="staging", number=1).status == "retired"
        assert rules_for(2, stage()).valid_months == 3

    def test_an_author_cannot_put_their_own_text_in_force(self, author: User) -> None:
        version = propose("staging", stricter(), author=author)
        make_signer(author)

        with pytest.raises(Forbidden, match="You wrote or proposed this text"):
            sign(version, author)

    def test_everybody_who_saved_the_draft_is_its_author(self, author: User, carol: User, dave: User) -> None:
        draft_policy("staging", stricter(), by=as_(make_author(carol)))
        version = propose("staging", stricter(), author=author)

        with pytest.raises(Forbidden, match="You wrote or proposed this text"):
            sign(version, carol)
        assert carol not in possible_signers(version, document_of(version))

    def test_whoever_proposes_it_does_not_sign_it(self, author: User, carol: User) -> None:
        draft = draft_policy("staging", stricter(), by=as_(author))
        version = propose_policy(draft, by=as_(make_author(carol)))

        with pytest.raises(Forbidden, match="You wrote or proposed this text"):
            sign(version, carol)

    def test_the_version_in_force_says_who_signs_whatever_the_new_text_says(
        self, author: User, bob: User, carol: User
    ) -> None:
        make_signer(bob, "Model validation")
        version = propose("staging", stricter(changed_by={"group": "Model validation", "people": 1}), author=author)

        with pytest.raises(Forbidden, match="asks for signatures from Risk officers"):
            sign(version, bob)
        sign(version, carol)

        following = propose("staging", stricter(valid_months=4), author=author)
        with pytest.raises(Forbidden, match="asks for signatures from Model validation"):
            sign(following, carol)
        sign(following, bob)

    def test_a_first_version_says_itself_who_signs_it(self, author: User, bob: User, carol: User) -> None:
        text = stricter(changed_by={"group": "Model validation", "people": 1})
        version = propose("extra", text, author=author)

        with pytest.raises(Forbidden, match="This first version asks for signatures from Model validation"):
            sign(version, carol)
        sign(version, make_signer(bob, "Model validation"))

        assert {one.policy.name for one, _ in in_force()} >= {"extra"}

    def test_a_member_of_the_group_without_the_permission_does_not_sign(self, author: User, bob: User) -> None:
        text = stricter(changed_by={"group": "Model validation", "people": 1})
        version = propose("extra", text, author=author)

        with pytest.raises(Forbidden, match=r"policies\.publish"):
            sign(version, bob)

    def test_two_are_two_different_people(self, author: User, carol: User, dave: User) -> None:
        version = propose("extra", stricter(changed_by={"group": "Risk officers", "people": 2}), author=author)
        sign(version, carol)

        with pytest.raises(Conflict, match="signed this proposal already"):
            sign(version, carol)
        version.refresh_from_db()
        assert version.status == "proposed"
        sign(version, make_signer(dave))

        version.refresh_from_db()
        assert version.status == "published"

    def test_nobody_changes_the_rules_of_their_own_round(self, review: Review, alice: User, author: User) -> None:
        version = propose("production-tier-1", stricter("production-tier-1"), author=author)

        with pytest.raises(Forbidden, match="Nobody changes the rules of their own round"):
            sign(version, make_signer(alice))

    def test_nobody_proposes_rules_for_their_own_round(self, review: Review, alice: User) -> None:
        with pytest.raises(Forbidden, match="Nobody changes the rules of their own round"):
            propose("production-tier-1", stricter("production-tier-1"), author=make_author(alice))

    def test_a_colleague_does_not_propose_what_the_requester_wrote(
        self, review: Review, alice: User, author: User
    ) -> None:
        draft = draft_policy("production-tier-1", stricter("production-tier-1"), by=as_(make_author(alice)))

        with pytest.raises(Forbidden, match="Alice Moreau, an author of this draft, requested"):
            propose_policy(draft, by=as_(author))

    def test_a_draft_is_not_signed(self, author: User, carol: User) -> None:
        draft = draft_policy("staging", stricter(), by=as_(author))

        with pytest.raises(Conflict, match="only a proposed text is signed"):
            sign(draft, carol)

    def test_a_reason_is_needed(self, proposed: PolicyVersion, carol: User) -> None:
        with pytest.raises(Invalid, match="Give the reason"):
            sign_policy(proposed, decision="approve", reason=" ", reauthentication=proof_of(carol), by=as_(carol))

    def test_a_method_that_the_rules_in_force_do_not_accept_is_refused(self, author: User, carol: User) -> None:
        first = propose("extra", stricter(reauthentication=["totp"]), author=author)
        with pytest.raises(Conflict) as refused:
            sign(first, carol)
        assert refused.value.code == "method-not-accepted"
        sign_policy(first, decision="approve", reason="Read.", reauthentication=proof_of(carol, "totp"), by=as_(carol))
        version = propose("extra", stricter(), author=author)

        with pytest.raises(Conflict) as refused:
            sign(version, carol)
        assert refused.value.code == "method-not-accepted"

    def test_a_passkey_signs_the_very_statement_that_is_kept(self, proposed: PolicyVersion, carol: User) -> None:
        with pytest.raises(StatementReady) as ready:
            sign_policy(proposed, decision="approve", reason="Read.", reauthentication=Rehearsal.now(), by=as_(carol))

        assert len(ready.value.digest) == 64
        assert not PolicySignature.objects.exists()

    def test_its_authors_are_told(self, proposed: PolicyVersion, author: User, carol: User) -> None:
        sign(proposed, carol)

        assert Notification.objects.filter(person=carol, title__contains="waits for your signature").exists()
        assert Notification.objects.filter(person=author, title__contains="is in force").exists()


class TestSendingBack:
    """A proposal that is not accepted is a draft again."""

    def test_sent_back_is_a_draft_with_the_reason_kept(
        self, proposed: PolicyVersion, author: User, carol: User
    ) -> None:
        sign(proposed, carol, "return")

        proposed.refresh_from_db()
        assert proposed.status == "draft"
        assert PolicySignature.objects.get().reason == "I read the difference and the rehearsal."
        assert Notification.objects.filter(person=author, title__contains="was sent back").exists()

    def test_signatures_of_an_earlier_proposal_count_for_nothing(self, author: User, carol: User, dave: User) -> None:
        version = propose("extra", stricter(changed_by={"group": "Risk officers", "people": 2}), author=author)
        sign(version, carol)
        take_back_policy(version, by=as_(author))
        version.refresh_from_db()
        propose_policy(version, by=as_(author))

        sign(version, make_signer(dave))

        version.refresh_from_db()
        assert version.status == "proposed"
        sign(version, carol)
        version.refresh_from_db()
        assert version.status == "published"

    def test_only_an_author_takes_it_back(self, proposed: PolicyVersion, dave: User) -> None:
        with pytest.raises(Forbidden, match="Only its authors"):
            take_back_policy(proposed, by=as_(make_author(dave)))

    def test_a_proposed_text_is_not_edited(self, proposed: PolicyVersion, author: User) -> None:
        with pytest.raises(Conflict, match="waits for its signatures and cannot be changed"):
            draft_policy("staging", stricter(valid_months=9), by=as_(author))

    def test_a_published_text_is_not_taken_back(self, proposed: PolicyVersion, author: User, carol: User) -> None:
        sign(proposed, carol)

        with pytest.raises(Conflict, match="only a proposed text can be taken back"):
            take_back_policy(proposed, by=as_(author))

    def test_a_key_that_does_not_fit_beside_the_policys_name_is_named(self, author: User) -> None:
        with pytest.raises(Invalid, match=r"longer than 62 characters") as refused:
            draft_policy("x" * 55, stricter(), by=as_(author))

        assert "slots[0].key" in refused.value.errors

    def test_a_group_that_does_not_exist_is_named(self, author: User) -> None:
        with pytest.raises(Invalid, match="There is no group The moon"):
            draft_policy("extra", stricter(changed_by={"group": "The moon"}), by=as_(author))


class TestRehearsedFirst:
    """Nobody signs what nobody worked out."""

    def test_the_statement_cites_the_rehearsal(self, proposed: PolicyVersion, carol: User) -> None:
        given = sign(proposed, carol)

        said = read_policy_signature(given.statement)
        assert said.rehearsal == PolicyRehearsal.objects.get().digest
        assert said.digest == proposed.digest

    def test_a_text_that_was_not_rehearsed_is_not_signed(self, proposed: PolicyVersion, carol: User) -> None:
        with connection.cursor() as cursor:
            cursor.execute("DROP TRIGGER IF EXISTS reviews_policyrehearsal_no_delete")
        PolicyRehearsal.objects.all().delete()

        with pytest.raises(Conflict, match="has not been rehearsed"):
            sign(proposed, carol)

    def test_another_rehearsal_than_the_one_that_was_read_is_a_conflict(
        self, proposed: PolicyVersion, carol: User
    ) -> None:
        with pytest.raises(Conflict) as refused:
            sign(proposed, carol, expected_rehearsal="0" * 64)

        assert refused.value.code == "rehearsal-changed"


class TestForgery:
    """What somebody writes into the database does not become a rule."""

    def test_what_ships_is_in_force(self, db: None) -> None:
        assert [version.policy.name for version, _ in in_force()] == sorted(shipped_policies())

    def test_a_row_that_only_says_published_is_not_in_force(self, author: User) -> None:
        draft = draft_policy("staging", stricter(slots=shipped_policies()["staging"]["slots"]), by=as_(author))
        PolicyVersion.objects.filter(policy=draft.policy, status="published").update(status="retired")
        PolicyVersion.objects.filter(pk=draft.pk).update(status="published", published_at=timezone.now())

        assert not rules_for(1, stage()).slots

    def test_a_row_that_pretends_to_ship_is_not_in_force(self, author: User) -> None:
        draft = draft_policy("extra", stricter(), by=as_(author))
        PolicyVersion.objects.filter(pk=draft.pk).update(
            status="published", published_at=timezone.now(), created_by=None
        )

        assert "extra" not in {version.policy.name for version, _ in in_force()}

    def test_an_older_text_that_was_put_back_is_not_in_force(self, proposed: PolicyVersion, carol: User) -> None:
        sign(proposed, carol)
        with connection.cursor() as cursor:
            cursor.execute("DROP TRIGGER IF EXISTS reviews_policyversion_stays_retired")
        PolicyVersion.objects.filter(pk=proposed.pk).update(status="retired")
        PolicyVersion.objects.filter(policy=proposed.policy, number=1).update(status="published")

        assert not rules_for(1, stage()).slots

    def test_a_signature_under_another_text_counts_for_nothing(
        self, proposed: PolicyVersion, carol: User, author: User
    ) -> None:
        given = sign(proposed, carol)
        other = draft_policy("staging", stricter(valid_months=9), by=as_(author))
        other.status, other.proposed_at = PolicyVersion.Status.PUBLISHED, proposed.proposed_at

        assert why_not_in_force(other, [given]) == "No valid signature put it in force."

    def test_a_changed_statement_counts_for_nothing(self, proposed: PolicyVersion, carol: User) -> None:
        given = sign(proposed, carol)
        proposed.refresh_from_db()
        proposed.policy.name = "staging"
        assert why_not_in_force(proposed, [given]) == ""
        given.statement["payload"] = given.statement["payload"][:-4] + "AAAA"

        assert approvals_of(proposed, [given]) == []

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({"decision": "return"}, "No valid signature put it in force."),
            ({"authors": "signer"}, "No valid signature put it in force."),
            ({"number": 99}, "No valid signature put it in force."),
            ({"policy": "another"}, "No valid signature put it in force."),
            ({"proposed": "2020-01-01T00:00:00+00:00"}, "No valid signature put it in force."),
            ({"kind": "https://countersign.dev/sign-off/v1"}, "No valid signature put it in force."),
            ({"artifact": "0" * 64}, "No valid signature put it in force."),
            ({"reauthentication": {"method": "passkey"}}, "No valid signature put it in force."),
            ({"needs": {"group": "Risk officers", "people": 2}}, "1 of 2 valid signatures put it in force."),
        ],
        ids=lambda one: next(iter(one)) if isinstance(one, dict) else "",
    )
    def test_a_statement_that_says_something_else_puts_nothing_in_force(
        self, proposed: PolicyVersion, carol: User, changes: dict[str, Any], why: str
    ) -> None:
        given = sign(proposed, carol)
        found = PolicyVersion.objects.select_related("policy").get(pk=proposed.pk)
        said: dict[str, Any] = {
            name: [str(carol.uuid)] if value == "signer" else value for name, value in changes.items()
        }
        envelope = resealed(given.statement, **said)
        given.statement, given.statement_digest = dict(envelope), envelope_digest(envelope)

        assert why_not_in_force(found, [given]) == why

    def test_a_statement_under_another_digest_than_its_row_puts_nothing_in_force(
        self, proposed: PolicyVersion, carol: User
    ) -> None:
        given = sign(proposed, carol)
        given.statement = dict(resealed(given.statement, reason="I like it."))

        assert approvals_of(PolicyVersion.objects.select_related("policy").get(pk=proposed.pk), [given]) == []

    def test_what_was_signed_and_retired_is_not_in_force(self, proposed: PolicyVersion, carol: User) -> None:
        given = sign(proposed, carol)
        proposed.refresh_from_db()
        proposed.status = PolicyVersion.Status.RETIRED

        assert why_not_in_force(proposed, [given]) == "It is retired."

    def test_the_words_of_a_shipped_text_under_somebodys_name_are_not_in_force(self, author: User) -> None:
        version = PolicyVersion.objects.select_related("policy").get(policy__name="staging", number=1)
        assert why_not_in_force(version, []) == ""

        version.created_by = author

        assert why_not_in_force(version, []) == "No valid signature put it in force."

    def test_a_text_that_was_changed_after_it_was_proposed_is_not_signed(
        self, proposed: PolicyVersion, carol: User
    ) -> None:
        with without_triggers():
            PolicyVersion.objects.filter(pk=proposed.pk).update(content=proposed.content | {"valid_months": 60})

        with pytest.raises(Conflict, match="does not match its digest"):
            sign(proposed, carol)

    def test_shipped_texts_are_known_by_what_they_say(self, db: None) -> None:
        version = PolicyVersion.objects.get(policy__name="staging")

        assert is_shipped("staging", 1, version.content)
        assert not is_shipped("staging", 2, version.content)
        assert not is_shipped("staging", 1, {**version.content, "valid_months": 60})
        assert not is_shipped("staging", 1, {"nothing": True})


def test_publishing_twice_in_a_second_keeps_the_order(author: User, carol: User) -> None:
    with time_machine.travel("2027-01-04 09:00:00Z", tick=False):
        publish("staging", stricter(), author=author, signer=carol)
        newest = publish("staging", stricter(valid_months=4), author=author, signer=carol)

    assert rules_for(1, stage()).refs[0].number == newest.number
