"""Which rows a model learns from and which it is judged on. Pure.

With a time column: named periods (`{"train": [2015], "test": [2016]}`), so that a model is judged on rows later than those
it saw. Without one: a seeded share of the rows (`{"test_fraction": 0.25}`), stratified by the label.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from datasets.drift import category_text
from datasets.profile import positive

MIN_ROWS: Final = 50


@dataclass(frozen=True)
class Split:
    """Training rows, held-out rows, and the periods that they come from (empty without a time column)."""

    train: pd.DataFrame
    test: pd.DataFrame
    train_periods: tuple[str, ...]
    test_periods: tuple[str, ...]


class SplitMistake(ValueError):
    """The split cannot be made; the sentence says why."""


def check(split: Mapping[str, Any], *, time_column: str) -> dict[str, Any]:
    """`split` in its canonical form; raises `SplitMistake` for unknown keys, empty or overlapping periods, or a wrong share."""
    if set(split) == {"test_fraction"}:
        share = split["test_fraction"]
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0.05 <= share <= 0.5:
            raise SplitMistake("test_fraction must be a number from 0.05 to 0.5.")
        return {"test_fraction": share}
    if set(split) != {"train", "test"}:
        raise SplitMistake("A split is either {train: [periods], test: [periods]} or {test_fraction: share}.")
    if not time_column:
        raise SplitMistake("This dataset has no time column; split it by test_fraction.")
    periods = {key: _periods(split[key], key) for key in ("train", "test")}
    if both := sorted(set(periods["train"]) & set(periods["test"])):
        raise SplitMistake(f"{', '.join(both)} would be both trained on and held out.")
    return {key: list(split[key]) for key in ("train", "test")}


def divide(frame: pd.DataFrame, split: Mapping[str, Any], *, time_column: str, target: str, seed: int) -> Split:
    """The rows of `frame` by `split`; raises `SplitMistake` when a period is absent or a side has under 50 rows."""
    split = check(split, time_column=time_column)
    if "test_fraction" in split:
        return _random(frame, float(split["test_fraction"]), target, seed)
    texts = frame[time_column].map(category_text, na_action="ignore")
    present = set(texts.dropna().unique())
    train, test = _periods(split["train"], "train"), _periods(split["test"], "test")
    if absent := [period for period in (*train, *test) if period not in present]:
        raise SplitMistake(
            f"The data have no rows for {time_column} {', '.join(absent)}; they have {', '.join(sorted(present))}."
        )
    return _enough(Split(frame[texts.isin(train)], frame[texts.isin(test)], train, test))


def years_apart(train: tuple[str, ...], test: tuple[str, ...]) -> int | None:
    """Whole years from the newest training period to the oldest held-out one; None when periods are not years."""
    try:
        return min(map(int, test)) - max(map(int, train))
    except ValueError:
        return None


def _random(frame: pd.DataFrame, share: float, target: str, seed: int) -> Split:
    label = positive(frame[target])
    rng = np.random.default_rng(seed)
    held = np.zeros(len(frame), dtype=bool)
    for value in (0.0, 1.0):
        rows = np.flatnonzero(label == value)
        held[rng.permutation(rows)[: round(len(rows) * share)]] = True
    return _enough(Split(frame[~held], frame[held], (), ()))


def _enough(split: Split) -> Split:
    for name, rows in (("train on", split.train), ("hold out", split.test)):
        if len(rows) < MIN_ROWS:
            raise SplitMistake(f"Only {len(rows)} rows are left to {name}; at least {MIN_ROWS} are needed.")
    return split


def _periods(values: Any, key: str) -> tuple[str, ...]:
    if (
        not isinstance(values, list)
        or not values
        or not all(isinstance(v, int | str) and not isinstance(v, bool) for v in values)
    ):
        raise SplitMistake(f"{key} must be a list of at least one period, for example [2015].")
    return tuple(dict.fromkeys(category_text(value) for value in values))
