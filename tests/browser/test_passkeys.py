"""Adding a passkey and signing with it, in a real browser with Chromium's virtual authenticator."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import CDPSession, Page, expect

from access.models import Passkey, User
from countersign.proof.webauthn import check_signed_by
from foundation.keys import registry_signer
from reviews.models import Review, SignOff
from tests.browser.conftest import violations
from tests.browser.world import World, another_review, person
from tests.conftest import PASSWORD
from tests.reports.test_bundles import verified

Visit = Callable[..., Page]
REASON = "I read the evidence and accept the residual risk for the intended use."
_names = (f"passkey-{number}" for number in itertools.count(1))


@dataclass
class Device:
    """A page with a virtual authenticator that can be told whether it recognises its person."""

    page: Page
    cdp: CDPSession
    authenticator: str

    def recognises(self, yes: bool) -> None:
        """Whether the finger on it is the right one."""
        self.cdp.send("WebAuthn.setUserVerified", {"authenticatorId": self.authenticator, "isUserVerified": yes})


@pytest.fixture
def vera(installation: World) -> User:
    """A validator of her own for each test: who has a passkey logs in with it from then on."""
    return person(next(_names), "Vera Holm", "Reviewer", "Model validation")


@pytest.fixture
def review(installation: World) -> Review:
    """A review that waits for a validator, of a model of its own."""
    return another_review(installation, next(_names))


@pytest.fixture
def laptop(vera: User, visit: Visit) -> Device:
    """Vera's browser, her session begun, with an authenticator."""
    page = visit("/me/", vera.username)
    cdp = page.context.new_cdp_session(page)
    cdp.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    made = cdp.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return Device(page, cdp, made["authenticatorId"])


def _add(laptop: Device, name: str = "Laptop") -> None:
    laptop.page.goto("/me/")
    laptop.page.get_by_role("link", name="Add a passkey").click()
    if "/reauthenticate/" in laptop.page.url:
        laptop.page.get_by_label("Password").fill(PASSWORD)
        laptop.page.get_by_role("button", name="Confirm").click()
    laptop.page.get_by_label("Name").fill(name)
    assert violations(laptop.page) == []
    laptop.page.get_by_role("button", name="Add the passkey").click()
    laptop.page.wait_for_url("**/recovery-codes/")


def _page_of(review: Review) -> str:
    return f"/models/{review.version.model.name}/v/{review.version.number}/"


def _fill(page: Page) -> None:
    form = page.locator("dialog[open], main").last
    form.get_by_role("radio", name="Approve", exact=False).first.check()
    form.get_by_label("Reason").fill(REASON)
    form.get_by_role("checkbox").check()


def test_a_passkey_is_added_named_renamed_and_removed(vera: User, laptop: Device) -> None:
    _add(laptop, "Blue key")
    page = laptop.page
    page.goto("/me/")
    expect(page.get_by_role("region", name="Your passkeys")).to_contain_text("Blue key")

    page.get_by_role("link", name="Rename or remove").click()
    assert violations(page) == []
    page.get_by_role("link", name="Rename Blue key").click()
    page.get_by_label("Name").fill("Old blue key")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="Remove Old blue key").click()
    page.get_by_role("button", name="Remove the passkey").click()

    expect(page.get_by_text("No passkey yet")).to_be_visible()
    kept = Passkey.objects.get(user=vera)
    assert (kept.name, kept.removed_at is not None) == ("Old blue key", True)


@pytest.mark.parametrize("where", ["the dialog", "the page"])
def test_a_review_is_signed_with_a_passkey_over_the_very_statement(
    vera: User, laptop: Device, review: Review, where: str
) -> None:
    _add(laptop)
    page = laptop.page
    if where == "the dialog":
        page.goto(_page_of(review))
        page.get_by_role("link", name="Review and sign…").click()
    else:
        page.goto(_page_of(review) + "sign/")
    _fill(page)
    assert violations(page) == []

    page.get_by_role("button", name="Sign", exact=True).click()
    expect(page.get_by_text("Signed: approve").first).to_be_visible(timeout=30_000)

    given = review.current_round.sign_offs.select_related("reauthentication").get()
    proof = given.reauthentication
    assert (given.person, proof.method) == (vera, "passkey")
    check_signed_by(
        str(vera.uuid),
        given.signed_at,
        given.statement_digest,
        proof.assertion,
        proof.enrolment,
        registry_signer().public,
    )


def test_what_a_browser_signed_is_verified_offline_by_the_command(
    laptop: Device, review: Review, tmp_path: Path
) -> None:
    _add(laptop)
    page = laptop.page
    page.goto(_page_of(review) + "sign/")
    _fill(page)
    page.get_by_role("button", name="Sign", exact=True).click()
    page.wait_for_url(f"**{_page_of(review)}?**")
    digest = review.current_round.sign_offs.get().statement_digest
    bundle, key = tmp_path / "sign-off.json", tmp_path / "registry.pub"
    bundle.write_text(page.request.get(f"{_page_of(review)}sign-offs/{digest}.json").text())
    key.write_text(page.request.get("/verify/registry.pub").text())

    found = verified(bundle, key)

    assert (found.returncode, "signed exactly this statement" in found.stdout) == (0, True), found.stderr


def test_a_ceremony_that_is_called_off_says_so_and_records_nothing(laptop: Device, review: Review) -> None:
    _add(laptop)
    laptop.recognises(False)
    page = laptop.page
    page.goto(_page_of(review) + "sign/")
    _fill(page)

    page.get_by_role("button", name="Sign", exact=True).click()

    expect(page.get_by_text("Nothing was signed: the passkey was not used")).to_be_visible()
    expect(page.get_by_label("Reason")).to_have_value(REASON)
    assert not SignOff.objects.filter(round__review=review).exists()


def test_after_a_failure_the_password_still_signs(vera: User, laptop: Device, review: Review) -> None:
    _add(laptop)
    laptop.recognises(False)
    page = laptop.page
    page.goto(_page_of(review) + "sign/")
    _fill(page)
    page.get_by_role("button", name="Sign", exact=True).click()
    expect(page.get_by_text("Nothing was signed: the passkey was not used")).to_be_visible()

    page.get_by_role("radio", name="Password").check()
    page.locator("[name=secret]").fill(PASSWORD)
    page.get_by_role("button", name="Sign", exact=True).click()
    page.wait_for_url(f"**{_page_of(review)}?**")

    assert review.current_round.sign_offs.get().reauthentication.method == "password"


def test_an_answer_for_another_statement_is_refused(laptop: Device, review: Review) -> None:
    """The reason is changed between the challenge and the signed form, as a hostile page or proxy would."""
    _add(laptop)
    page = laptop.page
    page.goto(_page_of(review) + "sign/")
    _fill(page)
    page.route(
        "**/sign/",
        lambda route, request: route.continue_(
            post_data=(request.post_data or "").replace("accept", "reject")
            if "prepare" not in (request.post_data or "")
            else None
        ),
    )

    page.get_by_role("button", name="Sign", exact=True).click()

    expect(page.get_by_text("What your passkey signed is not what would be recorded now")).to_be_visible()
    assert not SignOff.objects.filter(round__review=review).exists()


def test_a_login_asks_for_the_passkey_from_then_on(vera: User, laptop: Device) -> None:
    _add(laptop)
    page = laptop.page
    page.context.clear_cookies()
    page.goto("/accounts/login/")
    page.get_by_label("Username").fill(vera.username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="One more step")).to_be_visible()
    assert violations(page) == []

    page.get_by_role("button", name="Use a passkey").click()

    page.wait_for_url(lambda url: "/accounts/" not in url)
    expect(page.get_by_role("heading", level=1)).to_be_visible()


def test_without_javascript_the_password_signs_and_no_passkey_is_offered(
    vera: User, laptop: Device, review: Review, visit: Visit
) -> None:
    _add(laptop)
    page = visit(_page_of(review) + "sign/", vera.username, js=False)

    expect(page.get_by_role("radio", name="Passkey")).to_be_hidden()
    _fill(page)
    page.locator("[name=secret]").fill(PASSWORD)
    page.get_by_role("button", name="Sign", exact=True).click()
    page.wait_for_url(f"**{_page_of(review)}?**")

    assert review.current_round.sign_offs.get().reauthentication.method == "password"
