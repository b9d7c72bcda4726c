"""Decides what is told of one actor: what they did by day, how often, when first and last, their sessions and what was refused."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby
from typing import Final

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import Count

from audit import queries, search
from audit.entries import indexed
from audit.events import Action, Outcome
from audit.models import IndexRow
from audit.queries import LoggedEntry, Page
from audit.search import Filter

COUNTED: Final = 10_000
SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class Counts:
    """How often one action ended how."""

    action: str
    ok: int
    denied: int
    error: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.ok + self.denied + self.error


@dataclass(frozen=True, slots=True)
class Activity:
    """What one actor did. `counts` are of the newest ten thousand entries; `complete` says whether these are all."""

    actor: str
    name: str
    counts: list[Counts]
    counted: int
    complete: bool
    first: datetime | None
    last: datetime | None
    sessions: list[LoggedEntry]
    refused: list[LoggedEntry]

    @property
    def denied(self) -> int:
        """How many attempts were refused, of those counted."""
        return sum(one.denied for one in self.counts)


def of(actor: str, *, own: bool = False) -> Activity:
    """The activity of an actor by its identifier; `own`: without what others tried on the account."""
    did = Filter(actors=frozenset({actor}))
    newest = search.find([did], limit=COUNTED)
    refused = [Filter(actors=frozenset({actor}), outcome=Outcome.DENIED)]
    if not own:
        refused.append(Filter(obj_kind="person", obj_id=actor, action=Action.SESSION_START, outcome=Outcome.DENIED))
    return Activity(
        actor,
        name_of(actor),
        _counts(actor, newest),
        len(newest),
        len(newest) < COUNTED,
        _at(search.find([did], limit=1, first=True)),
        _at(newest[:1]),
        queries.newest([Filter(actors=frozenset({actor}), action="session.")], SHOWN),
        queries.newest(refused, SHOWN),
    )


def page(actor: str, *, size: int, before: int | None, after: int | None) -> Page:
    """One page of their entries."""
    return queries.page(Filter(actors=frozenset({actor})), size=size, before=before, after=after)


def by_day(entries: list[LoggedEntry]) -> list[tuple[date, list[LoggedEntry]]]:
    """The entries under the days (UTC) on which they happened, in their order."""
    return [(day, list(found)) for day, found in groupby(entries, key=lambda one: one.at.date())]


def name_of(actor: str) -> str:
    """What people call the actor: the account's name while there is one, else the identifier."""
    try:
        user = get_user_model().objects.filter(uuid=actor).first()
    except ValidationError:
        return actor
    return str(user) if user else actor


def _counts(actor: str, newest: list[int]) -> list[Counts]:
    if not newest:
        return []
    rows = IndexRow.objects.filter(actor_id=indexed(actor), seq__gte=newest[-1]).values("action", "outcome")
    found: dict[str, dict[str, int]] = {}
    for row in rows.annotate(times=Count("seq")).order_by():
        found.setdefault(row["action"], {})[row["outcome"]] = row["times"]
    counts = [Counts(action, *(times.get(one, 0) for one in Outcome)) for action, times in found.items()]
    return sorted(counts, key=lambda one: (-one.total, one.action))


def _at(seqs: list[int]) -> datetime | None:
    t = IndexRow.objects.filter(seq__in=seqs).values_list("t", flat=True).first() if seqs else None
    return None if t is None else datetime.fromtimestamp(t / 1_000_000, UTC)
