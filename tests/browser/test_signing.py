"""A reviewer signs: by keyboard, by mouse, on a phone, without JavaScript; and what happens when something is missing or has changed."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from registry.actions import revise_card
from reviews.actions import open_thread
from reviews.models import Review
from tests.browser.conftest import PHONE, violations
from tests.browser.world import World, another_review
from tests.conftest import PASSWORD, as_

Visit = Callable[..., Page]
REASON = "I read the evidence and accept the residual risk for the intended use."
_names = (f"loan-{number}" for number in itertools.count(1))


@pytest.fixture
def review(installation: World) -> Review:
    """A review that waits for bob and carol, of a model of its own."""
    return another_review(installation, next(_names))


def _page_of(review: Review) -> str:
    return f"/models/{review.version.model.name}/v/{review.version.number}/"


def _fill(page: Page, *, password: str = PASSWORD) -> None:
    form = page.locator("dialog[open], main").last
    form.get_by_role("radio", name="Approve", exact=False).first.check()
    form.get_by_label("Reason").fill(REASON)
    form.locator("[name=secret]").fill(password)
    form.get_by_role("checkbox").check()


def _press_until(page: Page, key: str, reached: Callable[[], bool], *, most: int = 15) -> None:
    """Press a key until something is reached; more than `most` times is no way for a person."""
    for _ in range(most):
        page.keyboard.press(key)
        if reached():
            return
    raise AssertionError(f"{most} × {key} do not lead there.")


def _tab_to(page: Page, field: str) -> None:
    _press_until(page, "Tab", lambda: page.evaluate("document.activeElement.name") == field)


def test_from_the_inbox_to_a_signature_by_keyboard_alone(review: Review, visit: Visit) -> None:
    page = visit("/", "bob")
    row = page.locator("a.q", has_text=review.version.model.name)

    _press_until(page, "j", lambda: row.evaluate("e => e === document.activeElement"))
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{_page_of(review)}**")
    page.keyboard.press("a")
    dialog = page.get_by_role("dialog", name="Sign as Model validator")
    expect(dialog.get_by_role("radio").first).to_be_visible()
    _tab_to(page, "decision")
    page.keyboard.press("Space")
    _tab_to(page, "reason")
    page.keyboard.type(REASON)
    _tab_to(page, "secret")
    page.keyboard.type(PASSWORD)
    _tab_to(page, "intent")
    page.keyboard.press("Space")
    page.keyboard.press("Enter")

    expect(page.get_by_role("status").filter(has_text="Signed: approve")).to_be_visible()
    expect(page.get_by_role("region", name="Sign-off panel")).to_contain_text("1 of 2")
    assert review.current_round.sign_offs.get().person.username == "bob"


@pytest.mark.parametrize("js", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_the_last_signature_approves(review: Review, visit: Visit, js: bool) -> None:
    for who in ("bob", "carol"):
        page = visit(_page_of(review), who, js=js)
        page.get_by_role("link", name="Review and sign…").click()
        _fill(page)
        page.get_by_role("button", name="Sign", exact=True).click()
        expect(page.get_by_text("Signed: approve").first).to_be_visible()

    review.refresh_from_db()
    assert review.current_round.sign_offs.count() == 2
    expect(page.get_by_role("region", name="Sign-off panel")).to_contain_text("2 of 2")


def test_after_signing_panel_and_history_change_together_and_the_next_review_is_offered(
    review: Review, installation: World, visit: Visit
) -> None:
    another_review(installation, next(_names))
    page = visit(_page_of(review), "bob")
    page.evaluate("window.untouched = true")
    page.get_by_role("link", name="Review and sign…").click()
    _fill(page)

    page.get_by_role("button", name="Sign", exact=True).click()

    panel = page.get_by_role("region", name="Sign-off panel")
    expect(page.get_by_role("status").filter(has_text="Signed: approve")).to_be_visible()
    expect(panel).to_contain_text("1 of 2")
    expect(panel.get_by_role("heading", level=2)).to_be_focused()
    expect(page.locator("#history")).to_contain_text("approved as")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("link", name="Review and sign…")).to_have_count(0)
    assert page.evaluate("window.untouched"), "nothing was loaded anew"
    assert violations(page) == []
    panel.get_by_role("link", name="Next in your inbox").click()
    expect(page.get_by_role("region", name="Sign-off panel")).to_contain_text("Model validator: you")


def test_the_last_signature_shows_the_approval_without_loading_the_page(review: Review, visit: Visit) -> None:
    for who in ("bob", "carol"):
        page = visit(_page_of(review), who)
        page.evaluate("window.untouched = true")
        page.get_by_role("link", name="Review and sign…").click()
        _fill(page)
        page.get_by_role("button", name="Sign", exact=True).click()
        expect(page.get_by_text("Ledger entry").or_(page.get_by_text("Recorded, not yet signed")).first).to_be_visible()

    expect(page.get_by_role("heading", name="Approved until")).to_be_focused()
    expect(page.locator(".head")).to_contain_text("Approved")
    assert page.evaluate("window.untouched")


def test_choosing_an_approval_with_conditions_opens_the_conditions(review: Review, visit: Visit) -> None:
    page = visit(_page_of(review), "bob")
    page.get_by_role("link", name="Review and sign…").click()
    form = page.locator("dialog[open]")

    form.get_by_role("radio", name="Approve with conditions").check()

    expect(form.get_by_label("What has to be done").first).to_be_visible()


def test_a_reply_is_written_where_the_thread_stands(review: Review, installation: World, visit: Visit) -> None:
    thread = open_thread(review, "Why is it so?", section="fairness", by=as_(installation.people["carol"]))
    page = visit(_page_of(review), "bob")
    place = page.locator(f"#{thread.anchor}")

    place.get_by_role("link", name="Reply").click()
    expect(place.get_by_role("textbox", name="Reply")).to_be_focused()
    assert violations(page) == []
    page.keyboard.type("Because of thin files.")
    place.get_by_role("button", name="Send").click()

    expect(place).to_contain_text("Because of thin files.")
    place.get_by_role("button", name="Resolve").click()
    expect(page.get_by_text("The thread is resolved.")).to_be_visible()


def test_a_reply_without_javascript_is_a_page(review: Review, installation: World, visit: Visit) -> None:
    thread = open_thread(review, "Why is it so?", by=as_(installation.people["carol"]))
    page = visit(_page_of(review), "bob", js=False)

    page.locator(f"#{thread.anchor}").get_by_role("link", name="Reply").click()
    page.get_by_role("textbox").first.fill("Because of thin files.")
    page.get_by_role("button", name="Send").click()

    expect(page.locator(f"#{thread.anchor}")).to_contain_text("Because of thin files.")
    page.locator(f"#{thread.anchor}").get_by_role("button", name="Resolve").click()
    expect(page.get_by_text("The thread is resolved.")).to_be_visible()


def test_on_a_phone_the_bar_at_the_bottom_leads_to_the_signature(review: Review, visit: Visit) -> None:
    page = visit(_page_of(review), "bob", size=PHONE)

    page.get_by_role("complementary", name="Your decision").get_by_role("link", name="Sign…").click()
    assert violations(page) == []
    _fill(page)
    page.get_by_role("button", name="Sign", exact=True).click()

    expect(page.get_by_role("status").filter(has_text="Signed: approve")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_is_missing_is_said_beside_the_field_and_nothing_is_sent(review: Review, visit: Visit, theme: str) -> None:
    page = visit(_page_of(review), "bob", theme=theme)
    page.get_by_role("link", name="Review and sign…").click()

    page.get_by_role("button", name="Sign", exact=True).click()

    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("Choose what your signature means.")).to_be_visible()
    expect(dialog.get_by_text("Give the reason for your decision.")).to_be_visible()
    expect(dialog.get_by_role("radio").first).to_be_focused()
    assert violations(page) == []
    assert not review.current_round.sign_offs.exists()


def test_without_javascript_the_server_says_what_is_missing_and_keeps_the_draft(review: Review, visit: Visit) -> None:
    page = visit(_page_of(review) + "sign/", "bob", js=False)
    page.get_by_label("Reason").fill(REASON)

    page.get_by_role("button", name="Sign", exact=True).click()

    expect(page.locator(".err:visible").first).to_be_visible()
    expect(page.get_by_label("Reason")).to_have_value(REASON)
    assert not review.current_round.sign_offs.exists()


def test_a_wrong_password_signs_nothing_and_keeps_the_draft(review: Review, visit: Visit) -> None:
    page = visit(_page_of(review), "bob")
    page.get_by_role("link", name="Review and sign…").click()
    _fill(page, password="not the password")

    page.get_by_role("button", name="Sign", exact=True).click()

    expect(page.get_by_role("dialog").get_by_text("The password is not right.").first).to_be_visible()
    expect(page.locator("[name=secret]")).to_be_focused()
    expect(page.get_by_label("Reason")).to_have_value(REASON)
    assert not review.current_round.sign_offs.exists()


def test_a_subject_that_changed_meanwhile_is_shown_and_asked_again(
    review: Review, visit: Visit, installation: World
) -> None:
    page = visit(_page_of(review), "bob")
    page.get_by_role("link", name="Review and sign…").click()
    _fill(page)
    revise_card(review.version, {"not_for": "Anybody at all, as it turned out."}, by=as_(installation.people["alice"]))

    page.get_by_role("button", name="Sign", exact=True).click()

    expect(page.get_by_role("heading", name="It has changed since you opened the page")).to_be_focused()
    expect(page.get_by_label("Reason")).to_have_value(REASON)
    assert violations(page) == []
    assert not review.current_round.sign_offs.exists()


def test_the_author_finds_the_reason_where_the_button_would_be(review: Review, visit: Visit) -> None:
    page = visit(_page_of(review), "alice")

    expect(page.get_by_role("link", name="Review and sign…")).to_have_count(0)
    expect(page.get_by_role("region", name="Sign-off panel")).to_contain_text("Model validation")


@pytest.mark.parametrize("js", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_evidence_is_marked_as_reviewed_and_stays_so(review: Review, visit: Visit, js: bool) -> None:
    page = visit(_page_of(review), "bob", js=js)

    mark = page.locator("#fairness [data-review]")
    mark.click()

    expect(mark).to_have_attribute("aria-pressed", "true")
    if js:
        expect(page.locator("#revtext")).to_contain_text("1 of")
    page.reload()
    expect(mark).to_have_attribute("aria-pressed", "true")


def test_a_comment_is_anchored_to_the_evidence_it_is_about(review: Review, visit: Visit) -> None:
    page = visit(_page_of(review), "carol")

    page.locator("#fairness").get_by_role("link", name="Comment on").click()
    page.get_by_label("Comment", exact=True).fill("Is the group large enough?")
    page.get_by_role("dialog").get_by_role("button", name="Comment").click()

    expect(page.locator("#fairness")).to_contain_text("Is the group large enough?")
    expect(page.locator("#discussion")).to_contain_text("On the evidence")
    assert review.comments.get().section == "fairness"


def test_rows_that_are_equal_are_hidden_until_all_are_asked_for(installation: World, visit: Visit) -> None:
    page = visit(f"/models/credit/v/{installation.waiting.number}/", "bob")
    same = page.locator("#changes tr[data-same]")

    expect(same.first).to_be_hidden()
    page.get_by_role("button", name="All fields").click()

    expect(same.first).to_be_visible()
