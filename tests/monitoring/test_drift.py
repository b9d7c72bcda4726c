"""Drift between a window and training: recomputed independently with numpy and scipy."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from datasets.drift import Bins, Kind, count, psi
from monitoring.drift import (
    Level,
    Limits,
    added,
    bins_from,
    level_of,
    measure,
    references,
    score_reference,
    tally,
    worst,
)


def rows(n: int, seed: int = 0, shift: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {"age": rng.normal(40 + shift, 12, n).round(2), "sex": rng.integers(1, 3, n), "job": rng.choice(list("abc"), n)}
    )


def test_psi_of_a_window_is_the_sum_over_bins_that_the_definition_names() -> None:
    training, window = rows(5_000), rows(800, seed=1, shift=9.0)
    reference = references(training)

    found = measure(reference["age"], tally(reference, window)["age"], Limits())

    edges = np.quantile(training["age"], np.linspace(0, 1, 11)[1:-1])
    expected = np.histogram(training["age"], [-np.inf, *edges, np.inf])[0] + 0.5
    actual = np.histogram(window["age"], [-np.inf, *edges, np.inf])[0] + 0.5
    e, a = expected / expected.sum(), actual / actual.sum()
    assert found.psi == pytest.approx(float(((a - e) * np.log(a / e)).sum()), abs=1e-9)
    assert found.level is Level.FAIL


def test_ks_at_the_bin_edges_is_a_lower_bound_of_the_exact_one_and_close_to_it() -> None:
    training, window = rows(5_000), rows(800, seed=1, shift=9.0)
    reference = references(training)

    found = measure(reference["age"], tally(reference, window)["age"], Limits())

    exact = stats.ks_2samp(training["age"], window["age"]).statistic
    assert found.ks is not None
    assert exact - 0.05 < found.ks <= exact + 1e-9


def test_equal_distributions_do_not_drift() -> None:
    reference = references(rows(5_000))

    found = {
        name: measure(bins, tally(reference, rows(2_000, seed=2))[name], Limits()) for name, bins in reference.items()
    }

    assert {one.level for one in found.values()} == {Level.OK}
    assert found["sex"].ks is None


@given(st.lists(st.integers(0, 400), min_size=1, max_size=6))
def test_counting_in_batches_is_counting_at_once(cuts: list[int]) -> None:
    reference, window = references(rows(500)), rows(400, seed=3)
    marks = [0, *sorted(cuts), 400]

    total: dict[str, list[int]] = {}
    for low, high in pairwise(marks):
        total = added(total, tally(reference, window.iloc[low:high]))

    assert total == tally(reference, window)


def test_a_column_that_the_rows_lack_counts_as_missing() -> None:
    reference = references(rows(500))

    found = tally(reference, rows(30).drop(columns="age"))

    assert found["age"][-1] == 30
    assert measure(reference["age"], found["age"], Limits(minimum_rows=1)).missing == 1.0


def test_a_category_that_training_did_not_have_is_counted_as_unseen() -> None:
    reference = references(rows(500))
    window = rows(100)
    window.loc[:24, "job"] = "pilot"

    found = measure(reference["job"], tally(reference, window)["job"], Limits(minimum_rows=1))

    assert found.unseen == pytest.approx(0.25)


def test_too_few_rows_are_not_a_pass() -> None:
    assert level_of(9.0, 499, Limits()) is Level.INSUFFICIENT
    assert level_of(9.0, 500, Limits()) is Level.FAIL


@pytest.mark.parametrize(
    ("value", "level"), [(0.0999, Level.OK), (0.10, Level.WARN), (0.2499, Level.WARN), (0.25, Level.FAIL)]
)
def test_a_value_on_the_limit_is_over_it(value: float, level: Level) -> None:
    assert level_of(value, 1_000, Limits()) is level


def test_the_worst_level_is_the_one_to_hear_about() -> None:
    assert worst([Level.OK, Level.INSUFFICIENT, Level.WARN]) is Level.WARN
    assert worst([Level.OK, Level.INSUFFICIENT]) is Level.OK
    assert worst([]) is Level.INSUFFICIENT


def test_the_score_reference_has_no_nearly_empty_bin() -> None:
    edges = [i / 40 for i in range(41)]
    counts = [900, 5, *[1] * 30, *[10] * 7, 400]

    bins = score_reference(edges, counts)

    assert sum(bins.counts) == sum(counts)
    assert min(bins.counts[:-1]) >= 0.10 * sum(counts)
    assert bins.counts[-1] == 0
    assert len(bins.counts) == len(bins.edges) + 2


def test_scores_are_counted_into_the_histograms_own_bins() -> None:
    scores = np.random.default_rng(5).beta(1, 3, 4_000)
    counts, edges = np.histogram(scores, np.linspace(0, 1, 41))

    bins = score_reference(list(edges), [int(n) for n in counts])

    assert psi(bins, count(bins, scores)) == pytest.approx(0.0, abs=1e-3)


def test_a_histogram_that_does_not_match_is_refused() -> None:
    with pytest.raises(ValueError, match="one edge more"):
        score_reference([0.0, 1.0], [1, 2])


def test_bins_survive_being_kept_as_json() -> None:
    reference = references(rows(500))

    assert bins_from({name: bins.as_dict() for name, bins in reference.items()}) == reference
    assert isinstance(reference["sex"], Bins)
    assert reference["sex"].kind is Kind.CATEGORY
