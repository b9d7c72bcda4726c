"""Decides what differs between two texts of a policy, and, where it can be known, whether a change tightens or loosens. Pure.

Gates, slots and tiles are matched by their key (a tile by its label). A direction is named only where it follows from the rules
themselves: a limit that moved, a demand that came or went. Everything else is a change without a direction.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from foundation.cel import clauses, comparison
from reviews.policies import PolicyDocument


class Direction(StrEnum):
    """Which way a change goes."""

    TIGHTER = "tighter"
    LOOSER = "looser"
    UNKNOWN = ""


@dataclass(frozen=True)
class FieldChange:
    """One field as it was and as it is, as people read it."""

    name: str
    before: str
    after: str
    direction: Direction = Direction.UNKNOWN


@dataclass(frozen=True)
class ItemChange:
    """One gate, slot or tile that came (`added`), went (`removed`) or `changed`, with its changed fields."""

    part: str
    key: str
    title: str
    kind: str
    direction: Direction = Direction.UNKNOWN
    fields: tuple[FieldChange, ...] = ()


@dataclass(frozen=True)
class Difference:
    """Everything that differs between two texts."""

    header: tuple[FieldChange, ...] = ()
    items: tuple[ItemChange, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether they say the same."""
        return not self.header and not self.items

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The direction of every change."""
        fields = (*self.header, *(one for item in self.items for one in item.fields))
        return (*(one.direction for one in fields), *(item.direction for item in self.items if not item.fields))

    @property
    def tighter(self) -> int:
        """How many changes tighten."""
        return self.directions.count(Direction.TIGHTER)

    @property
    def looser(self) -> int:
        """How many changes loosen."""
        return self.directions.count(Direction.LOOSER)


Rule = Callable[[Any, Any], Direction]


def _less_is_tighter(before: Any, after: Any) -> Direction:
    return Direction.TIGHTER if after < before else Direction.LOOSER


def _more_is_tighter(before: Any, after: Any) -> Direction:
    return Direction.TIGHTER if after > before else Direction.LOOSER


def _true_is_tighter(_before: Any, after: Any) -> Direction:
    return Direction.TIGHTER if after else Direction.LOOSER


def _true_is_looser(_before: Any, after: Any) -> Direction:
    return Direction.LOOSER if after else Direction.TIGHTER


def _fewer_is_tighter(before: Sequence[Any], after: Sequence[Any]) -> Direction:
    if set(after) < set(before):
        return Direction.TIGHTER
    return Direction.LOOSER if set(after) > set(before) else Direction.UNKNOWN


def _wider_is_tighter(before: Sequence[Any], after: Sequence[Any]) -> Direction:
    return _fewer_is_tighter(after, before)


def _producers(before: Sequence[str], after: Sequence[str]) -> Direction:
    """An empty list means everybody."""
    if not before or not after:
        return Direction.LOOSER if before else Direction.TIGHTER
    return _fewer_is_tighter(before, after)


def _somebody_is_looser(before: str, after: str) -> Direction:
    if before and after:
        return Direction.UNKNOWN
    return Direction.LOOSER if after else Direction.TIGHTER


def _condition(before: str, after: str) -> Direction:
    """A gate that is asked always is tighter than one that is asked sometimes; else the expressions are compared."""
    if "true" in {before.strip(), after.strip()}:
        return Direction.TIGHTER if after.strip() == "true" else Direction.LOOSER
    return Direction.UNKNOWN


def _enough(before: str, after: str) -> Direction:
    if "true" in {before.strip(), after.strip()}:
        return Direction.LOOSER if after.strip() == "true" else Direction.TIGHTER
    return passes_direction(before, after)


def passes_direction(before: str, after: str) -> Direction:
    """Which way a rule moved: a clause more or less, or the number of one limit; nothing where it cannot be known."""
    was, will = clauses(before), clauses(after)
    if set(was) < set(will):
        return Direction.TIGHTER
    if set(will) < set(was):
        return Direction.LOOSER
    moved = [(one, other) for one, other in zip(was, will, strict=False) if one != other]
    if len(was) != len(will) or len(moved) != 1:
        return Direction.UNKNOWN
    return _limit_direction(*moved[0])


_NUMBER: Final = re.compile(r"(?P<rest>.*?)(?P<sign>[-+]?)\s*(?P<number>\d+(?:\.\d+)?)\s*")


def _limit_direction(before: str, after: str) -> Direction:
    was, will = comparison(before), comparison(after)
    if was is None or will is None or (was.left, was.operator) != (will.left, will.operator):
        return Direction.UNKNOWN
    limits = [_limit(one.right) for one in (was, will)]
    if limits[0] is None or limits[1] is None or limits[0][0] != limits[1][0] or limits[0][1] == limits[1][1]:
        return Direction.UNKNOWN
    if was.operator in {">=", ">"}:
        return _more_is_tighter(limits[0][1], limits[1][1])
    return _less_is_tighter(limits[0][1], limits[1][1]) if was.operator in {"<=", "<"} else Direction.UNKNOWN


def _limit(right: str) -> tuple[str, float] | None:
    """`production.metrics.auc - 0.01` as (`production.metrics.auc`, -0.01); a plain number has nothing before it."""
    found = _NUMBER.fullmatch(right.strip())
    if found is None or (found["rest"].strip() and not found["sign"]):
        return None
    return found["rest"].strip(), float(f"{found['sign']}{found['number']}")


HEADER: Final[Mapping[str, Rule]] = {
    "valid_months": _less_is_tighter,
    "reauthentication": _fewer_is_tighter,
    "producers": _producers,
    "conditions.allowed": _true_is_looser,
    "conditions.at_most_days": _less_is_tighter,
    "remind_days": _wider_is_tighter,
    "pulls_after_expiry_days": _less_is_tighter,
    "grace_days": _less_is_tighter,
    "break_glass.allowed": _true_is_looser,
    "break_glass.hours": _less_is_tighter,
    "envelopes": _true_is_looser,
    "changed_by.people": _more_is_tighter,
    "applies_to.tiers": _wider_is_tighter,
}
GATE: Final[Mapping[str, Rule]] = {
    "passes": passes_direction,
    "when": _condition,
    "enough": _enough,
    "warning": _true_is_looser,
    "excepted_by": _somebody_is_looser,
}
SLOT: Final[Mapping[str, Rule]] = {
    "people": _more_is_tighter,
    "answers_for": _wider_is_tighter,
    "alternates": _somebody_is_looser,
    "delegable": _true_is_looser,
}
LISTS: Final = {"gates": "key", "slots": "key", "tiles": "label"}


def difference(before: PolicyDocument, after: PolicyDocument) -> Difference:
    """What differs, header first, then gates, slots and tiles in the order of the new text, with what is gone at the end."""
    was, will = before.as_dict(), after.as_dict()
    header = tuple(_fields(_flat(was), _flat(will), HEADER))
    items = [one for part in LISTS for one in _items(part, was[part], will[part])]
    return Difference(header, tuple(items))


def _items(part: str, before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> Iterable[ItemChange]:
    name = LISTS[part]
    was = {one[name]: one for one in before}
    rules = {"gates": GATE, "slots": SLOT}.get(part, {})
    for one in after:
        key = one[name]
        if key not in was:
            yield ItemChange(part, key, _title(one), "added", _coming(part, one, Direction.TIGHTER))
        elif fields := tuple(_fields(was[key], one, rules)):
            yield ItemChange(part, key, _title(one), "changed", fields=fields)
    kept = {one[name] for one in after}
    for one in before:
        if one[name] not in kept:
            yield ItemChange(part, one[name], _title(one), "removed", _coming(part, one, Direction.LOOSER))


def _coming(part: str, item: Mapping[str, Any], direction: Direction) -> Direction:
    return Direction.UNKNOWN if part == "tiles" or item.get("warning") else direction


def _title(item: Mapping[str, Any]) -> str:
    return str(item.get("title") or item.get("label") or "")


def _fields(before: Mapping[str, Any], after: Mapping[str, Any], rules: Mapping[str, Rule]) -> Iterable[FieldChange]:
    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name), after.get(name)
        if old != new:
            rule = rules.get(name)
            known = rule is not None and old is not None and new is not None
            yield FieldChange(name, shown(old), shown(new), rule(old, new) if rule and known else Direction.UNKNOWN)


def _flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested objects as dotted names; the lists of gates, slots and tiles are left out."""
    found: dict[str, Any] = {}
    for name, value in document.items():
        if name in LISTS and not prefix:
            continue
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def shown(value: Any) -> str:
    """A value of a policy as people read it."""
    if value is None or value == "" or value == []:
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)
