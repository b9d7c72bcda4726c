"""Listens to what happens to models: each promotion, revocation and status, in order, without a gap, across broken connections."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import httpx

from countersign.errors import CountersignError, NotReached, Refused
from countersign.session import Session

ADDRESS: Final = "/api/v1/watch"
KINDS: Final = frozenset({"release", "revoked", "status", "denied"})
TEXTS: Final = ("ref", "model", "stage", "digest", "release", "why")
SILENCE: Final = 45.0  # seconds; the registry says at least a comment every 15
LONGEST_LINE: Final = 1024**2
WAITS: Final = (0.2, 1.0, 3.0, 10.0, 30.0)


@dataclass(frozen=True, slots=True)
class Event:
    """What happened. `kind`: `release`, `revoked` or `status`; fields that the kind does not have are empty."""

    kind: str
    ref: str = ""
    model: str = ""
    version: int | None = None
    stage: str = ""
    digest: str = ""
    release: str = ""
    why: str = ""
    counter: int | None = None

    def as_json(self) -> dict[str, Any]:
        """The event for machines, without what it does not have."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value for name, value in fields.items() if value not in ("", None)}


@dataclass(slots=True)
class Message:
    """One server-sent event: its name, its data, and the id from which to go on."""

    name: str = ""
    data: str = ""
    id: str | None = None


def messages(lines: Iterable[str]) -> Iterator[Message]:
    """The events in the lines of a stream (WHATWG HTML, section 9.2.6); comments are left out, and what the end cuts off."""
    data: list[str] = []
    now = Message()
    for line in lines:
        if len(line) > LONGEST_LINE:
            raise NotReached("The registry sent a line that no event has.", reason="watch")
        if not line:
            if data:
                now.data = "\n".join(data)
                yield now
            now, data = Message(id=now.id), []
            continue
        name, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if name == "event":
            now.name = value
        elif name == "data":
            data.append(value)
        elif name == "id" and "\0" not in value:
            now.id = value


class Watch:
    """A watch over several references; iterate over it. It goes on from the last event whenever the connection ends.

    Ends after so many `seconds`, where they are given.
    """

    def __init__(self, session: Session, refs: Iterable[str], *, seconds: float | None = None) -> None:
        self._session, self._refs = session, list(refs)
        self._last = ""
        self._end = None if seconds is None else time.monotonic() + seconds

    def __iter__(self) -> Generator[Event, None, None]:
        failed = 0
        while self._left() > 0:
            try:
                for event in self._connected():
                    failed = 0
                    yield event
            except NotReached:
                failed += 1
            self._session.sleep(min(WAITS[min(failed, len(WAITS) - 1)], max(0.0, self._left())))

    def _left(self) -> float:
        """Seconds until the watch ends by itself."""
        return float("inf") if self._end is None else self._end - time.monotonic()

    def _connected(self) -> Iterator[Event]:
        """The events of one connection."""
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}
        if self._last:
            headers["Last-Event-ID"] = self._last
        params = [("ref", one) for one in self._refs]
        timeout = httpx.Timeout(10.0, read=max(0.1, min(SILENCE, self._left())))
        with self._session.stream(ADDRESS, headers=headers, params=params, timeout=timeout) as answer:
            for message in messages(self._in_time(answer.iter_lines())):
                if message.name in KINDS:
                    yield _event(message)
                self._last = message.id or self._last

    def _in_time(self, lines: Iterable[str]) -> Iterator[str]:
        """The lines until the watch ends; heartbeats come often enough to notice."""
        for line in lines:
            if self._left() <= 0:
                return
            yield line


def _event(message: Message) -> Event:
    """The event; raises `Refused` where the registry ends the watch."""
    try:
        said = json.loads(message.data)
        if message.name == "denied":
            raise Refused(
                str(
                    said.get("detail")
                    or said.get("why")
                    or "The registry ended the watch: the token or its right was taken back."
                ),
                reason="denied",
                status=403,
            )
        number, counter = said.get("version"), said.get("counter")
        ref, model, stage, digest, release, why = (str(said.get(name) or "") for name in TEXTS)
        return Event(
            message.name,
            ref,
            model,
            None if number is None else int(number),
            stage,
            digest,
            release,
            why,
            None if counter is None else int(counter),
        )
    except (ValueError, TypeError, AttributeError) as error:
        if isinstance(error, CountersignError):
            raise
        raise NotReached("The registry sent an event that cannot be read.", reason="watch") from error
