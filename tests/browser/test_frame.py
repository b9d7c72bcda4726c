"""The frame around every page: theme, navigation, palette, keys, messages, with and without JavaScript."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import HTMX_LATE, PHONE, log_in, overflow

Visit = Callable[..., Page]


def test_a_page_that_needs_a_login_leads_to_it_and_back(visit: Visit) -> None:
    page = visit("/models/")

    expect(page).to_have_url("/accounts/login/?next=/models/")
    page.get_by_label("Username").fill("bob")
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Log in").click()

    expect(page).to_have_url("/models/")


def test_a_wrong_password_is_said_and_keeps_one_out(visit: Visit) -> None:
    page = visit("/accounts/login/")

    page.get_by_label("Username").fill("bob")
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Log in").click()

    expect(page.get_by_role("alert")).to_be_visible()
    expect(page).to_have_url("/accounts/login/")


def test_logging_out_needs_a_press_and_ends_the_session(visit: Visit) -> None:
    page = visit("/accounts/login/")
    log_in(page, "dave")

    page.locator("summary", has_text="Account of Dave Novak").click()
    page.get_by_role("button", name="Log out").click()

    page.goto("/models/")
    expect(page).to_have_url("/accounts/login/?next=/models/")


@pytest.mark.parametrize("js", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_the_theme_is_kept_for_the_next_page(visit: Visit, js: bool) -> None:
    page = visit("/models/", "bob", js=js)

    page.get_by_role("button", name="Switch light or dark theme").click()
    page.goto("/datasets/")

    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert page.context.cookies()[-1]["name"] == "theme" or any(c["name"] == "theme" for c in page.context.cookies())


def test_the_first_tab_stop_skips_to_the_content(visit: Visit) -> None:
    page = visit("/models/", "bob")

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")

    expect(page.locator("#main")).to_be_focused()


def test_the_palette_finds_a_model_and_goes_there(visit: Visit) -> None:
    page = visit("/models/", "bob")

    page.keyboard.press("Control+k")
    page.keyboard.type("credit")
    expect(page.get_by_role("option").filter(has_text="credit").first).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")

    page.wait_for_url("**/models/credit/**")


def test_what_is_typed_into_the_palette_before_htmx_listens_is_found_all_the_same(visit: Visit) -> None:
    page = visit("/models/", "bob")
    page.add_init_script(HTMX_LATE)
    page.reload()

    page.keyboard.press("Control+k")
    page.keyboard.type("credit")

    expect(page.get_by_role("option").filter(has_text="credit").first).to_have_attribute("aria-selected", "true")


def test_the_palette_is_walked_with_the_arrow_keys(visit: Visit) -> None:
    page = visit("/models/", "alice")
    field = page.locator("#palette input")

    page.keyboard.press("Control+k")
    page.keyboard.type("credit v1")
    expect(page.locator('[data-asked="credit v1"]')).to_be_attached()
    options = page.locator("#palette").get_by_role("option")
    expect(options.first).to_contain_text("credit v1")
    chosen = page.locator('#palette [role=option][aria-selected="true"]')

    expect(chosen).to_have_count(1)
    expect(field).to_have_attribute("aria-activedescendant", "po1")
    field.fill("a")
    expect(page.locator('[data-asked="a"]')).to_be_attached()
    first = options.first.get_attribute("data-href")
    last = options.count() - 1
    assert last > 5
    page.keyboard.press("ArrowDown")
    expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")  # over the top, to the end
    expect(options.nth(last)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowDown")
    expect(options.first).to_have_attribute("aria-selected", "true")
    expect(field).to_be_focused()
    page.keyboard.press("Enter")

    page.wait_for_url(f"**{first}")


def test_enter_before_the_answer_came_searches_on_the_page(visit: Visit) -> None:
    page = visit("/models/", "bob")

    page.keyboard.press("Control+k")
    expect(page.locator("#palette").get_by_role("option").first).to_be_visible()
    page.keyboard.type("credit v1")
    page.keyboard.press("Enter")  # the list still shows where one can go

    page.wait_for_url("**/search/?q=credit%20v1")
    expect(page.locator("#main").get_by_role("link", name="credit v1")).to_be_visible()


def test_the_palette_says_when_nothing_is_found(visit: Visit) -> None:
    page = visit("/models/", "bob")

    page.keyboard.press("/")
    page.keyboard.type("no such thing")

    expect(page.get_by_text("Nothing found.")).to_be_visible()


def test_search_works_without_javascript(visit: Visit) -> None:
    page = visit("/models/", "bob", js=False)

    page.locator("a.searchbtn").click()
    page.get_by_label("Search for").fill("credit")
    page.get_by_role("button", name="Search").click()

    expect(page.get_by_role("link", name="credit").first).to_be_visible()


def test_two_keys_lead_to_a_room_and_can_be_switched_off(visit: Visit) -> None:
    page = visit("/datasets/", "bob")

    page.keyboard.press("g")
    page.keyboard.press("m")
    page.wait_for_url("**/models/")
    page.keyboard.press("?")
    page.locator("#help").get_by_label("Turn off single-key shortcuts").check()
    expect(page.get_by_text("Kept, for every browser")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("i")
    page.wait_for_timeout(300)
    expect(page).to_have_url("/models/")

    elsewhere = visit("/me/", "bob")  # another browser, the same account
    choice = elsewhere.locator("#keys").get_by_label("Turn off single-key shortcuts")
    expect(choice).to_be_checked()
    elsewhere.keyboard.press("?")
    expect(elsewhere.locator("#help")).to_be_hidden()
    elsewhere.keyboard.press("Control+k")
    expect(elsewhere.locator("#palette")).to_be_visible()
    elsewhere.keyboard.press("Escape")
    choice.uncheck()
    elsewhere.locator("#keys").get_by_role("button", name="Save").click()
    expect(elsewhere.locator("#keys")).to_contain_text("single keys work")
    elsewhere.locator("h1").click()
    elsewhere.keyboard.press("?")
    expect(elsewhere.locator("#help").get_by_label("Turn off single-key shortcuts")).not_to_be_checked()


def test_single_keys_are_switched_off_without_javascript_too(visit: Visit) -> None:
    page = visit("/me/", "dave", js=False)
    card = page.locator("#keys")

    card.get_by_label("Turn off single-key shortcuts").check()
    card.get_by_role("button", name="Save").click()

    expect(page.get_by_text("single-key shortcuts are off")).to_be_visible()
    expect(card.get_by_label("Turn off single-key shortcuts")).to_be_checked()


def test_a_menu_closes_on_escape_and_on_a_click_outside(visit: Visit) -> None:
    page = visit("/models/", "bob")
    menu = page.locator(".nav details.menu")

    menu.locator("summary").click()
    expect(menu).to_have_attribute("open", "")
    page.keyboard.press("Escape")
    expect(menu).not_to_have_attribute("open", "")
    menu.locator("summary").click()
    page.locator("h1").click()

    expect(menu).not_to_have_attribute("open", "")


def test_on_a_phone_every_room_is_reached_from_the_tab_bar(visit: Visit) -> None:
    page = visit("/models/", "bob", size=PHONE, js=False)
    bar = page.get_by_role("navigation", name="Main, phone")

    bar.get_by_text("More").click()

    for room in (
        "Inbox",
        "Models",
        "Training",
        "Monitoring",
        "Datasets",
        "Deployments",
        "Policies",
        "Audit log",
        "People",
    ):
        expect(bar.get_by_role("link", name=room)).to_be_visible()


@pytest.mark.parametrize("width", [320, 760, 761, 980, 981, 1180, 1181, 1320, 1440, 1920])
def test_the_frame_fits_at_every_width(visit: Visit, width: int) -> None:
    page = visit("/models/", "bob", size={"width": width, "height": 800})

    assert overflow(page) == 0
    bar = page.locator(".topbar")
    assert bar.evaluate("e => e.scrollWidth - e.clientWidth") == 0


def test_a_missing_page_says_so_and_offers_a_way_on(visit: Visit) -> None:
    page = visit("/models/no-such-model/", "bob")

    expect(page.get_by_role("heading", name="Not found")).to_be_visible()
    expect(page.locator("#main").get_by_role("link", name="Models")).to_be_visible()


def test_the_api_is_documented_under_the_strict_policy(visit: Visit) -> None:
    page = visit("/api/docs/", "bob")

    expect(page.get_by_role("heading", name="models", exact=True)).to_be_visible(timeout=20_000)


def test_the_palette_offers_only_what_one_may_do(visit: Visit) -> None:
    expect(visit("/search/", "alice").get_by_role("link", name="Register a model")).to_be_visible()
    expect(visit("/search/", "bob").get_by_role("link", name="Register a model")).to_have_count(0)
