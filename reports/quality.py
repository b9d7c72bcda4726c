"""Reckons how reviewing goes: how long it takes, what was opened before signing, how often first votes agree, who carries how much.

Pure: facts in, lines out. Nothing of it decides anything, and every line carries how many cases it rests on.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import combinations
from statistics import median
from typing import Final

FEW: Final = 10
"""Under so many cases a line is marked as resting on few."""

DECIDED: Final = frozenset({"approved", "approved_with_conditions", "changes_requested", "rejected"})
FOR: Final = frozenset({"approve", "approve_with_conditions"})
AGAINST_FOR_NOW: Final = "request_changes"


@dataclass(frozen=True)
class RoundFact:
    """One round: which stage and tier, when it was opened, due and closed, how it ended, whether silence was escalated."""

    pk: int
    review: int
    stage: str
    tier: int
    opened_at: datetime
    due_at: datetime
    closed_at: datetime | None
    state: str
    escalated: bool = False

    @property
    def hours(self) -> float | None:
        """How long it took to decide; None for what is open, withdrawn or superseded."""
        if self.closed_at is None or self.state not in DECIDED:
            return None
        return (self.closed_at - self.opened_at).total_seconds() / 3600

    def overdue(self, at: datetime) -> bool:
        """Whether it was decided after its due date, or is open past it."""
        return (self.closed_at or at) > self.due_at


@dataclass(frozen=True)
class VoteFact:
    """One signature, withdrawn ones included: what was first thought is what is asked about."""

    round: int
    slot: str
    person: int
    decision: str
    at: datetime


@dataclass(frozen=True)
class ReadingFact:
    """That a person marked a section of a review as reviewed."""

    review: int
    person: int
    section: str
    at: datetime


@dataclass(frozen=True)
class SeatFact:
    """That a person is in a group which is asked in an open round."""

    round: int
    person: int


@dataclass(frozen=True)
class FindingFact:
    """One finding: when it was raised, due and closed, and how it stands."""

    severity: str
    state: str
    raised_at: datetime
    due_at: datetime
    closed_at: datetime | None


@dataclass(frozen=True)
class Facts:
    """Everything that the report is reckoned from; `people` has names, `sections` what can be marked as reviewed."""

    at: datetime
    rounds: Sequence[RoundFact] = ()
    votes: Sequence[VoteFact] = ()
    readings: Sequence[ReadingFact] = ()
    seats: Sequence[SeatFact] = ()
    findings: Sequence[FindingFact] = ()
    people: Mapping[int, str] = field(default_factory=dict)
    sections: Sequence[str] = ()


@dataclass(frozen=True)
class Timing:
    """How long decisions took for one stage and tier. Hours; `n` decided rounds."""

    stage: str
    tier: int
    n: int
    median_hours: float | None
    p90_hours: float | None
    rounds: int
    overdue: int
    escalated: int
    changes_asked: int
    rejected: int

    @property
    def few(self) -> bool:
        """Whether it rests on few cases."""
        return self.n < FEW


@dataclass(frozen=True)
class Month:
    """The median of one month, in hours, of `n` rounds that were decided in it."""

    label: str
    median_hours: float | None
    n: int


@dataclass(frozen=True)
class Opened:
    """One section: how many signatures were given after it was marked as reviewed, how many without, and by how many people."""

    section: str
    after: int
    without: int
    people_without: int

    @property
    def n(self) -> int:
        """All signatures."""
        return self.after + self.without


@dataclass(frozen=True)
class Reading:
    """What was opened before signing, over `n` signatures: everything, something, nothing."""

    n: int
    everything: int
    something: int
    nothing: int
    people_nothing: int
    sections: tuple[Opened, ...]


@dataclass(frozen=True)
class Agreement:
    """How often the first votes of two capacities were both for or both against, over `n` rounds in which both voted."""

    one: str
    other: str
    n: int
    agreed: int

    @property
    def few(self) -> bool:
        """Whether it rests on few cases."""
        return self.n < FEW

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.agreed / self.n


@dataclass(frozen=True)
class Load:
    """One reviewer: rounds that wait in their groups, rounds in which they voted, and how long the first vote took, in hours."""

    name: str
    open: int
    decided: int
    median_hours: float | None

    @property
    def few(self) -> bool:
        """Whether it rests on few cases."""
        return self.decided < FEW


@dataclass(frozen=True)
class Owed:
    """Findings of one severity."""

    severity: str
    raised: int
    open: int
    overdue: int
    lapsed: int
    closed: int
    closed_late: int


@dataclass(frozen=True)
class Quality:
    """The whole report."""

    at: datetime
    timings: tuple[Timing, ...]
    months: tuple[Month, ...]
    reading: Reading
    agreements: tuple[Agreement, ...]
    loads: tuple[Load, ...]
    findings: tuple[Owed, ...]


def quality(facts: Facts) -> Quality:
    """The report that `facts` give."""
    rounds = {one.pk: one for one in facts.rounds}
    votes = sorted((one for one in facts.votes if one.round in rounds), key=lambda one: one.at)
    return Quality(
        at=facts.at,
        timings=_timings(facts.rounds, votes, facts.at),
        months=_months(facts.rounds),
        reading=_reading(facts, rounds, votes),
        agreements=_agreements(votes),
        loads=_loads(facts, rounds, votes),
        findings=_findings(facts.findings, facts.at),
    )


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


def _timings(rounds: Sequence[RoundFact], votes: Sequence[VoteFact], at: datetime) -> tuple[Timing, ...]:
    asked = {one.round for one in votes if one.decision == AGAINST_FOR_NOW}
    groups: dict[tuple[str, int], list[RoundFact]] = defaultdict(list)
    for one in rounds:
        groups[one.stage, one.tier].append(one)
    found = []
    for (stage, tier), inside in sorted(groups.items()):
        hours = [one.hours for one in inside if one.hours is not None]
        found.append(
            Timing(
                stage=stage,
                tier=tier,
                n=len(hours),
                median_hours=median(hours) if hours else None,
                p90_hours=percentile(hours, 0.9) if hours else None,
                rounds=len(inside),
                overdue=sum(one.overdue(at) for one in inside),
                escalated=sum(one.escalated for one in inside),
                changes_asked=sum(one.pk in asked for one in inside),
                rejected=sum(one.state == "rejected" for one in inside),
            )
        )
    return tuple(found)


def _months(rounds: Sequence[RoundFact]) -> tuple[Month, ...]:
    """Every month from the first to the last decision; one without a decision has no value."""
    hours: dict[tuple[int, int], list[float]] = defaultdict(list)
    for one in rounds:
        if one.hours is not None and one.closed_at is not None:
            hours[one.closed_at.year, one.closed_at.month].append(one.hours)
    if not hours:
        return ()
    (first_year, first_month), (last_year, last_month) = min(hours), max(hours)
    span = range(first_year * 12 + first_month - 1, last_year * 12 + last_month)
    months = [(n // 12, n % 12 + 1) for n in span]
    return tuple(
        Month(
            f"{year}-{month:02}",
            median(hours[year, month]) if hours.get((year, month)) else None,
            len(hours.get((year, month), ())),
        )
        for year, month in months
    )


def _reading(facts: Facts, rounds: Mapping[int, RoundFact], votes: Sequence[VoteFact]) -> Reading:
    marked: dict[tuple[int, int], dict[str, datetime]] = defaultdict(dict)
    for one in facts.readings:
        marked[one.review, one.person][one.section] = one.at
    opened = [
        {section for section, at in marked[rounds[vote.round].review, vote.person].items() if at <= vote.at}
        for vote in votes
    ]
    signed = list(zip(votes, opened, strict=True))
    everything = set(facts.sections)
    return Reading(
        n=len(signed),
        everything=sum(bool(everything) and everything <= seen for _, seen in signed),
        something=sum(bool(seen) and not everything <= seen for _, seen in signed),
        nothing=sum(not seen for _, seen in signed),
        people_nothing=len({vote.person for vote, seen in signed if not seen}),
        sections=tuple(
            Opened(
                section,
                after=sum(section in seen for _, seen in signed),
                without=sum(section not in seen for _, seen in signed),
                people_without=len({vote.person for vote, seen in signed if section not in seen}),
            )
            for section in facts.sections
        ),
    )


def _first_votes(votes: Sequence[VoteFact]) -> dict[int, dict[int, VoteFact]]:
    """Round → person → their first vote; `votes` are in order."""
    found: dict[int, dict[int, VoteFact]] = defaultdict(dict)
    for vote in votes:
        found[vote.round].setdefault(vote.person, vote)
    return found


def _agreements(votes: Sequence[VoteFact]) -> tuple[Agreement, ...]:
    n: Counter[tuple[str, str]] = Counter()
    agreed: Counter[tuple[str, str]] = Counter()
    for first in _first_votes(votes).values():
        for one, other in combinations(first.values(), 2):
            pair = (min(one.slot, other.slot), max(one.slot, other.slot))
            n[pair] += 1
            agreed[pair] += (one.decision in FOR) == (other.decision in FOR)
    return tuple(Agreement(*pair, n[pair], agreed[pair]) for pair in sorted(n))


def _loads(facts: Facts, rounds: Mapping[int, RoundFact], votes: Sequence[VoteFact]) -> tuple[Load, ...]:
    firsts = _first_votes(votes)
    hours: dict[int, list[float]] = defaultdict(list)
    for pk, first in firsts.items():
        for person, vote in first.items():
            hours[person].append((vote.at - rounds[pk].opened_at).total_seconds() / 3600)
    waiting: Counter[int] = Counter(
        one.person for one in set(facts.seats) if one.person not in firsts.get(one.round, {})
    )
    people = sorted(set(hours) | set(waiting), key=lambda pk: facts.people.get(pk, ""))
    return tuple(
        Load(facts.people.get(pk, "somebody"), waiting[pk], len(hours[pk]), median(hours[pk]) if hours[pk] else None)
        for pk in people
    )


def _findings(findings: Sequence[FindingFact], at: datetime) -> tuple[Owed, ...]:
    found = []
    for severity in ("critical", "major", "minor"):
        inside = [one for one in findings if one.severity == severity]
        pending = [one for one in inside if one.state in {"open", "answered"}]
        closed = [one for one in inside if one.state == "closed" and one.closed_at is not None]
        if inside:
            found.append(
                Owed(
                    severity=severity,
                    raised=len(inside),
                    open=len(pending),
                    overdue=sum(one.due_at <= at for one in pending),
                    lapsed=sum(one.state == "lapsed" for one in inside),
                    closed=len(closed),
                    closed_late=sum(one.closed_at is not None and one.closed_at > one.due_at for one in closed),
                )
            )
    return tuple(found)
