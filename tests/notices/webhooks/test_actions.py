"""Who may have events sent where, what is refused with which sentence, and what the ledger says of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from access.models import Role, User
from access.permissions import PEOPLE_ONLY, Permission
from access.principal import Principal
from audit.events import Action
from foundation.refusals import Conflict, Forbidden, Invalid
from notices.models import Delivery, Webhook
from notices.webhooks.actions import (
    MOST_WEBHOOKS,
    create_webhook,
    delete_webhook,
    redeliver,
    send_example,
    update_webhook,
)
from notices.webhooks.emitting import emit
from notices.webhooks.events import EXAMPLES, MLFLOW, Event
from notices.webhooks.letters import secret_of
from registry.models import RegisteredModel
from tests.access.ledger import entries, outcomes, public_bytes
from tests.conftest import as_
from tests.notices.webhooks.conftest import SECRET, Hook
from tests.notices.webhooks.receiver import Receiver

pytestmark = pytest.mark.django_db
URL = "https://receiver.example/hook/with-a-key"


def another_administrator(alice: User) -> User:
    from access.actions import assign_role

    assign_role(Role.objects.get(name="Administrator"), to=alice, by=Principal.system("operator"))
    return alice


def made(by: User, **more: Any) -> Webhook:
    wanted: dict[str, Any] = {"name": "pipeline", "url": URL, "events": [Event.TAG_SET], "secret": SECRET, **more}
    return create_webhook(wanted.pop("name"), wanted.pop("url"), wanted.pop("events"), **wanted, by=as_(by))


def test_neither_the_ledger_nor_the_database_shows_the_secret_or_the_address_s_path(erin: User) -> None:
    webhook = made(erin)
    update_webhook(webhook, secret="another secret of 16", by=as_(erin))

    said = public_bytes() + repr(Webhook.objects.values().get()).replace(URL, "").encode()
    for secret in (SECRET, "another secret", "with-a-key"):
        assert secret.encode() not in said
    webhook.refresh_from_db()
    assert secret_of(webhook) == "another secret of 16"


def test_every_decision_is_on_record(erin: User, hook: Hook, receiver: Receiver) -> None:
    webhook = hook()
    update_webhook(webhook, on=False, by=as_(erin))
    send_example(webhook, by=as_(erin))
    delete_webhook(webhook, by=as_(erin))

    said = [one for one in entries() if one["action"].startswith("webhook.")]
    assert [one["action"] for one in said] == ["webhook.create", "webhook.update", "webhook.test", "webhook.delete"]
    assert said[1]["d"] == {"before": {"state": "on"}, "after": {"state": "off"}}
    assert not Webhook.objects.exists()


def test_who_does_not_look_after_webhooks_does_nothing_with_them(erin: User, alice: User, hook: Hook) -> None:
    webhook = hook()
    attempts: list[Callable[[], object]] = [
        lambda: made(alice, name="hers"),
        lambda: update_webhook(webhook, on=False, by=as_(alice)),
        lambda: delete_webhook(webhook, by=as_(alice)),
        lambda: send_example(webhook, by=as_(alice)),
        lambda: redeliver(Delivery(webhook=webhook), by=as_(alice)),
    ]

    for attempt in attempts:
        with pytest.raises(Forbidden, match=r"webhooks\.manage"):
            attempt()

    assert outcomes(Action.WEBHOOK_CREATE)[-1] == ("denied", "forbidden")
    assert Webhook.objects.get().state == "on"


@pytest.mark.parametrize(
    "change",
    [
        {"url": "https://elsewhere.example/"},
        {"events": [Event.VERSION_PROMOTED]},
        {"model_names": []},
        {"secret": ""},
        {"name": "x"},
    ],
)
def test_only_its_owner_decides_what_leaves_and_where_to(change: dict[str, Any], erin: User, alice: User) -> None:
    webhook = made(erin)

    with pytest.raises(Forbidden, match="who alone decides where to"):
        update_webhook(webhook, **change, by=as_(another_administrator(alice)))


def test_others_who_look_after_webhooks_switch_it_off_and_delete_it(erin: User, alice: User) -> None:
    webhook, other = made(erin), as_(another_administrator(alice))

    assert update_webhook(webhook, on=False, by=other).state == "off"
    delete_webhook(webhook, by=other)

    assert not Webhook.objects.exists()


@pytest.mark.parametrize(
    ("wrong", "field", "said"),
    [
        ({"name": ""}, "name", "1 to 63"),
        ({"name": "-x"}, "name", "1 to 63"),
        ({"name": "x" * 64}, "name", "1 to 63"),
        ({"name": "a\nb"}, "name", "1 to 63"),
        ({"events": []}, "events", "at least one"),
        ({"events": ["prompt.created"]}, "events", "no event called prompt.created"),
        ({"model_names": [""]}, "model_names", "each by its name"),
        ({"model_names": ["m"] * 101}, "model_names", "at most 100"),
        ({"url": "http://receiver.example/"}, "url", "https://"),
        ({"url": "https://u:p@receiver.example/"}, "url", "no user or password"),
        ({"url": "file:///etc/passwd"}, "url", "names a host"),
        ({"url": "https://receiver.example/" + "x" * 1_000}, "url", "at most 1,000"),
        ({"url": "https://127.0.0.1/"}, "url", "COUNTERSIGN_WEBHOOK_NETWORKS"),
        ({"url": "https://localhost/"}, "url", "COUNTERSIGN_WEBHOOK_NETWORKS"),
        ({"url": "http://localhost:8000/"}, "url", "COUNTERSIGN_WEBHOOK_NETWORKS"),
        ({"url": "https://169.254.169.254/latest/meta-data"}, "url", "not an address on the internet"),
        ({"url": "https://[::ffff:10.0.0.1]/"}, "url", "not an address on the internet"),
        ({"secret": "x" * 1_001}, "secret", "at most 1,000"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(wrong: dict[str, Any], field: str, said: str, erin: User) -> None:
    with pytest.raises(Invalid, match=said) as refused:
        made(erin, **wrong)

    assert field in refused.value.errors
    assert not Webhook.objects.exists()


def test_a_network_that_the_operator_names_may_be_sent_to(erin: User, settings: Settings) -> None:
    settings.WEBHOOK_NETWORKS = ["10.1.0.0/16"]

    made(erin, url="https://10.1.2.3/")
    with pytest.raises(Invalid):
        made(erin, name="other", url="https://10.2.0.1/")


def test_two_webhooks_have_two_names_and_there_is_a_limit(erin: User) -> None:
    webhook = made(erin)
    with pytest.raises(Conflict, match="There is a webhook called pipeline"):
        made(erin)
    Webhook.objects.bulk_create(
        Webhook(name=f"n{n}", url=URL, events=["x"], owner=webhook.owner) for n in range(MOST_WEBHOOKS - 1)
    )

    with pytest.raises(Conflict, match="which is the limit"):
        made(erin, name="one-more")


def test_every_event_has_an_example_that_arrives_and_is_marked(erin: User, hook: Hook, receiver: Receiver) -> None:
    webhook = hook()

    for event in Event:
        sent, _ = send_example(webhook, event, by=as_(erin))
        assert (sent.state, sent.test) == ("delivered", True)

    assert receiver.events() == [*map(str, Event)]
    assert [body["data"] for body in receiver.bodies()] == [EXAMPLES[event] for event in Event]


def test_examples_of_mlflow_s_events_are_mlflow_s_own() -> None:
    from mlflow.entities.webhook import WebhookEvent
    from mlflow.webhooks.types import get_example_payload_for_event

    for event in MLFLOW:
        assert EXAMPLES[event] == get_example_payload_for_event(WebhookEvent(event.entity, event.action))


def test_an_example_that_does_not_arrive_is_tried_once_and_counts_for_nothing(
    erin: User, hook: Hook, receiver: Receiver
) -> None:
    webhook = hook()
    receiver.answers = [500]

    sent, tried = send_example(webhook, by=as_(erin))

    webhook.refresh_from_db()
    assert (sent.state, sent.last_status, webhook.failed_in_a_row) == ("failed", 500, 0)
    assert tried is not None
    assert tried.beginning == "ok"
    with pytest.raises(Conflict, match="A test is not sent again"):
        redeliver(sent, by=as_(erin))


def test_what_waits_or_belongs_to_a_webhook_that_is_off_is_not_sent_again(
    erin: User, hook: Hook, model: RegisteredModel
) -> None:
    webhook = hook()
    emit(Event.TAG_SET, model, {"name": "credit"})
    waiting = Delivery.objects.get()

    with pytest.raises(Conflict, match="waits to be sent already"):
        redeliver(waiting, by=as_(erin))
    update_webhook(webhook, on=False, by=as_(erin))
    Delivery.objects.update(state="failed")
    with pytest.raises(Conflict, match="switched off"):
        redeliver(waiting, by=as_(erin))


def test_programs_may_look_after_webhooks_with_a_role_for_it() -> None:
    assert Permission.MANAGE_WEBHOOKS not in PEOPLE_ONLY
    assert "webhooks.manage" in Role.objects.get(name="Service: webhooks").permissions
    assert "webhooks.manage" in Role.objects.get(name="Administrator").permissions
