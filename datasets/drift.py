"""How far two samples of one column lie apart, for profiles (version against version) and monitoring (window against training).

Pure: no Django, no files. The reference sample is reduced once to `Bins` (JSON-able); later samples are only counted into
them, so that nobody has to keep or ship the reference rows. Missing values and unseen categories have bins of their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

Counts = npt.NDArray[np.int64]

NUMERIC_BINS: Final = 10
MAX_CATEGORIES: Final = 30
NOTICEABLE: Final = 0.10
LARGE: Final = 0.25
PSEUDO_COUNT: Final = 0.5


class Kind(StrEnum):
    """How the values of a column are compared."""

    NUMERIC = "numeric"
    CATEGORY = "category"


class Shift(StrEnum):
    """What a PSI means by the usual convention: below 0.10, from 0.10, from 0.25 on (Siddiqi, Credit Risk Scorecards, 2006)."""

    STABLE = "stable"
    NOTICEABLE = "noticeable"
    LARGE = "large"


@dataclass(frozen=True)
class Bins:
    """A reference sample, counted. `counts` follow the bins in order, then `other` (categories only), then `missing`.

    Numeric: bin i holds `edges[i-1] <= value < edges[i]`; the first and last are open. Category: bin i holds `categories[i]`.
    """

    kind: Kind
    edges: tuple[float, ...]
    categories: tuple[str, ...]
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """How many values the reference had, missing ones included."""
        return sum(self.counts)

    @property
    def labels(self) -> tuple[str, ...]:
        """One short text for each count, ready to show."""
        if self.kind is Kind.CATEGORY:
            return (*self.categories, "other", "missing")
        if not self.edges:
            return ("all values", "missing")
        inner = [f"{low:g} to {high:g}" for low, high in pairwise(self.edges)]
        return (f"below {self.edges[0]:g}", *inner, f"{self.edges[-1]:g} and above", "missing")

    def as_dict(self) -> dict[str, Any]:
        """JSON form; `Bins.from_dict` reads it back."""
        return {
            "kind": self.kind.value,
            "edges": list(self.edges),
            "categories": list(self.categories),
            "counts": list(self.counts),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Bins:
        """The bins written by `as_dict`; raises `KeyError` or `ValueError` for anything else."""
        return cls(
            kind=Kind(data["kind"]),
            edges=tuple(float(edge) for edge in data["edges"]),
            categories=tuple(str(category) for category in data["categories"]),
            counts=tuple(int(count) for count in data["counts"]),
        )


@dataclass(frozen=True)
class ColumnDrift:
    """One column compared with its reference.

    `p_value` belongs to `test`; a large sample makes it small for harmless shifts, so `psi` decides.
    """

    column: str
    kind: Kind
    psi: float
    distance: float
    test: str
    p_value: float
    reference_missing: float
    current_missing: float
    reference_shares: tuple[float, ...]
    current_shares: tuple[float, ...]
    labels: tuple[str, ...]

    @property
    def shift(self) -> Shift:
        """The convention's word for this PSI."""
        return shift_of(self.psi)


def kind_of(values: pd.Series[Any] | npt.ArrayLike, *, max_codes: int = 25) -> Kind:
    """Numeric for floats and for integers with more than `max_codes` distinct values; everything else is a category."""
    series = pd.Series(values)
    if pd.api.types.is_bool_dtype(series) or not pd.api.types.is_numeric_dtype(series):
        return Kind.CATEGORY
    if pd.api.types.is_float_dtype(series):
        present = series.dropna()
        if len(present) and not np.equal(np.mod(present, 1), 0).all():
            return Kind.NUMERIC
    return Kind.NUMERIC if series.nunique() > max_codes else Kind.CATEGORY


def reference_bins(
    values: pd.Series[Any] | npt.ArrayLike, *, kind: Kind | None = None, bins: int = NUMERIC_BINS
) -> Bins:
    """The reference sample `values` (one column) as bins: deciles for numbers (ties merged), the most frequent codes for categories.

    Raises `ValueError` when there is no value at all.
    """
    series = pd.Series(values)
    if series.empty:
        raise ValueError("A reference needs at least one value.")
    kind = kind or kind_of(series)
    empty = Bins(kind, (), (), ())
    if kind is Kind.NUMERIC:
        present = series.dropna().to_numpy(dtype=np.float64)
        quantiles = np.quantile(present, np.linspace(0, 1, bins + 1)[1:-1]) if present.size else np.array([])
        empty = Bins(kind, tuple(float(edge) for edge in np.unique(quantiles)), (), ())
    else:
        frequent = _as_text(series).value_counts().head(MAX_CATEGORIES)
        empty = Bins(kind, (), tuple(sorted((str(code) for code in frequent.index), key=_natural)), ())
    return Bins(empty.kind, empty.edges, empty.categories, tuple(int(n) for n in count(empty, series)))


def count(bins: Bins, values: pd.Series[Any] | npt.ArrayLike) -> Counts:
    """How many of `values` fall into each bin: `(n_bins,)`, in the order of `bins.labels`."""
    series = pd.Series(values)
    missing = int(series.isna().sum())
    if bins.kind is Kind.NUMERIC:
        present = pd.to_numeric(series.dropna(), errors="coerce").to_numpy(dtype=np.float64)
        unreadable = int(np.isnan(present).sum())
        slots = np.searchsorted(np.asarray(bins.edges), present[~np.isnan(present)], side="right")
        found = np.bincount(slots, minlength=len(bins.edges) + 1)
        return np.append(found, missing + unreadable).astype(np.int64)
    texts = _as_text(series)
    by_code = texts.value_counts()
    known = [int(by_code.get(category, 0)) for category in bins.categories]
    return np.array([*known, len(texts) - sum(known), missing], dtype=np.int64)


def psi(reference: Bins, counts: Sequence[int] | Counts) -> float:
    """Population stability index: sum of (a - e) * ln(a / e) over the bins; 0 for equal shares, never negative.

    Half a count is added to every bin, so that an empty bin gives a large but finite value. Source: Siddiqi, Credit Risk
    Scorecards (2006); it is the symmetrised Kullback-Leibler divergence. Raises `ValueError` when the bins do not match.
    """
    observed = _matching(reference, counts)
    expected = np.asarray(reference.counts, dtype=np.float64)
    used = (observed + expected) > 0
    if not used.any() or observed.sum() == 0:
        return 0.0
    e = _smoothed(expected[used])
    a = _smoothed(observed[used])
    return float(max(0.0, np.sum((a - e) * np.log(a / e))))


def ks(reference: Bins, counts: Sequence[int] | Counts) -> float:
    """Kolmogorov-Smirnov distance at the bin edges, missing values left out: a lower bound of the exact one, in [0, 1].

    Raises `ValueError` for categories, whose order means nothing: use `chi_square` or `psi`.
    """
    if reference.kind is not Kind.NUMERIC:
        raise ValueError("The Kolmogorov-Smirnov distance needs ordered values; use chi_square or psi for categories.")
    observed = _matching(reference, counts)[:-1]
    expected = np.asarray(reference.counts[:-1], dtype=np.float64)
    if observed.sum() == 0 or expected.sum() == 0:
        return 0.0
    return float(np.abs(np.cumsum(observed / observed.sum()) - np.cumsum(expected / expected.sum())).max())


def ks_p_value(distance: float, n_reference: int, n_current: int) -> float:
    """The asymptotic two-sided p-value of a two-sample KS distance (Smirnov 1948), by `scipy.special.kolmogorov`."""
    if n_reference == 0 or n_current == 0:
        return 1.0
    effective = math.sqrt(n_reference * n_current / (n_reference + n_current))
    return float(np.clip(special.kolmogorov(distance * effective), 0.0, 1.0))


def chi_square(reference: Bins, counts: Sequence[int] | Counts) -> tuple[float, float]:
    """Pearson's chi-square test of the two samples over all bins: `(Cramér's V in [0, 1], p-value)`; empty bins are left out."""
    observed = _matching(reference, counts)
    expected = np.asarray(reference.counts, dtype=np.float64)
    used = (observed + expected) > 0
    if used.sum() < 2 or observed.sum() == 0 or expected.sum() == 0:
        return 0.0, 1.0
    table = np.vstack([expected[used], observed[used]])
    even = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    statistic = float(((table - even) ** 2 / even).sum())
    return math.sqrt(statistic / table.sum()), float(special.chdtrc(used.sum() - 1, statistic))


def compare(column: str, reference: Bins, counts: Sequence[int] | Counts) -> ColumnDrift:
    """`counts` of a later sample against `reference`: PSI for all, KS for numbers, chi-square for categories."""
    observed = _matching(reference, counts)
    expected = np.asarray(reference.counts, dtype=np.float64)
    if reference.kind is Kind.NUMERIC:
        distance = ks(reference, counts)
        test, p_value = "ks", ks_p_value(distance, int(expected[:-1].sum()), int(observed[:-1].sum()))
    else:
        test = "chi_square"
        distance, p_value = chi_square(reference, counts)
    expected_share, observed_share = _shares(expected), _shares(observed)
    return ColumnDrift(
        column=column,
        kind=reference.kind,
        psi=psi(reference, counts),
        distance=distance,
        test=test,
        p_value=p_value,
        reference_missing=float(expected_share[-1]),
        current_missing=float(observed_share[-1]),
        reference_shares=tuple(float(share) for share in expected_share),
        current_shares=tuple(float(share) for share in observed_share),
        labels=reference.labels,
    )


def shift_of(value: float) -> Shift:
    """The convention's word for a PSI of `value`."""
    if value >= LARGE:
        return Shift.LARGE
    return Shift.NOTICEABLE if value >= NOTICEABLE else Shift.STABLE


def category_text(value: object) -> str:
    """How one code is written everywhere: `2`, `2.0` and `"2"` are the same category, `True` is not `1`."""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _as_text(series: pd.Series[Any]) -> pd.Series[str]:
    """The present values as category texts; each distinct value is converted once."""
    present = series.dropna()
    codes, uniques = pd.factorize(present)
    texts = np.array([category_text(value) for value in uniques], dtype=object)
    return pd.Series(texts[codes] if len(uniques) else [], dtype=object)


def _natural(text: str) -> tuple[int, float, str]:
    """Sort key: numbers by value and before words."""
    try:
        number = float(text)
    except ValueError:
        return (1, 0.0, text)
    return (0, number, text) if math.isfinite(number) else (1, 0.0, text)


def _matching(reference: Bins, counts: Sequence[int] | Counts) -> npt.NDArray[np.float64]:
    observed = np.asarray(counts, dtype=np.float64)
    if observed.shape != (len(reference.counts),):
        raise ValueError(f"Expected {len(reference.counts)} counts for these bins, got {observed.size}.")
    if (observed < 0).any():
        raise ValueError("Counts cannot be negative.")
    return observed


def _smoothed(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    raised = counts + PSEUDO_COUNT
    smoothed: npt.NDArray[np.float64] = raised / raised.sum()
    return smoothed


def _shares(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    total = float(counts.sum())
    shares: npt.NDArray[np.float64] = counts / total if total else np.zeros_like(counts)
    return shares
