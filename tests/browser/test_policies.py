"""Writing a policy in a real browser: an expression is checked while it is typed, and facts are searched, without a reload."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.world import World

Visit = Callable[..., Page]


def test_an_expression_is_checked_while_it_is_typed(installation: World, visit: Visit) -> None:
    page = visit("/policies/new/", "pia")
    rule = page.locator('[name="gates[0].passes"]')

    rule.fill("scan.admited")

    said = page.locator("#gates-0-passes-said")
    expect(said).to_contain_text("Did you mean scan.admitted?")
    expect(said.locator("pre")).to_have_text("scan.admited\n    ^")
    rule.fill("scan.admitted")
    expect(said).to_contain_text("Gives true or false.")


def test_facts_are_searched_beside_the_editor(installation: World, visit: Visit) -> None:
    page = visit("/policies/new/", "pia")

    page.get_by_label("Search the facts").fill("worst gap lower end")

    found = page.locator("#fields-found")
    expect(found).to_contain_text("fairness.worst_gap_low")
    expect(found).not_to_contain_text("card.completeness")


def test_cards_are_added_and_the_draft_is_shown_as_text_without_javascript(installation: World, visit: Visit) -> None:
    page = visit("/policies/new/", "pia", js=False)

    page.get_by_role("button", name="Add a sign-off").click()
    page.locator('[name="slots[1].title"]').fill("Second pair of eyes")
    page.get_by_role("button", name="Show as text").click()

    expect(page.locator("#policy-text")).to_contain_text("Second pair of eyes")
