"""Decides what an entry says: which fields it has to have, and how they are found again.

Written by `actions`, checked by the sequencer before it logs, read back for pages and by deep verification.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from audit.payload import VERSION, Disclosure, decode

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
)


class Malformed(ValueError):
    """A payload that is JSON but not an entry."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the ledger, decoded. Times are µs since 1970."""

    t: int
    writer: str
    n: int
    previous: int
    action: str
    actor_kind: str
    actor_id: str
    via: str
    obj_kind: str
    obj_id: str
    obj_name: str
    obj_version: str
    outcome: str
    why: str
    request_id: str
    before: Any
    after: Any
    digests: tuple[str, ...]

    @classmethod
    def parse(cls, payload: bytes) -> Entry:
        """Decode a payload; raises `Malformed` where a field is missing or of another kind."""
        try:
            fields = decode(payload)
            return cls._from(fields)
        except (KeyError, TypeError, ValueError) as error:
            raise Malformed(f"not an entry of the ledger: {error}") from error

    @classmethod
    def _from(cls, fields: dict[str, Any]) -> Entry:
        actor, obj, difference = fields["actor"], fields["obj"], fields["d"]
        if fields["v"] != VERSION:
            raise ValueError("it is of an unknown version")
        entry = cls(
            t=_number(fields["t"]),
            writer=_text(fields["w"]),
            n=_number(fields["n"]),
            previous=_number(fields["p"]),
            action=_text(fields["action"]),
            actor_kind=_text(actor["kind"]),
            actor_id=_text(actor["id"]),
            via=_text(actor["via"]),
            obj_kind=_text(obj["kind"]),
            obj_id=_text(obj["id"]),
            obj_name=_text(obj["name"]),
            obj_version=_text(obj["version"]),
            outcome=_text(fields["outcome"]),
            why=_text(fields["why"]),
            request_id=_text(fields["req"]),
            before=difference.get("before"),
            after=difference.get("after"),
            digests=tuple(_text(digest) for digest in fields["sd"]),
        )
        if len(entry.writer) > MAX_INDEXED:
            raise ValueError("its writer's name is too long")
        return entry

    def index_row(self, seq: int) -> tuple[int | str, ...]:
        """The values of `INDEX_COLUMNS` for this entry at position `seq`."""
        actor, obj = (self.actor_kind, self.actor_id), (self.obj_kind, self.obj_id, self.obj_name)
        names = (self.action, *actor, *obj, self.outcome, self.writer)
        return (seq, self.t, *(indexed(name) for name in names), self.n)


def indexed(text: str) -> str:
    """Text as the index holds it: no NUL, which PostgreSQL's text cannot hold, and short enough for a B-tree."""
    return text.replace("\0", "\ufffd")[:MAX_INDEXED]


def opened_by(disclosures: Sequence[Disclosure], entry: Entry) -> bool:
    """Whether these are openings of the entry's digests and of nothing else."""
    return {one.digest for one in disclosures} <= set(entry.digests)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is not text")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("a number is not a whole number")
    return value
