"""Associations against numpy, scipy and sums written out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from datasets.associations import Measure, associations, correlation_ratio, cramers_v, pearson
from datasets.drift import Kind


def test_pearson_is_numpys() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=500)
    y = 0.3 * x + rng.normal(size=500)
    y[::7] = np.nan
    both = ~np.isnan(y)

    assert pearson(x, y) == pytest.approx(np.corrcoef(x[both], y[both])[0, 1])


def test_cramers_v_without_correction_is_scipys_and_the_correction_is_small() -> None:
    rng = np.random.default_rng(1)
    a = rng.integers(0, 3, 20_000)
    b = (a + rng.integers(0, 2, 20_000)) % 4
    uncorrected = stats.contingency.association(pd.crosstab(a, b).to_numpy(), method="cramer")

    assert cramers_v(a, b) == pytest.approx(uncorrected, abs=0.01)


def test_independent_codes_have_no_association_and_equal_ones_a_full_one() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.integers(0, 5, 5_000), rng.integers(0, 5, 5_000)

    assert cramers_v(a, b) < 0.03
    assert cramers_v(a, a) == pytest.approx(1.0, abs=1e-6)


def test_correlation_ratio_is_the_root_of_the_share_of_variance_between_groups() -> None:
    codes = np.array([0, 0, 1, 1, 1, -1])
    values = np.array([1.0, 3.0, 6.0, 8.0, 7.0, 99.0])
    kept = values[:5]
    between = 2 * (2.0 - kept.mean()) ** 2 + 3 * (7.0 - kept.mean()) ** 2

    assert correlation_ratio(codes, values) == pytest.approx(np.sqrt(between / ((kept - kept.mean()) ** 2).sum()))


def test_constants_and_empty_columns_are_zero_and_not_an_error() -> None:
    nothing, one = np.array([]), np.ones(4)

    assert pearson(one, np.arange(4.0)) == 0.0
    assert correlation_ratio(np.array([0, 0, 1, 1]), one) == 0.0
    assert cramers_v(nothing.astype(int), nothing.astype(int)) == 0.0


def test_each_pair_gets_the_measure_that_fits() -> None:
    frame = pd.DataFrame({"x": [1.0, 2, 3], "y": [2.0, 1, 3], "c": ["a", "b", "a"], "name": ["p", "q", "r"]})
    kinds = {"x": Kind.NUMERIC, "y": Kind.NUMERIC, "c": Kind.CATEGORY, "name": Kind.CATEGORY}

    measures = {(pair.first, pair.second): pair.measure for pair in associations(frame, kinds)}

    assert measures["x", "y"] is Measure.PEARSON
    assert measures["x", "c"] is Measure.CORRELATION_RATIO
    assert measures["c", "name"] is Measure.CRAMERS_V
    assert len(measures) == 6


def test_free_text_is_left_out() -> None:
    frame = pd.DataFrame({"id": [f"p{i}" for i in range(500)], "x": np.arange(500.0)})

    assert associations(frame, {"id": Kind.CATEGORY, "x": Kind.NUMERIC}) == ()
