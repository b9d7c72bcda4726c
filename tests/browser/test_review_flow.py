"""The whole flow, as its people walk it: the author asks, two reviewers sign, an auditor reads; with plain forms and no script at all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import HTMX_LATE
from tests.browser.world import World, another_review
from tests.conftest import PASSWORD

Visit = Callable[..., Page]
REASON = "I read the evidence and accept the residual risk for the intended use."


@pytest.mark.parametrize("js", [False], ids=["without JavaScript"])
def test_author_asks_two_reviewers_sign_and_an_auditor_reads_it(installation: World, visit: Visit, js: bool) -> None:
    name = "flow-plain"
    review = another_review(installation, name)
    path = f"/models/{name}/v/{review.version.number}/"

    author = visit(path, "alice", js=js)
    expect(author.get_by_text("you are not among them")).to_be_visible()
    expect(author.get_by_role("link", name="Review and sign…")).to_have_count(0)

    for who, slot in (("bob", "Model validator"), ("carol", "Risk officer")):
        reviewer = visit("/", who, js=js)
        reviewer.get_by_role("link", name=name).first.click()
        expect(reviewer.get_by_text(f"{slot}: you")).to_be_visible()
        reviewer.locator("#card button[data-review]").click()
        expect(reviewer.get_by_text("1 of 7 reviewed")).to_be_visible()
        reviewer.get_by_role("link", name="Review and sign…").click()
        reviewer.get_by_role("radio", name="Approve", exact=False).first.check()
        reviewer.get_by_label("Reason").fill(REASON)
        reviewer.locator("[name=secret]").fill(PASSWORD)
        reviewer.get_by_role("checkbox", name="I intend this electronic signature").check()
        reviewer.get_by_role("button", name="Sign", exact=True).click()
        expect(reviewer.get_by_text("Signed: approved.")).to_be_visible()

    auditor = visit(path, "dave", js=js)
    expect(auditor.get_by_role("heading", name="Approved until")).to_be_visible()
    auditor.get_by_role("link", name="Show what happened to this version").click()
    expect(auditor.get_by_text("approved as").first).to_be_visible()


def test_the_dialog_keeps_what_was_written_until_it_is_signed(installation: World, visit: Visit) -> None:
    review = another_review(installation, "flow-draft")
    path = f"/models/flow-draft/v/{review.version.number}/"
    page = visit(path, "bob")
    page.get_by_role("link", name="Request changes…").click()
    dialog = page.locator("dialog#sign")
    expect(dialog.get_by_role("radio", name="Request changes", exact=False)).to_be_checked()
    dialog.get_by_label("Reason").fill("The gap is not explained.")

    page.reload()
    page.get_by_role("link", name="Review and sign…").click()

    expect(dialog.get_by_label("Reason")).to_have_value("The gap is not explained.")


def test_the_dialog_that_is_opened_before_htmx_listens_is_filled_all_the_same(
    installation: World, visit: Visit
) -> None:
    review = another_review(installation, "flow-eager")
    page = visit(f"/models/flow-eager/v/{review.version.number}/", "bob")
    page.add_init_script(HTMX_LATE)
    page.reload()

    page.keyboard.press("a")

    expect(page.locator("dialog#sign").get_by_label("Reason")).to_be_visible()


def test_the_history_comes_when_it_is_scrolled_to(installation: World, visit: Visit) -> None:
    review = another_review(installation, "flow-history")
    page = visit(f"/models/flow-history/v/{review.version.number}/", "dave")

    page.locator("#history").scroll_into_view_if_needed()

    expect(page.locator("#history").get_by_text("asked for a review for production").first).to_be_visible()


def test_moving_through_the_inbox_shows_each_review_beside_it(installation: World, visit: Visit) -> None:
    another_review(installation, "flow-first")
    page = visit("/", "bob")

    page.keyboard.press("j")
    chosen = page.locator(".q.on .q__t b").inner_text().split(",")[0].strip()

    expect(page.locator("#preview h2")).to_have_text(chosen)


def test_a_row_that_is_chosen_before_htmx_listens_is_shown_all_the_same(installation: World, visit: Visit) -> None:
    another_review(installation, "flow-early")
    page = visit("/", "bob")
    page.add_init_script(HTMX_LATE)
    page.reload()

    page.keyboard.press("j")
    chosen = page.locator(".q.on .q__t b").inner_text().split(",")[0].strip()

    expect(page.locator("#preview h2")).to_have_text(chosen)


def test_rooms_that_refuse_a_person_are_not_named_to_them(visit: Visit) -> None:
    page = visit("/models/", "alice")
    page.locator(".nav details.menu summary").click()

    expect(page.locator(".nav").get_by_role("link", name="Audit log")).to_have_count(0)
