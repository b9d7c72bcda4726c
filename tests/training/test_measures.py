"""Measures against scikit-learn, weights included, and what a bootstrap interval must do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from training.measures import Estimate, Ranked, auc, average_precision, estimate, estimates, headline, resample


def scored(n: int = 3_000, *, seed: int = 0, digits: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Labels and rounded scores, so that there are ties."""
    rng = np.random.default_rng(seed)
    score = rng.beta(2, 2, n).round(digits)
    return (rng.random(n) < score).astype(float), score


def test_with_all_weights_one_every_measure_is_scikit_learns() -> None:
    label, score = scored()
    ranked, _ = Ranked.of(label, score)
    decided = score >= 0.4

    found = {name: float(values[0]) for name, values in headline(ranked, 0.4)(np.ones((1, ranked.n))).items()}

    assert found["auc"] == pytest.approx(sk.roc_auc_score(label, score))
    assert found["average_precision"] == pytest.approx(sk.average_precision_score(label, score))
    assert found["log_loss"] == pytest.approx(sk.log_loss(label, score.clip(1e-15, 1 - 1e-15)))
    assert found["brier"] == pytest.approx(sk.brier_score_loss(label, score))
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(label, decided))
    assert found["precision"] == pytest.approx(sk.precision_score(label, decided))
    assert found["recall"] == pytest.approx(sk.recall_score(label, decided))
    assert found["selection_rate"] == pytest.approx(decided.mean())


def test_weights_are_scikit_learns_sample_weights() -> None:
    label, score = scored(400)
    weights = np.random.default_rng(1).integers(0, 4, 400).astype(float)
    ranked, order = Ranked.of(label, score)
    sorted_weights = weights[order].reshape(1, -1)

    assert auc(ranked.label, ranked.starts, sorted_weights)[0] == pytest.approx(
        sk.roc_auc_score(label, score, sample_weight=weights)
    )
    assert average_precision(ranked.label, ranked.starts, sorted_weights)[0] == pytest.approx(
        sk.average_precision_score(label, score, sample_weight=weights)
    )


def test_calibration_error_is_the_mean_distance_over_ten_bins() -> None:
    label, score = scored(digits=9)
    order = np.argsort(-score)
    parts = np.array_split(order, 10)
    expected = sum(len(part) * abs(label[part].mean() - score[part].mean()) for part in parts) / len(label)
    ranked, _ = Ranked.of(label, score)

    found = headline(ranked, 0.5)(np.ones((1, ranked.n)))["ece"][0]

    assert found == pytest.approx(expected, abs=2e-4)


def test_there_are_ten_calibration_bins_of_equal_size_and_equal_scores_share_one() -> None:
    score = np.linspace(0, 1, 100)

    assert Ranked.of(np.ones(100), score)[0].bins.tolist() == list(range(0, 100, 10))
    assert Ranked.of(np.ones(100), np.r_[np.zeros(95), np.ones(5)])[0].bins.tolist() == [0, 5]


def test_a_resample_of_one_class_draws_as_many_rows_as_there_are() -> None:
    (block,) = resample(np.ones(7), seed=0, resamples=4)

    assert block.sum(axis=1).tolist() == [7] * 4


def test_a_resample_draws_as_many_positives_and_negatives_as_there_are() -> None:
    label, _ = scored(500)

    blocks = list(resample(label, seed=3, resamples=45, block=20))

    assert [len(block) for block in blocks] == [20, 20, 5]
    for block in blocks:
        assert (block[:, label == 1].sum(axis=1) == label.sum()).all()
        assert (block[:, label == 0].sum(axis=1) == (1 - label).sum()).all()


def test_the_same_seed_gives_the_same_interval_and_another_one_does_not() -> None:
    label, score = scored(500)
    ranked, _ = Ranked.of(label, score)

    first, again, other = (
        estimates(headline(ranked, 0.5), ranked, seed=seed, resamples=50)["auc"] for seed in (1, 1, 2)
    )

    assert first == again
    assert (first.low, first.high) != (other.low, other.high)


def test_the_interval_of_the_auc_is_about_as_wide_as_theory_says() -> None:
    """Hanley and McNeil's standard error (Radiology 143, 1982)."""
    label, score = scored(4_000, digits=9)
    ranked, _ = Ranked.of(label, score)
    found = estimates(headline(ranked, 0.5), ranked, seed=0, resamples=400)["auc"]
    area, p, n = sk.roc_auc_score(label, score), label.sum(), (1 - label).sum()
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    error = np.sqrt((area * (1 - area) + (p - 1) * (q1 - area**2) + (n - 1) * (q2 - area**2)) / (p * n))

    assert found.low is not None
    assert found.high is not None
    assert (found.high - found.low) / (2 * 1.96 * error) == pytest.approx(1.0, abs=0.2)


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.integers(0, 4)), min_size=1, max_size=30))
def test_auc_is_the_share_of_pairs_in_the_right_order(rows: list[tuple[float, int]]) -> None:
    label = np.array([row[0] for row in rows])
    score = np.array([row[1] for row in rows]) / 4
    ranked, _ = Ranked.of(label, score)

    found = auc(ranked.label, ranked.starts, np.ones((1, ranked.n)))[0]

    pairs = [(a > b) + (a == b) / 2 for a in score[label == 1] for b in score[label == 0]]
    assert np.isnan(found) if not pairs else found == pytest.approx(np.mean(pairs))


def test_one_class_only_gives_no_auc_and_no_crash() -> None:
    ranked, _ = Ranked.of([1, 1, 1], [0.2, 0.4, 0.9])

    found = estimates(headline(ranked, 0.5), ranked, seed=0, resamples=10)

    assert found["auc"] == Estimate(None, None, None, 3)
    assert found["recall"].value == pytest.approx(1 / 3)


def test_an_estimate_lies_inside_its_interval() -> None:
    assert estimate(0.5, np.array([0.6, 0.7, 0.8]), 3).low == 0.5
    assert estimate(0.9, np.array([0.6, 0.7, 0.8]), 3).high == 0.9
    assert estimate(0.5, np.array([np.nan, np.nan, 0.5]), 3) == Estimate(0.5, None, None, 3)


def test_an_estimate_is_written_with_six_digits_and_nothing_where_it_is_undefined() -> None:
    assert Estimate(1 / 3, None, 2 / 3, 5).as_dict() == {"value": 0.333333, "low": None, "high": 0.666667, "n": 5}


@pytest.mark.parametrize(
    ("draws", "has_interval"),
    [
        ([0.4, 0.6], True),
        ([0.4], False),
        ([0.4, np.nan], False),
        ([0.4, 0.6, np.nan, np.nan], True),
        ([0.4, 0.6, np.nan, np.nan, np.nan, np.inf], False),
    ],
)
def test_an_interval_needs_two_defined_draws_and_half_of_them_all(draws: list[float], has_interval: bool) -> None:
    found = estimate(0.5, np.array(draws), 7)

    assert (found.value, found.n) == (0.5, 7)
    if has_interval:
        assert [found.low, found.high] == pytest.approx([0.405, 0.595])
    else:
        assert (found.low, found.high) == (None, None)


@pytest.mark.parametrize(
    ("label", "score"),
    [
        ([], []),
        ([1, 0], [0.5]),
        ([[1, 0]], [[0.5, 0.2]]),
        ([2, 0], [0.1, 0.2]),
        ([1, 0], [1.5, 0.2]),
        ([1, 0], [-0.1, 0.2]),
        ([1, 0], [np.nan, 0.2]),
    ],
)
def test_unusable_rows_are_refused(label: list[Any], score: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"Labels|labels"):
        Ranked.of(label, score)
