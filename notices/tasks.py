"""Mail that leaves after the commit, and what the ledger reports about itself."""

from __future__ import annotations

from celery import shared_task

from notices import delivery, watch


@shared_task(name="notices.deliver")  # type: ignore[untyped-decorator]  # Celery has no types
def deliver() -> int:
    """Send what is due; returns how many mails left."""
    return delivery.deliver()


@shared_task(name="notices.watch")  # type: ignore[untyped-decorator]  # Celery has no types
def watch_ledger() -> int:
    """Tell those who may know what the ledger reports; returns how many alerts there were."""
    return watch.tell_of_the_ledger()
