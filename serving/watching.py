"""Decides what somebody is told who watches which versions are live: the present first, then each change, as server-sent events.

An event's `id` says what the watcher knows (`Present.id`). Who comes back with it as `Last-Event-ID` is told what is different now, and
nothing where nothing is: a release or its end that was missed in between shows in the state, since no release ever comes back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from time import monotonic
from typing import Final

import orjson

from access.principal import Principal
from audit.actions import Receipt
from audit.events import Action, Obj, Outcome
from foundation.numbers import whole_number
from foundation.refusals import Conflict, Forbidden, Invalid, NotFound, Refusal, Unauthenticated
from serving.attestations import current_snapshot
from serving.changes import CHANGES
from serving.pulls import by_rule, put
from serving.queries import Resolved, resolve

MAX_REFS: Final = 50
HEARTBEAT_SECONDS: Final = 15.0
HEARTBEAT: Final = b": still here\n\n"
RETRY: Final = b"retry: 1000\n\n"
_MARK: Final = 8
_ID: Final = re.compile(r"(\d{1,18})\.([0-9a-f]*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Ref:
    """What is watched: `credit@production` (a stage or an alias) or `credit/3` (a version)."""

    text: str
    model: str
    alias: str = ""
    number: int | None = None


@dataclass(frozen=True, slots=True)
class State:
    """How it stands with one ref: a release by which a version may be used, or why none is."""

    ref: Ref
    version: int | None = None
    stage: str = ""
    digest: str = ""
    release: str = ""
    why: str = ""
    code: str = ""

    @property
    def mark(self) -> str:
        """A short name of this state, for `Last-Event-ID`; a release is of one version for one stage."""
        return sha256((self.release or f"none: {self.code}").encode()).hexdigest()[:_MARK]

    def after(self, before: State) -> State:
        """This state for somebody who knew another one: where nothing is live any more it says what was."""
        if self.release or not before.version:
            return self
        return replace(self, version=before.version, stage=before.stage)

    @property
    def event(self) -> tuple[str, dict[str, object]]:
        """The event that tells it: `release`, or `revoked` with the reason."""
        where = {"ref": self.ref.text, "model": self.ref.model}
        said: dict[str, object] = {**where, "version": self.version, "stage": self.stage or None}
        if self.release:
            return "release", said | {"digest": self.digest, "release": self.release}
        return "revoked", said | {"why": self.why, "code": self.code}


@dataclass(frozen=True, slots=True)
class Present:
    """Everything that one watcher can know at a moment."""

    counter: int
    states: tuple[State, ...]

    @property
    def id(self) -> str:
        """What `Last-Event-ID` brings back: the status counter, and the mark of each state in the order of the refs."""
        return f"{self.counter}." + "".join(state.mark for state in self.states)

    def after(self, before: Present) -> Present:
        """This, for somebody who knew another present of the same refs."""
        pairs = zip(self.states, before.states, strict=True)
        return replace(self, states=tuple(now.after(then) for now, then in pairs))

    def since(self, last: str = "") -> list[bytes]:
        """The events for somebody who knows what the id `last` says; all of them where it says nothing that fits these refs."""
        found = _ID.fullmatch(last)
        marks = found[2] if found and len(found[2]) == _MARK * len(self.states) else ""
        known = [marks[start : start + _MARK] for start in range(0, len(marks), _MARK)] or [""] * len(self.states)
        told = [state.event for state, mark in zip(self.states, known, strict=True) if state.mark != mark]
        if not marks or not found or int(found[1]) != self.counter:
            told.append(("status", {"counter": self.counter}))
        # Only the last one has the id: who breaks off before it is told all of them again.
        return [_event(name, data, self.id if n == len(told) else "") for n, (name, data) in enumerate(told, 1)]


def parse_refs(texts: Sequence[str]) -> tuple[Ref, ...]:
    """What is to be watched, each once; raises `Invalid`."""
    refs = tuple(_ref(text) for text in dict.fromkeys(texts))
    if not 0 < len(refs) <= MAX_REFS:
        raise Invalid(
            f"Say what to watch: 1 to {MAX_REFS} times ?ref=model@stage or ?ref=model/number.",
            errors={"ref": f"1 to {MAX_REFS}"},
        )
    return refs


def look(refs: Iterable[Ref], by: Principal) -> Present:
    """How it stands now, for `by`. Raises `Forbidden` or `NotFound` for a model that they may not pull from."""
    return Present(current_snapshot().counter, tuple(state_of(ref, lambda one: named(one, by)) for ref in refs))


def named(ref: Ref, by: Principal) -> Resolved:
    """What `by` would be given for a ref; raises what `serving.queries.resolve` raises."""
    return resolve(ref.model, alias=ref.alias, version=ref.number, by=by)


def state_of(ref: Ref, ask: Callable[[Ref], Resolved]) -> State:
    """What `ask` says of a ref, as a state; what it says of the caller (`Forbidden`, an unknown model) is raised."""
    try:
        found = ask(ref)
    except (Conflict, NotFound) as refusal:
        if refusal.code == "model-unknown":
            raise
        return State(ref, ref.number, why=refusal.detail, code=refusal.code)
    version = found.version
    return State(ref, version.number, found.stage.name, version.digest, found.release_digest)


def denied(refusal: Refusal) -> bytes:
    """The last event of somebody who may not watch any more."""
    return _event("denied", {"why": refusal.detail, "code": refusal.code})


DENIED: Final = (Forbidden, NotFound, Unauthenticated)
"""What ends a stream that was allowed before."""


class Watcher:
    """What one watcher knows, and so what is news to them."""

    def __init__(self, last: str = "") -> None:
        self._last = last
        self._present: Present | None = None

    def news(self, present: Present) -> list[bytes]:
        """The events of what is different from what was told before, often none."""
        present = present.after(self._present) if self._present else present
        events = present.since(self._last)
        self._present, self._last = present, present.id
        return events


class Stream:
    """The body of a watch that occupies a thread: for `seconds` (none: what is new now, and the end), then the client comes back.

    `ask` gives the present, and raises what ends the stream, or what refuses it before it begins; `record` puts on record that something
    was told; `let_go` is called at the end.
    """

    def __init__(
        self,
        watcher: Watcher,
        ask: Callable[[], Present],
        *,
        seconds: float,
        record: Callable[[], object],
        let_go: Callable[[], None],
    ) -> None:
        self._watcher, self._ask, self._seconds, self._record, self._let_go = watcher, ask, seconds, record, let_go
        self._recorded = self._over = self._closed = False
        self._seen = CHANGES.count  # before the first look, so that nothing between the two is missed
        self._first = self._tell(ask())

    def __iter__(self) -> Iterator[bytes]:
        end, beat, seen = monotonic() + self._seconds, monotonic() + HEARTBEAT_SECONDS, self._seen
        yield RETRY + (b"".join(self._first) or HEARTBEAT)
        while not self._over and (now := monotonic()) < end:
            changed = CHANGES.wait(seen, max(0.0, min(beat, end) - now))
            seen = CHANGES.count
            # Asked at each beat too: an approval also ends by time, which nobody commits.
            events = self._next() if changed or monotonic() >= beat else []
            if events or monotonic() >= beat:
                beat = monotonic() + HEARTBEAT_SECONDS
                yield b"".join(events) or HEARTBEAT

    def _next(self) -> list[bytes]:
        try:
            return self._tell(self._ask())
        except DENIED as refusal:
            self._over = True
            return [denied(refusal)]

    def _tell(self, present: Present) -> list[bytes]:
        events = self._watcher.news(present)
        if events and not self._recorded:
            self._record()
            self._recorded = True
        return events

    def close(self) -> None:
        """Let somebody else watch, once."""
        if not self._closed:
            self._closed = True
            self._let_go()


def record_watch(refs: Sequence[Ref], by: Principal, refusal: Refusal | None = None) -> Receipt:
    """Put on record that `by` is told how it stands with these refs and of the changes after it, or that this was refused."""
    obj = Obj("model", "", refs[0].model[:200] if len({ref.model for ref in refs}) == 1 else "")
    return put(
        Action.VERSION_WATCH,
        by=by,
        obj=obj,
        outcome=Outcome.DENIED if refusal else Outcome.OK,
        why=refusal.code if refusal else "",
        after={"refs": [ref.text for ref in refs], **by_rule(refusal)},
    )


def _ref(text: str) -> Ref:
    model, at, alias = text.rpartition("@")
    if at and model and alias:
        return Ref(text, model, alias=alias)
    model, slash, number = text.rpartition("/")
    found = whole_number(number)
    if slash and model and found:
        return Ref(text, model, number=found)
    raise Invalid(
        f"“{text[:80]}” names nothing to watch: write model@stage, model@alias or model/number.",
        errors={"ref": "model@stage, model@alias or model/number"},
    )


def _event(name: str, data: dict[str, object], identity: str = "") -> bytes:
    head = f"id: {identity}\n" if identity else ""
    return f"{head}event: {name}\ndata: {orjson.dumps(data).decode()}\n\n".encode()
