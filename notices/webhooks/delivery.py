"""Delivers what waits: one worker at a time to each webhook, in the order in which it happened.

A worker claims a webhook for a while; one that dies lets its claim run out, and another goes on with the same event. While an event waits
to be tried again, the later ones of the same webhook wait behind it; other webhooks are not held up.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db.models import Q
from django.utils import timezone

from access.principal import Principal
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from notices.models import Delivery, Webhook
from notices.webhooks.sending import POSTMAN, attempt

log = structlog.get_logger(__name__)

CLAIM: Final = timedelta(minutes=2)
RUN_SECONDS: Final = 25.0
TURN_SECONDS: Final = 10.0
KEPT: Final = timedelta(days=30)
LONGEST_WAIT: Final = timedelta(days=14)
LONGEST_TEST: Final = timedelta(minutes=5)


def deliver() -> int:
    """Deliver what is due, for `RUN_SECONDS` at most; returns how many events arrived."""
    end = time.monotonic() + RUN_SECONDS
    arrived = 0
    for pk in list(Webhook.objects.deliverable(timezone.now()).values_list("pk", flat=True)):
        if time.monotonic() >= end:
            break
        try:
            arrived += _turn(pk)
        except Exception:
            log.exception("webhook.turn_failed", webhook=pk)  # the other webhooks are not to wait for whoever mends it
    return arrived


def _turn(pk: int) -> int:
    """What waits for one webhook, in order, until one does not arrive or its turn is over."""
    if not claim(pk, timezone.now()):
        return 0
    end, arrived = time.monotonic() + TURN_SECONDS, 0
    try:
        while time.monotonic() < end and (delivery := _next(pk, timezone.now())) is not None:
            Webhook.objects.filter(pk=pk).update(busy_until=timezone.now() + CLAIM)
            tried = attempt(delivery)
            arrived += tried is not None and tried.accepted
    finally:
        Webhook.objects.filter(pk=pk).update(busy_until=None)
    return arrived


def claim(pk: int, now: datetime) -> bool:
    """Take a webhook for this worker, where no other has it."""
    free = Webhook.objects.filter(pk=pk, state=Webhook.State.ON).filter(Q(busy_until=None) | Q(busy_until__lte=now))
    return free.update(busy_until=now + CLAIM) == 1


def _next(pk: int, now: datetime) -> Delivery | None:
    """The first event that waits for the webhook, where it is due and the webhook is on."""
    first = (
        Delivery.objects.waiting()
        .filter(webhook=pk, test=False)
        .select_related("webhook__owner__owner")
        .order_by("pk")
        .first()
    )
    if first is None or first.webhook.state != Webhook.State.ON:
        return None
    return first if first.not_before is None or first.not_before <= now else None


def tidy() -> int:
    """Let go of what was settled `KEPT` ago, and give up what waited `LONGEST_WAIT`; returns how many rows went."""
    now = timezone.now()
    Delivery.objects.waiting().filter(test=True, at__lt=now - LONGEST_TEST).update(
        state=Delivery.State.FAILED, last_error="The process that sent this test ended before it was answered."
    )
    old = Delivery.objects.waiting().filter(at__lt=now - LONGEST_WAIT)
    for webhook in Webhook.objects.filter(pk__in=old.values("webhook")):
        give_up_the_old(webhook, now, by=Principal.system(POSTMAN))
    gone, _ = Delivery.objects.exclude(state=Delivery.State.WAITING).filter(at__lt=now - KEPT).delete()
    return gone


@governed(Action.WEBHOOK_FAIL)
def give_up_the_old(webhook: Webhook, now: datetime, *, by: Principal) -> None:
    """Park what waited for a webhook longer than anybody wants to hear of it."""
    webhook = Webhook.objects.locked(webhook.pk)
    old = Delivery.objects.waiting().filter(webhook=webhook, at__lt=now - LONGEST_WAIT)
    number = old.update(
        state=Delivery.State.FAILED, not_before=None, last_error=f"It waited {LONGEST_WAIT.days} days and was given up."
    )
    if number:
        append(Action.WEBHOOK_FAIL, by=by, obj=webhook.ledger_ref(), after={"given_up": number, "why": "too old"})
