"""Watches that the gateway keeps open: thousands of them, with one look at the database a tick for all.

Watchers of the same version with the same credential share one state. A tick asks what may have changed once for each of those, and wakes
the watchers of those that did.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from time import monotonic
from typing import Final, Protocol

import structlog

from access.principal import Principal
from foundation.refusals import Forbidden, Refusal, Unavailable
from serving import watching
from serving.gateway_desk import Desk
from serving.gateway_http import Answer, Asked
from serving.live import Live, Snapshot, Told, Wanted
from serving.watching import DENIED, HEARTBEAT, RETRY, Present, Ref, State, Watcher, denied, parse_refs

ATTEMPTS: Final = 5
TICK_SECONDS: Final = 0.02
LONGEST_SECONDS: Final = 1.0
"""How long it may take until an end is noticed that nobody commits: an approval that runs out, a token that expires."""
MAX_WATCHERS: Final = 5_000
_HEADERS: Final = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}

log = structlog.get_logger(__name__)

Pair = tuple[Ref, Wanted]


def _told_elsewhere(by: Principal, refusal: Refusal) -> None:
    """A stream that was allowed once ends with an event that says so."""


class Asking(Protocol):
    """What the gateway does for its watches."""

    @property
    def desk_here(self) -> Desk:
        """Where what is known is read."""

    async def learn(self, asked: Asked, wanted: Wanted, *, told: Told) -> None:
        """Ask the rules."""


@dataclass(eq=False, slots=True)
class _Room:
    """Those who watch one version with one credential: how to ask for them all, and what to do when it changes."""

    asked: Asked
    wanted: Wanted
    said: str | None = None
    watchers: set[asyncio.Event] = field(default_factory=set)


class Watching:
    """All watches of the process."""

    def __init__(self, gateway: Asking) -> None:
        self._gateway = gateway
        self._rooms: dict[tuple[str, Wanted], _Room] = {}
        self._open: set[asyncio.Event] = set()
        self._pulse: asyncio.Task[None] | None = None
        self._closing = False

    async def follow(self, asked: Asked) -> Answer:
        """A stream that begins with the present; raises the refusal of who may not watch."""
        refs = parse_refs(asked.query.get("ref", []))
        if len(self._open) >= MAX_WATCHERS:
            raise Unavailable(
                "As many watch here as this gateway serves. Try again in a while.", code="too-many-watchers"
            )
        pairs = [(ref, _wanted(ref)) for ref in refs]
        watcher = Watcher(asked.headers.get("Last-Event-Id", ""))
        first = watcher.news(await self._present(asked, pairs, partial(_record_refused, refs)))
        return Answer(HTTPStatus.OK, dict(_HEADERS), parts=partial(self._stream, asked, pairs, watcher, first))

    def close(self) -> None:
        """End every stream; clients come back to whoever is there then."""
        self._closing = True
        for woken in self._open:
            woken.set()

    async def _stream(
        self, asked: Asked, pairs: Sequence[Pair], watcher: Watcher, first: list[bytes], gone: asyncio.Task[None]
    ) -> AsyncGenerator[bytes]:
        recorded = False
        woken = asyncio.Event()
        gone.add_done_callback(lambda _: woken.set())
        self._enter(asked, pairs, woken)
        try:
            head, events = RETRY, [*first, *await self._next(asked, pairs, watcher)]
            while not gone.done():
                if events and not recorded:
                    events = await self._on_record(asked, pairs, events)
                    recorded = True
                yield head + (b"".join(events) or HEARTBEAT)
                head = b""
                if self._closing or (events and events[-1].startswith(b"event: denied")):
                    return
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(woken.wait(), watching.HEARTBEAT_SECONDS)
                woken.clear()
                events = await self._next(asked, pairs, watcher)
        except Unavailable as refusal:
            log.warning(
                "gateway.watch_ends", why=refusal.code
            )  # nothing unrecorded is told; the client comes back with its last id
        finally:
            self._leave(asked, pairs, woken)

    async def _next(self, asked: Asked, pairs: Sequence[Pair], watcher: Watcher) -> list[bytes]:
        try:
            return watcher.news(await self._present(asked, pairs))
        except DENIED as refusal:
            return [denied(refusal)]
        except Unavailable as refusal:
            log.warning("gateway.watch_waits", why=refusal.code)
            return []

    async def _present(self, asked: Asked, pairs: Sequence[Pair], told: Told = _told_elsewhere) -> Present:
        """How it stands; raises what ends a watch."""
        for _ in range(ATTEMPTS):
            found = await self._gateway.desk_here.read(partial(_look, asked, pairs))
            if isinstance(found, Present):
                return found
            if isinstance(found, _KeptOut):
                await self._gateway.desk_here.ask(lambda _: True, partial(_tell, told, found))
                raise found.refusal
            for wanted in found:
                await self._gateway.learn(asked, wanted, told=told)
        raise Unavailable("What is live changes faster than it can be checked.", code="changing")

    async def _on_record(self, asked: Asked, pairs: Sequence[Pair], events: list[bytes]) -> list[bytes]:
        """The events once it is on record that they are told; that the watch is denied, where it is by now."""
        try:
            await self._record(asked, pairs)
        except DENIED as refusal:
            return [denied(refusal)]
        return events

    async def _record(self, asked: Asked, pairs: Sequence[Pair]) -> None:
        """Put on record that these are told; raises what ends a watch, and `Unavailable` where it cannot be recorded."""
        wanted = pairs[0][1]
        refs = [ref for ref, _ in pairs]
        for _ in range(ATTEMPTS):
            receipt = await self._gateway.desk_here.ask(
                lambda snapshot: snapshot.verdict(asked.credential, wanted),
                lambda verdict: watching.record_watch(refs, asked.by(verdict.caller.principal)),
            )
            if receipt is not None:
                return
            await self._gateway.learn(asked, wanted, told=_told_elsewhere)
        raise Unavailable("What is live changes faster than it can be checked.", code="changing")

    def _enter(self, asked: Asked, pairs: Iterable[Pair], woken: asyncio.Event) -> None:
        self._open.add(woken)
        for _, wanted in pairs:
            room = self._rooms.setdefault((asked.credential, wanted), _Room(asked, wanted))
            room.watchers.add(woken)
        if self._pulse is None or self._pulse.done():
            self._pulse = asyncio.create_task(self._beat())

    def _leave(self, asked: Asked, pairs: Iterable[Pair], woken: asyncio.Event) -> None:
        self._open.discard(woken)
        for _, wanted in pairs:
            room = self._rooms.get((asked.credential, wanted))
            if room is not None:
                room.watchers.discard(woken)
                if not room.watchers:
                    del self._rooms[asked.credential, wanted]

    async def _beat(self) -> None:
        """While anybody watches: look each tick, and wake those for whom something is different."""
        last, counter, due = -1, -1, 0.0
        while self._rooms and not self._closing:
            await asyncio.sleep(TICK_SECONDS)
            try:
                now, counted = await self._gateway.desk_here.read(lambda one: (one.generation, one.counter))
                if now == last and monotonic() < due:
                    continue
                last, due = now, monotonic() + LONGEST_SECONDS
                changed = await self._changed()
            except Unavailable as refusal:
                log.warning("gateway.pulse_waits", why=refusal.code)
                continue
            if counted != counter:
                changed, counter = list(self._rooms.values()), counted
            for woken in {one for room in changed for one in room.watchers}:
                woken.set()

    async def _changed(self) -> list[_Room]:
        """The rooms where it stands otherwise than before."""
        rooms = list(self._rooms.items())
        said = await self._gateway.desk_here.read(lambda one: [_mark(one, *key) for key, _ in rooms])
        stale = [room for (_, room), mark in zip(rooms, said, strict=True) if mark is None]
        await asyncio.gather(*(self._learn(room) for room in stale))
        said = await self._gateway.desk_here.read(lambda one: [_mark(one, *key) for key, _ in rooms])
        changed = [room for (_, room), mark in zip(rooms, said, strict=True) if mark is None or mark != room.said]
        for (_, room), mark in zip(rooms, said, strict=True):
            room.said = mark
        return changed

    async def _learn(self, room: _Room) -> None:
        # Who may not watch any more is told by their own stream, which asks again.
        with contextlib.suppress(Refusal):
            await self._gateway.learn(room.asked, room.wanted, told=_told_elsewhere)


def _record_refused(refs: Sequence[Ref], by: Principal, refusal: Refusal) -> None:
    watching.record_watch(refs, by, refusal)


def _wanted(ref: Ref) -> Wanted:
    return Wanted(ref.model, ref.alias, ref.number)


@dataclass(frozen=True, slots=True)
class _KeptOut:
    """Whom an access policy keeps from watching, under the circumstances of their request."""

    by: Principal
    refusal: Forbidden


def _tell(told: Told, found: _KeptOut, _: bool) -> None:
    told(found.by, found.refusal)


def _look(asked: Asked, pairs: Sequence[Pair], snapshot: Snapshot) -> Present | list[Wanted] | _KeptOut:
    """The present of these refs, what of it has to be learnt, or that an access policy refuses it now."""
    verdicts = [(ref, wanted, snapshot.verdict(asked.credential, wanted)) for ref, wanted in pairs]
    missing = [wanted for _, wanted, verdict in verdicts if verdict is None]
    if missing:
        return missing
    for verdict in (one for _, _, one in verdicts if one is not None):
        by = asked.by(verdict.caller.principal)
        try:
            verdict.permit(by)
        except Forbidden as refusal:
            return _KeptOut(by, refusal)
    states = tuple(_state(ref, verdict.live) for ref, _, verdict in verdicts if verdict is not None)
    return Present(snapshot.counter, states)


def _mark(snapshot: Snapshot, credential: str, wanted: Wanted) -> str | None:
    """What tells one state of a version from another; None where it has to be learnt."""
    verdict = snapshot.verdict(credential, wanted)
    return None if verdict is None else _state(Ref("", wanted.model), verdict.live).mark


def _state(ref: Ref, live: Live) -> State:
    resolved = live.resolved
    if resolved is None:
        return State(ref, ref.number, why=live.refusal.detail, code=live.refusal.code) if live.refusal else State(ref)
    return State(ref, resolved.version.number, resolved.stage.name, resolved.version.digest, resolved.release_digest)
