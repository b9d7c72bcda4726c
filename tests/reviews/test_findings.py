"""The life of a finding: who may take which step when, what is recorded, and who is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth.models import Group
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from access import actions as access_actions
from access.models import User
from access.principal import Principal
from access.stepup import Rehearsal, StatementReady
from foundation.refusals import Conflict, Forbidden, Invalid
from notices.models import Notification
from registry.models import ModelVersion
from reviews.actions import (
    answer_finding,
    close_finding,
    comment_on_finding,
    extend_finding,
    open_thread,
    raise_finding,
    return_finding,
    withdraw_finding,
)
from reviews.actions.findings import lapse_condition
from reviews.clock import CLOCK, tick
from reviews.findings import may_verify, verifiers
from reviews.models import Finding, Lapse, PolicyVersion, Review
from reviews.statements import read_extension
from tests.conftest import PASSWORD, as_
from tests.databases import without_triggers
from tests.reviews.conditional import allow_conditions, condition, only_finding, sign_with
from tests.reviews.conftest import MakeCandidate, join, proof_of, sign

pytestmark = pytest.mark.django_db

Browser = Callable[[User], Client]
VALIDATION = "Model validation"


def raised(version: ModelVersion, *, owner: User, by: User, days: float = 10, **changes: object) -> Finding:
    values = {
        "title": "The gap under 25 is not explained",
        "detail": "See the slices.",
        "severity": "major",
        "owner": owner,
        "due_at": timezone.now() + timedelta(days=days),
        "verifying_group": Group.objects.get(name=VALIDATION),
    }
    return raise_finding(version, by=as_(by), **(values | changes))  # type: ignore[arg-type]  # names as the action has them


def blind(user: User) -> None:
    """Take away what lets `user` see models."""
    user.role_assignments.all().delete()


def told(person: User) -> list[str]:
    return [one.title for one in Notification.objects.filter(person=person).order_by("pk")]


@pytest.fixture
def finding(review: Review, alice: User, dave: User) -> Finding:
    """Raised by dave, owned by alice, verified by model validators."""
    return raised(review.version, owner=alice, by=dave)


@pytest.fixture
def answered(finding: Finding, alice: User) -> Finding:
    answer_finding(finding, "Explained in the card.", by=as_(alice))
    finding.refresh_from_db()
    return finding


class TestRaising:
    def test_its_owner_is_told_and_whoever_raised_it_is_not(self, finding: Finding, alice: User, dave: User) -> None:
        assert finding.state == "open"
        assert "You owe: The gap under 25 is not explained" in told(alice)
        assert told(dave) == []
        assert [event.kind for event in finding.events.all()] == ["raised"]

    def test_it_decides_nothing_about_an_approval(self, finding: Finding, bob: User, carol: User) -> None:
        review = finding.version.reviews.get()
        sign(review, "validator", bob)
        sign(review, "risk", carol)

        assert review.current_round.state == "approved"

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"title": ""}, "title"),
            ({"severity": "terrible"}, "severity"),
            ({"days": -1}, "due_at"),
            ({"detail": "x" * 10_001}, "detail"),
        ],
    )
    def test_what_is_wrong_is_named(
        self, review: Review, alice: User, dave: User, changes: dict[str, float], field: str
    ) -> None:
        with pytest.raises(Invalid) as refused:
            raised(review.version, owner=alice, by=dave, **changes)

        assert set(refused.value.errors) == {field}

    def test_its_owner_is_a_person_who_may_see_the_model(self, review: Review, scorer: User, dave: User) -> None:
        with pytest.raises(Invalid, match="active person"):
            raised(review.version, owner=scorer, by=dave)

    def test_a_thread_about_another_version_is_refused(
        self, review: Review, make_candidate: MakeCandidate, alice: User, dave: User
    ) -> None:
        thread = open_thread(review, "Why?", by=as_(dave))

        with pytest.raises(Invalid, match="about another version"):
            raised(make_candidate(), owner=alice, by=dave, thread=thread)

    def test_who_may_not_see_the_model_raises_nothing(self, review: Review, alice: User, root: User) -> None:
        with pytest.raises(Forbidden):
            raised(review.version, owner=alice, by=root)

    def test_who_may_not_see_the_model_any_more_is_told_nothing(self, review: Review, bob: User, dave: User) -> None:
        finding = raised(review.version, owner=bob, by=dave)
        before = told(bob)
        blind(bob)

        comment_on_finding(finding, "Any news?", by=as_(dave))
        with time_machine.travel(finding.due_at, tick=False):
            tick(finding.due_at)

        assert told(bob) == before


class TestAnswering:
    def test_who_verifies_is_told(self, answered: Finding, bob: User) -> None:
        assert answered.state == "answered"
        assert "To be verified: The gap under 25 is not explained" in told(bob)

    def test_only_its_owner_answers(self, finding: Finding, bob: User) -> None:
        with pytest.raises(Forbidden, match="Only its owner, Alice Moreau"):
            answer_finding(finding, "Done.", by=as_(bob))

    def test_once(self, answered: Finding, alice: User) -> None:
        with pytest.raises(Conflict, match="answered already"):
            answer_finding(answered, "Done again.", by=as_(alice))

    def test_with_words(self, finding: Finding, alice: User) -> None:
        with pytest.raises(Invalid, match="Say what was done"):
            answer_finding(finding, "  ", by=as_(alice))

    def test_its_owner_who_may_not_see_the_model_any_more_does_not(self, review: Review, bob: User, dave: User) -> None:
        finding = raised(review.version, owner=bob, by=dave)
        blind(bob)

        with pytest.raises(Forbidden, match="see"):
            answer_finding(finding, "Done.", by=as_(bob))

    def test_what_has_ended_is_not_answered(self, answered: Finding, alice: User, bob: User) -> None:
        close_finding(answered, "I read it.", by=as_(bob))

        with pytest.raises(Conflict, match="nothing is owed"):
            answer_finding(answered, "And this.", by=as_(alice))


class TestVerifying:
    def test_a_member_of_the_group_closes_it(self, answered: Finding, bob: User) -> None:
        close_finding(answered, "I read it.", by=as_(bob))

        answered.refresh_from_db()
        assert (answered.state, answered.closed_at is not None) == ("closed", True)
        assert [event.kind for event in answered.events.all()] == ["raised", "answered", "closed"]

    def test_sent_back_it_is_owed_again(self, answered: Finding, alice: User, bob: User, dave: User) -> None:
        return_finding(answered, "The interval is missing.", by=as_(bob))

        answered.refresh_from_db()
        assert answered.state == "open"
        assert told(dave) == [], "who raised it owes nothing"
        assert "Sent back to you: The gap under 25 is not explained" in told(alice)

    def test_it_is_sent_back_by_who_verifies_it_alone(self, answered: Finding, carol: User) -> None:
        with pytest.raises(Forbidden, match="Only members of Model validation verify this finding"):
            return_finding(answered, "The interval is missing.", by=as_(carol))

    def test_what_was_not_answered_is_not_sent_back(self, finding: Finding, bob: User) -> None:
        with pytest.raises(Conflict, match="has not answered yet"):
            return_finding(finding, "The interval is missing.", by=as_(bob))

    def test_both_ways_with_words(self, answered: Finding, bob: User) -> None:
        with pytest.raises(Invalid, match="Say what is missing"):
            return_finding(answered, " ", by=as_(bob))
        with pytest.raises(Invalid, match="Say how you verified it"):
            close_finding(answered, "", by=as_(bob))

    def test_nobody_outside_the_group_does(self, answered: Finding, carol: User) -> None:
        with pytest.raises(Forbidden, match="Only members of Model validation verify this finding"):
            close_finding(answered, "I read it.", by=as_(carol))

    def test_its_owner_does_not(self, review: Review, bob: User, dave: User) -> None:
        finding = raised(review.version, owner=bob, by=dave)
        answer_finding(finding, "Done.", by=as_(bob))

        with pytest.raises(Forbidden, match="You own this finding"):
            close_finding(finding, "I read it.", by=as_(bob))
        assert verifiers(finding) == []

    def test_nobody_who_had_a_hand_in_the_version_does(
        self, review: Review, alice: User, bob: User, dave: User
    ) -> None:
        join(alice, VALIDATION)
        finding = raised(review.version, owner=dave, by=dave)
        answer_finding(finding, "Done.", by=as_(dave))

        with pytest.raises(Forbidden, match="You asked for this review"):
            close_finding(finding, "I read it.", by=as_(alice))
        assert verifiers(finding) == [bob]

    def test_nothing_is_verified_that_was_not_answered(self, finding: Finding, bob: User) -> None:
        with pytest.raises(Conflict, match="has not answered yet"):
            close_finding(finding, "I read it.", by=as_(bob))

    def test_nothing_is_verified_twice(self, answered: Finding, bob: User) -> None:
        close_finding(answered, "I read it.", by=as_(bob))

        with pytest.raises(Conflict, match="nothing is owed"):
            close_finding(answered, "I read it again.", by=as_(bob))

    def test_a_condition_is_verified_by_its_slot(
        self, review: Review, alice: User, bob: User, carol: User, dave: User, erin: User
    ) -> None:
        condition_of(review, alice, bob, dave, erin)
        answer_finding(only_finding(), "Done.", by=as_(alice))

        assert may_verify(bob, only_finding()).allowed, "who signed in the slot verifies in it"
        with pytest.raises(Forbidden, match="may sign as Model validator"):
            close_finding(only_finding(), "Fine.", by=as_(carol))
        close_finding(only_finding(), "Fine.", by=as_(bob))

    def test_alternates_of_its_slot_verify_a_condition_when_nobody_in_the_group_can(
        self, review: Review, alice: User, bob: User, carol: User, dave: User, erin: User
    ) -> None:
        finding = condition_of(review, alice, bob, dave, erin)
        assert verifiers(finding) == [bob]
        access_actions.remove_from_group(Group.objects.get(name=VALIDATION), bob, by=Principal.system("operator"))

        assert verifiers(finding) == [carol, erin]
        answer_finding(finding, "Done.", by=as_(alice))
        assert "To be verified: Explain the gap under 25" in told(carol)
        close_finding(only_finding(), "Fine.", by=as_(carol))


def condition_of(review: Review, alice: User, bob: User, author: User, signer: User) -> Finding:
    """One condition that alice owes, set by bob."""
    from reviews.actions import open_round

    allow_conditions(author, signer)
    open_round(review, by=as_(alice))
    sign_with(review, "validator", bob, condition(alice))
    return only_finding()


class TestExtending:
    def later(self, finding: Finding, person: User, *, days: float = 20, reason: str = "Late data.") -> None:
        extend_finding(
            finding,
            timezone.now() + timedelta(days=days),
            reason=reason,
            reauthentication=proof_of(person),
            by=as_(person),
        )

    def test_it_is_a_signed_decision(self, finding: Finding, bob: User) -> None:
        self.later(finding, bob)

        event = finding.events.get(kind="extended")
        finding.refresh_from_db()
        assert event.statement is not None
        assert event.reauthentication is not None
        said = read_extension(event.statement)
        assert (said.finding, said.due, said.reviewer) == (str(finding.uuid), finding.due_at, str(bob.uuid))
        assert event.reauthentication.consumed_at is not None

    def test_a_rehearsal_ends_at_the_statement_and_records_nothing(self, finding: Finding, bob: User) -> None:
        due = timezone.now() + timedelta(days=20)

        with pytest.raises(StatementReady) as ready:
            extend_finding(finding, due, reason="Late.", reauthentication=Rehearsal.now(), by=as_(bob))

        assert len(ready.value.digest) == 64
        assert not finding.events.filter(kind="extended").exists()

    def test_by_who_verifies_alone(self, finding: Finding, alice: User, carol: User) -> None:
        with pytest.raises(Forbidden, match="You own this finding"):
            self.later(finding, alice)
        with pytest.raises(Forbidden, match="Only members of Model validation"):
            self.later(finding, carol)

    def test_with_a_reason(self, finding: Finding, bob: User) -> None:
        with pytest.raises(Invalid, match="Give the reason"):
            self.later(finding, bob, reason=" ")

    @pytest.mark.parametrize("days", [9, 91])
    def test_later_than_now_and_within_what_the_policy_allows(self, finding: Finding, bob: User, days: int) -> None:
        with pytest.raises(Invalid, match="The new date has to be after"):
            self.later(finding, bob, days=days)

    def test_an_overdue_one_gets_no_date_that_has_passed_too(self, finding: Finding, bob: User) -> None:
        with (
            time_machine.travel(finding.due_at + timedelta(days=5), tick=False),
            pytest.raises(Invalid, match="The new date has to be after"),
        ):
            self.later(finding, bob, days=-1)

    def test_nothing_ended_is_extended(self, answered: Finding, bob: User) -> None:
        close_finding(answered, "I read it.", by=as_(bob))

        with pytest.raises(Conflict, match="nothing is owed"):
            self.later(answered, bob)

    def test_outside_any_review_and_any_policy_within_ninety_days(
        self, review: Review, alice: User, bob: User, dave: User, make_candidate: MakeCandidate
    ) -> None:
        alone = raised(make_candidate(), owner=alice, by=dave)
        ruled = raised(review.version, owner=alice, by=dave)
        with without_triggers():
            PolicyVersion.objects.update(status="retired")

        for finding in (alone, ruled):
            with pytest.raises(Invalid, match="within 90 days"):
                self.later(finding, bob, days=91)
            self.later(finding, bob, days=89)

    def test_an_overdue_condition_of_an_approval_is_not(
        self, review: Review, alice: User, bob: User, carol: User, dave: User, erin: User
    ) -> None:
        condition_of(review, alice, bob, dave, erin)
        sign(review, "risk", carol)

        with time_machine.travel(only_finding().due_at, tick=False), pytest.raises(Conflict, match="has passed"):
            self.later(only_finding(), bob)

    def test_an_extension_without_a_statement_is_refused_by_the_database(self, finding: Finding) -> None:
        with pytest.raises(DatabaseError), transaction.atomic():
            finding.events.create(kind="extended", due_at=timezone.now())


class TestWithdrawing:
    def test_whoever_raised_it(self, finding: Finding, dave: User, bob: User) -> None:
        with pytest.raises(Forbidden, match="Only Dave Novak"):
            withdraw_finding(finding, reason="Not so.", by=as_(bob))

        withdraw_finding(finding, reason="I misread the axis.", by=as_(dave))

        finding.refresh_from_db()
        assert finding.state == "withdrawn"
        with pytest.raises(Conflict, match="nothing is owed"):
            withdraw_finding(finding, reason="Still not so.", by=as_(dave))

    def test_with_a_reason(self, finding: Finding, dave: User) -> None:
        with pytest.raises(Invalid, match="Give the reason"):
            withdraw_finding(finding, reason=" ", by=as_(dave))

    def test_who_may_not_see_the_model_any_more_does_not(self, finding: Finding, dave: User) -> None:
        blind(dave)

        with pytest.raises(Forbidden, match="see"):
            withdraw_finding(finding, reason="I misread the axis.", by=as_(dave))

    def test_a_condition_was_signed_and_is_not(
        self, review: Review, alice: User, bob: User, dave: User, erin: User
    ) -> None:
        condition_of(review, alice, bob, dave, erin)

        with pytest.raises(Conflict, match="An approval rests on this condition"):
            withdraw_finding(only_finding(), reason="Not needed.", by=as_(bob))


def test_comments_are_kept_also_after_the_end(answered: Finding, bob: User, dave: User, alice: User) -> None:
    close_finding(answered, "I read it.", by=as_(bob))

    comment_on_finding(answered, "For the record.", by=as_(dave))

    assert answered.events.latest("pk").body == "For the record."
    assert "Said about The gap under 25 is not explained" in told(alice)


def test_a_comment_has_an_author_who_sees_the_model_and_words(finding: Finding, dave: User, root: User) -> None:
    with pytest.raises(Forbidden, match="see"):
        comment_on_finding(finding, "For the record.", by=as_(root))
    with pytest.raises(Invalid, match="Write something"):
        comment_on_finding(finding, " ", by=as_(dave))
    with pytest.raises(Forbidden):
        comment_on_finding(finding, "For the record.", by=Principal.system("operator"))
    assert finding.events.count() == 1


def test_nobody_is_told_of_what_they_said_themselves(finding: Finding, alice: User, dave: User) -> None:
    before = told(alice)

    comment_on_finding(finding, "I am at it.", by=as_(alice))

    assert told(alice) == before
    assert told(dave) == ["Said about The gap under 25 is not explained"]


def test_an_overdue_plain_finding_ends_no_approval(approved: Review, alice: User, dave: User) -> None:
    finding = raised(approved.version, owner=alice, by=dave, days=1)

    with time_machine.travel(finding.due_at, tick=False):
        tick(finding.due_at)

    assert lapse_condition(finding, finding.due_at, by=CLOCK) is None
    finding.refresh_from_db()
    assert finding.state == "open"
    assert not Lapse.objects.exists()
    assert "Overdue: The gap under 25 is not explained" in told(alice)


@pytest.mark.parametrize(
    "query",
    [
        "UPDATE reviews_findingevent SET body = 'never said'",
        "DELETE FROM reviews_findingevent",
        "UPDATE reviews_finding SET title = 'Nothing'",
        "DELETE FROM reviews_finding",
    ],
)
def test_stray_sql_changes_no_step(finding: Finding, query: str) -> None:
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(query)


class TestPages:
    def test_raised_answered_and_closed_by_plain_forms(
        self, review: Review, alice: User, bob: User, dave: User, client_for: Browser
    ) -> None:
        due = (timezone.now() + timedelta(days=10)).date().isoformat()
        made = client_for(dave).post(
            reverse("reviews:finding-new", args=["credit", 1]),
            {
                "title": "Unexplained",
                "severity": "minor",
                "owner": "alice",
                "due": due,
                "verifying_group": VALIDATION,
            },
        )
        finding = Finding.objects.get()
        assert made["Location"] == reverse("reviews:finding", args=[finding.uuid])

        client_for(alice).post(reverse("reviews:finding-act", args=[finding.uuid, "answer"]), {"body": "Done."})
        client_for(bob).post(reverse("reviews:finding-act", args=[finding.uuid, "close"]), {"body": "So it is."})

        finding.refresh_from_db()
        assert finding.state == "closed"
        page = client_for(dave).get(made["Location"]).content.decode()
        assert "verified and closed" in page
        assert "So it is." in page

    def test_who_may_do_what_is_shown(
        self, answered: Finding, alice: User, bob: User, carol: User, client_for: Browser
    ) -> None:
        address = reverse("reviews:finding", args=[answered.uuid])

        assert "Verified: close it" in client_for(bob).get(address).content.decode()
        assert "Verified: close it" not in client_for(alice).get(address).content.decode()
        assert "Only members of Model validation" in client_for(carol).get(address).content.decode()

    def test_a_later_date_is_signed_on_its_page(self, finding: Finding, bob: User, client_for: Browser) -> None:
        address = reverse("reviews:finding-extend", args=[finding.uuid])
        day = (timezone.now() + timedelta(days=20)).date().isoformat()
        assert client_for(bob).get(address).status_code == 200

        wrong = client_for(bob).post(address, {"due": day, "reason": "Late data.", "secret": "guess"})
        right = client_for(bob).post(address, {"due": day, "reason": "Late data.", "secret": PASSWORD})

        assert wrong.status_code == 400
        assert right.status_code == 302
        assert finding.events.filter(kind="extended").count() == 1

    def test_a_date_beyond_the_policys_days_is_refused_beside_its_field(
        self, finding: Finding, bob: User, client_for: Browser
    ) -> None:
        sent = {"due": (timezone.now() + timedelta(days=400)).date().isoformat(), "reason": "Late.", "secret": PASSWORD}
        answer = client_for(bob).post(reverse("reviews:finding-extend", args=[finding.uuid]), sent)

        assert answer.status_code == 400
        assert "days from now" in answer.context["form"].errors["due"][0]
        assert not answer.context["form"].non_field_errors()

    def test_an_empty_answer_is_marked_in_its_form(self, finding: Finding, alice: User, client_for: Browser) -> None:
        answer = client_for(alice).post(reverse("reviews:finding-act", args=[finding.uuid, "answer"]), {"body": ""})

        assert answer.status_code == 400
        assert "Write something before you send it." in answer.content.decode()

    def test_the_list_is_narrowed_as_asked(
        self, finding: Finding, alice: User, bob: User, dave: User, client_for: Browser
    ) -> None:
        def listed(person: User, query: str) -> bool:
            return "is not explained" in client_for(person).get(reverse("reviews:findings") + query).content.decode()

        assert listed(alice, "?whose=mine")
        assert not listed(bob, "?whose=mine")
        assert listed(bob, "?whose=verify")
        assert listed(dave, "?whose=raised&severity=major&state=owed&kind=plain&model=credit")
        assert not listed(dave, "?severity=minor")
        assert not listed(dave, "?kind=condition")
        assert not listed(dave, "?state=overdue")
        with time_machine.travel(finding.due_at + timedelta(seconds=1), tick=False):
            assert listed(dave, "?state=overdue")

    def test_the_table_cannot_act_as_formulas(
        self, review: Review, alice: User, dave: User, client_for: Browser
    ) -> None:
        raised(review.version, owner=alice, by=dave, title="=cmd()")

        download = client_for(dave).get(reverse("reviews:findings-export"))

        text = b"".join(download.streaming_content).decode()  # type: ignore[attr-defined]  # a StreamingHttpResponse
        assert download["Content-Type"].startswith("text/csv")
        assert ",'=cmd()," in text

    def test_nobody_sees_findings_of_models_that_they_may_not_see(
        self, finding: Finding, root: User, client_for: Browser
    ) -> None:
        browser = client_for(root)

        assert browser.get(reverse("reviews:finding", args=[finding.uuid])).status_code == 404
        assert "Nothing is owed" in browser.get(reverse("reviews:findings")).content.decode()

    def test_a_finding_out_of_a_thread_starts_with_what_it_says(
        self, review: Review, alice: User, dave: User, client_for: Browser
    ) -> None:
        thread = open_thread(review, "The gap is **wide**.", section="fairness", by=as_(dave))
        address = reverse("reviews:finding-new", args=["credit", 1]) + f"?thread={thread.uuid}"

        page = client_for(dave).get(address)

        assert "The gap is **wide**." in page.content.decode()
        assert client_for(dave).get(address[:-3] + "abc").status_code == 404
