"""Every address × everyone who may not: no page and no API answers somebody who has no business there.

The addresses come from the URLconf, so a route that is added tomorrow is held to this without anybody thinking of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.test import Client
from django.utils import timezone

from access.actions import create_person
from access.models import Role, User
from access.permissions import Permission, grant
from access.principal import Principal
from datasets.models import DatasetVersion
from notices.webhooks.actions import create_webhook
from registry import actions as registry
from registry.models import Stage
from reviews import break_glass
from reviews.actions import give_delegation, open_thread, raise_finding
from serving.actions import create_deployment
from serving.tracking_actions import Known, record_experiment
from tests.conftest import PASSWORD, MakeVersion, as_
from tests.datasets.made import prepared, registered, versioned
from tests.flows.routes import address, templates
from tests.reviews.conftest import MakeCandidate, ask, candidate, make_candidate, proof_of, sign
from tests.serving.conftest import release
from training.actions import start_training

__all__ = ["candidate", "make_candidate"]

pytestmark = pytest.mark.django_db

SECRET: Final = "xyzzy"
"""In every text that somebody wrote about the model, and nowhere else."""

METHODS: Final = ("get", "post", "put", "patch", "delete")

REFUSED: Final = {400, 403, 404, 405}
"""400: some addresses of the API read what was sent before they look for what it is about."""

SAID_TO_ANYBODY: Final = {
    "/healthz",
    "/metrics",
    "/readyz",
    "/verify/",
    "/verify/ledger.pub",
    "/verify/model-signing.pub",
    "/verify/registry.pub",
    "/verify/verify.py",
    "/api/schema/",
    "/api/docs/",
}
"""Answers without a login: whether the process works, how busy it is (to this machine only), the check of attestations that people
bring along, the keys and the script that it is made with, the API's description."""

SAID_TO_EVERYBODY_SIGNED_IN: Final = SAID_TO_ANYBODY | {
    "/",
    "/deployments/",
    "/experiments/",
    "/me/",
    "/me/activity/",
    "/findings/",
    "/findings/export/",
    "/me/delegations/",
    "/me/keys/",
    "/me/mail/test/",
    "/me/sessions/",
    "/models/",
    "/monitoring/",
    "/policies/",
    "/policies/fields/",
    "/policies/packs/",
    "/policies/packs/eu-ai-act/",
    "/policies/production-tier-1/diff/",
    "/policies/production-tier-1/v/1/",
    "/policies/production-tier-1/v/1/export.json",
    "/policies/production-tier-1/v/1/rehearsal/",
    "/search/",
    "/service-accounts/",
    "/training/",
    "/notifications/",
    "/notifications/read/",
    "/api/v1/delegations/",
    "/api/v1/experiments",
    "/api/v1/findings/",
    "/api/v1/me/",
    "/api/v1/models/",
    "/api/v1/notifications/",
    "/api/v1/notifications/preference/",
    "/api/v1/notifications/read/",
    "/api/v1/monitoring",
    "/api/v1/policies/",
    "/api/v1/policies/production-tier-1/1/",
    "/api/v1/policies/production-tier-1/1/signatures/",
    "/api/v1/reviews/",
    "/api/v1/service-accounts/",
    "/api/v1/serving/deployments",
    "/api/v1/training/",
}
"""Lists that are empty for somebody without a role, one's own page, and the policies: the rules are for everybody to read."""


@pytest.fixture
def world(
    make_candidate: MakeCandidate, production: Stage, alice: User, bob: User, carol: User, rita: User, erin: User
) -> dict[str, object]:
    """A live version, one in review with a signature and a comment, data, a training, a deployment: an argument for every address."""
    live = release(make_candidate(), by=alice, validator=bob, risk=carol, promoter=rita)
    model = live.model
    registry.update_model(model, description=SECRET, intended_use=SECRET, by=as_(alice))
    second = make_candidate()
    registry.update_version(second, description=SECRET, by=as_(alice))
    registry.revise_card(second, {"intended_use": SECRET}, by=as_(alice))
    registry.set_alias(model, "candidate", second, by=as_(alice))
    registry.set_model_tag(model, "team", SECRET, by=as_(alice))
    review = ask(second, production, alice)
    thread = open_thread(review, SECRET, by=as_(bob))
    finding = raise_finding(
        second,
        title="Something",
        detail=SECRET,
        severity="minor",
        owner=alice,
        due_at=timezone.now() + timedelta(days=9),
        verifying_group=Group.objects.get(name="Model validation"),
        by=as_(bob),
    )
    delegation = give_delegation(
        rita,
        group="Model validation",
        starts_at=timezone.now(),
        ends_at=timezone.now() + timedelta(days=9),
        reason=SECRET,
        by=as_(bob),
    )
    asked = break_glass.ask(
        second,
        production,
        reason="outage",
        text=f"{SECRET}: the live version fails on every other row.",
        hours=2,
        reauthentication=proof_of(rita),
        by=as_(rita),
    )
    signed = sign(review, "validator", bob, reason=SECRET)
    data: DatasetVersion = versioned(registered(alice), alice, rows=400)
    recipe = prepared(data.dataset, alice)
    training = start_training(
        model,
        dataset_version=data,
        recipe=recipe,
        split={"train": [2020], "test": [2021]},
        reason=SECRET,
        by=as_(alice),
    )
    create_deployment("credit-live", model=model, stage=production, by=as_(erin))
    experiment = record_experiment(Known(7, SECRET, "7"), by=as_(alice))
    webhook = create_webhook(
        "pipeline", "https://receiver.example/", ["model_version_tag.set"], description=SECRET, by=as_(erin)
    )
    registry.set_version_tag(second, "team", SECRET, by=as_(alice))
    return {
        "models.name": "credit",
        "number": 2,
        "alias": "champion",
        "key": "team",
        "path": "model.skops",
        "pk": second.evidence.get(kind="fairness").pk,
        "section": "fairness",
        "sign-offs.uuid": signed.uuid,
        "models.uuid": signed.uuid,
        "threads.uuid": thread.uuid,
        "comments.pk": thread.comments.get().pk,
        "findings.uuid": finding.uuid,
        "delegations.uuid": delegation.uuid,
        "me.uuid": delegation.uuid,
        "break-glass.uuid": asked.uuid,
        "webhooks.uuid": webhook.uuid,
        "webhooks.delivery": webhook.deliveries.get().uuid,
        "uuid": uuid4(),
        "reviews.uuid": review.uuid,
        "datasets.name": data.dataset.name,
        "recipe_name": recipe.name,
        "training.uuid": training.job.uuid,
        "deployments.name": "credit-live",
        "experiments.number": experiment.pk,
        "serving.name": "credit-live",
        "monitoring.name": "credit-live",
        "access-policies.name": "everybody-with-the-permission",
        "access-policies.number": 1,
        "policies.name": "production-tier-1",
        "policies.number": 1,
        "policies.key": "eu-ai-act",
        "people.uuid": alice.uuid,
        "groups.pk": Group.objects.get(name="Model validation").pk,
        "roles.pk": Role.objects.get(name="Viewer").pk,
        "service-accounts.uuid": alice.uuid,
        "prefix": "abcdefgh",
        "what": "approvals",
        "digest": signed.statement_digest,
        "reports/attention.what": "findings",
        "reports/review-quality.what": "load",
        "monitoring.what": "drift",
    }


def every_address(world: Mapping[str, object]) -> list[str]:
    """Ours: the pages of allauth and of the Django admin are held to their own tests, below and in tests/access."""
    found = {address(template, world) for template in templates()}
    ours = sorted(path for path in found if not path.startswith(("/accounts/", "/admin/", "/theme/")))
    assert len(ours) > 120
    return ours


def send(client: Client, method: str, path: str) -> HttpResponseBase:
    """One request without a body, as JSON where the address is the API's."""
    kind = "application/json" if path.startswith("/api/") else "application/x-www-form-urlencoded"
    return client.generic(method.upper(), path, "{}" if "json" in kind and method != "get" else "", content_type=kind)


def text_of(response: HttpResponseBase) -> str:
    parts = response.streaming_content if isinstance(response, StreamingHttpResponse) else [response.content]  # type: ignore[attr-defined]  # every other response has content
    return b"".join(parts).decode(errors="replace")  # type: ignore[arg-type]  # Django's test client iterates synchronously


def test_without_a_login_no_address_answers(world: Mapping[str, object], client: Client) -> None:
    for path in every_address(world):
        for method in METHODS:
            response = send(client, method, path)

            said = f"{method} {path}: {response.status_code}"
            assert SECRET not in text_of(response), said
            if path in SAID_TO_ANYBODY:
                continue
            if response.status_code == 302:
                assert response.headers["Location"].startswith("/accounts/login/?next="), said
            else:
                assert response.status_code in {401, 403, 404, 405}, said


def test_without_a_login_the_django_admin_shows_its_login_only(world: Mapping[str, object], client: Client) -> None:
    addresses = sorted({address(template, world) for template in templates() if template.startswith("admin/")})
    assert len(addresses) > 40

    for path in addresses:
        response = send(client, "get", path)
        assert response.status_code in {302, 404}, path
        if response.status_code == 302 and path != "/admin/logout/":
            assert "/accounts/" in response.headers["Location"] or "/admin/login/" in response.headers["Location"], path


def test_somebody_without_a_role_reads_nothing_and_changes_nothing(
    world: Mapping[str, object], client_for: Callable[[User], Client]
) -> None:
    client = client_for(newcomer())

    for path in every_address(world):
        for method in METHODS:
            response = send(client, method, path)

            said = f"{method} {path}: {response.status_code}"
            assert SECRET not in text_of(response), said
            if path not in SAID_TO_EVERYBODY_SIGNED_IN:
                assert response.status_code in REFUSED, said


def test_everything_on_one_model_opens_no_door_to_another(
    world: Mapping[str, object], make_version: MakeVersion, alice: User, client_for: Callable[[User], Client]
) -> None:
    """Mallory may do everything with `other`: neither its addresses with the keys of `credit` nor those of `credit` give anything."""
    mallory = newcomer()
    other = registry.create_model("other", tier=1, by=as_(alice))
    for permission in Permission:
        if permission.on_models:
            grant(other, permission, to=mallory, by=Principal.system("operator"))
    make_version(other)
    client = client_for(mallory)

    for arguments in (world, {**world, "models.name": "other", "number": 1}):
        for path in every_address(arguments):
            if path in SAID_TO_EVERYBODY_SIGNED_IN:
                assert SECRET not in text_of(send(client, "get", path)), path
                continue
            for method in METHODS:
                response = send(client, method, path)
                said = f"{method} {path}: {response.status_code}"
                assert SECRET not in text_of(response), said
                assert response.status_code < 500, said
                if "/other/" not in path:
                    assert response.status_code in REFUSED, said


def test_a_session_without_the_page_s_token_changes_nothing(world: Mapping[str, object], root: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(root, backend="django.contrib.auth.backends.ModelBackend")

    for path in every_address(world):
        for method in ("post", "put", "patch", "delete"):
            response = send(client, method, path)
            assert response.status_code == 403, f"{method} {path}: {response.status_code}"


def newcomer() -> User:
    """Somebody who has an account and nothing else."""
    return create_person(
        "mallory",
        display_name="Mallory",
        email="mallory@example.org",
        password=PASSWORD,
        by=Principal.system("operator"),
    )
