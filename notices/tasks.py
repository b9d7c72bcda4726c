"""Mail and events that leave after the commit, and what the ledger reports about itself."""

from __future__ import annotations

from celery import shared_task

from notices import delivery, watch
from notices.webhooks import delivery as webhooks


@shared_task(name="notices.deliver")  # type: ignore[untyped-decorator]  # Celery has no types
def deliver() -> int:
    """Send what is due; returns how many mails left."""
    return delivery.deliver()


@shared_task(name="notices.watch")  # type: ignore[untyped-decorator]  # Celery has no types
def watch_ledger() -> int:
    """Tell those who may know what the ledger reports; returns how many alerts there were."""
    return watch.tell_of_the_ledger()


@shared_task(name="notices.deliver_webhooks")  # type: ignore[untyped-decorator]  # Celery has no types
def deliver_webhooks() -> int:
    """Deliver the events that are due; returns how many arrived."""
    return webhooks.deliver()


@shared_task(name="notices.tidy_webhooks")  # type: ignore[untyped-decorator]  # Celery has no types
def tidy_webhooks() -> int:
    """Let go of old deliveries; returns how many went."""
    return webhooks.tidy()
