"""Where something holds among the models, as a formula that means the same for one model and for a list. Pure.

`holds` answers for one place; `access.entry.asking` turns the same formula into a condition of SQL.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Place:
    """What of one model can decide: its name, tier, team (empty: none), and whether who asks owns it."""

    name: str
    tier: int
    team: str = ""
    owned: bool = False


@dataclass(frozen=True, slots=True)
class Named:
    """Models by name; a pattern that ends with `*` stands for all that begin so."""

    patterns: tuple[str, ...]

    def holds(self, place: Place) -> bool:
        """Whether the model's name is one of them."""
        return any(place.name.startswith(one[:-1]) if one.endswith("*") else place.name == one for one in self.patterns)


@dataclass(frozen=True, slots=True)
class Of:
    """Models of these teams or of these tiers."""

    what: str
    values: tuple[str, ...] | tuple[int, ...]

    def holds(self, place: Place) -> bool:
        """Whether the model is of one of them."""
        return (place.tier if self.what == "tier" else place.team) in self.values


@dataclass(frozen=True, slots=True)
class Owned:
    """Models that who asks owns, or does not own."""

    wanted: bool

    def holds(self, place: Place) -> bool:
        """Whether it is so."""
        return place.owned is self.wanted


@dataclass(frozen=True, slots=True)
class Joined:
    """Where all parts hold (`and`), or any (`or`). Made by `both` and `either`."""

    how: Literal["and", "or"]
    parts: tuple[Where, ...]

    def holds(self, place: Place) -> bool:
        """Whether they do."""
        found = (part.holds(place) for part in self.parts)
        return all(found) if self.how == "and" else any(found)


@dataclass(frozen=True, slots=True)
class Not:
    """Where a part does not hold. Made by `neither`."""

    part: Where

    def holds(self, place: Place) -> bool:
        """Whether it does not."""
        return not self.part.holds(place)


Where: TypeAlias = Named | Of | Owned | Joined | Not
EVERYWHERE: Final = Joined("and", ())
NOWHERE: Final = Joined("or", ())


def both(parts: Iterable[Where]) -> Where:
    """Where all of them hold."""
    kept = [part for part in parts if part != EVERYWHERE]
    if NOWHERE in kept:
        return NOWHERE
    return kept[0] if len(kept) == 1 else Joined("and", tuple(kept))


def either(parts: Iterable[Where]) -> Where:
    """Where any of them holds."""
    kept = [part for part in parts if part != NOWHERE]
    if EVERYWHERE in kept:
        return EVERYWHERE
    return kept[0] if len(kept) == 1 else Joined("or", tuple(kept))


def neither(part: Where) -> Where:
    """Where it does not hold."""
    if part == EVERYWHERE:
        return NOWHERE
    return EVERYWHERE if part == NOWHERE else Not(part)
