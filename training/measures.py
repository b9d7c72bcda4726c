"""Measures of a binary classifier under row weights, for many weightings at once. Pure.

A bootstrap resample is a weighting of the same rows, so a block of resamples is one matrix and every measure a few
matrix operations: 1,000 resamples of 60,000 rows take a few seconds. With all weights 1 each measure equals scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

RESAMPLES: Final = 1_000
BLOCK: Final = 5
CALIBRATION_BINS: Final = 10
SMALLEST_PROBABILITY: Final = 1e-15


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % percentile-bootstrap interval and the number of rows behind it; None where undefined."""

    value: float | None
    low: float | None
    high: float | None
    n: int

    def as_dict(self) -> dict[str, float | int | None]:
        """JSON form, rounded to six digits."""
        return {"value": _round(self.value), "low": _round(self.low), "high": _round(self.high), "n": self.n}


@dataclass(frozen=True)
class Ranked:
    """Labels and scores of the held-out rows, best score first: what every measure reads. All arrays are `(n,)`."""

    label: Floats
    score: Floats
    starts: Ints
    bins: Ints

    @classmethod
    def of(cls, label: npt.ArrayLike, score: npt.ArrayLike) -> tuple[Ranked, Ints]:
        """The ranked rows and the order that ranks them: `(n,)` positions into the given arrays.

        Raises `ValueError` for empty input, unequal lengths, labels other than 0 and 1, or scores outside [0, 1].
        """
        y, s = np.asarray(label, dtype=np.float64), np.asarray(score, dtype=np.float64)
        if y.ndim != 1 or y.shape != s.shape or not y.size:
            raise ValueError("Labels and scores must be two columns of the same length, with at least one row.")
        if not np.isin(y, (0.0, 1.0)).all() or not ((s >= 0) & (s <= 1)).all():
            raise ValueError("Labels must be 0 or 1 and scores probabilities.")
        order = np.argsort(-s, kind="stable")
        y, s = y[order], s[order]
        starts = np.flatnonzero(np.r_[True, s[1:] != s[:-1]])
        return cls(y, s, starts, _equal_count_bins(s, starts)), order

    @property
    def n(self) -> int:
        """How many rows there are."""
        return int(self.label.size)


Measures = Mapping[str, Floats]
Measure = Callable[[Floats], Measures]


def resample(label: Floats, *, seed: int, resamples: int = RESAMPLES, block: int = BLOCK) -> Iterator[Floats]:
    """Blocks of bootstrap weights `(≤ block, n)`: how often each row was drawn, positives and negatives apart (stratified).

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 13 and 16.
    """
    rng = np.random.default_rng(seed)
    strata = [np.flatnonzero(label == value) for value in (0.0, 1.0)]
    for begin in range(0, resamples, block):
        size = min(block, resamples - begin)
        weights = np.zeros((size, label.size))
        for rows in strata:
            for row in range(size):
                weights[row, rows] = np.bincount(rng.integers(0, rows.size, rows.size), minlength=rows.size)
        yield weights


def estimates(measure: Measure, ranked: Ranked, *, seed: int, resamples: int = RESAMPLES) -> dict[str, Estimate]:
    """Every number that `measure` gives, with its interval; `n` is the number of rows."""
    found = draws(measure, ranked.n, resample(ranked.label, seed=seed, resamples=resamples))
    return {name: estimate(point, drawn, ranked.n) for name, (point, drawn) in found.items()}


def draws(measure: Measure, n: int, blocks: Iterable[Floats]) -> dict[str, tuple[float, Floats]]:
    """Every number that `measure` gives on `n` rows, with its value under each weighting in `blocks`: `(resamples,)`."""
    points = measure(np.ones((1, n)))
    drawn: dict[str, list[Floats]] = {name: [] for name in points}
    for weights in blocks:
        for name, values in measure(weights).items():
            drawn[name].append(values)
    return {name: (float(points[name][0]), np.concatenate(drawn[name])) for name in points}


def estimate(value: float, draws: Floats, n: int) -> Estimate:
    """`value` with the 2.5 and 97.5 percentiles of its bootstrap `draws`; undefined draws are left out."""
    if not np.isfinite(value):
        return Estimate(None, None, None, n)
    defined = draws[np.isfinite(draws)]
    if defined.size < max(2, draws.size // 2):
        return Estimate(value, None, None, n)
    low, high = np.quantile(defined, [0.025, 0.975])
    return Estimate(value, min(float(low), value), max(float(high), value), n)


def auc(label: Floats, starts: Ints, weights: Floats) -> Floats:
    """Area under the ROC curve, ties counted half (Hanley and McNeil 1982): `(b,)`; NaN where a class has no weight."""
    pos, neg = _tied(label, starts, weights)
    return _area(pos, neg, np.cumsum(pos, axis=1))


def _area(pos: Floats, neg: Floats, tp: Floats) -> Floats:
    """The same from the weights at each distinct score and the positives up to it."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = (np.einsum("ij,ij->i", neg, tp) - np.einsum("ij,ij->i", neg, pos) / 2) / (
            tp[:, -1] * neg.sum(axis=1)
        )
    return found


def average_precision(label: Floats, starts: Ints, weights: Floats) -> Floats:
    """Average precision, the step-wise area under the precision-recall curve as scikit-learn defines it: `(b,)`."""
    pos, neg = _tied(label, starts, weights)
    return _average(pos, np.cumsum(pos, axis=1), np.cumsum(neg, axis=1))


def _average(pos: Floats, tp: Floats, fp: Floats) -> Floats:
    """The same from positives at each distinct score, and true and false positives up to it."""
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = tp / np.maximum(tp + fp, 1e-300)
        found: Floats = np.einsum("ij,ij->i", pos, precision) / tp[:, -1]
    return found


def headline(ranked: Ranked, cutoff: float) -> Measure:
    """The measure behind the metrics page: ranking, probability and decision quality at `cutoff` (positive from it on)."""
    y, s = ranked.label, ranked.score
    clipped = np.clip(s, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    loss = -(y * np.log(clipped) + (1 - y) * np.log(1 - clipped))
    squared = (s - y) ** 2
    decided = (s >= cutoff).astype(np.float64)
    columns = np.column_stack([loss, squared, y, decided, y * decided])

    def measure(weights: Floats) -> Measures:
        total = weights.sum(axis=1)
        lost, brier, positives, selected, hits = (weights @ columns).T
        pos, neg = _tied(y, ranked.starts, weights)
        tp = np.cumsum(pos, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                "auc": _area(pos, neg, tp),
                "average_precision": _average(pos, tp, np.cumsum(neg, axis=1)),
                "log_loss": lost / total,
                "brier": brier / total,
                "ece": calibration_error(ranked, weights),
                "accuracy": (total - positives - selected + 2 * hits) / total,
                "precision": hits / selected,
                "recall": hits / positives,
                "selection_rate": selected / total,
            }

    return measure


def calibration_error(ranked: Ranked, weights: Floats) -> Floats:
    """Expected calibration error over ten equal-count bins: the weighted mean of |observed - predicted| (Nixon et al. 2019): `(b,)`."""
    apart = np.zeros((ranked.n, len(ranked.bins)))
    apart[np.arange(ranked.n), np.searchsorted(ranked.bins, np.arange(ranked.n), side="right") - 1] = (
        ranked.label - ranked.score
    )
    error: Floats = np.abs(weights @ apart).sum(axis=1) / weights.sum(axis=1)
    return error


def _tied(label: Floats, starts: Ints, weights: Floats) -> tuple[Floats, Floats]:
    """Weight of positives and of negatives at each distinct score, best first: `(b, n_distinct)` each."""
    pos = weights * label
    if starts.size == label.size:
        return pos, weights - pos
    pos = np.add.reduceat(pos, starts, axis=1)
    return pos, np.add.reduceat(weights, starts, axis=1) - pos


def _equal_count_bins(score: Floats, starts: Ints) -> Ints:
    """Where ten bins of about equal size begin, equal scores never parted: ascending positions, the first is 0."""
    wanted = np.linspace(0, score.size, CALIBRATION_BINS + 1)[:-1]
    return np.unique(starts[np.searchsorted(starts, wanted, side="right") - 1])


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
