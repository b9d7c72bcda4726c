"""What every browser test stands on: a browser, one populated installation, real logins, and watchers that let nothing pass.

A page that reports a violation of the content security policy, a script error or a missing static file fails its test.
`--shots FOLDER` keeps a picture of every page that `test_pages` walks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.db import connection
from django.test import override_settings
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Response,
    StorageState,
    ViewportSize,
    expect,
)
from pytest_django.live_server_helper import LiveServer
from pytest_django.plugin import DjangoDbBlocker

from tests.browser.world import World, build
from tests.conftest import PASSWORD
from tests.databases import empty_database
from tests.services import Missing, chromium

Theme = Literal["light", "dark"]
WIDE: Final[ViewportSize] = {"width": 1440, "height": 900}
PHONE: Final[ViewportSize] = {"width": 390, "height": 844}
TOO_WIDE: Final = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
SLOWEST: Final = 15_000  # milliseconds that a page may take to say what is expected: two cores, shared with the server and its workers
HTMX_LATE: Final = "const real = setTimeout; window.setTimeout = (f, ms, ...more) => real(f, ms ?? 1500, ...more)"
EXPECTED_NOISE: Final = re.compile(r"Failed to load resource: the server responded with a status of 4\d\d")
AXE_RULES: Final = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}


expect.set_options(timeout=SLOWEST)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The folder for pictures."""
    parser.addoption("--shots", default="", help="folder in which test_pages keeps a picture of every page")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder drives a browser and needs the test database to exist."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.django_db)


@pytest.fixture
def _django_db_helper() -> None:
    """Replaces pytest-django's transaction around each test: all tests here share one installation that is really committed."""


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Debian's Chromium, or whichever `tests.services` finds. Without one a laptop skips and CI fails."""
    try:
        path = chromium()
    except Missing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    return {**browser_type_launch_args, "executable_path": str(path), "args": arguments}


@pytest.fixture(scope="session")
def django_db_modify_db_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A database in a file, as in the product: in memory the server's threads share one connection, and so one transaction.

    Every page that is read writes its entry; two at once would get into each other's.
    """
    if connection.vendor == "sqlite":
        connection.settings_dict["TEST"]["NAME"] = str(tmp_path_factory.mktemp("database") / "browser.sqlite3")


@pytest.fixture(scope="session")
def base_url() -> None:
    """Replaces pytest-base-url's fixture, which this pytest warns about; every context is given the portal's address."""


@pytest.fixture(autouse=True)
def _quick_passwords_and_plain_static() -> None:
    """Replaces the fixture of the same name: here the settings hold for the whole installation, not for one test."""


@pytest.fixture(scope="package")
def installation(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """One populated installation for all pages; emptied at the end."""
    folder = tmp_path_factory.mktemp("installation")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # Playwright keeps an event loop in this thread
    changed = override_settings(
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        STORAGES={
            "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
            "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
        },
        ARTIFACT_DIR=folder / "artifacts",
        DATASET_DIR=folder / "datasets",
        PREDICTION_LOG_DIR=folder / "predictions",
    )
    with changed, django_db_blocker.unblock(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("jobs.actions.publish", lambda uuid: None)
        yield build()
        empty_database()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture(scope="package")
def portal(installation: World) -> Iterator[str]:
    """The address of a live server on that installation."""
    server = LiveServer("localhost")
    with override_settings(PORTAL_URL=server.url):  # the one address at which passkeys work
        yield server.url
    server.stop()


@pytest.fixture(scope="package")
def sessions(portal: str, browser: Browser) -> Callable[[str], StorageState]:
    """The cookies of anyone of the cast, by a real login through the login page, once for each person."""
    kept: dict[str, StorageState] = {}

    def session_of(username: str) -> StorageState:
        if username not in kept:
            context = browser.new_context(base_url=portal)
            page = context.new_page()
            log_in(page, username)
            kept[username] = context.storage_state()
            context.close()
        return kept[username]

    return session_of


def log_in(page: Page, username: str, password: str = PASSWORD) -> None:
    """Through the login page, as a person does."""
    page.goto("/accounts/login/")
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/")


class Watcher:
    """Collects everything that must not happen in a page."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def watch(self, context: BrowserContext) -> None:
        """Listen to every page of `context`."""
        context.add_init_script(
            "document.addEventListener('securitypolicyviolation', e => "
            "console.error(`CSP ${e.effectiveDirective} blocks ${e.blockedURI} ${e.sample}`))"
        )
        context.on("console", self._console)
        context.on("weberror", lambda error: self.problems.append(f"script error: {error.error}"))
        context.on("response", self._response)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not EXPECTED_NOISE.search(message.text):
            self.problems.append(f"console {message.type}: {message.text}")

    def _response(self, response: Response) -> None:
        if "/static/" in response.url and response.status >= 400:
            self.problems.append(f"{response.status} for {response.url}")


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    """Fails the test at its end if a page misbehaved."""
    watching = Watcher()
    yield watching
    assert watching.problems == []


@pytest.fixture
def visit(
    portal: str, sessions: Callable[[str], StorageState], new_context: Any, watcher: Watcher
) -> Callable[..., Page]:
    """A page of the portal as anyone of the cast (or nobody), in a theme and at a width, with or without JavaScript."""

    def open_page(
        path: str = "/", who: str = "", *, theme: str = "light", size: ViewportSize = WIDE, js: bool = True
    ) -> Page:
        options: dict[str, Any] = {
            "base_url": portal,
            "viewport": size,
            "color_scheme": theme,
            "reduced_motion": "reduce",
            "java_script_enabled": js,
        }
        if who:
            options["storage_state"] = sessions(who)
        context: BrowserContext = new_context(**options)
        watcher.watch(context)
        page = context.new_page()
        page.goto(path)
        return page

    return open_page


def violations(page: Page) -> list[str]:
    """What axe finds wrong with the page as it stands: WCAG 2.0 A to 2.2 AA and best practice."""
    results = Axe().run(page, options=AXE_RULES)
    return [
        f"{found['id']}: {found['help']}: {node['html'][:160]}"
        for found in results.response["violations"]
        for node in found["nodes"]
    ]


def show_as(page: Page, size: ViewportSize, theme: Theme = "light") -> None:
    """The page at another size and in another theme, once the browser has laid it out anew."""
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size(size)
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def overflow(page: Page) -> int:
    """By how many pixels the page is wider than the window, given two seconds to come to rest after a change of size."""
    wider = int(page.evaluate(TOO_WIDE))
    for _ in range(20):
        if wider <= 0:
            break
        page.wait_for_timeout(100)
        wider = int(page.evaluate(TOO_WIDE))
    return wider
