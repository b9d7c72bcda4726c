"""Asking for a training in a real browser: the settings of the chosen algorithm appear at once, and without scripts by a button."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.world import World

Visit = Callable[..., Page]


def test_choosing_another_algorithm_swaps_its_settings_in_and_keeps_the_rest(installation: World, visit: Visit) -> None:
    page = visit("/training/new/", "alice")
    page.get_by_label("Reason").fill("As agreed")

    page.get_by_role("radio", name="Random forest").check()

    expect(page.get_by_label("Trees (n_estimators)")).to_have_value("200")
    expect(page.get_by_label("Freedom of the coefficients (C)")).to_have_count(0)
    expect(page.get_by_label("Reason")).to_have_value("As agreed")
    expect(page.get_by_role("radio", name="Random forest")).to_be_focused()
    expect(page.get_by_role("button", name="Show its settings")).to_have_count(0)


def test_without_javascript_a_button_shows_the_settings(installation: World, visit: Visit) -> None:
    page = visit("/training/new/", "alice", js=False)
    page.get_by_label("Reason").fill("As agreed")

    page.get_by_role("radio", name="Random forest").check()
    page.get_by_role("button", name="Show its settings").click()

    expect(page.get_by_label("Trees (n_estimators)")).to_have_value("200")
    expect(page.get_by_label("Reason")).to_have_value("As agreed")


def test_what_is_wrong_stands_beside_its_setting(installation: World, visit: Visit) -> None:
    page = visit("/training/new/", "alice")
    field = page.get_by_label("Freedom of the coefficients (C)")

    field.fill("-1")
    page.get_by_role("button", name="Start training").click()

    expect(field).to_have_value("-1")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description(
        "The inverse of the regularisation: smaller keeps the coefficients closer to nothing. "
        "A number from 0.0001 to 1000; default 1. C must be a number from 0.0001 to 1000; it is -1."
    )
