"""Webhooks over our own API."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from access.actions import assign_role
from access.models import Role, User
from access.principal import Principal
from notices.models import Delivery, Webhook
from notices.webhooks.delivery import deliver
from notices.webhooks.emitting import emit
from notices.webhooks.events import Event
from notices.webhooks.letters import secret_of
from registry.models import RegisteredModel
from tests.notices.webhooks.conftest import Hook
from tests.notices.webhooks.receiver import Receiver

pytestmark = pytest.mark.django_db
ApiFor = Callable[[User | str], APIClient]
WANTED = {"name": "pipeline", "url": "https://receiver.example/hook", "events": ["version.promoted"]}


def test_a_webhook_is_made_with_a_secret_that_is_answered_once(api_for: ApiFor, erin: User) -> None:
    api = api_for(erin)

    made = api.post("/api/v1/webhooks/", {**WANTED, "models": ["credit"]}, format="json")

    assert made.status_code == 201
    assert made.data["secret"] == secret_of(Webhook.objects.get())
    assert (made.data["models"], made.data["signed"], made.data["state"]) == (["credit"], True, "on")
    (listed,) = api.get("/api/v1/webhooks/").data["results"]
    assert "secret" not in listed
    assert "secret" not in api.get(f"/api/v1/webhooks/{made.data['uuid']}/").data


def test_a_webhook_is_changed_switched_and_deleted(api_for: ApiFor, erin: User, hook: Hook) -> None:
    webhook, api = hook(), api_for(erin)
    path = f"/api/v1/webhooks/{webhook.uuid}/"

    changed = api.patch(path, {"events": ["review.approved"], "models": [], "on": False}, format="json").data

    assert (changed["events"], changed["models"], changed["state"]) == (["review.approved"], [], "off")
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == 404


def test_what_is_not_a_field_changes_nothing(api_for: ApiFor, erin: User, alice: User, hook: Hook) -> None:
    webhook = hook()

    api_for(erin).patch(
        f"/api/v1/webhooks/{webhook.uuid}/",
        {"owner": alice.pk, "owner_id": alice.pk, "state": "off", "failed_in_a_row": 9, "name": "renamed"},
        format="json",
    )

    webhook.refresh_from_db()
    assert (webhook.name, webhook.owner, webhook.state, webhook.failed_in_a_row) == ("renamed", erin, "on", 0)


def test_an_example_is_sent_and_answered(api_for: ApiFor, erin: User, hook: Hook, receiver: Receiver) -> None:
    webhook = hook()

    sent = api_for(erin).post(f"/api/v1/webhooks/{webhook.uuid}/test/", {"event": "version.promoted"}, format="json")

    assert (sent.data["state"], sent.data["last_status"], sent.data["test"]) == ("delivered", 204, True)
    assert receiver.events() == ["version.promoted"]


def test_the_log_is_read_and_a_delivery_sent_again(
    api_for: ApiFor, erin: User, hook: Hook, receiver: Receiver, model: RegisteredModel
) -> None:
    webhook, api = hook(), api_for(erin)
    emit(Event.TAG_SET, model, {"name": "credit"})
    deliver()
    path = f"/api/v1/webhooks/{webhook.uuid}/deliveries/"
    (row,) = api.get(path, {"state": "delivered"}).data["results"]
    assert row["body"].encode() == receiver.requests[0][1]
    assert api.get(path, {"state": "failed"}).data["results"] == []

    again = api.post(f"{path}{row['uuid']}/redeliver/")

    assert (again.status_code, again.data["state"]) == (200, "waiting")
    assert deliver() == 1


def test_a_body_that_names_what_one_may_not_see_is_null(
    api_for: ApiFor, erin: User, hook: Hook, model: RegisteredModel
) -> None:
    webhook = hook()
    emit(Event.TAG_SET, model, {"name": "credit"})
    role = Role.objects.get(name="Administrator")
    role.permissions = [one for one in role.permissions if one != "see_model"]
    role.save()

    (row,) = api_for(erin).get(f"/api/v1/webhooks/{webhook.uuid}/deliveries/").data["results"]

    assert row["body"] is None


def test_a_program_with_the_role_makes_webhooks_of_its_own(api_for: ApiFor, scorer: User, scorer_token: str) -> None:
    assert api_for(scorer_token).post("/api/v1/webhooks/", WANTED, format="json").status_code == 403
    assign_role(Role.objects.get(name="Service: webhooks"), to=scorer, by=Principal.system("operator"))

    assert api_for(scorer_token).post("/api/v1/webhooks/", WANTED, format="json").status_code == 201
    assert Webhook.objects.get().owner == scorer
    assert not Delivery.objects.exists()
