"""What is put on record later than it happened."""

from __future__ import annotations

from celery import shared_task

from access import attempts


@shared_task(name="access.record_attempts")  # type: ignore[untyped-decorator]  # Celery has no types
def record_attempts() -> int:
    """Put counted attempts on record whose minute is over; returns how many entries were written."""
    return attempts.record_counted()
