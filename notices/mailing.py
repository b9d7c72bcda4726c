"""Decides which mail is due: what is urgent at once, all else in a digest at the person's hour, nothing where none is wanted.

Pure: facts in, letters out, exact to the second. `notices.delivery` reads the facts, claims the letters and sends them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final
from uuid import UUID

from notices.models import URGENT, MailPreference, Notification

FIRST_PAUSE: Final = timedelta(seconds=30)
LONGEST_PAUSE: Final = timedelta(hours=1)
GIVEN_UP_AFTER: Final = timedelta(days=3)


@dataclass(frozen=True)
class Waiting:
    """A notification about which no mail has left. `letter`: the mail that it stands in, where one was begun."""

    pk: int
    uuid: UUID
    person: int
    kind: str
    at: datetime
    read: bool = False
    letter: UUID | None = None
    not_before: datetime | None = None


@dataclass(frozen=True)
class Wish:
    """How a person wants to be written to; `reachable` is whether they are active and have an address."""

    mode: str = MailPreference.Mode.URGENT
    digest_hour: int = 7
    digested_at: datetime | None = None
    reachable: bool = True


@dataclass(frozen=True)
class Letter:
    """One mail to one person. `uuid` names it: the same in every try, so that a second copy can be recognised."""

    uuid: UUID
    person: int
    notifications: tuple[int, ...]
    digest: bool = False


@dataclass(frozen=True)
class Due:
    """The letters to send, oldest first, and the notifications about which no mail is wanted."""

    letters: tuple[Letter, ...]
    unwanted: tuple[int, ...]


def what_is_due(waiting: Iterable[Waiting], wishes: Mapping[int, Wish], now: datetime) -> Due:
    """What is to be done at `now`. `wishes` has a person's own wish; people without one get the default.

    A digest holds what happened up to its hour and was not read in the portal meanwhile; at most one leaves for each hour that comes round.
    A letter that was begun is repeated as it was, once its pause is over.
    """
    letters: list[tuple[datetime, Letter]] = []
    unwanted: list[int] = []
    in_order = sorted(waiting, key=lambda one: (one.person, one.at, one.pk))
    for person, rows in groupby(in_order, lambda one: one.person):
        wish = wishes.get(person, Wish())
        theirs = list(rows)
        wanted = [one for one in theirs if _wanted(one, wish)]
        unwanted += [one.pk for one in theirs if not _wanted(one, wish)]
        letters += _begun(wanted, now)
        fresh = [one for one in wanted if one.letter is None]
        letters += [(one.at, Letter(one.uuid, person, (one.pk,))) for one in fresh if _at_once(one, wish)]
        later = [one for one in fresh if not _at_once(one, wish)]
        unwanted += [one.pk for one in later if one.read]
        letters += _digest([one for one in later if not one.read], wish, now)
    letters.sort(key=lambda one: one[0])
    return Due(tuple(letter for _, letter in letters), tuple(unwanted))


def pause(attempts: int) -> timedelta:
    """How long to wait after that many failed tries: 30 seconds, doubling, an hour at most."""
    doubled: timedelta = FIRST_PAUSE * 2 ** min(max(attempts - 1, 0), 12)
    return min(doubled, LONGEST_PAUSE)


def last_hour(hour: int, now: datetime) -> datetime:
    """The latest moment up to `now` at which it was `hour` o'clock (UTC)."""
    today = now.replace(hour=hour, minute=0, second=0, microsecond=0)
    return today if today <= now else today - timedelta(days=1)


def _wanted(one: Waiting, wish: Wish) -> bool:
    return wish.reachable and (wish.mode != MailPreference.Mode.OFF or one.kind == Notification.Kind.TEST)


def _at_once(one: Waiting, wish: Wish) -> bool:
    return one.kind == Notification.Kind.TEST or (wish.mode == MailPreference.Mode.URGENT and one.kind in URGENT)


def _begun(rows: list[Waiting], now: datetime) -> list[tuple[datetime, Letter]]:
    found: dict[UUID, list[Waiting]] = {}
    for one in rows:
        if one.letter is not None:
            found.setdefault(one.letter, []).append(one)
    return [
        (inside[0].at, Letter(letter, inside[0].person, tuple(one.pk for one in inside), letter != inside[0].uuid))
        for letter, inside in found.items()
        if all(one.not_before is None or one.not_before <= now for one in inside)
    ]


def _digest(rows: list[Waiting], wish: Wish, now: datetime) -> list[tuple[datetime, Letter]]:
    hour = last_hour(wish.digest_hour, now)
    inside = [one for one in rows if one.at <= hour]
    if not inside or (wish.digested_at is not None and wish.digested_at >= hour):
        return []
    name = uuid.uuid5(inside[0].uuid, ",".join(str(one.uuid) for one in inside))
    return [(hour, Letter(name, inside[0].person, tuple(one.pk for one in inside), digest=True))]
