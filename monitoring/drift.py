"""How far what a deployment is asked today lies from what its model was trained on. Pure: no Django, no files.

The training rows are reduced once to bins (`datasets.drift`); every batch of predictions is only counted into them. Counts of
batches add up, so a window can grow row by row and needs no second reading of its rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
import pandas as pd

from datasets.drift import Bins, Kind, count, ks, psi, reference_bins

SMALLEST_SCORE_SHARE: Final = 0.10

Counts = dict[str, list[int]]


class Level(StrEnum):
    """How a measured value stands against its limits; too few rows is a state of its own, not a pass."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    INSUFFICIENT = "insufficient"

    @property
    def alarming(self) -> bool:
        """Whether somebody should be told."""
        return self in {Level.WARN, Level.FAIL}


WORST_FIRST: Final = (Level.FAIL, Level.WARN, Level.OK, Level.INSUFFICIENT)


@dataclass(frozen=True)
class Limits:
    """From which PSI on a shift is a warning and a failure, and how many rows a window needs before it is judged.

    Without any drift a PSI over k bins and n rows is about (k - 1) / n: with 24 categories and 200 rows that alone would warn.
    """

    warn: float = 0.10
    fail: float = 0.25
    minimum_rows: int = 500


@dataclass(frozen=True)
class Shifted:
    """One column of one window against training. `ks` is None for categories; shares are of the window's rows."""

    psi: float
    ks: float | None
    missing: float
    missing_reference: float
    unseen: float
    level: Level


def references(frame: pd.DataFrame) -> dict[str, Bins]:
    """The training rows `frame` (one column each feature) as bins; raises `ValueError` for an empty frame."""
    return {str(name): reference_bins(frame[name]) for name in frame.columns}


def score_reference(edges: Sequence[float], counts: Sequence[int]) -> Bins:
    """Bins of a score from a histogram with `n + 1` edges and `n` counts; neighbours are merged until each holds 10 % of the rows.

    PSI over nearly empty bins measures noise, and scores pile up at one end. Raises `ValueError` when the two do not match.
    """
    if len(edges) != len(counts) + 1 or not counts:
        raise ValueError("A histogram has one edge more than it has counts.")
    smallest = SMALLEST_SCORE_SHARE * sum(counts)
    inner: list[float] = []
    merged: list[int] = [0]
    for upper, found in zip(edges[1:], counts, strict=True):
        merged[-1] += int(found)
        if merged[-1] >= smallest and upper != edges[-1]:
            inner.append(float(upper))
            merged.append(0)
    if len(merged) > 1 and merged[-1] < smallest:
        rest = merged.pop()
        merged[-1] += rest
        inner.pop()
    return Bins(Kind.NUMERIC, tuple(inner), (), (*merged, 0))


def tally(bins: Mapping[str, Bins], rows: pd.DataFrame) -> Counts:
    """How many of `rows` fall into each bin of each feature; a column that the rows do not have counts as missing."""
    empty = pd.Series([None] * len(rows), dtype=object)
    return {
        name: [int(n) for n in count(reference, rows[name] if name in rows.columns else empty)]
        for name, reference in bins.items()
    }


def added(one: Mapping[str, Sequence[int]], other: Mapping[str, Sequence[int]]) -> Counts:
    """The counts of two batches together; a feature that only one of them has is kept."""
    names = list(one) + [name for name in other if name not in one]
    return {name: _sum(one.get(name), other.get(name)) for name in names}


def measure(reference: Bins, counts: Sequence[int], limits: Limits) -> Shifted:
    """One column's window against its reference; `INSUFFICIENT` below `limits.minimum_rows` rows, whatever the value."""
    rows = sum(counts)
    value = psi(reference, counts)
    categories = reference.kind is Kind.CATEGORY
    return Shifted(
        psi=value,
        ks=None if categories else ks(reference, counts),
        missing=_share(counts[-1], rows),
        missing_reference=_share(reference.counts[-1], reference.total),
        unseen=_share(counts[-2], rows) if categories else 0.0,
        level=level_of(value, rows, limits),
    )


def level_of(value: float, rows: int, limits: Limits) -> Level:
    """A PSI of `value` over `rows` rows against the limits; a value exactly on a limit is over it."""
    if rows < limits.minimum_rows:
        return Level.INSUFFICIENT
    if value >= limits.fail:
        return Level.FAIL
    return Level.WARN if value >= limits.warn else Level.OK


def worst(levels: Sequence[Level]) -> Level:
    """The level that a person should hear about first; `INSUFFICIENT` when there is nothing to judge."""
    return next((level for level in WORST_FIRST if level in levels), Level.INSUFFICIENT)


def bins_from(data: Mapping[str, Any]) -> dict[str, Bins]:
    """The bins kept as JSON, by feature."""
    return {name: Bins.from_dict(content) for name, content in data.items()}


def _sum(one: Sequence[int] | None, other: Sequence[int] | None) -> list[int]:
    if one is None or other is None:
        return [int(n) for n in (one or other or [])]
    return [int(n) for n in np.add(one, other)]


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
