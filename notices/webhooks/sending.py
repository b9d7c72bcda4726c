"""Sends one delivery once and notes what became of it.

At least once: a worker that dies between the answer and its note leaves the delivery waiting, and it leaves again under the same id.
Nothing is sent inside a transaction, so that no lock waits for a receiver.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db.models import F
from django.urls import reverse
from django.utils import timezone

from access.models import User
from access.principal import Principal
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from foundation.outgoing import BadAddress, NoAnswer, post
from notices.actions import tell
from notices.models import Delivery, Notification, Webhook
from notices.webhooks.emitting import about_of, may_be_told
from notices.webhooks.letters import headers_of, reach
from notices.webhooks.retrying import MOST_TRIES, PAUSED_AFTER, wait_after

log = structlog.get_logger(__name__)

TIMEOUT_SECONDS: Final = 10.0
POSTMAN: Final = "webhooks"
"""The part of the installation that gives up and pauses; it may do nothing else (`access.catalogue.SYSTEM`)."""


@dataclass(frozen=True, slots=True)
class Tried:
    """How one try ended. `status` is None where nobody answered; `beginning` is the start of the answer's body."""

    accepted: bool
    milliseconds: int
    status: int | None = None
    error: str = ""
    asked: float = 0.0
    beginning: str = ""


def attempt(delivery: Delivery) -> Tried | None:
    """Try to deliver, and note how it ended; None where it is withheld, since its owner may not know of it (any more)."""
    if not _still_told(delivery):
        Delivery.objects.waiting().filter(pk=delivery.pk).update(state=Delivery.State.WITHHELD)
        log.info("webhook.withheld", webhook=delivery.webhook.name, delivery=str(delivery.uuid))
        return None
    tried = _try(delivery)
    if tried.accepted:
        _arrived(delivery, tried)
    else:
        _missed(delivery, tried)
    return tried


def _still_told(delivery: Delivery) -> bool:
    if delivery.test:
        return True
    about = about_of(delivery)
    return about is not None and may_be_told(delivery.webhook.owner, about)


def _try(delivery: Delivery) -> Tried:
    begun = time.monotonic()

    def took() -> int:
        return round((time.monotonic() - begun) * 1_000)

    try:
        answer = post(
            delivery.webhook.url,
            delivery.body.encode(),
            headers_of(delivery, timezone.now()),
            reach=reach(),
            timeout=TIMEOUT_SECONDS,
        )
    except BadAddress as error:
        return Tried(False, took(), error=f"The address {error}")
    except NoAnswer as error:
        return Tried(False, took(), error=str(error))
    except ValueError as error:  # the secret cannot be read: the installation's key is another one
        return Tried(False, took(), error=str(error))
    said = "" if answer.accepted else f"answered {answer.status}"
    beginning = answer.beginning.decode("utf-8", "replace")
    return Tried(answer.accepted, took(), answer.status, said, answer.retry_after, beginning)


def _arrived(delivery: Delivery, tried: Tried) -> None:
    _note(delivery, tried, state=Delivery.State.DELIVERED, not_before=None)
    if not delivery.test:
        Webhook.objects.filter(pk=delivery.webhook_id).exclude(failed_in_a_row=0).update(failed_in_a_row=0)
    log.info("webhook.delivered", webhook=delivery.webhook.name, delivery=str(delivery.uuid), event_name=delivery.event)


def _missed(delivery: Delivery, tried: Tried) -> None:
    tries = delivery.attempts - delivery.spent + 1
    chance = random.random()  # noqa: S311 - spreads receivers over time, keeps no secret
    wait = None if delivery.test else wait_after(tries, status=tried.status, asked=tried.asked, chance=chance)
    log.info("webhook.not_delivered", webhook=delivery.webhook.name, delivery=str(delivery.uuid), why=tried.error)
    if delivery.test:
        _note(delivery, tried, state=Delivery.State.FAILED, not_before=None)
    elif wait is None:
        give_up(delivery, tried, by=Principal.system(POSTMAN))
    else:
        _note(
            delivery,
            tried,
            state=Delivery.State.WAITING,
            not_before=timezone.now() + timedelta(seconds=wait),
        )


def _note(delivery: Delivery, tried: Tried, *, state: Delivery.State, not_before: datetime | None) -> int:
    return (
        Delivery.objects.waiting()
        .filter(pk=delivery.pk)
        .update(
            state=state,
            attempts=F("attempts") + 1,
            not_before=not_before,
            last_try_at=timezone.now(),
            last_status=tried.status,
            last_error=tried.error[:300],
            last_milliseconds=tried.milliseconds,
        )
    )


@governed(Action.WEBHOOK_FAIL)
def give_up(delivery: Delivery, tried: Tried, *, by: Principal) -> None:
    """Park a delivery for good; after `PAUSED_AFTER` in a row its webhook is paused, and who answers for it is told."""
    webhook = Webhook.objects.select_for_update().filter(pk=delivery.webhook_id).first()
    if webhook is None or not _note(delivery, tried, state=Delivery.State.FAILED, not_before=None):
        return
    webhook.failed_in_a_row += 1
    pause = webhook.failed_in_a_row >= PAUSED_AFTER and webhook.state == Webhook.State.ON
    if pause:
        webhook.state, webhook.paused_at = Webhook.State.PAUSED, timezone.now()
    webhook.save(update_fields=["failed_in_a_row", "state", "paused_at"])
    append(
        Action.WEBHOOK_FAIL,
        by=by,
        obj=webhook.ledger_ref(),
        after={
            "delivery": str(delivery.uuid),
            "event": delivery.event,
            "status": tried.status,
            "in_a_row": webhook.failed_in_a_row,
            "paused": pause,
        },
    )
    if pause:
        _tell_of_the_pause(webhook, tried)


def _tell_of_the_pause(webhook: Webhook, tried: Tried) -> None:
    tell(
        [answers_for(webhook)],
        event=f"webhook:{webhook.uuid}:{webhook.paused_at:%Y-%m-%dT%H:%M:%S.%f}",
        kind=Notification.Kind.WEBHOOK,
        title=f"The webhook {webhook.name} is paused",
        body=f"{PAUSED_AFTER} deliveries in a row were given up, each after up to {MOST_TRIES} tries; the last one "
        f"{tried.error or 'failed'}. Events are kept meanwhile. Once the receiver is mended, switch the webhook on: what waits leaves "
        "in order, and what was given up can be sent again.",
        link=reverse("webhooks:detail", args=[webhook.uuid]),
    )


def answers_for(webhook: Webhook) -> User:
    """The person who is told: the owner, or who answers for the service account that owns it."""
    return webhook.owner.owner or webhook.owner
