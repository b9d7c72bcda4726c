"""What happened reaches the systems that want to hear of it: signed, in order, at least once, and only as long as its owner may know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import transaction
from mlflow.webhooks.delivery import _generate_hmac_signature
from pytest_django.fixtures import Settings

from access.actions import assign_role
from access.models import Role, User
from access.principal import Principal
from foundation.outgoing import Answer, post
from notices.models import Delivery, Notification, Webhook
from notices.webhooks import delivery, sending
from notices.webhooks.actions import delete_webhook, redeliver, update_webhook
from notices.webhooks.delivery import CLAIM, KEPT, LONGEST_WAIT, claim, deliver, tidy
from notices.webhooks.emitting import emit
from notices.webhooks.events import Event
from notices.webhooks.letters import MOST_BYTES
from notices.webhooks.retrying import MOST_TRIES_WHERE_REFUSED, PAUSED_AFTER
from registry.actions import create_model, set_version_tag
from registry.models import ModelVersion, RegisteredModel
from tests.access.ledger import entries, public_bytes
from tests.conftest import as_
from tests.notices.webhooks.conftest import SECRET, Hook
from tests.notices.webhooks.receiver import Receiver, receiving

pytestmark = pytest.mark.django_db
MORNING = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(MORNING, tick=False) as traveller:
        yield traveller


def happen(model: RegisteredModel, *keys: str) -> None:
    """An event for each key, as an action emits it."""
    for key in keys:
        emit(Event.TAG_SET, model, {"name": model.name, "version": "1", "key": key, "value": "v"})


def keys(receiver: Receiver) -> list[str]:
    return [body["data"]["key"] for body in receiver.bodies()]


def ledger() -> list[str]:
    """What the ledger says of webhooks, oldest first."""
    return [one["action"] for one in entries() if one["action"].startswith("webhook.")]


def only() -> Delivery:
    return Delivery.objects.get()


def test_an_event_arrives_once_and_is_noted(
    hook: Hook, receiver: Receiver, model: RegisteredModel, clock: time_machine.Traveller
) -> None:
    hook()
    happen(model, "a")

    assert deliver() == 1
    assert deliver() == 0

    assert receiver.bodies() == [
        {
            "entity": "model_version_tag",
            "action": "set",
            "timestamp": "2026-11-23T09:00:00+00:00",
            "data": {"name": "credit", "version": "1", "key": "a", "value": "v"},
        }
    ]
    row = only()
    assert (row.state, row.attempts, row.last_status, row.last_error) == ("delivered", 1, 204, "")
    assert row.last_milliseconds is not None


def test_it_is_signed_as_mlflow_signs(hook: Hook, receiver: Receiver, model: RegisteredModel) -> None:
    hook()
    happen(model, "a")

    deliver()

    headers, body = receiver.requests[0]
    identity, moment = headers["X-MLflow-Delivery-Id"], headers["X-MLflow-Timestamp"]
    assert headers["X-MLflow-Signature"] == _generate_hmac_signature(SECRET, identity, moment, body.decode())
    assert identity == str(only().uuid)
    assert headers["Content-Type"] == "application/json"


def test_without_a_secret_it_is_not_signed(hook: Hook, receiver: Receiver, model: RegisteredModel) -> None:
    hook(secret="")
    happen(model, "a")

    deliver()

    assert "X-MLflow-Signature" not in receiver.requests[0][0]


def test_events_come_in_the_order_in_which_they_happened(
    hook: Hook, receiver: Receiver, model: RegisteredModel
) -> None:
    hook()
    happen(model, *"abcdefgh")

    assert deliver() == 8

    assert keys(receiver) == list("abcdefgh")


def test_while_one_waits_to_be_tried_again_the_later_ones_wait_behind_it(
    hook: Hook, receiver: Receiver, model: RegisteredModel, clock: time_machine.Traveller
) -> None:
    hook()
    receiver.answers = [503]
    happen(model, "a", "b")

    assert [deliver(), deliver()] == [0, 0]
    clock.shift(10)
    assert deliver() == 2

    assert keys(receiver) == ["a", "a", "b"]
    assert len(set(receiver.ids())) == 2
    assert receiver.requests[0][1] == receiver.requests[1][1]


def test_one_receiver_that_fails_holds_up_no_other(hook: Hook, receiver: Receiver, model: RegisteredModel) -> None:
    with receiving() as other:
        hook(name="a-failing")
        hook(name="b-sound", url=other.url)
        receiver.answers = [500]
        happen(model, "a", "b")

        assert deliver() == 2

        assert keys(other) == ["a", "b"]


def test_a_receiver_that_is_not_there_is_tried_again_and_then_given_up(
    hook: Hook, receiver: Receiver, model: RegisteredModel, clock: time_machine.Traveller
) -> None:
    with receiving() as gone:
        hook(url=gone.url)
    happen(model, "a")

    for _ in range(12):
        deliver()
        clock.shift(4_600)

    row = only()
    assert (row.state, row.attempts, row.last_status) == ("failed", 12, None)
    assert "refused" in row.last_error.lower()
    assert ledger() == ["webhook.create", "webhook.fail"]
    assert b"/hook" not in public_bytes()


def test_a_refusal_is_given_up_soon_and_the_next_event_goes_on(
    hook: Hook, receiver: Receiver, model: RegisteredModel, clock: time_machine.Traveller
) -> None:
    hook()
    receiver.answers = [400] * MOST_TRIES_WHERE_REFUSED
    happen(model, "bad", "good")

    for _ in range(MOST_TRIES_WHERE_REFUSED):
        deliver()
        clock.shift(60)

    assert keys(receiver) == ["bad"] * MOST_TRIES_WHERE_REFUSED + ["good"]
    assert list(Delivery.objects.order_by("pk").values_list("state", flat=True)) == ["failed", "delivered"]
    assert Webhook.objects.get().failed_in_a_row == 0


def test_a_redirect_is_a_refusal_and_is_not_followed(hook: Hook, receiver: Receiver, model: RegisteredModel) -> None:
    hook()
    receiver.answers = [(302, {"Location": receiver.url})]
    happen(model, "a")

    deliver()

    assert len(receiver.requests) == 1
    assert only().last_status == 302


def failing_to_the_end(receiver: Receiver, model: RegisteredModel, clock: time_machine.Traveller) -> None:
    receiver.answers = [404] * 1_000
    happen(model, *"abcdefg")
    for _ in range(MOST_TRIES_WHERE_REFUSED * 8):
        deliver()
        clock.shift(60)


def test_after_several_in_a_row_the_webhook_is_paused_and_its_owner_is_told(
    hook: Hook, receiver: Receiver, model: RegisteredModel, clock: time_machine.Traveller, erin: User
) -> None:
    hook()

    failing_to_the_end(receiver, model, clock)

    webhook = Webhook.objects.get()
    assert (webhook.state, webhook.failed_in_a_row) == ("paused", PAUSED_AFTER)
    assert Delivery.objects.waiting().count() == 7 - PAUSED_AFTER
    assert len(receiver.requests) == PAUSED_AFTER * MOST_TRIES_WHERE_REFUSED
    (told,) = Notification.objects.of(erin)
    assert told.title == "The webhook pipeline is paused"
    assert "answered 404" in told.body


def test_a_paused_webhook_keeps_events_and_sends_them_in_order_once_it_is_resumed(
    hook: Hook, receiver: Receiver, model: RegisteredModel, clock: time_machine.Traveller, erin: User
) -> None:
    webhook = hook()
    failing_to_the_end(receiver, model, clock)
    happen(model, "later")
    receiver.answers, receiver.requests = [], []
    assert deliver() == 0

    update_webhook(webhook, on=True, by=as_(erin))

    assert deliver() == 3
    assert keys(receiver) == ["f", "g", "later"]


def test_a_webhook_that_is_off_keeps_nothing_and_sends_nothing(
    hook: Hook, receiver: Receiver, model: RegisteredModel, erin: User
) -> None:
    webhook = hook()
    happen(model, "before")
    update_webhook(webhook, on=False, by=as_(erin))
    happen(model, "meanwhile")

    assert deliver() == 0
    update_webhook(webhook, on=True, by=as_(erin))
    deliver()

    assert keys(receiver) == ["before"]


def test_what_was_undone_is_told_to_nobody(hook: Hook, model: RegisteredModel) -> None:
    hook()
    with transaction.atomic():
        happen(model, "a")
        transaction.set_rollback(True)

    assert not Delivery.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_nothing_is_emitted_outside_a_transaction(model: RegisteredModel) -> None:
    with pytest.raises(RuntimeError, match="inside the transaction"):
        happen(model, "a")


def test_a_webhook_hears_of_the_events_and_models_that_it_wants(
    hook: Hook, model: RegisteredModel, alice: User
) -> None:
    hook(Event.TAG_SET, name="tags")
    hook(Event.TAG_SET, name="other", model_names=["churn"])
    hook(Event.VERSION_PROMOTED, name="promotions")
    churn = create_model("churn", tier=3, by=as_(alice))
    happen(model, "a")
    happen(churn, "b")

    found = [(one.webhook.name, json.loads(one.body)["data"]["name"]) for one in Delivery.objects.order_by("pk")]
    assert found == [("tags", "credit"), ("other", "churn"), ("tags", "churn")]


def test_what_its_owner_may_not_see_is_not_even_kept(hook: Hook, model: RegisteredModel, erin: User) -> None:
    hook()
    role = Role.objects.get(name="Administrator")
    role.permissions = [one for one in role.permissions if one != "see_model"]
    role.save()

    happen(model, "a")

    assert not Delivery.objects.exists()


@pytest.mark.parametrize("lost", ["see_model", "webhooks.manage", "account"])
def test_what_its_owner_may_not_see_any_more_when_it_leaves_is_withheld(
    hook: Hook, receiver: Receiver, model: RegisteredModel, erin: User, lost: str
) -> None:
    hook()
    happen(model, "a")
    if lost == "account":
        User.objects.filter(pk=erin.pk).update(is_active=False)
    else:
        role = Role.objects.get(name="Administrator")
        role.permissions = [one for one in role.permissions if one != lost]
        role.save()

    assert deliver() == 0

    assert receiver.requests == []
    assert only().state == "withheld"


@pytest.mark.parametrize("networks", [[], ["10.0.0.0/8"]])
def test_an_address_that_is_not_allowed_any_more_is_sent_nothing(
    hook: Hook, receiver: Receiver, model: RegisteredModel, settings: Settings, networks: list[str]
) -> None:
    hook()
    happen(model, "a")
    settings.WEBHOOK_NETWORKS = networks

    deliver()

    assert receiver.requests == []
    assert "not an address on the internet" in only().last_error


def test_a_secret_that_cannot_be_read_sends_nothing_unsigned(
    hook: Hook, receiver: Receiver, model: RegisteredModel, settings: Settings
) -> None:
    hook()
    happen(model, "a")
    settings.MFA_KEY = "another key"

    deliver()

    assert receiver.requests == []
    assert "another key" in only().last_error


def test_a_long_body_is_cut_and_says_so(hook: Hook, receiver: Receiver, model: RegisteredModel) -> None:
    hook()
    emit(Event.MODEL_CREATED, model, {"name": "credit", "tags": {"k": "v" * 5_000}, "description": "d" * MOST_BYTES})

    deliver()

    (body,) = receiver.bodies()
    assert body["truncated"] is True
    assert body["data"]["name"] == "credit"
    assert len(body["data"]["description"]) == 1_001
    assert len(receiver.requests[0][1]) < MOST_BYTES


def test_a_webhook_that_was_deleted_on_the_way_leaves_nothing_behind(
    hook: Hook, receiver: Receiver, model: RegisteredModel, erin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = hook()
    happen(model, "a")

    def deleted_meanwhile(*args: Any, **more: Any) -> Answer:
        answer = post(*args, **more)
        delete_webhook(webhook, by=as_(erin))
        return answer

    monkeypatch.setattr(sending, "post", deleted_meanwhile)
    monkeypatch.setattr(sending, "wait_after", lambda *_, **__: None)
    receiver.answers = [404]

    assert deliver() == 0

    assert not Delivery.objects.exists()
    assert ledger()[-1] == "webhook.delete"


def test_a_fault_in_one_webhook_holds_up_no_other(
    hook: Hook, receiver: Receiver, model: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty = hook(name="a-faulty")
    hook(name="b-sound")
    happen(model, "a")
    turn = delivery._turn

    def fails(pk: int) -> int:
        if pk == faulty.pk:
            raise RuntimeError("a fault of ours")
        return turn(pk)

    monkeypatch.setattr(delivery, "_turn", fails)

    assert deliver() == 1


def test_only_one_worker_delivers_to_a_webhook_until_its_claim_runs_out(hook: Hook, model: RegisteredModel) -> None:
    webhook = hook()
    happen(model, "a")
    now = datetime.now(UTC)

    assert claim(webhook.pk, now)
    assert not claim(webhook.pk, now)
    assert deliver() == 0
    assert claim(webhook.pk, now + CLAIM)


class Killed(BaseException):
    """As a SIGKILL between the answer and its note."""


def test_what_was_taken_before_it_was_noted_is_sent_again_under_the_same_id(
    hook: Hook, receiver: Receiver, model: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook()
    happen(model, "a")

    def killed(*_args: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(sending, "_arrived", killed)
        with pytest.raises(Killed):
            deliver()
    deliver()

    assert len(receiver.requests) == 2
    assert len(set(receiver.ids())) == 1
    assert only().state == "delivered"


def test_a_delivery_is_sent_again_with_the_same_bytes_and_id(
    hook: Hook, receiver: Receiver, model: RegisteredModel, clock: time_machine.Traveller, erin: User
) -> None:
    hook()
    receiver.answers = [404] * MOST_TRIES_WHERE_REFUSED
    happen(model, "a")
    for _ in range(MOST_TRIES_WHERE_REFUSED):
        deliver()
        clock.shift(60)
    assert only().state == "failed"
    receiver.answers = [503]

    redeliver(only(), by=as_(erin))

    assert deliver() == 0  # with a full number of tries
    clock.shift(60)
    assert deliver() == 1
    assert len({(headers["X-MLflow-Delivery-Id"], body) for headers, body in receiver.requests}) == 1
    assert only().attempts == MOST_TRIES_WHERE_REFUSED + 2


def test_what_was_settled_a_month_ago_goes_and_what_waited_too_long_is_given_up(
    hook: Hook, receiver: Receiver, model: RegisteredModel, clock: time_machine.Traveller, erin: User
) -> None:
    webhook = hook()
    happen(model, "delivered")
    deliver()
    happen(model, "waiting")
    update_webhook(webhook, on=False, by=as_(erin))

    clock.shift(LONGEST_WAIT + timedelta(days=1))
    assert tidy() == 0
    assert sorted(Delivery.objects.values_list("state", flat=True)) == ["delivered", "failed"]
    clock.shift(KEPT)
    assert tidy() == 2


def test_real_actions_tell_in_mlflow_s_words(
    hook: Hook, receiver: Receiver, model: RegisteredModel, alice: User, make_version: object
) -> None:
    hook()
    version: ModelVersion = make_version(model)  # type: ignore[operator]  # the fixture's own protocol
    set_version_tag(version, "k", "v", by=as_(alice))

    deliver()

    assert receiver.events() == ["model_version.created", "version.admitted", "model_version_tag.set"]


def test_a_service_account_s_webhook_tells_who_answers_for_it(hook: Hook, scorer: User, erin: User) -> None:
    operator = Principal.system("operator")
    assign_role(Role.objects.get(name="Service: webhooks"), to=scorer, by=operator)

    assert sending.answers_for(hook(by=scorer)) == erin
