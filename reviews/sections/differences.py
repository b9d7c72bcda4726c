"""Decides how a change between two measurements is told: with its interval, and in colour only when that excludes zero. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import hypot


@dataclass(frozen=True)
class Change:
    """A difference with its 95% interval where both sides have one. `better`: None where it may be noise, or neither way is better."""

    value: float
    low: float | None
    high: float | None
    better: bool | None
    paired: bool = False

    @property
    def noise(self) -> bool:
        """Whether the interval includes zero, or is not known."""
        return self.low is None or self.high is None or self.low <= 0 <= self.high

    @property
    def arrow(self) -> str:
        """The icon: which way it went."""
        return "" if self.noise else ("up" if self.value > 0 else "down")

    @property
    def judged(self) -> str:
        """For the component `delta`: "1" better, "0" worse, "" no judgement."""
        return "" if self.better is None else str(int(self.better))


def change(new: Mapping[str, float], old: Mapping[str, float], *, lower_is_better: bool = False) -> Change | None:
    """The difference of two estimates from separate samples (`value`, `low`, `high`); interval by Zou and Donner's MOVER."""
    if "value" not in new or "value" not in old:
        return None
    value = new["value"] - old["value"]
    if not all(name in side for side in (new, old) for name in ("low", "high")):
        return Change(value, None, None, None)
    low = value - hypot(new["value"] - new["low"], old["high"] - old["value"])
    high = value + hypot(new["high"] - new["value"], old["value"] - old["low"])
    return _judged(value, low, high, lower_is_better=lower_is_better, paired=False)


def paired(difference: Mapping[str, float], *, lower_is_better: bool = False) -> Change | None:
    """A difference that was measured on the same rows, with its own interval."""
    if not all(name in difference for name in ("value", "low", "high")):
        return None
    return _judged(
        difference["value"], difference["low"], difference["high"], lower_is_better=lower_is_better, paired=True
    )


def _judged(value: float, low: float, high: float, *, lower_is_better: bool, paired: bool) -> Change:
    better = None if low <= 0 <= high else (value < 0) is lower_is_better
    return Change(value, low, high, better, paired)
