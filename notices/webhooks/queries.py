"""What pages and the API ask about webhooks: for those who look after them, and of models only what each may see."""

from __future__ import annotations

import json
from urllib.parse import urlsplit
from uuid import UUID

from django.db.models import Count, Max, Q

from access.permissions import Permission, permit, verdict
from access.principal import Principal
from foundation.refusals import NotFound
from notices.models import Delivery, DeliveryQuerySet, Webhook, WebhookQuerySet
from notices.webhooks.emitting import about_of

State = Delivery.State


def webhooks(by: Principal) -> WebhookQuerySet:
    """All webhooks, with `waiting`, `given_up` and `last_delivered`; raises `Forbidden` for who does not look after them."""
    permit(by, Permission.MANAGE_WEBHOOKS)
    return (
        Webhook.objects.order_by("name")
        .select_related("owner")
        .annotate(
            waiting=Count("deliveries", filter=Q(deliveries__state=State.WAITING)),
            given_up=Count("deliveries", filter=Q(deliveries__state=State.FAILED, deliveries__test=False)),
            last_delivered=Max("deliveries__last_try_at", filter=Q(deliveries__state=State.DELIVERED)),
        )
    )


def find_webhook(uuid: UUID | str, by: Principal) -> Webhook:
    """One webhook; raises `NotFound`."""
    rows = webhooks(by)
    try:
        wanted = uuid if isinstance(uuid, UUID) else UUID(uuid)
    except ValueError:
        wanted = None
    found = rows.filter(uuid=wanted).first() if wanted is not None else None
    if found is None:
        raise NotFound("There is no such webhook.", code="webhook-unknown")
    return found


def deliveries(webhook: Webhook, *, state: str = "", event: str = "") -> DeliveryQuerySet:
    """The delivery log of a webhook, newest first, narrowed to a state and an event where they are named."""
    rows = Delivery.objects.filter(webhook=webhook).select_related("webhook__owner")
    if state:
        rows = rows.filter(state=state)
    return (rows.filter(event=event) if event else rows).order_by("-pk")


def find_delivery(webhook: Webhook, uuid: UUID) -> Delivery:
    """One line of a webhook's log; raises `NotFound`."""
    found = deliveries(webhook).filter(uuid=uuid).first()
    if found is None:
        raise NotFound("There is no such delivery of this webhook; they are kept for 30 days.", code="delivery-unknown")
    return found


def may_read(delivery: Delivery, by: Principal) -> bool:
    """Whether `by` may read what was sent: an example, or what names a model that they may see."""
    if delivery.test:
        return True
    about = about_of(delivery)
    return about is not None and verdict(by, Permission.SEE_MODEL, about).allowed


def subject_of(delivery: Delivery) -> str:
    """Which model, and which version of it, a delivery names; for who may read it."""
    data = json.loads(delivery.body)["data"]
    version = data.get("version")
    return f"{data['name']} v{version}" if version else str(data["name"])


def owns(webhook: Webhook, by: Principal) -> bool:
    """Whether what leaves, and where to, is for `by` to decide."""
    return by.user is not None and by.user.pk == webhook.owner_id


def shown_url(webhook: Webhook, by: Principal) -> str:
    """The address for its owner; for others the host alone, since the rest of it often is a credential."""
    if owns(webhook, by):
        return webhook.url
    parts = urlsplit(webhook.url)
    return f"{parts.scheme}://{parts.netloc}/…"
