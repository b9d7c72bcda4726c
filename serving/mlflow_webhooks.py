"""Webhooks as MLflow's API knows them, and the one address of it that we answer ourselves: its own handler of a test would send from here.

MLflow's entity has MLflow's events only, so a webhook that wants none of those does not exist over this door, and one that wants others
besides keeps them when its events are changed here.
"""

from __future__ import annotations

import re
from typing import Any, Final

from serving import django_ready  # noqa: F401 - MLflow imports this module in processes where Django is not set up

# isort: split

from flask import Response, request
from mlflow.entities.webhook import Webhook as MlflowWebhook
from mlflow.entities.webhook import WebhookEvent, WebhookStatus, WebhookTestResult
from mlflow.exceptions import MlflowException
from mlflow.protos.webhooks_pb2 import TestWebhook
from mlflow.store.entities.paged_list import PagedList
from mlflow.utils.proto_json_utils import message_to_json, parse_dict

from access.principal import Principal
from foundation.numbers import whole_number
from foundation.refusals import Invalid, NotFound
from notices.models import Delivery, Webhook
from notices.webhooks import queries
from notices.webhooks.events import MLFLOW, Event
from notices.webhooks.sending import Tried

MOST: Final = 1_000
USUAL: Final = 100
_TEST: Final = re.compile(r"/api/[23]\.0/mlflow/webhooks/([A-Za-z0-9_-]{1,64})/test")


def webhook_entity(webhook: Webhook, by: Principal) -> Any:
    """A webhook as MLflow shows it: without its secret, and with the whole address for its owner alone."""
    return MlflowWebhook(
        webhook_id=str(webhook.uuid),
        name=webhook.name,
        url=queries.shown_url(webhook, by),
        events=[WebhookEvent.from_str(one) for one in webhook.events if one in MLFLOW],
        creation_timestamp=int(webhook.created_at.timestamp() * 1_000),
        last_updated_timestamp=int(webhook.updated_at.timestamp() * 1_000),
        description=webhook.description or None,
        status=WebhookStatus.ACTIVE if webhook.state == Webhook.State.ON else WebhookStatus.DISABLED,
    )


def find(webhook_id: str, by: Principal) -> Webhook:
    """One webhook that MLflow can show; raises `NotFound`."""
    found = queries.find_webhook(webhook_id, by)
    if not MLFLOW.intersection(found.events):
        raise NotFound(
            f"The webhook {found.name} wants none of MLflow's events; look at it in the portal.", code="webhook-unknown"
        )
    return found


def page_of(by: Principal, max_results: int | None, page_token: str | None) -> Any:
    """A page of the webhooks that MLflow can show; the token is the place after which the next one begins."""
    most = max_results or USUAL
    after = whole_number(page_token) if page_token else 0
    if after is None or not 0 < most <= MOST:
        raise Invalid(f"max_results is from 1 to {MOST:,}, and a page_token is one that was answered before.")
    rows = [one for one in queries.webhooks(by).filter(pk__gt=after).order_by("pk") if MLFLOW.intersection(one.events)]
    shown = rows[:most]
    token = str(shown[-1].pk) if len(rows) > most else None
    return PagedList([webhook_entity(one, by) for one in shown], token)


def kept_besides(webhook: Webhook, events: list[Any] | None) -> list[str] | None:
    """The events that a change over MLflow's API leaves a webhook with: those given, and ours that it has."""
    if events is None:
        return None
    return [str(one) for one in events] + [one for one in webhook.events if one not in MLFLOW]


def first_of(webhook: Webhook) -> Event:
    """The event that is tested where none is named."""
    return next(Event(one) for one in webhook.events if one in MLFLOW)


def test_result(sent: Delivery, tried: Tried | None) -> Any:
    """What became of a test, as MLflow says it."""
    accepted = sent.state == Delivery.State.DELIVERED
    answered = sent.last_status is not None
    return WebhookTestResult(
        success=accepted,
        response_status=sent.last_status,
        response_body=tried.beginning if tried is not None and answered else None,
        error_message=None if answered else f"Failed to test webhook: {sent.last_error}",
    )


def answer_test() -> Response | None:
    """Our answer to a test of a webhook; None for every other request. For Flask's `before_request`."""
    match = _TEST.fullmatch(request.path)
    if match is None or request.method != "POST":
        return None
    from serving.store import DjangoStore

    message = TestWebhook()
    try:
        parse_dict(request.get_json(force=True, silent=True) or {}, message)  # type: ignore[no-untyped-call]  # MLflow's
        event = WebhookEvent.from_proto(message.event) if message.HasField("event") else None
        result = DjangoStore("django://default").test_webhook(match[1], event)
    except MlflowException as error:
        failure: Any = error  # its methods have no types
        return Response(failure.serialize_as_json(), failure.get_http_status_code(), mimetype="application/json")
    return Response(message_to_json(TestWebhook.Response(result=result.to_proto())), mimetype="application/json")
