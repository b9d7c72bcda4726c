"""Decides whether the signatures of a round are enough: N distinct people per slot, slots ANDed, one slot per person. Pure.

The order of signing plays no part. Somebody who stands in two slots counts in neither: the rule cannot be bent by order. Who signed
for somebody else stands there with them: the two of them count once, whatever else either of them signed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Vote:
    """One standing, current approval: in which slot, by whom, and for whom where that is somebody else."""

    slot: str
    person: str
    on_behalf_of: str = ""

    @property
    def people(self) -> frozenset[str]:
        """Everybody whom it speaks for."""
        return frozenset({self.person, self.on_behalf_of} - {""})


def counted(votes: Iterable[Vote]) -> dict[str, frozenset[str]]:
    """The people who count, by slot: one for each set of people whom votes join."""
    found: dict[str, set[str]] = defaultdict(set)
    for people, slots in _joined(votes):
        if len(slots) == 1:
            found[next(iter(slots))].add(min(people))
    return {slot: frozenset(people) for slot, people in found.items()}


def _joined(votes: Iterable[Vote]) -> list[tuple[frozenset[str], frozenset[str]]]:
    """Sets of people who stand together through votes that share somebody, each with the slots of those votes."""
    sets: list[tuple[frozenset[str], frozenset[str]]] = []
    for vote in votes:
        people, slots = vote.people, frozenset({vote.slot})
        for others in [one for one in sets if one[0] & people]:
            sets.remove(others)
            people, slots = people | others[0], slots | others[1]
        sets.append((people, slots))
    return sets


def missing(needs: Mapping[str, int], votes: Iterable[Vote]) -> dict[str, int]:
    """How many people each slot still lacks (`needs`: slot to number of people); slots that have enough are left out."""
    have = counted(votes)
    lacking = {slot: people - len(have.get(slot, ())) for slot, people in needs.items()}
    return {slot: number for slot, number in lacking.items() if number > 0}


def enough(needs: Mapping[str, int], votes: Iterable[Vote]) -> bool:
    """Whether every slot has its people. A policy without slots is never enough: nothing goes live unsigned."""
    return bool(needs) and not missing(needs, votes)
