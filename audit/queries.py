"""Decides how the ledger is read by people: filtered, newest first, entries that are not logged yet marked as pending."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import reduce
from operator import or_
from typing import Any, Final, overload

import orjson
import structlog
from django.db.models import Q, QuerySet

from audit import store
from audit.entries import Entry, Malformed, indexed
from audit.events import Action, Obj
from audit.models import IndexRow, Pending, Private
from audit.note import TreeHead
from audit.payload import decode_disclosures
from audit.tiles import TILE_WIDTH, BrokenBundle

log = structlog.get_logger(__name__)

MAX_PENDING: Final = 500
_CHUNK: Final = 1_000


@dataclass(frozen=True, slots=True)
class Filter:
    """Which entries are asked for; what is left empty does not narrow.

    `action` is a whole action or a beginning that ends in a dot (`version.`); `actors` are identifiers of which any may match;
    `obj` is matched with the object's identifier and its name.
    """

    action: str = ""
    actors: frozenset[str] = frozenset()
    obj: str = ""
    obj_kind: str = ""
    obj_id: str = ""
    outcome: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class LoggedEntry:
    """An entry with its place in the ledger (None while it waits to be logged) and what of its private data still stands."""

    seq: int | None
    entry: Entry
    private: dict[str, str] = field(default_factory=dict)

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
    def obj_label(self) -> str:
        """What it was done to, for people; who acted on their own account is named as whoever acted."""
        if (self.entry.obj_kind, self.entry.obj_id) == (self.entry.actor_kind, self.entry.actor_id):
            return self.actor_name
        version = f" v{self.entry.obj_version}" if self.entry.obj_version else ""
        return f"{self.entry.obj_name or self.entry.obj_id}{version}"

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


class Found(Sequence[LoggedEntry]):
    """The entries that a filter finds, newest first: pending ones before logged ones. Counts and slices cost one query each."""

    def __init__(self, pending: list[LoggedEntry], logged: QuerySet[IndexRow]) -> None:
        self._pending = pending
        self._logged = logged
        self._count: int | None = None

    def __len__(self) -> int:
        """How many there are."""
        if self._count is None:
            self._count = self._logged.count()
        return len(self._pending) + self._count

    @overload
    def __getitem__(self, index: int) -> LoggedEntry: ...
    @overload
    def __getitem__(self, index: slice) -> list[LoggedEntry]: ...
    def __getitem__(self, index: int | slice) -> LoggedEntry | list[LoggedEntry]:
        """One entry, or a run of them."""
        if isinstance(index, int):
            return self[index : index + 1][0]
        start, stop, _step = (
            index.indices(len(self)) if index.stop is None or index.stop < 0 else (index.start or 0, index.stop, 1)
        )
        ahead = len(self._pending)
        seqs = self._logged.values_list("seq", flat=True)[max(0, start - ahead) : max(0, stop - ahead)]
        return [*self._pending[start:stop], *_read(list(seqs))]

    def __iter__(self) -> Iterator[LoggedEntry]:
        """All of them, a thousand at a time."""
        for start in range(0, len(self), _CHUNK):
            yield from self[start : start + _CHUNK]


def entries(wanted: Filter | None = None) -> Found:
    """The entries that match, newest first; slice it, or give it to a paginator."""
    wanted = wanted or Filter()
    pending = [one for one in _pending() if _matches(one.entry, wanted)]
    return Found(pending, _narrow(IndexRow.objects.order_by("-seq"), wanted))


def entries_for(obj: Obj, limit: int = 50) -> list[LoggedEntry]:
    """The newest entries about one object, for its history."""
    return entries(Filter(obj_kind=obj.kind, obj_id=obj.id))[:limit]


def newest(wanted: Sequence[Filter], limit: int) -> list[LoggedEntry]:
    """The newest entries that any of the filters matches, in three statements however many filters there are."""
    pending = [one for one in _pending() if any(_matches(one.entry, each) for each in wanted)]
    condition = reduce(or_, (_condition(each) for each in wanted), Q())
    return Found(pending, IndexRow.objects.filter(condition).order_by("-seq"))[:limit]


def latest_checkpoint() -> Head | None:
    """The newest signed checkpoint; None before the ledger was initialised."""
    latest = store.latest_checkpoint()
    if latest is None:
        return None
    head = TreeHead.parse(latest.note.partition("\n\n")[0] + "\n")
    return Head(head.size, head.root.hex(), datetime.fromtimestamp(latest.t / 1_000_000, UTC), latest.note)


def _narrow(rows: QuerySet[IndexRow], wanted: Filter) -> QuerySet[IndexRow]:
    return rows.filter(_condition(wanted))


def _condition(wanted: Filter) -> Q:
    exact = {"outcome": wanted.outcome, "obj_kind": wanted.obj_kind, "obj_id": wanted.obj_id}
    found = Q(**{column: indexed(value) for column, value in exact.items() if value})
    if wanted.action:
        found &= Q(action__in=_actions(wanted.action))
    if wanted.actors:
        found &= Q(actor_id__in=[indexed(actor) for actor in wanted.actors])
    if wanted.obj:
        found &= Q(obj_id=indexed(wanted.obj)) | Q(obj_name=indexed(wanted.obj))
    if wanted.since:
        found &= Q(t__gte=_microseconds(wanted.since))
    if wanted.until:
        found &= Q(t__lt=_microseconds(wanted.until))
    return found


def _matches(entry: Entry, wanted: Filter) -> bool:
    return (
        (not wanted.action or entry.action in _actions(wanted.action))
        and (not wanted.actors or entry.actor_id in wanted.actors)
        and (not wanted.obj or wanted.obj in (entry.obj_id, entry.obj_name))
        and wanted.obj_kind in ("", entry.obj_kind)
        and wanted.obj_id in ("", entry.obj_id)
        and wanted.outcome in ("", entry.outcome)
        and (wanted.since is None or entry.t >= _microseconds(wanted.since))
        and (wanted.until is None or entry.t < _microseconds(wanted.until))
    )


def _actions(wanted: str) -> list[str]:
    return [
        action.value for action in Action if action == wanted or (wanted.endswith(".") and action.startswith(wanted))
    ]


def _pending() -> list[LoggedEntry]:
    rows = Pending.objects.order_by("-id")[:MAX_PENDING].values_list("payload", "private")
    return [one for payload, private in rows if (one := _decode(None, bytes(payload), bytes(private)))]


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
    decoded = (_decode(seq, payloads[seq], bytes(private.get(seq, b""))) for seq in seqs if seq in payloads)
    return [one for one in decoded if one]


def _bundle(n: int) -> list[bytes]:
    try:
        return store.read_bundle(n)
    except BrokenBundle as error:
        log.error("ledger.bundle_unreadable", n=n, error=str(error))
        return []


def _decode(seq: int | None, payload: bytes, private: bytes) -> LoggedEntry | None:
    """The entry, or None where it cannot be read: pages go on, and verification says so."""
    try:
        entry = Entry.parse(payload)
        opened = {one.name: one.value for one in decode_disclosures(private) if one.digest in entry.digests}
    except (Malformed, ValueError):
        return None
    return LoggedEntry(seq, entry, opened)


def _fields(side: Any) -> dict[str, str]:
    """The fields of one side of a difference as text; a side that was too large is its digest and size."""
    fields = side if isinstance(side, dict) else {}
    return {name: value if isinstance(value, str) else orjson.dumps(value).decode() for name, value in fields.items()}


def _microseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)
