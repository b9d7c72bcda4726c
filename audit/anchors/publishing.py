"""Decides when the newest checkpoint is put into each sink: after its commit, in a thread of its own, again with pauses where it fails.

The signing of the ledger waits for no sink. What fails is kept in `audit_sink` for `audit status` and for the alert.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import structlog
from django.db import DatabaseError, connection, transaction

from audit import keys
from audit.anchors.configured import configured, state_journal
from audit.anchors.protocol import Sink, SinkFailed
from audit.journal import JournalDamaged, Line
from audit.keys import KeyRefused
from audit.models import Anchor, SinkState
from audit.moments import now_us, pause_after

log = structlog.get_logger(__name__)

POLL_SECONDS: Final = 1.0


@dataclass(slots=True)
class _Turn:
    """One sink and when it is next due, by the monotonic clock."""

    sink: Sink
    due: float = 0.0


class Publisher:
    """Puts checkpoints into sinks. Not shared between threads."""

    def __init__(self, sinks: Iterable[Sink]) -> None:
        self._turns = [_Turn(sink) for sink in sinks]

    def run(self, stop: threading.Event) -> None:
        """Publish what is due until `stop` is set; a database that does not answer is asked again."""
        while not stop.is_set():
            try:
                self.publish_due()
            except (DatabaseError, JournalDamaged, KeyRefused) as error:
                log.warning("ledger.anchors_wait", error=str(error))
                connection.close()
            stop.wait(POLL_SECONDS)
        connection.close()

    def publish_due(self) -> None:
        """Put the newest checkpoint into every sink whose time has come."""
        line = state_journal().largest(keys.origin())
        if line is None:
            return
        for turn in self._turns:
            if time.monotonic() >= turn.due:
                pause = publish(turn.sink, line)
                turn.due = time.monotonic() + pause


def in_background(stop: threading.Event) -> threading.Thread | None:
    """A thread that publishes to the configured sinks until `stop` is set; none where none is configured."""
    sinks = configured()
    if not sinks:
        return None
    thread = threading.Thread(target=Publisher(sinks).run, args=(stop,), name="ledger-anchors", daemon=True)
    thread.start()
    return thread


def publish(sink: Sink, line: Line) -> float:
    """Put a checkpoint into a sink, unless it is the one that was put there last; the pause (seconds) until the next try."""
    state = SinkState.objects.filter(name=sink.name).first() or SinkState(name=sink.name)
    if state.note == line.note and not state.failing_since:
        return POLL_SECONDS
    try:
        receipt = sink.publish(line)
    except SinkFailed as error:
        return _failed(state, str(error))
    _published(state, line, receipt)
    return sink.every_seconds


def _failed(state: SinkState, error: str) -> float:
    state.failing_since = state.failing_since or now_us()
    state.attempts += 1
    state.error = error
    state.save()
    log.warning("ledger.anchor_failed", sink=state.name, attempts=state.attempts, error=error)
    return pause_after(state.attempts)


def _published(state: SinkState, line: Line, receipt: str) -> None:
    now = now_us()
    with transaction.atomic():
        if not Anchor.objects.filter(size=line.size, sink=state.name).exists():
            Anchor.objects.create(size=line.size, sink=state.name, receipt=receipt, t=now)
        state.note, state.size, state.published = line.note, line.size, now
        state.failing_since, state.attempts, state.error = 0, 0, ""
        state.save()
    log.info("ledger.anchored", sink=state.name, size=line.size)
