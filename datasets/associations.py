"""How strongly two columns move together, each pair by the measure that fits its kinds. Pure.

Numeric with numeric: Pearson's r. Category with category: Cramér's V with Bergsma's bias correction (J. Korean Stat. Soc. 42,
2013). Numeric with category: the correlation ratio eta (Fisher 1925). All are 0 for no association; r is signed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from datasets.drift import Kind

MAX_LEVELS: Final = 200
Codes = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Measure(StrEnum):
    """Which number an association is."""

    PEARSON = "pearson"
    CRAMERS_V = "cramers_v"
    CORRELATION_RATIO = "correlation_ratio"

    @property
    def label(self) -> str:
        """As statisticians write it."""
        return {"pearson": "Pearson's r", "cramers_v": "Cramér's V"}.get(self.value, "correlation ratio")


@dataclass(frozen=True)
class Association:
    """`value` of `measure` between columns `first` and `second`, over the rows where both are present."""

    first: str
    second: str
    measure: Measure
    value: float


def associations(frame: pd.DataFrame, kinds: Mapping[str, Kind]) -> tuple[Association, ...]:
    """Every pair of columns of `frame` in order; categories with more than 200 levels (identifiers, free text) are left out."""
    encoded = {name: _encode(frame[name], kind) for name, kind in kinds.items()}
    usable = [
        name for name, kind in kinds.items() if kind is Kind.NUMERIC or encoded[name].max(initial=-1) < MAX_LEVELS
    ]
    return tuple(_associate(a, b, kinds, encoded) for a, b in combinations(usable, 2))


def pearson(x: Floats, y: Floats) -> float:
    """Pearson's r of two numeric columns `(n,)`; rows with a missing value are left out; 0 when either is constant."""
    both = ~(np.isnan(x) | np.isnan(y))
    if both.sum() < 2:
        return 0.0
    dx, dy = x[both] - x[both].mean(), y[both] - y[both].mean()
    spread = float(np.sqrt((dx @ dx) * (dy @ dy)))
    return float(np.clip(dx @ dy / spread, -1.0, 1.0)) if spread > 0 else 0.0


def cramers_v(a: Codes, b: Codes) -> float:
    """Bias-corrected Cramér's V of two columns of codes `(n,)`, -1 standing for missing; in [0, 1]."""
    table = _table(a, b)
    n, (rows, columns) = table.sum(), table.shape
    if n < 2 or min(rows, columns) < 2:
        return 0.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
    phi2 = float(((table - expected) ** 2 / expected).sum() / n)
    corrected = max(0.0, phi2 - (rows - 1) * (columns - 1) / (n - 1))
    smallest = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
    return float(np.sqrt(min(1.0, corrected / smallest))) if smallest > 0 else 0.0


def correlation_ratio(codes: Codes, values: Floats) -> float:
    """Eta: the root of the share of the variance of `values` that lies between the groups `codes`; in [0, 1]."""
    both = (codes >= 0) & ~np.isnan(values)
    if both.sum() < 2:
        return 0.0
    group, x = codes[both], values[both] - values[both].mean()
    total = float(x @ x)
    if total <= 0:
        return 0.0
    size = np.bincount(group)
    sums = np.bincount(group, weights=x)
    between = float((sums[size > 0] ** 2 / size[size > 0]).sum())
    return float(np.sqrt(min(1.0, between / total)))


def _associate(
    first: str, second: str, kinds: Mapping[str, Kind], encoded: Mapping[str, npt.NDArray[np.generic]]
) -> Association:
    a, b = encoded[first], encoded[second]
    match kinds[first], kinds[second]:
        case Kind.NUMERIC, Kind.NUMERIC:
            return Association(first, second, Measure.PEARSON, pearson(_floats(a), _floats(b)))
        case Kind.CATEGORY, Kind.CATEGORY:
            return Association(first, second, Measure.CRAMERS_V, cramers_v(_codes(a), _codes(b)))
        case Kind.CATEGORY, _:
            return Association(first, second, Measure.CORRELATION_RATIO, correlation_ratio(_codes(a), _floats(b)))
        case _:
            return Association(first, second, Measure.CORRELATION_RATIO, correlation_ratio(_codes(b), _floats(a)))


def _encode(series: pd.Series, kind: Kind) -> npt.NDArray[np.generic]:
    numeric = kind is Kind.NUMERIC
    values: npt.NDArray[np.generic] = (
        series.to_numpy(np.float64, na_value=np.nan) if numeric else pd.factorize(series)[0]
    )
    return values


def _table(a: Codes, b: Codes) -> Floats:
    both = (a >= 0) & (b >= 0)
    if not both.any():
        return np.zeros((0, 0))
    a, b = a[both], b[both]
    width = int(b.max()) + 1
    counts: Floats = (
        np.bincount(a * width + b, minlength=(int(a.max()) + 1) * width).reshape(-1, width).astype(np.float64)
    )
    used: Floats = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    return used


def _floats(values: npt.NDArray[np.generic]) -> Floats:
    return values.astype(np.float64, copy=False)


def _codes(values: npt.NDArray[np.generic]) -> Codes:
    return values.astype(np.int64, copy=False)
