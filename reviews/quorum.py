"""Decides whether the signatures of a round are enough: N distinct people per slot, slots ANDed, one slot per person. Pure.

The order of signing plays no part. Somebody who stands in two slots counts in neither: the rule cannot be bent by order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Vote:
    """One standing, current approval: in which slot, by whom."""

    slot: str
    person: str


def counted(votes: Iterable[Vote]) -> dict[str, frozenset[str]]:
    """The people who count, by slot."""
    slots_of: dict[str, set[str]] = defaultdict(set)
    for vote in votes:
        slots_of[vote.person].add(vote.slot)
    found: dict[str, set[str]] = defaultdict(set)
    for person, slots in slots_of.items():
        if len(slots) == 1:
            found[next(iter(slots))].add(person)
    return {slot: frozenset(people) for slot, people in found.items()}


def missing(needs: Mapping[str, int], votes: Iterable[Vote]) -> dict[str, int]:
    """How many people each slot still lacks (`needs`: slot to number of people); slots that have enough are left out."""
    have = counted(votes)
    lacking = {slot: people - len(have.get(slot, ())) for slot, people in needs.items()}
    return {slot: number for slot, number in lacking.items() if number > 0}


def enough(needs: Mapping[str, int], votes: Iterable[Vote]) -> bool:
    """Whether every slot has its people. A policy without slots is never enough: nothing goes live unsigned."""
    return bool(needs) and not missing(needs, votes)
