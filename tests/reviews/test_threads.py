"""Discussions: who may say what where, what holds an approval back, and what stays of what was said."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from access.models import User
from foundation.refusals import Conflict, Forbidden, Invalid
from notices.models import Notification
from registry.models import ModelVersion, Stage
from reviews.actions import (
    edit_comment,
    open_round,
    open_thread,
    reopen_thread,
    reply,
    resolve_thread,
    withdraw_review,
)
from reviews.discussion import discussion_of
from reviews.evaluation import examine
from reviews.models import Comment, Finding, Review, Round, Thread
from reviews.promotion import promote
from tests.conftest import as_
from tests.reviews.conditional import allow_conditions, condition, sign_with
from tests.reviews.conftest import MakeCandidate, sign

pytestmark = pytest.mark.django_db

Browser = Callable[[User], Client]


def told(person: User) -> list[str]:
    return [one.title for one in Notification.objects.filter(person=person).order_by("pk")]


@pytest.fixture
def question(review: Review, bob: User) -> Thread:
    """bob, who may sign, asks something that has to be resolved first."""
    return open_thread(
        review, "Is the gap explained?", section="fairness", path="/gates/widest-gap", must_resolve=True, by=as_(bob)
    )


class TestSaying:
    def test_anybody_who_sees_the_model_says_something(self, review: Review, dave: User, alice: User) -> None:
        thread = open_thread(review, "  Nice **work**. ", feedback="minor", by=as_(dave))

        said = thread.comments.get()
        assert (said.text, said.feedback, said.author) == ("Nice **work**.", "minor", dave)
        assert "Dave Novak wrote about credit version 1" in [
            title.replace("/", " version ") for title in told(alice)
        ] or (told(alice))

    def test_nobody_who_does_not(self, review: Review, question: Thread, root: User) -> None:
        with pytest.raises(Forbidden):
            open_thread(review, "Hello", by=as_(root))
        with pytest.raises(Forbidden):
            reply(question, "Hello", by=as_(root))

    def test_an_author_or_opener_who_may_not_see_the_model_any_more_does_nothing(
        self, review: Review, dave: User
    ) -> None:
        thread = open_thread(review, "Just asking.", by=as_(dave))
        dave.role_assignments.all().delete()

        with pytest.raises(Forbidden, match="see"):
            edit_comment(thread.comments.get(), "Not asking.", by=as_(dave))
        with pytest.raises(Forbidden, match="see"):
            resolve_thread(thread, by=as_(dave))

    def test_an_opener_who_may_not_see_the_model_any_more_opens_it_no_more(self, review: Review, dave: User) -> None:
        thread = open_thread(review, "Just asking.", by=as_(dave))
        resolve_thread(thread, by=as_(dave))
        dave.role_assignments.all().delete()

        with pytest.raises(Forbidden, match="see"):
            reopen_thread(thread, by=as_(dave))

    @pytest.mark.parametrize(
        ("values", "field"),
        [
            ({"body": " "}, "body"),
            ({"body": "x" * 20_001}, "body"),
            ({"section": "weather"}, "section"),
            ({"path": "gates"}, "path"),
            ({"path": "/" + "x" * 200}, "path"),
            ({"feedback": "terrible"}, "feedback"),
        ],
    )
    def test_what_is_wrong_is_named(self, review: Review, dave: User, values: dict[str, str], field: str) -> None:
        with pytest.raises(Invalid) as refused:
            open_thread(review, values.pop("body", "Why?"), by=as_(dave), **values)  # type: ignore[arg-type]  # text alone

        assert set(refused.value.errors) == {field}

    @pytest.mark.parametrize(("body", "feedback", "field"), [(" ", "", "body"), ("Yes.", "terrible", "feedback")])
    def test_what_is_wrong_with_a_reply_is_named(
        self, question: Thread, dave: User, body: str, feedback: str, field: str
    ) -> None:
        with pytest.raises(Invalid) as refused:
            reply(question, body, feedback, by=as_(dave))

        assert set(refused.value.errors) == {field}

    def test_evidence_of_another_version_is_no_place(
        self, review: Review, make_candidate: MakeCandidate, dave: User
    ) -> None:
        other = make_candidate().evidence.first()

        with pytest.raises(Invalid, match="of another version"):
            open_thread(review, "Why?", evidence=other, by=as_(dave))

    def test_feedback_decides_nothing(self, review: Review, bob: User, carol: User, dave: User) -> None:
        open_thread(review, "This is bad.", feedback="major", by=as_(dave))

        sign(review, "validator", bob)
        sign(review, "risk", carol)

        assert review.current_round.is_approved

    def test_everybody_in_the_thread_is_told_of_a_reply(
        self, question: Thread, alice: User, bob: User, dave: User
    ) -> None:
        reply(question, "By thin files.", by=as_(dave))
        reply(question, "Show it.", by=as_(bob))

        assert len(told(alice)) == 3, "who asked for the review"
        assert len([one for one in told(dave) if "wrote" in one]) == 1
        assert not any(one.startswith("Dave") is False and "Bob Lindqvist wrote" in one for one in told(bob))

    def test_a_mention_tells_who_may_see_the_model_and_nobody_else(
        self, review: Review, dave: User, erin: User, root: User
    ) -> None:
        thread = open_thread(review, "@dave, @root and @nobody: look. `@carol` is code.", by=as_(erin))

        assert Notification.objects.filter(kind="mention").count() == 1
        assert told(dave) == [f"Erin Osei mentioned you on {thread.review.version}"]
        assert told(root) == []


class TestEditing:
    def test_the_author_adds_a_revision_and_the_first_text_stays(self, question: Thread, bob: User) -> None:
        said = question.comments.get()

        edit_comment(said, "Is the gap under 25 explained?", by=as_(bob))

        said = Comment.objects.get()
        assert said.text == "Is the gap under 25 explained?"
        assert said.body == "Is the gap explained?"
        assert [one.number for one in said.revisions.all()] == [1]

    def test_nobody_else_does(self, question: Thread, alice: User) -> None:
        with pytest.raises(Forbidden, match="Only Bob Lindqvist"):
            edit_comment(question.comments.get(), "There is no gap.", by=as_(alice))

    def test_an_edit_changes_something(self, question: Thread, bob: User) -> None:
        with pytest.raises(Invalid, match="Nothing was changed"):
            edit_comment(question.comments.get(), "Is the gap explained? ", by=as_(bob))

    def test_an_edit_has_words(self, question: Thread, bob: User) -> None:
        with pytest.raises(Invalid, match="Write something"):
            edit_comment(question.comments.get(), " ", by=as_(bob))

    def test_a_mention_that_is_added_tells_once(self, question: Thread, bob: User, dave: User) -> None:
        for text in ("@dave, is it?", "@dave, is it now?"):
            edit_comment(question.comments.get(), text, by=as_(bob))

        assert len([one for one in told(dave) if "mentioned you" in one]) == 1

    @pytest.mark.parametrize(
        "query",
        [
            "UPDATE reviews_comment SET body = 'never said'",
            "DELETE FROM reviews_comment",
            "UPDATE reviews_thread SET section = 'card'",
            "DELETE FROM reviews_thread",
        ],
    )
    def test_stray_sql_changes_nothing(self, question: Thread, query: str) -> None:
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(query)


class TestHolding:
    def test_it_blocks_until_it_is_resolved_and_then_the_round_is_approved(
        self, question: Thread, review: Review, bob: User, carol: User, production: Stage
    ) -> None:
        sign(review, "validator", bob)
        sign(review, "risk", carol)
        assert review.current_round.state == Round.State.OPEN
        (unmet,) = examine(review.version, production).unmet
        assert (unmet.key, unmet.link[-len(question.anchor) :]) == (f"thread-{question.uuid}", question.anchor)
        assert "must be resolved before approval" in unmet.explanation

        resolve_thread(question, by=as_(carol))

        assert review.current_round.state == Round.State.APPROVED
        review.version.refresh_from_db()
        assert review.version.state == ModelVersion.State.APPROVED

    def test_nothing_is_approved_in_a_case_that_is_closed(
        self, question: Thread, review: Review, bob: User, carol: User
    ) -> None:
        sign(review, "validator", bob)
        sign(review, "risk", carol)
        Review.objects.filter(pk=review.pk).update(closed_at=timezone.now())

        resolve_thread(question, by=as_(carol))

        assert review.current_round.state == Round.State.OPEN
        with pytest.raises(Conflict, match="nothing can be held back"):
            open_thread(review, "Wait!", must_resolve=True, by=as_(bob))

    def test_one_of_two_is_not_enough(self, question: Thread, review: Review, bob: User, carol: User) -> None:
        open_thread(review, "And over 65?", must_resolve=True, by=as_(carol))
        sign(review, "validator", bob)
        sign(review, "risk", carol)

        resolve_thread(question, by=as_(bob))

        assert review.current_round.state == Round.State.OPEN

    def test_resolving_is_no_signature(self, question: Thread, review: Review, bob: User, carol: User) -> None:
        sign(review, "validator", bob)

        resolve_thread(question, by=as_(bob))

        assert review.current_round.state == Round.State.OPEN

    def test_an_author_neither_opens_nor_resolves_one(self, question: Thread, review: Review, alice: User) -> None:
        with pytest.raises(Forbidden, match="You asked for this review"):
            resolve_thread(question, by=as_(alice))
        with pytest.raises(Forbidden, match="Only a slot holder can hold the approval back"):
            open_thread(review, "Wait.", must_resolve=True, by=as_(alice))

    def test_who_holds_no_slot_neither_opens_nor_resolves_one(
        self, question: Thread, review: Review, bob: User, dave: User
    ) -> None:
        with pytest.raises(Forbidden, match="or by a slot holder"):
            resolve_thread(question, by=as_(dave))
        with pytest.raises(Forbidden, match="Only a slot holder"):
            open_thread(review, "Wait.", must_resolve=True, by=as_(dave))
        resolve_thread(question, by=as_(bob))
        with pytest.raises(Forbidden, match="or by a slot holder"):
            reopen_thread(question, by=as_(dave))

    def test_who_opened_a_plain_one_resolves_it(self, review: Review, dave: User) -> None:
        thread = open_thread(review, "Just asking.", by=as_(dave))

        resolve_thread(thread, by=as_(dave))

        with pytest.raises(Conflict, match="resolved already"):
            resolve_thread(thread, by=as_(dave))

    def test_opened_again_it_blocks_again(self, question: Thread, review: Review, bob: User, production: Stage) -> None:
        resolve_thread(question, by=as_(bob))
        reopen_thread(question, by=as_(bob))
        assert told(bob) == ["Your sign-off is asked for: credit v1 for Production"], "of what others do alone"

        assert f"thread-{question.uuid}" in {one.key for one in examine(review.version, production).unmet}
        with pytest.raises(Conflict, match="is open"):
            reopen_thread(question, by=as_(bob))

    def test_nothing_is_held_back_once_it_is_approved(
        self, question: Thread, review: Review, bob: User, carol: User
    ) -> None:
        resolve_thread(question, by=as_(bob))
        sign(review, "validator", bob)
        sign(review, "risk", carol)

        with pytest.raises(Conflict, match="nothing can be held back"):
            reopen_thread(question, by=as_(bob))
        with pytest.raises(Conflict, match="nothing can be held back"):
            open_thread(review, "Wait!", must_resolve=True, by=as_(bob))

    def test_it_is_not_got_rid_of_by_another_round(
        self, question: Thread, review: Review, alice: User, bob: User, carol: User, rita: User, production: Stage
    ) -> None:
        open_round(review, by=as_(alice))
        sign(review, "validator", bob)
        sign(review, "risk", carol)

        with pytest.raises(Conflict) as refused:
            promote(review.version, production, by=as_(rita))

        assert f"thread-{question.uuid}" in {one.key for one in refused.value.unmet}

    def test_it_holds_nothing_in_a_review_of_its_own_once_that_was_withdrawn(
        self, question: Thread, review: Review, alice: User, bob: User, carol: User, production: Stage
    ) -> None:
        from tests.reviews.conftest import ask

        withdraw_review(review, by=as_(alice))
        again = ask(review.version, production, alice)
        sign(again, "validator", bob)
        sign(again, "risk", carol)

        assert again.current_round.is_approved


def test_a_condition_out_of_a_thread_resolves_it(
    review: Review, alice: User, bob: User, carol: User, dave: User, erin: User
) -> None:
    allow_conditions(dave, erin)
    open_round(review, by=as_(alice))
    thread = open_thread(review, "Explain the gap.", section="fairness", must_resolve=True, by=as_(carol))

    sign_with(review, "validator", bob, condition(alice, thread=str(thread.uuid)))
    sign(review, "risk", carol)

    thread.refresh_from_db()
    assert thread.resolved_by == bob
    assert Finding.objects.get().thread == thread
    assert review.current_round.state == Round.State.APPROVED_WITH_CONDITIONS


class TestPages:
    def page(self, client: Client, version: ModelVersion) -> str:
        return client.get(reverse("reviews:version", args=[version.model.name, version.number])).content.decode()

    def test_a_thread_stands_in_its_section_with_what_may_be_done(
        self, question: Thread, review: Review, bob: User, dave: User, client_for: Browser
    ) -> None:
        reply(question, "Yes.", "minor", by=as_(dave))

        page = self.page(client_for(bob), review.version)

        fairness = page[page.index('id="fairness"') : page.index('id="data"')]
        assert f'id="{question.anchor}"' in fairness
        assert "Must be resolved before approval" in fairness
        assert "Minor issue" in fairness
        assert reverse("reviews:thread-resolve", args=[question.uuid]) in fairness
        assert page.count(f'id="{question.anchor}"') == 1
        assert reverse("reviews:thread-resolve", args=[question.uuid]) not in self.page(
            client_for(dave), review.version
        )

    def test_a_thread_becomes_a_condition_only_while_the_reader_could_sign(
        self, review: Review, bob: User, carol: User, dave: User, erin: User, alice: User, client_for: Browser
    ) -> None:
        allow_conditions(dave, erin)
        open_round(review, by=as_(alice))
        open_thread(review, "Explain the gap.", section="fairness", by=as_(carol))
        assert "Turn into a condition" in self.page(client_for(bob), review.version)

        sign(review, "validator", bob)
        sign(review, "risk", carol)

        for reader in (bob, carol):
            assert "Turn into a condition" not in self.page(client_for(reader), review.version)

    def test_a_long_thread_is_folded_but_for_its_question_and_its_newest_remarks(
        self, question: Thread, review: Review, bob: User, dave: User, client_for: Browser
    ) -> None:
        for number in range(5):
            reply(question, f"Remark {number}.", by=as_(dave))

        page = self.page(client_for(bob), review.version)

        folded = page[page.index("Show 3 more") : page.index("</details>", page.index("Show 3 more"))]
        assert [number for number in range(5) if f"Remark {number}." in folded] == [0, 1, 2]
        assert "Remark 4." in page
        assert "Is the gap explained?" in page

    def test_a_short_thread_is_not_folded(
        self, question: Thread, review: Review, bob: User, dave: User, client_for: Browser
    ) -> None:
        for number in range(4):
            reply(question, f"Remark {number}.", by=as_(dave))

        page = self.page(client_for(bob), review.version)

        assert page.count("Remark") == 4
        assert "more of the thread" not in page

    def test_everything_works_as_plain_forms(self, review: Review, bob: User, client_for: Browser) -> None:
        browser = client_for(bob)
        browser.post(
            reverse("reviews:comment", args=["credit", 1]),
            {"body": "Why?", "section": "fairness", "must_resolve": "on", "feedback": "major"},
        )
        thread = Thread.objects.get()
        said = thread.comments.get()
        browser.post(reverse("reviews:thread-reply", args=[thread.uuid]), {"body": "Still."})
        browser.post(reverse("reviews:comment-edit", args=[said.pk]), {"body": "Why so wide?"})
        done = browser.post(reverse("reviews:thread-resolve", args=[thread.uuid]), {"resolved": "1"})

        thread.refresh_from_db()
        assert done["Location"].endswith(f"#{thread.anchor}")
        assert (thread.must_resolve, thread.resolved_by, thread.comments.count()) == (True, bob, 2)
        page = self.page(browser, review.version)
        assert "1 resolved thread" in page
        assert "edited" in page
        assert "Why so wide?" in page
        browser.post(reverse("reviews:thread-resolve", args=[thread.uuid]), {"resolved": "0"})
        thread.refresh_from_db()
        assert thread.resolved_at is None

    def test_what_is_refused_stands_on_the_page_that_asks_again(
        self, review: Review, dave: User, client_for: Browser
    ) -> None:
        answer = client_for(dave).post(
            reverse("reviews:comment", args=["credit", 1]), {"body": "Wait.", "must_resolve": "on"}
        )

        assert answer.status_code == 400
        assert "Only a slot holder can hold the approval back" in answer.content.decode()

    def test_earlier_texts_are_read_by_everybody_and_edited_by_the_author(
        self, question: Thread, bob: User, dave: User, client_for: Browser
    ) -> None:
        edit_comment(question.comments.get(), "Is it **really** explained?", by=as_(bob))
        address = reverse("reviews:comment-edit", args=[question.comments.get().pk])

        other = client_for(dave).get(address).content.decode()

        assert "Is the gap explained?" in other
        assert "<strong>really</strong>" in other
        assert "Save as a new revision" not in other
        assert "Save as a new revision" in client_for(bob).get(address).content.decode()

    def test_threads_of_models_that_one_may_not_see_are_not_there(
        self, question: Thread, root: User, client_for: Browser
    ) -> None:
        browser = client_for(root)

        for address in (
            reverse("reviews:thread-reply", args=[question.uuid]),
            reverse("reviews:comment-edit", args=[question.comments.get().pk]),
        ):
            assert browser.get(address).status_code == 404

    def test_two_hundred_comments_cost_two_statements(
        self, review: Review, dave: User, django_assert_max_num_queries: Callable[..., object]
    ) -> None:
        thread = open_thread(review, "0", section="fairness", by=as_(dave))
        Comment.objects.bulk_create(
            Comment(review=review, thread=thread, section="fairness", body=str(one), author=dave) for one in range(199)
        )

        with django_assert_max_num_queries(2):  # type: ignore[attr-defined]  # a context manager
            found = discussion_of(review)
            assert len([said.text for said in found.of("fairness").comments]) == 200
            assert discussion_of(review) is found


def test_the_day_of_a_condition_is_offered_with_the_signature(
    review: Review, alice: User, bob: User, dave: User, erin: User, client_for: Browser
) -> None:
    from tests.conftest import PASSWORD

    allow_conditions(dave, erin)
    open_round(review, by=as_(alice))
    thread = open_thread(review, "Explain the gap.", section="fairness", by=as_(bob))
    browser = client_for(bob)
    address = reverse("reviews:sign", args=["credit", 1])
    shown = browser.get(address + f"?decision=approve_with_conditions&thread={thread.uuid}")
    form = shown.context["form"]
    assert "Explain the gap." in shown.content.decode()
    values = {
        "decision": "approve_with_conditions",
        "reason": "Once it is explained.",
        "intent": "on",
        "secret": PASSWORD,
        "slot": form["slot"].value(),
        "expected_subject": form["expected_subject"].value(),
        "idempotency_key": form["idempotency_key"].value(),
        "condition-0-title": "Explain the gap",
        "condition-0-severity": "major",
        "condition-0-verifying_slot": "validator",
        "condition-0-thread": str(thread.uuid),
    }
    day = (timezone.now() + timedelta(days=9)).date().isoformat()

    incomplete = browser.post(address, values)
    late = browser.post(address, values | {"condition-0-owner": "alice", "condition-0-due": "2099-01-01"})
    signed = browser.post(address, values | {"condition-0-owner": "alice", "condition-0-due": day})

    assert incomplete.status_code == 400
    assert "Choose who has to do it." in incomplete.content.decode()
    assert late.status_code == 400
    assert "within 30 days" in late.content.decode()
    assert signed.status_code == 302
    assert Finding.objects.get().owner == alice
