"""Decides what an entry says: which fields it has to have, and how they are found again.

Written by `actions`, checked by the sequencer before it logs, read back for pages and by deep verification.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec

from audit.payload import Disclosure

MAX_INDEXED: Final = 200
INDEX_COLUMNS: Final = (
    "seq",
    "t",
    "action",
    "actor_kind",
    "actor_id",
    "obj_kind",
    "obj_id",
    "obj_name",
    "outcome",
    "writer",
    "n",
    "req",
)


class Malformed(ValueError):
    """A payload that is JSON but not an entry."""


class _Actor(msgspec.Struct, frozen=True, gc=False):
    kind: str
    id: str
    via: str


class _Obj(msgspec.Struct, frozen=True, gc=False):
    kind: str
    id: str
    name: str
    version: str


class _Difference(msgspec.Struct, frozen=True, gc=False):
    before: Any = None
    after: Any = None


_FIELD_NAMES: Final = {"writer": "w", "previous": "p", "request_id": "req", "digests": "sd"}


class Entry(msgspec.Struct, frozen=True, gc=False, rename=_FIELD_NAMES):
    """One entry of the ledger, decoded. Times are µs since 1970."""

    v: Literal[1]
    t: int
    writer: Annotated[str, msgspec.Meta(max_length=MAX_INDEXED)]
    n: int
    previous: int
    action: str
    actor: _Actor
    obj: _Obj
    outcome: str
    why: str
    request_id: str
    d: _Difference
    digests: tuple[str, ...]

    @classmethod
    def parse(cls, payload: bytes) -> Entry:
        """Decode a payload; raises `Malformed` where a field is missing or of another kind."""
        try:
            return _DECODER.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Malformed(f"not an entry of the ledger: {error}") from error

    @property
    def actor_kind(self) -> str:
        """What kind of actor it was: person, service, system or anonymous."""
        return self.actor.kind

    @property
    def actor_id(self) -> str:
        """Who it was."""
        return self.actor.id

    @property
    def via(self) -> str:
        """By which door they came."""
        return self.actor.via

    @property
    def obj_kind(self) -> str:
        """What kind of thing it was done to."""
        return self.obj.kind

    @property
    def obj_id(self) -> str:
        """The identifier of the thing."""
        return self.obj.id

    @property
    def obj_name(self) -> str:
        """The thing's name at that moment."""
        return self.obj.name

    @property
    def obj_version(self) -> str:
        """The thing's version at that moment."""
        return self.obj.version

    @property
    def before(self) -> Any:
        """The changed fields as they were; None where nothing was recorded."""
        return self.d.before

    @property
    def after(self) -> Any:
        """The changed fields as they became; None where nothing was recorded."""
        return self.d.after

    def index_row(self, seq: int) -> tuple[int | str, ...]:
        """The values of `INDEX_COLUMNS` for this entry at position `seq`."""
        actor, obj = self.actor, self.obj
        row = (
            seq,
            self.t,
            self.action,
            actor.kind,
            actor.id,
            obj.kind,
            obj.id,
            obj.name,
            self.outcome,
            self.writer,
            self.n,
            self.request_id,
        )
        texts = "".join((*row[2:10], row[11]))
        # Nearly every entry's texts are short even together: then there is nothing to shorten.
        if len(texts) <= MAX_INDEXED and "\0" not in texts:
            return row
        return tuple(indexed(value) if isinstance(value, str) else value for value in row)


_DECODER: Final = msgspec.json.Decoder(Entry)


def indexed(text: str) -> str:
    """Text as the index holds it: no NUL, which PostgreSQL's text cannot hold, and short enough for a B-tree."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    return text if len(text) <= MAX_INDEXED else text[:MAX_INDEXED]


def opened_by(disclosures: Sequence[Disclosure], entry: Entry) -> bool:
    """Whether these are openings of the entry's digests and of nothing else."""
    return {one.digest for one in disclosures} <= set(entry.digests)
