"""What people see and post, without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from access.models import User
from registry import actions as registry_actions
from registry.models import Alias, ModelVersion, Stage
from reviews.models import Comment, EvidenceReading, Review, Round, SignOff
from reviews.promotion import promote
from tests.conftest import PASSWORD, as_
from tests.reviews.conftest import MakeApproved, MakeCandidate, ask, sign
from tests.reviews.evidence import CARD

pytestmark = pytest.mark.django_db
Browser = Callable[[User], Client]


def address(name: str, version: ModelVersion) -> str:
    return reverse(f"reviews:{name}", args=[version.model.name, version.number])


def words(response: object) -> str:
    text = re.sub(r"<svg.*?</svg>|<(script|style).*?</\1>", " ", response.content.decode(), flags=re.S)  # type: ignore[attr-defined]  # a response
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def hidden(response: object) -> dict[str, str]:
    """The hidden fields of the sign form, as a browser would send them."""
    text = response.content.decode()  # type: ignore[attr-defined]  # a response
    return dict(
        re.findall(r'<input type="hidden" name="(slot|expected_subject|idempotency_key|stage)" value="([^"]*)"', text)
    )


def signature(response: object, **changes: str) -> dict[str, str]:
    return (
        hidden(response)
        | {"decision": "approve", "reason": "Read it all.", "secret": PASSWORD, "intent": "on"}
        | changes
    )


def test_review_page_shows_evidence_gates_slots_and_your_turn(review: Review, bob: User, client_for: Browser) -> None:
    page = words(client_for(bob).get(address("version", review.version)))

    for said in (
        "Waiting for you",
        "Model validator: you",
        "so you may sign",
        "Better on young people.",
        "Widest equal-opportunity gap",
        "AUC",
        "0.8500",
    ):
        assert said in page, said
    assert "credit v1" in page
    assert "Insufficient evidence" in page


@pytest.mark.parametrize("who", ["alice", "dave", "rita"])
def test_reason_stands_in_place_of_the_button(
    review: Review, who: str, request: pytest.FixtureRequest, client_for: Browser
) -> None:
    response = client_for(request.getfixturevalue(who)).get(address("version", review.version))

    assert "Review and sign" not in words(response)
    assert "you are not among them" in words(response)


def test_page_of_a_version_that_was_never_submitted_says_what_it_would_take(
    candidate: ModelVersion, alice: User, bob: User, carol: User, client_for: Browser
) -> None:
    page = words(client_for(alice).get(address("version", candidate)))

    assert "Not submitted for review" in page
    assert "Request a review" in page
    assert "Waiting for Bob Lindqvist" in page


def test_person_who_may_not_see_the_model_finds_nothing(review: Review, root: User, client_for: Browser) -> None:
    for name in ("version", "sign", "promote", "revoke", "request", "comment"):
        assert client_for(root).get(address(name, review.version)).status_code == 404


def test_nobody_signed_in_is_sent_to_the_login(review: Review, client: Client) -> None:
    response = client.get(reverse("reviews:inbox"))

    assert response.status_code == 302
    assert "login" in response["Location"]


def test_signing_as_a_plain_post(review: Review, bob: User, carol: User, client_for: Browser) -> None:
    browser = client_for(bob)
    form = browser.get(address("sign", review.version))

    response = browser.post(address("sign", review.version), signature(form), follow=True)

    given = SignOff.objects.get()
    assert (given.person, given.slot.key, given.decision, given.reason) == (bob, "validator", "approve", "Read it all.")
    assert "Signed: approved." in words(response)
    assert "You signed as Model validator." in words(response)


def test_posting_the_same_form_twice_signs_once(review: Review, bob: User, client_for: Browser) -> None:
    browser = client_for(bob)
    values = signature(browser.get(address("sign", review.version)))
    browser.post(address("sign", review.version), values)

    browser.post(address("sign", review.version), values)

    assert SignOff.objects.count() == 1


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("decision", "Choose what your signature means."),
        ("reason", "Give the reason for your decision."),
        ("secret", "Confirm that it is you before you sign."),
        ("intent", "Confirm your intent to sign."),
    ],
)
def test_missing_field_is_said_beside_it(
    review: Review, bob: User, client_for: Browser, missing: str, sentence: str
) -> None:
    browser = client_for(bob)
    values = signature(browser.get(address("sign", review.version)))
    del values[missing]

    response = browser.post(address("sign", review.version), values)

    assert response.status_code == 400
    assert sentence in words(response)
    assert 'aria-invalid="true"' in response.content.decode()
    assert not SignOff.objects.exists()


def test_wrong_password_does_not_sign(review: Review, bob: User, client_for: Browser) -> None:
    browser = client_for(bob)

    response = browser.post(
        address("sign", review.version), signature(browser.get(address("sign", review.version)), secret="wrong")
    )

    assert response.status_code == 400
    assert not SignOff.objects.exists()


def test_signing_what_changed_meanwhile_shows_the_difference_and_asks_again(
    review: Review, bob: User, alice: User, client_for: Browser
) -> None:
    browser = client_for(bob)
    seen = browser.get(address("sign", review.version))
    registry_actions.revise_card(
        review.version, CARD | {"limitations": "Not for anyone under 18, ever."}, by=as_(alice)
    )

    response = browser.post(address("sign", review.version), signature(seen))

    assert response.status_code == 409
    assert "It has changed since you opened the page" in words(response)
    assert "card" in words(response)
    assert not SignOff.objects.exists()
    assert hidden(response)["expected_subject"] != hidden(seen)["expected_subject"]

    again = browser.post(address("sign", review.version), signature(response))
    assert again.status_code == 302
    assert SignOff.objects.count() == 1


HTMX = {"HX-Request": "true"}


def test_signing_in_the_dialog_answers_with_everything_that_changed(
    review: Review, bob: User, client_for: Browser
) -> None:
    browser = client_for(bob)
    seen = browser.get(address("sign", review.version), headers=HTMX)

    response = browser.post(address("sign", review.version), signature(seen), headers=HTMX)

    text = response.content.decode()
    assert response.status_code == 200
    assert response["HX-Reswap"] == "delete", "bob has nothing left to sign, so the dialog goes"
    swapped = (".review &gt; .head", ".review &gt; .intro", "#signoff", "#history", ".mobilebar")
    for place in (*swapped, "#inbox-count-bar", "#inbox-count-tab"):
        assert f'hx-target="{place}"' in text.replace(" > ", " &gt; ")
    assert "Signed: approved." in words(response)
    assert "Take your decision back" in words(response)
    assert "Nothing else waits for you." in words(response)
    assert '<span class="count" id="inbox-count-bar" hidden></span>' in text
    assert "<!doctype" not in text
    assert "Signed:" not in words(browser.get(address("version", review.version))), "it is said once"


def test_what_is_wrong_in_the_dialog_stays_in_the_dialog(review: Review, bob: User, client_for: Browser) -> None:
    browser = client_for(bob)
    seen = browser.get(address("sign", review.version), headers=HTMX)

    response = browser.post(address("sign", review.version), signature(seen, secret="wrong"), headers=HTMX)

    assert response.status_code >= 400
    assert "HX-Reswap" not in response
    assert "<!doctype" not in response.content.decode()
    assert "The password is not right." in words(response)
    assert not SignOff.objects.exists()


def test_a_change_meanwhile_is_shown_in_the_dialog(review: Review, bob: User, alice: User, client_for: Browser) -> None:
    browser = client_for(bob)
    seen = browser.get(address("sign", review.version), headers=HTMX)
    registry_actions.revise_card(review.version, CARD | {"limitations": "Not for minors."}, by=as_(alice))

    response = browser.post(address("sign", review.version), signature(seen), headers=HTMX)
    again = browser.post(address("sign", review.version), signature(response), headers=HTMX)

    assert response.status_code == 409
    assert "It has changed since you opened the page" in words(response)
    assert again.status_code == 200
    assert SignOff.objects.count() == 1


def test_glass_is_broken_only_where_something_blocks(
    make_approved: MakeApproved, review: Review, carol: User, client_for: Browser
) -> None:
    ready = make_approved()

    assert "Break glass…" in words(client_for(carol).get(address("version", review.version)))
    page = words(client_for(carol).get(address("version", ready)))

    assert "Ready to promote" in page
    assert "Break glass…" not in page


def test_author_is_told_why_there_is_no_form(review: Review, alice: User, client_for: Browser) -> None:
    response = client_for(alice).get(address("sign", review.version))

    assert response.status_code == 403
    assert "Model validation" in words(response)


def test_request_page_says_what_is_asked_and_opens_the_review(
    candidate: ModelVersion, alice: User, bob: User, carol: User, client_for: Browser
) -> None:
    browser = client_for(alice)
    page = browser.get(address("request", candidate))
    assert "What production asks for" in words(page)

    response = browser.post(address("request", candidate), {"stage": "production", "why": "It is better."}, follow=True)

    assert Review.objects.get().why == "It is better."
    assert "Asked: Bob Lindqvist, Carol Adeyemi" in words(response)


def test_request_without_a_reason_is_said_beside_the_field(
    candidate: ModelVersion, alice: User, client_for: Browser
) -> None:
    response = client_for(alice).post(address("request", candidate), {"stage": "production", "why": ""})

    assert response.status_code == 400
    assert "Say why this version" in words(response)


def test_slot_without_anybody_eligible_is_said_at_submission(
    candidate: ModelVersion, alice: User, client_for: Browser
) -> None:
    response = client_for(alice).post(
        address("request", candidate), {"stage": "production", "why": "It is better."}, follow=True
    )

    assert "Nobody eligible" in words(response)


def test_promotion_page_lists_everything_that_is_missing(
    candidate: ModelVersion, rita: User, bob: User, carol: User, client_for: Browser
) -> None:
    browser = client_for(rita)

    page = words(browser.get(address("promote", candidate)))
    refused = browser.post(address("promote", candidate), {"stage": "production", "expected_previous": ""})

    assert "cannot go to production yet" in page
    assert "Model validator sign-off" in page
    assert refused.status_code == 409
    assert "Risk officer sign-off" in words(refused)
    assert not Alias.objects.filter(stage__isnull=False).exists()


def test_promotion_by_form(approved: Review, rita: User, production: Stage, client_for: Browser) -> None:
    browser = client_for(rita)
    assert "Ready to promote" in words(browser.get(address("version", approved.version)))

    response = browser.post(
        address("promote", approved.version), {"stage": "production", "expected_previous": ""}, follow=True
    )

    assert "is live in production" in words(response)
    assert "Approved until" in words(response)
    assert Alias.objects.get(stage=production).version == approved.version


def test_promotion_from_a_page_that_showed_another_champion_is_refused(
    approved: Review, rita: User, production: Stage, make_approved: MakeApproved, client_for: Browser
) -> None:
    other = make_approved(auc=0.86)
    promote(approved.version, production, by=as_(rita))

    response = client_for(rita).post(address("promote", other), {"stage": "production", "expected_previous": ""})

    assert response.status_code == 409
    assert "moved meanwhile" in words(response)


def test_rollback_and_revocation_by_form(
    approved: Review, rita: User, carol: User, production: Stage, make_approved: MakeApproved, client_for: Browser
) -> None:
    promote(approved.version, production, by=as_(rita))
    second = make_approved(auc=0.86)
    promote(second, production, by=as_(rita))
    browser = client_for(rita)
    assert "roll back to v1" in words(browser.get(reverse("reviews:rollback", args=["credit"])))
    browser.post(
        reverse("reviews:rollback", args=["credit"]),
        {"stage": "production", "reason": "It does worse.", "secret": PASSWORD},
    )
    assert Alias.objects.get(stage=production).version == approved.version

    officer = client_for(carol)
    wrong = officer.post(address("revoke", approved.version), {"reason": "Leak.", "secret": "wrong"})
    right = officer.post(address("revoke", approved.version), {"reason": "Leak.", "secret": PASSWORD}, follow=True)

    assert wrong.status_code == 400
    assert "Revoked" in words(right)
    assert not Alias.objects.filter(stage=production).exists()


def test_inbox_has_what_needs_you_until_you_signed(review: Review, bob: User, client_for: Browser) -> None:
    browser = client_for(bob)
    assert "1 sign-off waits for you" in words(browser.get("/"))
    assert "Sign as Model validator" in words(browser.get("/"))

    sign(review, "validator", bob)

    assert "No sign-off waits for you" in words(browser.get("/"))
    assert "credit v1" in words(browser.get("/?view=waiting"))


def test_who_may_promote_is_shown_what_was_approved(
    approved: Review, rita: User, bob: User, client_for: Browser
) -> None:
    inbox = words(client_for(rita).get("/"))

    assert "1 approved version can be promoted." in inbox
    assert "Ready to promote" in inbox
    assert "credit v1" in inbox
    assert "Ready to promote" not in words(client_for(bob).get("/"))

    promote(approved.version, approved.stage, by=as_(rita))

    assert "can be promoted" not in words(client_for(rita).get("/"))


def test_inbox_of_the_author_holds_what_came_back(
    review: Review, alice: User, carol: User, client_for: Browser
) -> None:
    sign(review, "risk", carol, decision="request_changes", reason="Explain the age gap.")

    assert "credit v1" in words(client_for(alice).get("/?view=back"))
    assert "Changes requested by Carol Adeyemi" in words(client_for(alice).get(address("version", review.version)))


def test_empty_inbox_says_so(bob: User, client_for: Browser) -> None:
    for view in ("needs-you", "waiting", "back", "done"):
        assert client_for(bob).get(f"/?view={view}").status_code == 200


def test_dismissing_and_taking_back_by_form(review: Review, bob: User, carol: User, client_for: Browser) -> None:
    asked = sign(review, "risk", carol, decision="request_changes", reason="Explain the age gap.")
    browser = client_for(bob)
    page = reverse("reviews:dismiss", args=["credit", 1, asked.uuid])
    assert "Explain the age gap." in words(browser.get(page))
    assert browser.post(page, {"reason": ""}).status_code == 400
    browser.post(page, {"reason": "Answered in the card."})
    asked.refresh_from_db()
    assert asked.dismissed_by == bob

    given = sign(review, "validator", bob)
    browser.post(
        reverse("reviews:withdraw-sign-off", args=["credit", 1, given.uuid]), {"reason": "Overlooked the drift."}
    )

    given.refresh_from_db()
    assert given.withdrawn_why == "Overlooked the drift."


def test_sections_are_marked_as_read_and_ask_again_when_they_change(
    review: Review, bob: User, alice: User, client_for: Browser
) -> None:
    browser = client_for(bob)
    browser.post(address("read", review.version), {"evidence": "card", "reviewed": "1"})
    assert "1 of 7 reviewed" in words(browser.get(address("version", review.version)))

    registry_actions.revise_card(
        review.version, CARD | {"limitations": "Not for anyone under 18, ever."}, by=as_(alice)
    )

    page = words(browser.get(address("version", review.version)))
    assert "0 of 7 reviewed" in page
    assert "Changed since you reviewed it" in page
    assert EvidenceReading.objects.count() == 1


@pytest.mark.parametrize("section", ["gates", "performance", "fairness", "data", "changes", "card", "supply-chain"])
def test_marking_with_htmx_answers_with_the_section_alone(
    review: Review, bob: User, client_for: Browser, section: str
) -> None:
    response = client_for(bob).post(
        address("read", review.version), {"evidence": section, "reviewed": "1"}, headers={"HX-Request": "true"}
    )

    text = response.content.decode()
    assert f'id="{section}"' in text
    assert "is-reviewed" in text
    assert "<html" not in text


def test_unknown_section_is_refused(review: Review, bob: User, client_for: Browser) -> None:
    assert (
        client_for(bob).post(address("read", review.version), {"evidence": "weather", "reviewed": "1"}).status_code
        == 400
    )


def test_comments_are_shown_safely(review: Review, dave: User, client_for: Browser) -> None:
    browser = client_for(dave)
    browser.post(
        address("comment", review.version), {"body": "**Why** <script>alert(1)</script>?", "section": "fairness"}
    )

    page = browser.get(address("version", review.version)).content.decode()
    assert Comment.objects.get().author == dave
    assert "<strong>Why</strong>" in page
    assert "<script>alert" not in page


def test_compare_with_another_version(
    approved: Review, rita: User, production: Stage, make_candidate: MakeCandidate, alice: User, client_for: Browser
) -> None:
    promote(approved.version, production, by=as_(rita))
    second = make_candidate(auc=0.9)
    browser = client_for(alice)

    page = browser.get(address("version", second))

    assert "Changes since v1" in words(page)
    assert "+0.0500" in words(page)
    assert "v1, in production" in words(page)
    assert "What it rests on" in words(browser.get(address("version", second) + "?base=none"))
    assert browser.get(address("version", second) + "?base=77").status_code == 404
    assert browser.get(address("version", second) + "?stage=moon").status_code == 404
    beside = browser.get(address("compare", second) + "?stage=production&base=1")
    assert f'formaction="{address("compare", second)}"' in page.content.decode()
    assert "v2 beside v1" in words(beside)
    assert "v2 beside v1" in words(browser.get(address("compare", second) + "?base=none"))


def test_model_page_says_what_is_live_and_what_comes_next(
    approved: Review,
    rita: User,
    production: Stage,
    make_candidate: MakeCandidate,
    alice: User,
    bob: User,
    carol: User,
    client_for: Browser,
) -> None:
    browser = client_for(alice)
    assert "Nothing was promoted yet" in words(browser.get(reverse("reviews:model", args=["credit"])))
    promote(approved.version, production, by=as_(rita))
    ask(make_candidate(auc=0.9), production, alice)

    page = words(browser.get(reverse("reviews:model", args=["credit"])))

    assert "credit@champion" in page
    assert "Rita Fernandes promoted v1" in page
    assert "In review" in page


def test_new_round_and_withdrawal_by_form(review: Review, alice: User, client_for: Browser) -> None:
    browser = client_for(alice)
    browser.post(address("round", review.version), {"stage": "production"})
    assert review.rounds.count() == 2

    browser.post(address("withdraw", review.version), {"stage": "production"})

    review.refresh_from_db()
    assert review.closed_at is not None
    assert review.current_round.state == Round.State.WITHDRAWN


def test_a_first_release_has_nothing_to_compare_with(review: Review, bob: User, client_for: Browser) -> None:
    first = words(client_for(bob).get(address("version", review.version)))

    assert "See everything that changed" not in first
    assert "See what happened so far" in first


def test_what_an_approval_would_do_is_said_until_it_is_there(
    review: Review, bob: User, carol: User, client_for: Browser
) -> None:
    browser = client_for(bob)
    assert "If approved, what happens" in words(browser.get(address("version", review.version)))

    sign(review, "validator", bob)
    sign(review, "risk", carol)

    assert "If approved, what happens" not in words(browser.get(address("version", review.version)))


def test_history_tells_decisions_but_not_every_pull(review: Review, bob: User, client_for: Browser) -> None:
    sign(review, "validator", bob)

    browser = client_for(bob)
    page = words(browser.get(address("history", review.version)))
    fragment = browser.get(address("history", review.version), headers={"HX-Request": "true"})

    assert "approved as validator, for production" in page
    assert "asked for a review for production" in page
    assert "<html" not in fragment.content.decode()
    assert "approved as validator" in words(fragment)
    assert "Show what happened to this version" in words(browser.get(address("version", review.version)))


def test_pages_ask_a_bounded_number_of_questions(
    review: Review,
    bob: User,
    alice: User,
    make_candidate: MakeCandidate,
    production: Stage,
    client_for: Browser,
) -> None:
    browser = client_for(bob)
    with CaptureQueriesContext(connection) as page:
        browser.get(address("version", review.version))
    assert len(page) <= 25
    with CaptureQueriesContext(connection) as one:
        browser.get("/")
    ask(make_candidate(auc=0.86), production, alice)
    with CaptureQueriesContext(connection) as two:
        browser.get("/")

    assert len(two) == len(one)
