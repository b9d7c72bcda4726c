"""Every page, as someone who may see it: both themes, desk and phone; nothing overflows, nothing is blocked, axe has nothing to say.

`pytest tests/browser/test_pages.py --shots FOLDER` keeps a picture of each.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final

import httpx
import pytest
from django.contrib.auth.models import Group
from django.test import override_settings
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from playwright.sync_api import Page

from access.models import Role
from audit import keys
from audit.queries import Filter, entries, latest_checkpoint
from audit.sequencer import Sequencer, initialise
from reviews.models import BreakGlass
from tests.browser.conftest import PHONE, WIDE, Theme, overflow, show_as, violations
from tests.browser.world import World

Visit = Callable[..., Page]
THEMES: Final[tuple[Theme, ...]] = ("light", "dark")


@dataclass(frozen=True)
class Place:
    """A page: whose it is and what its address needs."""

    name: str
    who: str
    arguments: Callable[[World], dict[str, Any]] = lambda world: {}
    query: str = ""

    @property
    def title(self) -> str:
        """For test names and pictures."""
        return (self.name + self.query).replace(":", "-").replace("?", "-").replace("=", "-")


def _waiting(world: World) -> dict[str, Any]:
    return {"name": world.model.name, "number": world.waiting.number}


def _live(world: World) -> dict[str, Any]:
    return {"name": world.model.name, "number": world.live.number}


def _fresh(world: World) -> dict[str, Any]:
    return {"name": world.model.name, "number": world.fresh.number}


def _model(world: World) -> dict[str, Any]:
    return {"name": world.model.name}


def _dataset(world: World) -> dict[str, Any]:
    return {"name": world.dataset.name}


def _recipe(world: World) -> dict[str, Any]:
    return {"name": world.dataset.name, "recipe_name": "plain", "number": 1}


def _evidence(world: World) -> dict[str, Any]:
    return {**_live(world), "pk": world.live.evidence.get(kind="fairness").pk}


def _file(world: World) -> dict[str, Any]:
    return {**_live(world), "path": world.live.manifest[0]["path"]}


def _entry(world: World) -> dict[str, Any]:
    """The newest entry that changed something, logged and signed for the occasion: no sequencer runs here."""
    folder = Path(mkdtemp())
    with override_settings(AUDIT_STATE_FILE=folder / "state", AUDIT_ANCHOR_DIR=folder / "anchors", AUDIT_ANCHORS=[]):
        if latest_checkpoint() is None:
            initialise()
            sequencer = Sequencer(keys.load_log_key())
            sequencer.start()
            while sequencer.tick():
                continue
    found = next(one for one in entries(Filter(action="model."), pending=False) if one.entry.after)
    return {"seq": found.seq}


def _actor(world: World) -> dict[str, Any]:
    return {"actor": str(world.people["bob"].uuid)}


def _training(world: World) -> dict[str, Any]:
    return {"uuid": world.training.job.uuid}


def _deployment(world: World) -> dict[str, Any]:
    return {"name": world.deployment.name}


def _experiment(world: World) -> dict[str, Any]:
    return {"number": 2}


def _bob(world: World) -> dict[str, Any]:
    return {"uuid": world.people["bob"].uuid}


def _role(world: World) -> dict[str, Any]:
    return {"pk": Role.objects.get(name="Administrator").pk}


def _group(world: World) -> dict[str, Any]:
    return {"pk": Group.objects.get(name="Model validation").pk}


def _account(world: World) -> dict[str, Any]:
    return {"uuid": world.account.uuid}


def _webhook(world: World) -> dict[str, Any]:
    return {"uuid": world.webhook.uuid}


def _delivery(world: World) -> dict[str, Any]:
    return {"uuid": world.webhook.uuid, "delivery": world.webhook.deliveries.earliest("pk").uuid}


def _token(world: World) -> dict[str, Any]:
    return {"uuid": world.account.uuid, "prefix": world.token.prefix}


def _policy(world: World) -> dict[str, Any]:
    return {"name": "production-tier-1", "number": 1}


def _thread(world: World) -> dict[str, Any]:
    return {"uuid": world.review.threads.earliest("pk").uuid}


def _comment(world: World) -> dict[str, Any]:
    return {"pk": world.review.threads.earliest("pk").comments.earliest("pk").pk}


def _finding(world: World) -> dict[str, Any]:
    return {"uuid": world.waiting.findings.earliest("pk").uuid}


def _proposed_policy(world: World) -> dict[str, Any]:
    return {"name": world.proposed_policy.policy.name, "number": world.proposed_policy.number}


def _emergency(state: str) -> object:
    return BreakGlass.objects.get(state=state).uuid


def _envelope(world: World) -> dict[str, Any]:
    return {"uuid": world.model.retraining_envelopes.get().uuid}


PAGES: Final = (
    Place("account_login", ""),
    Place("account_logout", "bob"),
    Place("account_change_password", "bob"),
    Place("account_reset_password", ""),
    Place("account_reauthenticate", "bob"),
    Place("mfa_index", "bob"),
    Place("mfa_activate_totp", "bob"),
    Place("mfa_list_webauthn", "bob"),
    Place("mfa_add_webauthn", "bob"),
    Place("search", "bob"),
    Place("search", "bob", query="?q=credit"),
    Place("search", "bob", query="?q=nothing-of-that-name"),
    Place("reviews:inbox", "bob"),
    Place("reviews:inbox", "alice"),
    Place("reviews:inbox", "dave"),
    Place("reviews:model", "bob", _model),
    Place("reviews:version", "bob", _waiting),
    Place("reviews:version", "alice", _fresh),
    Place("reviews:version", "carol", _live),
    Place("reviews:history", "dave", _live),
    Place("reviews:request", "alice", _fresh),
    Place("reviews:sign", "bob", _waiting),
    Place("reviews:sign", "bob", _waiting, query="?decision=approve_with_conditions"),
    Place("reviews:comment", "bob", _waiting, query="?section=gates&path=/gates/widest-gap"),
    Place("reviews:thread-reply", "bob", _thread),
    Place("reviews:comment-edit", "bob", _comment),
    Place("reviews:findings", "bob"),
    Place("reviews:findings", "dave", query="?state=lapsed"),
    Place("reviews:finding", "alice", _finding),
    Place("reviews:finding", "bob", _finding),
    Place("reviews:finding-extend", "bob", _finding),
    Place("reviews:finding-new", "dave", _waiting),
    Place("reviews:exception", "carol", _waiting, query="?gate=auc-floor"),
    Place("reviews:delegations", "carol"),
    Place("reviews:delegations", "rita"),
    Place("reviews:delegations", "alice"),
    Place("reviews:promote", "rita", _waiting),
    Place("reviews:rollback", "rita", _model),
    Place("reviews:break-glass-ask", "rita", _fresh),
    Place("reviews:break-glass", "carol", lambda world: {"uuid": _emergency("asked")}),
    Place("reviews:break-glass", "dave", lambda world: {"uuid": _emergency("in_force")}),
    Place("reviews:envelope", "bob", _model),
    Place("reviews:envelope", "bob", _model, query="?stage=staging"),
    Place("reviews:envelope-propose", "alice", _model),
    Place("reviews:envelope-sign", "bob", _envelope),
    Place("reviews:envelope-withdraw", "bob", _envelope),
    Place("reviews:revoke", "carol", _live),
    Place("reviews:policies", "bob"),
    Place("reviews:policy", "bob", _policy),
    Place("reviews:policy", "carol", _proposed_policy),
    Place("reviews:policy-new", "pia"),
    Place("reviews:policy-new", "pia", query="?view=text"),
    Place("reviews:policy-edit", "pia", lambda world: {"name": "staging"}),
    Place("reviews:policy-diff", "bob", lambda world: {"name": "production-tier-1"}),
    Place("reviews:policy-fields", "bob"),
    Place("reviews:policy-fields", "bob", query="?q=gap"),
    Place("reviews:policy-rehearsal", "carol", _proposed_policy),
    Place("reviews:policy-rehearsal", "carol", _proposed_policy, query="?show=promotions"),
    Place("reviews:policy-sign", "carol", _proposed_policy),
    Place("reviews:packs", "pia"),
    Place("reviews:pack", "bob", lambda world: {"key": "eu-ai-act"}),
    Place("registry:models", "bob"),
    Place("registry:new", "alice"),
    Place("registry:files", "bob", _live),
    Place("registry:evidence", "bob", _evidence),
    Place("registry:lineage", "bob", _live),
    Place("registry:card", "alice", _fresh),
    Place("registry:card", "alice", _fresh, query="?insert=data&insert=evaluation"),
    Place("reviews:compare", "bob", _waiting),
    Place("reviews:compare", "alice", _fresh, query="?with=1"),
    Place("registry:access", "alice", _model),
    Place("datasets:list", "alice"),
    Place("datasets:new", "alice"),
    Place("datasets:detail", "alice", _dataset),
    Place("datasets:upload", "alice", _dataset),
    Place("datasets:recipe_new", "alice", _dataset),
    Place("datasets:recipe", "alice", _recipe),
    Place("training:list", "alice"),
    Place("training:new", "alice"),
    Place("training:new", "alice", query="?algorithm=random_forest"),
    Place("training:detail", "alice", _training),
    Place("serving:deployments", "erin"),
    Place("serving:deployment", "erin", _deployment),
    Place("serving:new", "erin"),
    Place("serving:experiments", "erin"),
    Place("serving:experiments", "alice", query="?q=unheard"),
    Place("serving:experiment", "erin", _experiment),
    Place("monitoring:list", "bob"),
    Place("monitoring:detail", "bob", _deployment),
    Place("reports:certificate", "bob", _live),
    Place("reports:verify", ""),
    Place("reports:index", "dave"),
    Place("reports:attention", "dave"),
    Place("reports:quality", "dave"),
    Place("reports:as_of", "dave"),
    Place("notices:list", "bob"),
    Place("notices:list", "bob", query="?kind=job"),
    Place("notices:list", "dave"),
    Place("audit:entry", "dave", _entry),
    Place("audit:log", "dave"),
    Place("audit:log", "dave", query="?action=model.&outcome=ok&live=1"),
    Place("audit:log", "dave", query="?since=soon"),
    Place("audit:activity", "dave", _actor),
    Place("audit:own-activity", "bob"),
    Place("audit:integrity", "dave"),
    Place("webhooks:list", "erin"),
    Place("webhooks:new", "erin"),
    Place("webhooks:detail", "erin", _webhook),
    Place("webhooks:detail", "erin", _webhook, query="?state=withheld"),
    Place("webhooks:edit", "erin", _webhook),
    Place("webhooks:delete", "erin", _webhook),
    Place("webhooks:delivery", "erin", _delivery),
    Place("access_policies:policies", "erin"),
    Place("access_policies:new", "erin"),
    Place("access_policies:edit", "erin", lambda _: {"name": "everybody-with-the-permission"}),
    Place("access_policies:policy", "erin", lambda _: {"name": "everybody-with-the-permission", "number": 1}),
    Place("access:people", "erin"),
    Place("access:new-person", "erin"),
    Place("access:person", "erin", _bob),
    Place("access:person-active", "erin", _bob),
    Place("access:person-sessions", "erin", _bob),
    Place("access:sessions", "bob"),
    Place("access:roles", "erin"),
    Place("access:role", "erin", _role),
    Place("access:new-role", "erin"),
    Place("access:edit-role", "erin", _role),
    Place("access:delete-role", "erin", _role),
    Place("access:groups", "erin"),
    Place("access:new-group", "erin"),
    Place("access:group", "erin", _group),
    Place("access:delete-group", "erin", _group),
    Place("access:tokens", "erin"),
    Place("access:new-account", "erin"),
    Place("access:account", "erin", _account),
    Place("access:new-token", "erin", _account),
    Place("access:revoke-token", "erin", _token),
    Place("access:me", "bob"),
)
NOT_PAGES: Final = {
    "access_policies:check": "posted by the editor while a rule is typed",
    "access_policies:publish": "posted by the policy's page",
    "access_policies:rehearsal-csv": "a download",
    "access_policies:retire": "posted by the policy's page",
    "reports:ledger_keys": "keys, for programs and for keeping",
    "reports:ledger_script": "a script, for running elsewhere",
    "reports:model_signing_key": "a key, for programs and for keeping",
    "reports:registry_key": "a key, for programs and for keeping",
    "reports:sign_off_bundle": "a download",
    "theme": "posted by the toggle",
    "alive": "text for a supervisor",
    "ready": "JSON for a load balancer",
    "metrics": "text for a scraper",
    "api-schema": "a document for programs",
    "api-docs": "drawn by Swagger UI, which is not ours",
    "reports:certificate_pdf": "a download",
    "reports:review_pack": "a download",
    "reports:as_of_pdf": "a download",
    "reports:export": "a download",
    "reports:attention_export": "a download",
    "reports:quality_export": "a download",
    "webhooks:switch": "posted by the webhook's page",
    "webhooks:renew": "posted by the webhook's page",
    "webhooks:test": "posted by the webhook's page",
    "webhooks:redeliver": "posted by the webhook's page and the delivery's",
    "notices:open": "leads to the page that a notification is about",
    "notices:read": "posted by the list of notifications",
    "notices:read-all": "posted by the list of notifications",
    "access:keys": "posted by the page of one's own account and the dialog about shortcuts",
    "notices:preference": "posted by the page of one's own account",
    "notices:test": "posted by the page of one's own account",
    "monitoring:evaluate": "posted by the deployment's page",
    "monitoring:thresholds": "posted by the deployment's page",
    "monitoring:outcomes": "posted by the deployment's page",
    "monitoring:alert": "posted by the deployment's page",
    "monitoring:retrain": "posted by the deployment's page",
    "monitoring:export": "a download",
    "training:cancel": "posted by the job's page",
    "training:compare": "posted by the section of changes",
    "training:retry": "posted by the job's page",
    "reviews:read": "posted by the review page",
    "reviews:section-table": "a download",
    "reviews:section-chart": "a download",
    "reviews:evidence-table": "a download",
    "reviews:evidence-chart": "a download",
    "reviews:finding-act": "posted by the finding's page",
    "reviews:findings-export": "a download",
    "reviews:thread-resolve": "posted by the review page",
    "reviews:round": "posted by the review page",
    "reviews:withdraw": "posted by the review page",
    "reviews:withdraw-sign-off": "posted by the review page",
    "reviews:policy-check": "posted by the editor while an expression is typed",
    "reviews:policy-export": "a download",
    "reviews:policy-propose": "posted by the policy's page",
    "reviews:policy-take-back": "posted by the policy's page",
    "reviews:policy-rehearsal-csv": "a download",
    "reviews:pack-adopt": "posted by the pack's page",
    "serving:pause": "posted by the deployment's page",
    "reviews:dismiss": "posted by the review page",
    "reviews:sign-again": "posted by the review page",
    "reviews:end-delegation": "posted by the page of delegations",
    "reviews:withdraw-exception": "posted by the review page",
    "audit:verify": "posted by the log's button",
    "audit:export": "a download",
    "audit:checkpoint": "a signed note for programs",
    "audit:bundle": "a download",
    "audit:receipt": "a download",
    "access:group-members": "posted by the group's page",
    "access:group-roles": "posted by the group's page",
    "access:rename-group": "posted by the group's page",
    "access:person-roles": "posted by the person's page",
    "access:person-groups": "posted by the person's page",
    "access:account-active": "posted by the account's page",
    "access:account-roles": "posted by the account's page",
    "registry:file": "a download",
    "registry:withdraw-access": "posted by the page of a model's access",
    "registry:alias": "posted by the model's page",
}


def _names(patterns: list[URLPattern | URLResolver], prefix: str = "") -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            inside = f"{prefix}{pattern.namespace}:" if pattern.namespace else prefix
            yield from _names(pattern.url_patterns, inside)
        elif pattern.name:
            yield f"{prefix}{pattern.name}"


def test_no_page_of_the_portal_is_forgotten() -> None:
    rooms = {
        "reviews",
        "registry",
        "datasets",
        "training",
        "serving",
        "monitoring",
        "reports",
        "audit",
        "access",
        "notices",
    }
    known = {place.name for place in PAGES} | set(NOT_PAGES)
    ours = {name for name in _names(get_resolver().url_patterns) if ":" not in name or name.partition(":")[0] in rooms}
    ours = {name for name in ours if not name.startswith(("account_", "mfa_", "socialaccount_")) and "api" not in name}

    assert ours - known == set()


@pytest.mark.parametrize("place", PAGES, ids=lambda place: f"{place.title}-{place.who or 'nobody'}")
def test_a_page_is_sound(place: Place, installation: World, visit: Visit, pytestconfig: pytest.Config) -> None:
    page = visit(reverse(place.name, kwargs=place.arguments(installation)) + place.query, place.who)

    assert page.locator("h1").count() == 1, "a page has one heading of the first rank"
    assert page.locator("h1").inner_text() not in {"Not permitted", "Not found"}
    problems = []
    for theme, size in itertools.product(THEMES, (WIDE, PHONE)):
        show_as(page, size, theme)
        _keep(page, place, theme, size["width"], pytestconfig.getoption("--shots"))
        problems += [f"{theme}, {size['width']} px: {problem}" for problem in _problems(page)]
    show_as(page, {"width": 320, "height": 700})
    assert problems == []
    assert overflow(page) == 0, "wider than 320 px"


def _problems(page: Page) -> list[str]:
    wider = overflow(page)
    return violations(page) + ([f"the page is {wider} px wider than the window"] if wider else [])


OPEN_TO_ALL: Final = {"account_login", "account_logout", "account_reset_password", "reports:verify"}


@pytest.mark.parametrize(
    "place", [p for p in PAGES if p.name not in OPEN_TO_ALL and not p.query], ids=lambda place: place.title
)
def test_a_page_asks_for_a_login_first(place: Place, installation: World, portal: str) -> None:
    path = reverse(place.name, kwargs=place.arguments(installation))

    answer = httpx.get(portal + path)

    assert answer.status_code == 302
    assert answer.headers["location"].startswith("/accounts/login/")


def _keep(page: Page, place: Place, theme: str, width: int, folder: str) -> None:
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(
            path=str(Path(folder) / f"{place.title}-{place.who or 'nobody'}-{width}-{theme}.png"), full_page=True
        )
