"""Every decision about webhooks: making, changing, switching, deleting and testing them, and sending a delivery again.

Whoever looks after webhooks may switch any of them off and on, delete it, and send again what it was sent before. What leaves, and where
to, is decided by its owner alone: otherwise somebody could have events sent to themselves that only the owner may know of.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from django.db import IntegrityError, transaction
from django.utils import timezone

from access.models import User
from access.permissions import Permission, permit
from access.principal import Principal
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from audit.payload import Fields
from foundation.outgoing import BadAddress
from foundation.refusals import Conflict, Forbidden, Invalid
from notices.models import Delivery, Webhook
from notices.webhooks.events import EXAMPLES, Event
from notices.webhooks.letters import body_of, check_destination, sealed_secret
from notices.webhooks.sending import Tried, attempt

NAME: Final = re.compile(r"(?=.{1,63}$)[a-z0-9]([a-z0-9._-]*[a-z0-9])?", re.IGNORECASE)
MOST_WEBHOOKS: Final = 100
MOST_MODELS: Final = 100
LONGEST: Final = {"url": 1_000, "description": 1_000, "secret": 1_000}


def new_secret() -> str:
    """A secret that nobody guesses: 256 bits."""
    return secrets.token_urlsafe(32)


@governed(Action.WEBHOOK_CREATE)
def create_webhook(
    name: str,
    url: str,
    events: Sequence[str],
    *,
    model_names: Sequence[str] = (),
    description: str = "",
    secret: str = "",
    on: bool = True,
    by: Principal,
) -> Webhook:
    """Tell `url` of `events`, in the name of whoever asks: of models that they may see, or of those in `model_names` only.

    With a `secret`, deliveries are signed; it is kept encrypted and never shown again.
    """
    permit(by, Permission.MANAGE_WEBHOOKS)
    if Webhook.objects.count() >= MOST_WEBHOOKS:
        raise Conflict(f"There are {MOST_WEBHOOKS} webhooks, which is the limit. Delete one that nobody needs.")
    webhook = Webhook(
        name=name.strip(),
        url=url.strip(),
        events=list(events),
        model_names=list(model_names),
        description=description.strip(),
        state=Webhook.State.ON if on else Webhook.State.OFF,
        owner=_account(by),
    )
    _check(webhook, secret)
    webhook.secret = sealed_secret(webhook, secret)
    _save(webhook)
    append(Action.WEBHOOK_CREATE, by=by, obj=webhook.ledger_ref(), after=_facts(webhook))
    return webhook


@governed(Action.WEBHOOK_UPDATE)
def update_webhook(
    webhook: Webhook,
    *,
    name: str | None = None,
    url: str | None = None,
    events: Sequence[str] | None = None,
    model_names: Sequence[str] | None = None,
    description: str | None = None,
    secret: str | None = None,
    on: bool | None = None,
    by: Principal,
) -> Webhook:
    """Change what is not None. Switched off, it keeps no events; switched on again, what waited before leaves first, in order."""
    permit(by, Permission.MANAGE_WEBHOOKS)
    webhook = Webhook.objects.locked(webhook.pk)
    before = _facts(webhook)
    given = {"name": name, "url": url, "events": events, "model_names": model_names, "description": description}
    wanted = {field: value for field, value in given.items() if value is not None}
    if wanted or secret is not None:
        _check_owner(webhook, by)
    for field, value in wanted.items():
        setattr(webhook, field, value.strip() if isinstance(value, str) else list(value))
    _check(webhook, secret or "")
    if secret is not None:
        webhook.secret = sealed_secret(webhook, secret)
    if on is not None:
        _switch(webhook, on)
    webhook.updated_at = timezone.now()
    _save(webhook)
    after: Fields = {**_facts(webhook), **({"secret": "changed"} if secret is not None else {})}
    append(Action.WEBHOOK_UPDATE, by=by, obj=webhook.ledger_ref(), before=before, after=after)
    return webhook


@governed(Action.WEBHOOK_DELETE)
def delete_webhook(webhook: Webhook, *, by: Principal) -> None:
    """Delete a webhook with its secret, its delivery log, and what was waiting for it."""
    permit(by, Permission.MANAGE_WEBHOOKS)
    webhook = Webhook.objects.locked(webhook.pk)
    before, ref = _facts(webhook), webhook.ledger_ref()
    waiting = Delivery.objects.waiting().filter(webhook=webhook).count()
    webhook.delete()
    append(Action.WEBHOOK_DELETE, by=by, obj=ref, before={**before, "waiting": waiting})


@governed(Action.WEBHOOK_REDELIVER)
def redeliver(delivery: Delivery, *, by: Principal) -> Delivery:
    """Send once more what was delivered, given up or withheld: the same bytes under the same id, with a full number of tries."""
    permit(by, Permission.MANAGE_WEBHOOKS)
    webhook = Webhook.objects.locked(delivery.webhook_id)
    delivery = Delivery.objects.select_for_update().get(pk=delivery.pk)
    delivery.webhook = webhook
    if delivery.test:
        raise Conflict("A test is not sent again; send another.", code="test")
    if delivery.state == Delivery.State.WAITING:
        raise Conflict("This delivery waits to be sent already.", code="waits")
    if webhook.state == Webhook.State.OFF:
        raise Conflict("This webhook is switched off. Switch it on, then send again.", code="webhook-off")
    was = delivery.state
    delivery.state, delivery.spent, delivery.not_before = Delivery.State.WAITING, delivery.attempts, None
    delivery.save(update_fields=["state", "spent", "not_before"])
    append(
        Action.WEBHOOK_REDELIVER,
        by=by,
        obj=webhook.ledger_ref(),
        before={"state": str(was)},
        after={"state": "waiting", "delivery": str(delivery.uuid), "event": delivery.event},
    )
    return delivery


def send_example(webhook: Webhook, event: Event | None = None, *, by: Principal) -> tuple[Delivery, Tried | None]:
    """Send an example of `event` (of the first that it wants, by default) now, once, and return what became of it.

    For after a commit: nothing is sent inside a transaction.
    """
    delivery = begin_example(webhook, event, by=by)
    tried = attempt(delivery)
    delivery.refresh_from_db()
    return delivery, tried


@governed(Action.WEBHOOK_TEST)
def begin_example(webhook: Webhook, event: Event | None = None, *, by: Principal) -> Delivery:
    """Put an example into the delivery log, to be sent by `send_example` once this has committed."""
    permit(by, Permission.MANAGE_WEBHOOKS)
    webhook = Webhook.objects.locked(webhook.pk)
    event = event or Event(webhook.events[0])
    now = timezone.now()
    delivery = Delivery.objects.create(
        webhook=webhook, event=event, body=body_of(event, EXAMPLES[event], now), test=True, at=now
    )
    append(
        Action.WEBHOOK_TEST,
        by=by,
        obj=webhook.ledger_ref(),
        after={"event": str(event), "delivery": str(delivery.uuid)},
    )
    return delivery


def _account(by: Principal) -> User:
    if by.user is None:
        raise Forbidden("A webhook belongs to a person or a service account, in whose name events leave.")
    return by.user


def _check_owner(webhook: Webhook, by: Principal) -> None:
    if by.user is None or by.user.pk != webhook.owner_id:
        raise Forbidden(
            f"Events leave in the name of {webhook.owner}, who alone decides where to. Make a webhook of your own; this one you may "
            "switch off, or delete.",
            code="not-yours",
        )


def _switch(webhook: Webhook, on: bool) -> None:
    webhook.state = Webhook.State.ON if on else Webhook.State.OFF
    webhook.paused_at, webhook.failed_in_a_row = None, 0
    if on:
        Delivery.objects.waiting().filter(webhook=webhook).update(not_before=None)


def _save(webhook: Webhook) -> None:
    try:
        with transaction.atomic():
            webhook.save()
    except IntegrityError as error:
        raise Conflict(
            f"There is a webhook called {webhook.name}. Choose another name.", code="webhook-exists"
        ) from error


def _check(webhook: Webhook, secret: str) -> None:
    errors = {}
    if not NAME.fullmatch(webhook.name):
        errors["name"] = (
            "A name has 1 to 63 letters, digits, dots, underscores and hyphens, a letter or digit first and last."
        )
    if unknown := [one for one in webhook.events if one not in set(Event)]:
        errors["events"] = f"There is no event called {', '.join(unknown)[:200]} here."
    elif not webhook.events:
        errors["events"] = "Choose at least one event."
    if len(webhook.model_names) > MOST_MODELS or any(not 0 < len(one) <= 200 for one in webhook.model_names):
        errors["model_names"] = f"Name at most {MOST_MODELS} models, each by its name."
    given = {"url": webhook.url, "description": webhook.description, "secret": secret}
    for field, most in LONGEST.items():
        if len(given[field]) > most:
            errors[field] = f"This has at most {most:,} characters."
    try:
        check_destination(webhook.url)
    except BadAddress as error:
        errors.setdefault("url", f"An address that events are sent to {error}.")
    if errors:
        raise Invalid(" ".join(errors.values()), code="webhook", errors=errors)


def _facts(webhook: Webhook) -> Fields:
    """What the ledger says: never the secret, and of the address, whose path is often one, the host and a digest."""
    parts = urlsplit(webhook.url)
    return {
        "name": webhook.name,
        "host": parts.hostname or "",
        "url_sha256": hashlib.sha256(webhook.url.encode()).hexdigest(),
        "events": [str(one) for one in webhook.events],
        "models": list(webhook.model_names),
        "signed": bool(webhook.secret),
        "state": str(webhook.state),
        "description": webhook.description,
    }
