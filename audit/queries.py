"""Decides how the ledger is read by people: filtered, newest first, entries that are not logged yet marked as pending."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, overload

import orjson
import structlog

from audit import search, store
from audit.entries import Entry, Malformed, indexed
from audit.events import Action, Obj
from audit.models import IndexRow, Pending, Private
from audit.payload import decode_disclosures
from audit.places import place_of
from audit.search import Filter as Filter
from audit.search import microseconds
from audit.tiles import TILE_WIDTH, BrokenBundle
from countersign.proof.note import TreeHead

log = structlog.get_logger(__name__)

MAX_PENDING: Final = 500
_CHUNK: Final = 1_000


class Difference(NamedTuple):
    """A field that changed, and its values as text; None: there was none."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class LoggedEntry:
    """An entry with its place in the ledger (None while it waits to be logged) and what of its private data still stands."""

    seq: int | None
    entry: Entry
    private: dict[str, str] = field(default_factory=dict)
    payload: bytes = b""

    @property
    def is_pending(self) -> bool:
        """Whether it is committed but not logged and signed yet."""
        return self.seq is None

    @property
    def at(self) -> datetime:
        """When it happened, in UTC."""
        return datetime.fromtimestamp(self.entry.t / 1_000_000, UTC)

    @property
    def actor_name(self) -> str:
        """Who did it, for people: the name while it has not been erased, else kind and identifier."""
        return self.private.get("name") or " ".join(filter(None, (self.entry.actor_kind, self.entry.actor_id)))

    @property
    def erased(self) -> int:
        """How many pieces of personal data the entry commits to that were destroyed since."""
        return len(self.entry.digests) - len(self.private)

    @property
    def sentence(self) -> str:
        """What such an entry says, in words; empty for an action that this release does not know."""
        return Action(self.entry.action).sentence if self.entry.action in set(Action) else ""

    @property
    def obj_label(self) -> str:
        """What it was done to, for people; who acted on their own account is named as whoever acted."""
        if (self.entry.obj_kind, self.entry.obj_id) == (self.entry.actor_kind, self.entry.actor_id):
            return self.actor_name
        version = f" v{self.entry.obj_version}" if self.entry.obj_version else ""
        return f"{self.entry.obj_name or self.entry.obj_id}{version}"

    @property
    def obj(self) -> Obj:
        """What it was done to."""
        return Obj(self.entry.obj_kind, self.entry.obj_id, self.entry.obj_name, self.entry.obj_version)

    @property
    def place(self) -> str:
        """The path of the page that shows what it was done to; empty where there is none."""
        return place_of(self.obj)

    @property
    def differences(self) -> list[Difference]:
        """Each changed field with both values; None where a side has none."""
        before, after = _fields(self.entry.before), _fields(self.entry.after)
        return [Difference(name, before.get(name), after.get(name)) for name in {**before, **after}]

    @property
    def changes(self) -> list[tuple[str, str]]:
        """Each changed field with its value, or with both values where there were two."""
        before, after = _fields(self.entry.before), _fields(self.entry.after)
        return [
            (name, " → ".join(side[name] for side in (before, after) if name in side)) for name in {**before, **after}
        ]


@dataclass(frozen=True, slots=True)
class Head:
    """The newest signed checkpoint: how many entries it covers, its root, when it was signed, and the note itself."""

    size: int
    root: str
    signed_at: datetime
    note: str


@dataclass(frozen=True, slots=True)
class Page:
    """One page of entries, newest first: those that wait to be logged (on the first page only), then logged ones.

    `older` and `newer` are the positions to go on from, None where nothing follows. `unreadable` entries are logged but damaged.
    """

    entries: list[LoggedEntry]
    older: int | None = None
    newer: int | None = None
    unreadable: int = 0
    waiting: int = 0


class Found(Sequence[LoggedEntry]):
    """The entries that a filter finds, newest first: pending ones before logged ones. Iterating holds a thousand at a time."""

    def __init__(self, wanted: Filter, *, pending: bool = True) -> None:
        self._wanted = wanted
        self._pending = _waiting(wanted) if pending else []
        self._count: int | None = None

    def __len__(self) -> int:
        """How many there are; counted once."""
        if self._count is None:
            self._count = search.count(self._wanted)
        return len(self._pending) + self._count

    @overload
    def __getitem__(self, index: int) -> LoggedEntry: ...
    @overload
    def __getitem__(self, index: slice) -> list[LoggedEntry]: ...
    def __getitem__(self, index: int | slice) -> LoggedEntry | list[LoggedEntry]:
        """One entry, or a run of them, read from the newest on: for the first few."""
        return list(self)[index] if isinstance(index, int) else self._run(index)

    def _run(self, index: slice) -> list[LoggedEntry]:
        if index.stop is None or index.stop < 0 or (index.start or 0) < 0:
            return list(self)[index]
        wanted = max(0, index.stop - len(self._pending))
        seqs = search.find([self._wanted], limit=wanted) if wanted else []
        return [*self._pending, *_read(seqs)][index]

    def __iter__(self) -> Iterator[LoggedEntry]:
        """All of them."""
        yield from self._pending
        before: int | None = None
        while seqs := search.find([self._wanted], limit=_CHUNK, before=before):
            yield from _read(seqs)
            before = seqs[-1]


def entries(wanted: Filter | None = None, *, pending: bool = True) -> Found:
    """The entries that match, newest first; without those that wait to be logged, where `pending` is false."""
    return Found(wanted or Filter(), pending=pending)


def page(wanted: Filter, *, size: int, before: int | None = None, after: int | None = None) -> Page:
    """The entries next to a position (older than `before`, newer than `after`), else the newest."""
    if after is not None:
        seqs = search.find([wanted], limit=size + 1, after=after)
        if len(seqs) > size:
            shown = seqs[1:]
            return _page(shown, older=shown[-1], newer=shown[0])
    if after is not None or before is None:
        waiting = _waiting(wanted)
        seqs = search.find([wanted], limit=size + 1)
        found = _page(seqs[:size], older=seqs[size - 1] if len(seqs) > size else None, newer=None)
        return replace(found, entries=[*waiting[:size], *found.entries], waiting=max(0, len(waiting) - size))
    seqs = search.find([wanted], limit=size + 1, before=before)
    shown = seqs[:size]
    return _page(shown, older=seqs[size - 1] if len(seqs) > size else None, newer=shown[0] if shown else before - 1)


def logged(wanted: Filter, *, size: int, before: int | None = None, after: int | None = None) -> Page:
    """A page of logged entries for programs: with `after` the lowest ones above it, so that whoever follows misses none.

    `newer` is where to go on following: the highest number on the page, or `after` where nothing came.
    """
    seqs = search.find([wanted], limit=size + 1, before=before, after=after)
    shown = seqs[-size:] if after is not None else seqs[:size]
    more = len(seqs) > size
    older = shown[-1] if shown and (more or after is not None) else None
    return _page(shown, older=older, newer=shown[0] if shown else after)


def since(wanted: Filter, seq: int, *, limit: int) -> list[LoggedEntry]:
    """The newest entries that were logged after position `seq`, at most `limit`."""
    return [one for one in _read(search.find([wanted], limit=limit)) if one.seq is not None and one.seq > seq]


def entries_for(obj: Obj, limit: int = 50) -> list[LoggedEntry]:
    """The newest entries about one object, for its history."""
    return entries(Filter(obj_kind=obj.kind, obj_id=obj.id))[:limit]


def newest(wanted: Sequence[Filter], limit: int) -> list[LoggedEntry]:
    """The newest entries that any of the filters matches, in three statements however many filters there are."""
    pending = [one for one in _pending() if any(_matches(one.entry, each) for each in wanted)][:limit]
    return [*pending, *_read(search.find(wanted, limit=limit - len(pending)))] if len(pending) < limit else pending


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The entries before and after one, about the same thing and by the same writer; None where there is none."""

    older: int | None
    newer: int | None
    writer_older: int | None
    writer_newer: int | None


def neighbours(one: LoggedEntry) -> Neighbours:
    """Where to go on from a logged entry."""
    seq, entry = one.seq or 0, one.entry
    same = Filter(obj_kind=entry.obj_kind, obj_id=entry.obj_id) if entry.obj_id else None
    of_writer = IndexRow.objects.filter(writer=indexed(entry.writer)).values_list("seq", flat=True)
    return Neighbours(
        _first(search.find([same], limit=1, before=seq)) if same else None,
        _first(search.find([same], limit=1, after=seq)) if same else None,
        of_writer.filter(n=entry.previous).first(),
        of_writer.filter(n__gt=entry.n).order_by("n").first(),
    )


def _first(seqs: list[int]) -> int | None:
    return seqs[0] if seqs else None


def opened(seq: int, payload: bytes) -> LoggedEntry | None:
    """The entry that was read at a position, with what of its private data still stands; None where it cannot be understood."""
    private = Private.objects.filter(seq=seq).values_list("disclosures", flat=True).first()
    return decode(seq, payload, bytes(private or b""))


def latest_checkpoint() -> Head | None:
    """The newest signed checkpoint; None before the ledger was initialised."""
    latest = store.latest_checkpoint()
    if latest is None:
        return None
    head = TreeHead.parse(latest.note.partition("\n\n")[0] + "\n")
    return Head(head.size, head.root.hex(), datetime.fromtimestamp(latest.t / 1_000_000, UTC), latest.note)


def _page(seqs: list[int], *, older: int | None, newer: int | None) -> Page:
    shown = _read(seqs)
    return Page(shown, older, newer, unreadable=len(seqs) - len(shown))


def _waiting(wanted: Filter) -> list[LoggedEntry]:
    return [one for one in _pending() if _matches(one.entry, wanted)]


def _matches(entry: Entry, wanted: Filter) -> bool:
    return (
        (not wanted.action or entry.action in wanted.actions())
        and (not wanted.actors or entry.actor_id in wanted.actors)
        and (not wanted.obj or wanted.obj in (entry.obj_id, entry.obj_name))
        and wanted.obj_kind in ("", entry.obj_kind)
        and wanted.obj_id in ("", entry.obj_id)
        and wanted.outcome in ("", entry.outcome)
        and wanted.request in ("", entry.request_id)
        and (wanted.since is None or entry.t >= microseconds(wanted.since))
        and (wanted.until is None or entry.t < microseconds(wanted.until))
    )


def _pending() -> list[LoggedEntry]:
    rows = Pending.objects.order_by("-id")[:MAX_PENDING].values_list("payload", "private")
    return [one for payload, private in rows if (one := decode(None, bytes(payload), bytes(private)))]


def _read(seqs: Sequence[int]) -> list[LoggedEntry]:
    """The entries at these positions, in this order; each bundle is read once."""
    offsets = defaultdict[int, list[int]](list)
    for seq in seqs:
        offsets[seq // TILE_WIDTH].append(seq % TILE_WIDTH)
    payloads = dict[int, bytes]()
    for n, wanted in offsets.items():
        bundle = _bundle(n)
        payloads.update({n * TILE_WIDTH + offset: bundle[offset] for offset in wanted if offset < len(bundle)})
    private = dict(Private.objects.filter(seq__in=seqs).values_list("seq", "disclosures"))
    decoded = (decode(seq, payloads[seq], bytes(private.get(seq, b""))) for seq in seqs if seq in payloads)
    return [one for one in decoded if one]


def _bundle(n: int) -> list[bytes]:
    try:
        return store.read_bundle(n)
    except BrokenBundle as error:
        log.error("ledger.bundle_unreadable", n=n, error=str(error))
        return []


def decode(seq: int | None, payload: bytes, private: bytes = b"") -> LoggedEntry | None:
    """The entry that a payload is, or None where it cannot be read: pages go on, and verification says so."""
    try:
        entry = Entry.parse(payload)
        opened = {one.name: one.value for one in decode_disclosures(private) if one.digest in entry.digests}
    except (Malformed, ValueError):
        return None
    return LoggedEntry(seq, entry, opened, payload)


def _fields(side: Any) -> dict[str, str]:
    """The fields of one side of a difference as text; a side that was too large is its digest and size."""
    fields = side if isinstance(side, dict) else {}
    return {name: value if isinstance(value, str) else orjson.dumps(value).decode() for name, value in fields.items()}
