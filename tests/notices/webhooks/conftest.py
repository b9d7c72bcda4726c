"""A receiver that webhooks may lead to, and somebody who looks after webhooks and sees models."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from pytest_django.fixtures import Settings

from access.models import User
from notices.models import Webhook
from notices.webhooks.actions import create_webhook
from notices.webhooks.events import Event
from tests.conftest import as_
from tests.notices.webhooks.receiver import Receiver, receiving

SECRET = "a secret that only the receiver knows"

Hook = Callable[..., Webhook]


@pytest.fixture
def receiver(settings: Settings) -> Iterator[Receiver]:
    """A receiver on this machine, which the settings allow."""
    settings.WEBHOOK_NETWORKS = ["127.0.0.0/8"]
    with receiving() as got:
        yield got


@pytest.fixture
def hook(receiver: Receiver, erin: User) -> Hook:
    """Makes a webhook of erin's to the receiver: of every event, unless some are named."""

    def make(*events: Event, name: str = "pipeline", by: User = erin, **more: object) -> Webhook:
        wanted = {"url": receiver.url, "secret": SECRET, **more}
        return create_webhook(name, events=[*(events or Event)], by=as_(by), **wanted)  # type: ignore[arg-type]  # the test's own words

    return make
