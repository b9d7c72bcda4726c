"""The pages about deployments, as an administrator, a data scientist and a stranger see them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from access.models import User
from access.permissions import Permission, grant
from registry.models import ModelVersion, RegisteredModel, Stage
from serving.models import Deployment
from tests.conftest import as_

pytestmark = pytest.mark.django_db

ClientFor = Callable[[User], Client]


def test_an_empty_list_says_what_to_do_first(client_for: ClientFor, erin: User, alice: User) -> None:
    assert "Set up the first one" in client_for(erin).get("/deployments/").content.decode()
    assert "An administrator sets them up" in client_for(alice).get("/deployments/").content.decode()


def test_nobody_reads_them_without_logging_in(client: Client, deployment: Deployment) -> None:
    for path in ("/deployments/", "/deployments/credit-live/", "/deployments/new/", "/deployments/credit-live/pause/"):
        assert client.get(path)["Location"].startswith("/accounts/login/"), path


def test_a_deployment_is_set_up_with_a_form(
    client_for: ClientFor, erin: User, model: RegisteredModel, production: Stage
) -> None:
    browser = client_for(erin)
    assert browser.get("/deployments/new/").status_code == 200

    answer = browser.post("/deployments/new/", {"name": "credit-live", "model": model.pk, "stage": production.pk})

    assert answer["Location"] == "/deployments/credit-live/"
    page = browser.get("/deployments/credit-live/").content.decode()
    assert "No version of credit is live in Production yet." in page
    assert "Nobody has pulled it yet" in page
    listed = browser.get("/deployments/").content.decode()
    assert "credit-live" in listed
    assert "Starting" in listed


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": "credit live"}, "valid “slug”"),
        ({"name": "new"}, "Choose another name."),
        ({"name": ""}, "required"),
        ({"model": "999"}, "valid choice"),
        ({"address": "javascript:alert(1)"}, "valid URL"),
    ],
)
def test_a_wrong_form_comes_back_with_what_to_correct(
    client_for: ClientFor, erin: User, model: RegisteredModel, production: Stage, change: dict[str, str], sentence: str
) -> None:
    answer = client_for(erin).post(
        "/deployments/new/", {"name": "credit-live", "model": model.pk, "stage": production.pk} | change
    )

    assert answer.status_code == 400
    assert sentence in answer.content.decode().replace("&quot;", '"')
    assert not Deployment.objects.exists()


def test_a_name_is_used_once(client_for: ClientFor, erin: User, deployment: Deployment) -> None:
    answer = client_for(erin).post(
        "/deployments/new/", {"name": "credit-live", "model": deployment.model_id, "stage": deployment.stage_id}
    )

    assert "There is a deployment named “credit-live” already." in answer.content.decode()


def test_the_kill_switch_asks_for_a_reason_and_shows_it(
    client_for: ClientFor, erin: User, deployment: Deployment
) -> None:
    browser = client_for(erin)
    assert "stops answering within two seconds" in browser.get("/deployments/credit-live/pause/").content.decode()
    assert browser.post("/deployments/credit-live/pause/", {"change": "pause", "reason": ""}).status_code == 400

    browser.post("/deployments/credit-live/pause/", {"change": "pause", "reason": "Wrong prices in the north."})

    assert "Paused: Wrong prices in the north." in browser.get("/deployments/credit-live/").content.decode()
    assert "Paused" in browser.get("/deployments/").content.decode()
    again = browser.post("/deployments/credit-live/pause/", {"change": "pause", "reason": "Once more."})
    assert again.status_code == 409
    browser.post("/deployments/credit-live/pause/", {"change": "resume", "reason": "Prices are right again."})
    deployment.refresh_from_db()
    assert not deployment.paused


def test_others_neither_pause_nor_create(
    client_for: ClientFor, alice: User, root: User, deployment: Deployment
) -> None:
    for user in (alice, root):
        browser = client_for(user)
        assert browser.get("/deployments/new/").status_code == 403
        assert browser.post(
            "/deployments/credit-live/pause/", {"change": "pause", "reason": "I like to."}
        ).status_code in {403, 404}
    deployment.refresh_from_db()
    assert not deployment.paused


def test_who_may_not_see_the_model_sees_no_deployment(
    client_for: ClientFor, root: User, deployment: Deployment
) -> None:
    assert client_for(root).get("/deployments/credit-live/").status_code == 404
    assert "credit-live" not in client_for(root).get("/deployments/").content.decode()


def test_a_live_deployment_says_how_to_call_it_and_who_pulled(
    client_for: ClientFor,
    alice: User,
    erin: User,
    root: User,
    scorer: User,
    deployment: Deployment,
    released: ModelVersion,
) -> None:
    from serving.pulls import Pull

    Deployment.objects.update(
        state="serving", version=released, heartbeat_at=timezone.now(), serving_since=timezone.now()
    )
    Pull(released, "model.skops", as_(scorer)).record("begun")

    page = client_for(alice).get("/deployments/credit-live/").content.decode()

    assert "curl http://localhost:8100/score/credit-live" in page
    assert "&quot;hours&quot;" in page
    assert "scorer" in page
    assert "model.skops" in page
    assert "approved until" in page
    grant(deployment.model, Permission.SEE_MODEL, to=root, by=as_(erin))
    shown = client_for(root).get("/deployments/credit-live/").content.decode()
    assert "Pulls are shown to its owner and to auditors" in shown


def test_the_live_part_alone_is_what_htmx_gets(client_for: ClientFor, alice: User, deployment: Deployment) -> None:
    part = client_for(alice).get("/deployments/credit-live/?part=live", headers={"HX-Request": "true"}).content.decode()

    assert 'id="live"' in part
    assert "<html" not in part


def test_a_worker_that_fell_silent_is_unhealthy(client_for: ClientFor, alice: User, deployment: Deployment) -> None:
    Deployment.objects.update(state="serving", heartbeat_at=timezone.now() - timedelta(minutes=1))

    assert "Unhealthy" in client_for(alice).get("/deployments/").content.decode()


def test_the_list_asks_the_database_the_same_number_of_times_however_long_it_is(
    client_for: ClientFor,
    erin: User,
    model: RegisteredModel,
    production: Stage,
    django_assert_max_num_queries: Callable[[int], object],
) -> None:
    for number in range(12):
        Deployment.objects.create(name=f"d{number}", model=model, stage=production, created_by=erin)
    browser = client_for(erin)

    with django_assert_max_num_queries(15):  # type: ignore[attr-defined]  # a context manager
        browser.get("/deployments/")
