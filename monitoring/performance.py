"""How well a version's scores ordered what then really happened, and whether that is worse than at release. Pure.

Source of the interval: DeLong, DeLong and Clarke-Pearson (1988) in the fast form of Sun and Xu (2014), on the logit scale, so
that it stays inside 0 and 1 (Pepe 2003). Calibration error is the one that reviewers saw at release (`training.measures`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from monitoring.drift import Level
from training.measures import Ranked, calibration_error

Z: Final = 1.959963984540054
ALPHA: Final = 0.05


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Performance:
    """One window of outcomes. `auc` is None while only one class has been seen."""

    n: int
    positives: int
    auc: Interval | None
    brier: float
    ece: float


@dataclass(frozen=True)
class DropLimits:
    """From which fall of AUC below its value at release on it is a warning and a failure, and how many outcomes are needed."""

    warn: float = 0.02
    fail: float = 0.05
    minimum: int = 100


def assess(labels: Sequence[int], scores: Sequence[float]) -> Performance:
    """`labels` (0 or 1) and `scores` (probabilities), both `(n,)`; raises `ValueError` for anything else or nothing."""
    ranked, _ = Ranked.of(labels, scores)
    weights = np.ones((1, ranked.n))
    return Performance(
        n=ranked.n,
        positives=int(ranked.label.sum()),
        auc=auc(ranked.label, ranked.score),
        brier=float(np.mean((ranked.score - ranked.label) ** 2)),
        ece=float(calibration_error(ranked, weights)[0]),
    )


def auc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> Interval | None:
    """Area under the ROC curve, ties counted half, with DeLong's 95 % interval; None when a class is absent."""
    y, s = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    positive, negative = s[y == 1], s[y == 0]
    m, n = positive.size, negative.size
    if not m or not n:
        return None
    within_positive, within_negative = _midranks(positive), _midranks(negative)
    together = _midranks(np.concatenate([positive, negative]))
    by_positive = (together[:m] - within_positive) / n
    by_negative = 1 - (together[m:] - within_negative) / m
    value = float(by_positive.mean())
    if m < 2 or n < 2 or value in (0.0, 1.0):
        return _perfect(value, min(m, n))
    variance = by_positive.var(ddof=1) / m + by_negative.var(ddof=1) / n
    return _logit_interval(value, math.sqrt(variance))


def _midranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Ranks from 1, ties sharing their mean. By pandas, because scipy.stats would cost every process half a second at its start."""
    ranks: npt.NDArray[np.float64] = pd.Series(values).rank(method="average").to_numpy()
    return ranks


def level_of(found: Performance, released: float | None, limits: DropLimits) -> Level:
    """The window against the value at release; a fall whose interval still holds the released value is noise, not an alarm.

    Without a released value there is nothing to compare with, and with too few outcomes nothing to say.
    """
    if found.auc is None or released is None or found.n < limits.minimum:
        return Level.INSUFFICIENT
    drop = released - found.auc.value
    if drop < limits.warn or found.auc.high >= released:
        return Level.OK
    return Level.FAIL if drop >= limits.fail else Level.WARN


def _logit_interval(value: float, error: float) -> Interval:
    centre = math.log(value / (1 - value))
    half = Z * error / (value * (1 - value))
    return Interval(value, float(1 / (1 + math.exp(half - centre))), float(1 / (1 + math.exp(-half - centre))))


def _perfect(value: float, pairs: int) -> Interval:
    """Where DeLong's variance is zero or unknown: the exact binomial bound on as many independent pairs as there can be."""
    reach = 1 - (ALPHA / 2) ** (1 / pairs)
    return Interval(value, max(0.0, value - reach), min(1.0, value + reach))
