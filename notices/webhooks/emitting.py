"""Keeps an event for every webhook that is to be told of it, inside the transaction of what happened.

So no system is told of what was undone, and none misses what was done. Whether the owner of a webhook may know is asked here, and once
more when the delivery leaves.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.apps import apps
from django.db import connection
from django.db.models import Model
from django.utils import timezone

from access.models import User
from access.permissions import Permission, verdict
from access.principal import Principal
from audit.payload import Json
from notices.models import Delivery, Webhook
from notices.webhooks.events import Event
from notices.webhooks.letters import body_of


def emit(event: Event, about: Model, data: Mapping[str, Json]) -> None:
    """Keep `event` for the webhooks that want it; `about` is the registered model that it names.

    Not an action of its own: it is part of the one that it tells of, which permits, checks and appends. Raises `RuntimeError`
    outside a transaction.
    """
    if not connection.in_atomic_block:
        raise RuntimeError(f"{event} is emitted inside the transaction of what happened.")
    name = str(getattr(about, "name", ""))
    wanted = [one for one in Webhook.objects.listening().select_related("owner") if _wants(one, event, name)]
    told = [one for one in wanted if may_be_told(one.owner, about)]
    if not told:
        return
    now = timezone.now()
    body = body_of(event, data, now)
    Delivery.objects.bulk_create(
        Delivery(webhook=one, event=event, about_type=about._meta.label, about_id=about.pk, body=body, at=now)
        for one in told
    )


def may_be_told(owner: User, about: Model) -> bool:
    """Whether what leaves in the name of `owner` may name `about`: they still look after webhooks, and they may see it."""
    by = Principal.of(owner)
    return verdict(by, Permission.MANAGE_WEBHOOKS).allowed and verdict(by, Permission.SEE_MODEL, about).allowed


def about_of(delivery: Delivery) -> Model | None:
    """What a delivery names; None for an example, and for what is no more."""
    if not delivery.about_type:
        return None
    found: Model | None = apps.get_model(delivery.about_type)._default_manager.filter(pk=delivery.about_id).first()
    return found


def _wants(webhook: Webhook, event: Event, name: str) -> bool:
    return event in webhook.events and (not webhook.model_names or name in webhook.model_names)
