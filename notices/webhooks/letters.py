"""What is sent: the body, in MLflow's envelope, and its headers with the signature, as MLflow's own server computes it.

Standard Webhooks: the signature is HMAC-SHA-256 over `delivery id.timestamp.body`, so a receiver can refuse what was altered, what is
old, and what it had before.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from ipaddress import ip_address
from typing import Final

from django.conf import settings

from audit.payload import Json
from foundation.outgoing import BadAddress, Reach, checked_url, is_loopback
from foundation.secrecy import decrypted, encrypted
from notices.models import Delivery, Webhook
from notices.webhooks.events import Event

MOST_BYTES: Final = 64 * 1024
LONGEST_TEXT: Final = 1_000
"""Where a body would be longer than that, each text in it is cut to this many characters, and `truncated` says so."""


def body_of(event: Event, data: Mapping[str, Json], at: datetime) -> str:
    """The body of one event; the same bytes leave in every try."""
    envelope = {"entity": event.entity, "action": event.action, "timestamp": at.isoformat(), "data": dict(data)}
    text = json.dumps(envelope)
    if len(text) > MOST_BYTES:
        text = json.dumps({**envelope, "data": _shortened(dict(data)), "truncated": True})
    return text


def headers_of(delivery: Delivery, now: datetime) -> dict[str, str]:
    """The headers of one try; signed where the webhook has a secret."""
    identity, moment = str(delivery.uuid), str(int(now.timestamp()))
    headers = {
        "Content-Type": "application/json",
        "X-MLflow-Delivery-Id": identity,
        "X-MLflow-Timestamp": moment,
    }
    if delivery.webhook.secret:
        headers["X-MLflow-Signature"] = signature(secret_of(delivery.webhook), identity, moment, delivery.body)
    return headers


def signature(secret: str, identity: str, moment: str, body: str) -> str:
    """The value of `X-MLflow-Signature`."""
    signed = hmac.new(secret.encode(), f"{identity}.{moment}.{body}".encode(), sha256).digest()
    return "v1," + base64.b64encode(signed).decode()


def sealed_secret(webhook: Webhook, secret: str) -> str:
    """The secret as it is kept: unreadable to whoever has the database alone."""
    return encrypted(secret, settings.MFA_KEY, purpose=_purpose(webhook)) if secret else ""


def secret_of(webhook: Webhook) -> str:
    """The secret again; raises `ValueError` where the installation's key is another one."""
    return decrypted(webhook.secret, settings.MFA_KEY, purpose=_purpose(webhook))


def reach() -> Reach:
    """Where webhooks may lead: the internet, and the networks that the operator names."""
    return Reach.of(settings.WEBHOOK_NETWORKS)


def check_destination(url: str) -> None:
    """That something could be sent to `url`, as far as that is known without asking a name server; raises `BadAddress`."""
    parts = checked_url(url)
    host, allowed = parts.hostname or "", reach()
    try:
        address = ip_address("127.0.0.1" if is_loopback(host) else host)
    except ValueError:
        return  # a name: where it leads is asked each time something is sent
    if not allowed.allows(address):
        raise BadAddress(
            f"leads to {address}, which is not an address on the internet; the operator can allow networks with "
            "COUNTERSIGN_WEBHOOK_NETWORKS"
        )


def _purpose(webhook: Webhook) -> str:
    return f"webhook:{webhook.uuid}"


def _shortened(value: Json) -> Json:
    if isinstance(value, str):
        return value if len(value) <= LONGEST_TEXT else value[:LONGEST_TEXT] + "…"
    if isinstance(value, list):
        return [_shortened(one) for one in value[:100]]
    if isinstance(value, dict):
        return {key: _shortened(one) for key, one in list(value.items())[:100]}
    return value
