"""PSI, KS and chi-square against independent recomputation and their own properties."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from datasets.drift import (
    Bins,
    Kind,
    Shift,
    category_text,
    chi_square,
    compare,
    count,
    kind_of,
    ks,
    ks_p_value,
    psi,
    reference_bins,
    shift_of,
)

numbers = st.lists(st.floats(-1e6, 1e6, allow_nan=False) | st.none(), min_size=1, max_size=80)
codes = st.lists(st.sampled_from(["a", "b", "c", "d"]) | st.none(), min_size=1, max_size=80)


@given(numbers)
def test_a_sample_has_no_drift_against_itself(values: list[float | None]) -> None:
    bins = reference_bins(pd.Series(values, dtype="float64"), kind=Kind.NUMERIC)

    assert psi(bins, bins.counts) == 0.0
    assert ks(bins, bins.counts) == 0.0


@given(codes, codes)
def test_psi_is_never_negative_and_grows_out_of_nothing_only_by_a_difference(
    reference: list[str | None], current: list[str | None]
) -> None:
    bins = reference_bins(pd.Series(reference, dtype=object), kind=Kind.CATEGORY)

    value = psi(bins, count(bins, pd.Series(current, dtype=object)))

    assert value >= 0.0


@given(numbers, numbers)
def test_every_value_is_counted_once(reference: list[float | None], current: list[float | None]) -> None:
    bins = reference_bins(pd.Series(reference, dtype="float64"), kind=Kind.NUMERIC)

    counts = count(bins, pd.Series(current, dtype="float64"))

    assert counts.sum() == len(current)
    assert counts[-1] == sum(value is None for value in current)
    assert len(counts) == len(bins.labels)


@given(codes, codes)
def test_psi_is_symmetric_in_large_samples(first: list[str | None], second: list[str | None]) -> None:
    """The half counts that keep it finite hardly matter once there are many rows."""
    a = Bins(Kind.CATEGORY, (), ("a", "b"), (1000 + len(first), 500, 0, 10))
    b = Bins(Kind.CATEGORY, (), ("a", "b"), (700, 800 + len(second), 0, 20))

    assert psi(a, b.counts) == pytest.approx(psi(b, a.counts), abs=1e-9)


def test_psi_is_the_textbook_sum() -> None:
    bins = Bins(Kind.NUMERIC, (1.0,), (), (5_000_000, 5_000_000, 0))
    expected = (0.6 - 0.5) * np.log(0.6 / 0.5) + (0.4 - 0.5) * np.log(0.4 / 0.5)

    assert psi(bins, (6_000_000, 4_000_000, 0)) == pytest.approx(expected, abs=1e-6)


def test_missing_values_are_a_bin_of_their_own() -> None:
    values = np.linspace(0, 1, 1000)
    bins = reference_bins(values)
    holes = np.where(np.arange(1000) % 2 == 0, np.nan, values)

    drift = compare("x", bins, count(bins, holes))

    assert drift.current_missing == 0.5
    assert drift.reference_missing == 0.0
    assert drift.shift is Shift.LARGE
    assert drift.distance < 0.01, "what is present is distributed as before"


def test_ks_at_the_bins_is_close_to_and_never_above_the_exact_one() -> None:
    rng = np.random.default_rng(1)
    reference, current = rng.normal(0, 1, 20_000), rng.normal(0.4, 1, 20_000)
    bins = reference_bins(reference, bins=50)

    binned = ks(bins, count(bins, current))
    exact = stats.ks_2samp(reference, current).statistic

    assert binned <= exact + 1e-12
    assert binned == pytest.approx(exact, abs=0.01)


def test_ks_p_value_agrees_with_scipy_in_large_samples() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(0, 1, 5_000), rng.normal(0.03, 1, 5_000)
    exact = stats.ks_2samp(a, b, method="asymp")

    assert ks_p_value(exact.statistic, 5_000, 5_000) == pytest.approx(exact.pvalue, abs=0.02)


def test_ks_refuses_categories_because_their_order_means_nothing() -> None:
    bins = reference_bins(pd.Series(["a", "b"]))

    with pytest.raises(ValueError, match="chi_square"):
        ks(bins, bins.counts)


def test_chi_square_agrees_with_scipy() -> None:
    bins = Bins(Kind.CATEGORY, (), ("a", "b", "c"), (50, 30, 20, 0, 0))
    counts = (30, 40, 25, 0, 5)

    v, p = chi_square(bins, counts)

    expected = stats.chi2_contingency([[50, 30, 20, 0], [30, 40, 25, 5]], correction=False)
    assert p == pytest.approx(expected.pvalue)
    assert v == pytest.approx(np.sqrt(expected.statistic / 200))


def test_unseen_codes_are_counted_as_other() -> None:
    bins = reference_bins(pd.Series([1, 1, 2], dtype="int8"))

    counts = count(bins, pd.Series([1, 7, 7]))

    assert dict(zip(bins.labels, counts.tolist(), strict=True)) == {"1": 1, "2": 0, "other": 2, "missing": 0}


def test_codes_are_the_same_as_whole_numbers_floats_and_texts() -> None:
    bins = reference_bins(pd.Series([1, 2, 2], dtype="int8"))

    assert count(bins, pd.Series([1.0, 2.0])).tolist() == count(bins, pd.Series(["1", "2"])).tolist()
    assert category_text(True) == "true"
    assert category_text(1) == "1"


def test_bins_survive_json() -> None:
    bins = reference_bins(np.arange(100.0))

    assert Bins.from_dict(bins.as_dict()) == bins


def test_bins_that_do_not_match_are_refused() -> None:
    bins = reference_bins(np.arange(100.0))

    with pytest.raises(ValueError, match="Expected 11 counts"):
        psi(bins, (1, 2))
    with pytest.raises(ValueError, match="negative"):
        psi(bins, [-1] * 11)
    with pytest.raises(ValueError, match="at least one value"):
        reference_bins(pd.Series([], dtype="float64"))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0.5, 1.5], Kind.NUMERIC),
        ([1, 2, 3], Kind.CATEGORY),
        (list(range(100)), Kind.NUMERIC),
        ([True, False], Kind.CATEGORY),
        (["a", "b"], Kind.CATEGORY),
        ([1.0, 2.0, None], Kind.CATEGORY),
    ],
)
def test_kinds_are_read_from_values(values: list[object], kind: Kind) -> None:
    assert kind_of(pd.Series(values)) is kind


@pytest.mark.parametrize(("value", "shift"), [(0.0999, Shift.STABLE), (0.1, Shift.NOTICEABLE), (0.25, Shift.LARGE)])
def test_the_convention_has_words_for_a_psi(value: float, shift: Shift) -> None:
    assert shift_of(value) is shift
