"""Decides which evidence of a version its policies count: for each kind the newest by a producer on every list (`producers`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from access.models import User
from registry.models import Evidence
from registry.queries import EVALUATION_KINDS, Record
from reviews.policies import Rules
from reviews.producers import Producer, counts_for_all, why_not


@dataclass(frozen=True)
class Counted:
    """What counts, by kind; and what is newer (or alone) and does not count, with the sentence that says why."""

    evidence: Mapping[str, Evidence]
    discounted: Mapping[str, tuple[Evidence, str]] = field(default_factory=dict)
    since: datetime | None = None

    @property
    def measured_after_policy(self) -> bool | None:
        """Whether every result of the evaluation is younger than the rules; None where nothing was evaluated.

        Rules of which no moment is known, since they are only rehearsed, count as older than everything.
        """
        results = [row.created_at for kind, row in self.evidence.items() if kind in EVALUATION_KINDS]
        if not results:
            return None
        return self.since is None or min(results) >= self.since

    @property
    def reasons(self) -> dict[str, str]:
        """The sentences alone."""
        return {kind: why for kind, (_, why) in self.discounted.items()}


class Memberships:
    """Who is in the groups that lists name: each group is read once, however many versions are asked about."""

    def __init__(self) -> None:
        self._members: dict[str, set[int]] = {}

    def among(self, names: Iterable[str]) -> Mapping[str, set[int]]:
        """The accounts in each of the named groups."""
        wanted = set(names)
        if unread := wanted - self._members.keys():
            self._members |= {name: set() for name in unread}
            for user, name in User.groups.through.objects.filter(group__name__in=unread).values_list(
                "user_id", "group__name"
            ):
                self._members[name].add(user)
        return {name: self._members[name] for name in wanted}


def counted(record: Record, rules: Rules, memberships: Memberships | None = None) -> Counted:
    """The evidence of one version that the rules count. Reads the database only where a list names a group.

    `memberships`: what was read for other versions in the same question.
    """
    lists = rules.producers
    if not lists:
        return Counted(record.evidence, since=rules.since)
    groups = _groups(record, lists, memberships or Memberships())
    hands = _hands(record)
    found: dict[str, Evidence] = {}
    discounted: dict[str, tuple[Evidence, str]] = {}
    for kind, results in record.results.items():
        producers = [(row, _producer(row, hands, groups)) for row in results]
        counting = next((row for row, who in producers if counts_for_all(who, lists)), None)
        if counting is not None:
            found[kind] = counting
        if counting is not results[0]:
            discounted[kind] = (results[0], why_not(producers[0][1]))
    return Counted(found, discounted, rules.since)


def _producer(row: Evidence, hands: set[int], groups: Mapping[int, set[str]]) -> Producer:
    who = row.producer
    return Producer(
        kind=row.get_kind_display(),
        key=row.kind,
        job_kind=row.job_kind,
        username=who.username,
        name=str(who),
        is_service=not who.is_person,
        is_author=bool({who.pk, who.owner_id} & hands),
        groups=frozenset(groups.get(who.pk, ())),
    )


def _hands(record: Record) -> set[int]:
    """Who had a hand in the version: whoever registered or trained it, and the owners of service accounts that did.

    Asked only where something was attached by hand.
    """
    if all(row.job_kind for rows in record.results.values() for row in rows):
        return set()
    version = record.version
    people = [one for one in (version.created_by, version.trained_by) if one is not None]
    return {pk for person in people for pk in (person.pk, person.owner_id) if pk is not None}


def _groups(record: Record, lists: Iterable[Iterable[str]], memberships: Memberships) -> dict[int, set[str]]:
    """The groups that the lists name, by member: those of the accounts that attached something by hand."""
    named = {word.partition(":")[2] for words in lists for word in words if word.startswith("group:")}
    by_hand = {row.producer_id for rows in record.results.values() for row in rows if not row.job_kind}
    if not named or not by_hand:
        return {}
    members = memberships.among(named)
    return {user: {name for name in named if user in members[name]} for user in by_hand}
