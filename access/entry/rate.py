"""Decides how many requests an account made in the last minute: those that are on record.

Every read, pull, score and refusal writes one entry, whichever process answered it, so the ledger counts for all of them. An entry is
counted once the sequencer has logged it, within about a second; so a burst may run on for that long before a rule that reads `rate`
notices it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.utils import timezone

from audit.models import IndexRow

if TYPE_CHECKING:
    from access.models import User

WINDOW: Final = timedelta(seconds=60)


def requests_in_the_last_minute(user: User) -> int:
    """How many entries of the last 60 seconds name the account as actor; two statements on indexes."""
    since = int((timezone.now() - WINDOW).timestamp() * 1e6)
    before = IndexRow.objects.filter(t__lte=since).order_by("-t").values_list("seq", flat=True).first()
    recent = IndexRow.objects.filter(actor_id=str(user.uuid), t__gt=since)
    return (recent if before is None else recent.filter(seq__gt=before)).count()
