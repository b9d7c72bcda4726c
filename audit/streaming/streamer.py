"""Decides what is sent next and when: signed entries in their order, from where each destination stands, again with pauses where it fails.

The position moves after the receiver took the batch. Whoever is killed in between sends the batch again, with the same ids.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import structlog
from django.db import DatabaseError, connection
from django.db.models import F

from audit import queries, store
from audit.models import StreamState
from audit.moments import now_us, pause_after
from audit.queries import LoggedEntry
from audit.streaming.protocol import Destination, Parked, TryAgain
from audit.tiles import TILE_WIDTH, BrokenBundle

log = structlog.get_logger(__name__)

BATCH: Final = TILE_WIDTH
POLL_SECONDS: Final = 1.0


@dataclass(slots=True)
class _Turn:
    """One destination and when it is next due, by the monotonic clock."""

    destination: Destination
    due: float = 0.0


class Streamer:
    """Sends to every destination in turn. Not shared between threads."""

    def __init__(self, destinations: Iterable[Destination]) -> None:
        self._turns = [_Turn(one) for one in destinations]

    def run(self, stop: threading.Event) -> None:
        """Send what is due until `stop` is set; a database that does not answer is asked again."""
        while not stop.is_set():
            try:
                more = self.send_due()
            except DatabaseError as error:
                log.warning("ledger.streams_wait", error=str(error))
                connection.close()
                more = False
            if not more:
                stop.wait(POLL_SECONDS)
        connection.close()

    def send_due(self) -> bool:
        """One batch to every destination whose time has come; whether one of them may take another at once."""
        more = False
        for turn in self._turns:
            if time.monotonic() >= turn.due:
                pause = send(turn.destination)
                more = more or pause == 0
                turn.due = time.monotonic() + pause
        return more


def send(destination: Destination) -> float:
    """Send the next batch, where there is one; the pause (seconds) until the next: 0 where more may wait already."""
    state, _ = StreamState.objects.get_or_create(name=destination.name)
    if state.parked:
        return POLL_SECONDS
    try:
        batch = following(state.position)
        if batch:
            destination.deliver(batch)
    except Parked as error:
        return _failed(state, str(error), parked=True)
    except TryAgain as error:
        return max(_failed(state, str(error)), error.after_seconds)
    return _delivered(state, len(batch)) if batch else POLL_SECONDS


def following(position: int) -> list[LoggedEntry]:
    """The signed entries from a position on, to the end of their bundle; raises `Parked` where one of them cannot be read."""
    latest = store.latest_checkpoint()
    if latest is None or position >= latest.size:
        return []
    n, offset = divmod(position, TILE_WIDTH)
    try:
        payloads = store.read_bundle(n)[offset : latest.size - n * TILE_WIDTH]
    except BrokenBundle as error:
        raise Parked(f"the entries from {position} on cannot be read: {error}") from error
    batch: list[LoggedEntry] = []
    for seq, payload in enumerate(payloads, position):
        one = queries.decode(seq, payload)
        if one is None:
            break
        batch.append(one)
    if not batch:
        raise Parked(f"entry {position} cannot be read: verify the ledger")
    return batch


def resume(name: str) -> bool:
    """Let a parked stream go on from where it stands; whether there was one."""
    return bool(StreamState.objects.filter(name=name, parked=True).update(parked=False))


def _delivered(state: StreamState, count: int) -> float:
    """Move the position, unless another process did meanwhile: then this batch was sent twice, which receivers see by its ids."""
    StreamState.objects.filter(name=state.name, position=state.position).update(
        position=F("position") + count, delivered=now_us(), failing_since=0, attempts=0, error=""
    )
    return 0.0


def _failed(state: StreamState, error: str, *, parked: bool = False) -> float:
    state.failing_since = state.failing_since or now_us()
    state.attempts += 1
    state.error, state.parked = error, parked
    state.save(update_fields=["failing_since", "attempts", "error", "parked"])
    log.warning("ledger.stream_failed", stream=state.name, attempts=state.attempts, parked=parked, error=error)
    return pause_after(state.attempts)
