"""Decides what people with the right must be told about the ledger itself: rows that were refused, sinks that have failed for too long.

Rooms above ask (`notices` does, once a minute) and tell each of them once: this room knows no people.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from django.conf import settings
from django.db.models import Q

from audit.models import Quarantined, SinkState, StreamState
from audit.moments import now_us

AT_MOST: Final = 20
REFUSED: Final = "ledger-refused:"


@dataclass(frozen=True, slots=True)
class Alert:
    """Something to look at: a stable id (at most 100 characters), a title and what to do."""

    id: str
    title: str
    body: str


def alerts(*, after: int = 0) -> list[Alert]:
    """What there is to tell: quarantined rows with an id above `after`, sinks and streams that fail now.

    A row each for the first twenty; where there are more, the last alert stands for all of them up to its id.
    """
    return [*_quarantined(after), *failing_sinks(), *failing_streams()]


def _quarantined(after: int) -> list[Alert]:
    waiting = Quarantined.objects.filter(pk__gt=after).order_by("pk")
    rows = list(waiting[:AT_MOST])
    told = [
        Alert(
            f"{REFUSED}{row.pk}",
            "The ledger refused an entry",
            f"Pending row {row.pending_id}: {row.why}. Somebody wrote to the database past the application, or a key differs between "
            "processes. Run `manage.py audit status`; the row is kept as it was found.",
        )
        for row in rows
    ]
    more = waiting.filter(pk__gt=rows[-1].pk) if len(rows) == AT_MOST else waiting.none()
    last = more.last()
    if last is None:
        return told
    title = f"The ledger refused {more.count():,} more entries"
    return [
        *told,
        Alert(f"{REFUSED}{last.pk}", title, "Run `manage.py audit status`; the rows are kept as they were found."),
    ]


def failing_sinks() -> list[Alert]:
    """Sinks that have failed for longer than `AUDIT_SINK_ALERT_MINUTES`."""
    oldest = now_us() - settings.AUDIT_SINK_ALERT_MINUTES * 60_000_000
    return [
        Alert(
            f"ledger-sink:{state.name}:{state.failing_since}",
            f"The ledger's checkpoints no longer reach {state.name}",
            f"Since {when(state.failing_since)} nothing could be put there: {state.error}. The ledger goes on signing; what is signed "
            "meanwhile is held by the other sinks only.",
        )
        for state in SinkState.objects.filter(failing_since__gt=0, failing_since__lte=oldest).order_by("name")
    ]


def failing_streams() -> list[Alert]:
    """Streams to other systems that are parked, and those that have failed for longer than `AUDIT_SINK_ALERT_MINUTES`."""
    oldest = now_us() - settings.AUDIT_SINK_ALERT_MINUTES * 60_000_000
    troubled = StreamState.objects.filter(Q(parked=True) | Q(failing_since__gt=0, failing_since__lte=oldest))
    return [
        Alert(
            f"ledger-stream:{state.name}:{state.failing_since}",
            f"The ledger is no longer streamed to {state.name}",
            f"Since {when(state.failing_since)} nothing was taken: {state.error}. Entry {state.position:,} is the next; nothing is skipped."
            + (f" Run `manage.py audit stream --resume {state.name}` once it is mended." if state.parked else ""),
        )
        for state in troubled.order_by("name")
    ]


def when(t: int) -> str:
    """A time (µs since 1970) for people, in UTC."""
    return datetime.fromtimestamp(t / 1_000_000, UTC).isoformat(timespec="seconds")
