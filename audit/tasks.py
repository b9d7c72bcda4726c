"""The ledger's watch, on a worker."""

from __future__ import annotations

import structlog
from celery import shared_task
from django.utils import timezone

from audit import checks
from audit.journal import JournalDamaged
from audit.keys import KeyRefused

log = structlog.get_logger(__name__)


@shared_task(name="audit.watch")  # type: ignore[untyped-decorator]  # Celery has no types
def watch() -> bool:
    """Verify what is new in the ledger; whether everything agrees. See `audit.checks.watch`."""
    try:
        result = checks.watch(timezone.now())
    except (KeyRefused, JournalDamaged) as error:
        log.error("ledger.cannot_be_verified", error=str(error))
        return False
    if result is not None and not result.ok:
        log.error("ledger.not_verified", problems=[problem.sentence for problem in result.problems[:5]])
    return result is None or result.ok
