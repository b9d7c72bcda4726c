"""Mail that leaves after the commit."""

from __future__ import annotations

from celery import shared_task

from notices import delivery


@shared_task(name="notices.deliver")  # type: ignore[untyped-decorator]  # Celery has no types
def deliver() -> int:
    """Send what is due; returns how many mails left."""
    return delivery.deliver()
