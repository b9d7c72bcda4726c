"""Performance on outcomes: against scikit-learn, against a plain double loop, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, roc_auc_score

from monitoring.drift import Level
from monitoring.performance import DropLimits, Performance, assess, auc, level_of
from monitoring.performance import Interval as I  # noqa: N817 - short in a table of cases


def sample(n: int, seed: int, gap: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    return y, 1 / (1 + np.exp(-(rng.normal(0, 1, n) + gap * y - gap / 2)))


def delong_by_the_book(y: np.ndarray, s: np.ndarray) -> tuple[float, float]:
    """AUC and its standard error by the definition of DeLong et al. (1988), in plain loops."""
    x, z = s[y == 1], s[y == 0]
    psi = np.array([[1.0 if a > b else 0.5 if a == b else 0.0 for b in z] for a in x])
    v10, v01 = psi.mean(axis=1), psi.mean(axis=0)
    variance = v10.var(ddof=1) / len(x) + v01.var(ddof=1) / len(z)
    return float(psi.mean()), math.sqrt(variance)


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(2, 12))
def test_auc_is_scikit_learns_also_with_ties(seed: int, levels: int) -> None:
    y, s = sample(60, seed)
    s = np.round(s * levels) / levels

    found = auc(y, s)

    if len(set(y)) == 2:
        assert found is not None
        assert found.value == pytest.approx(roc_auc_score(y, s))
        assert 0 <= found.low <= found.value <= found.high <= 1


def test_the_interval_is_delongs_on_the_logit_scale() -> None:
    y, s = sample(300, 7)

    found = auc(y, s)

    value, error = delong_by_the_book(y, s)
    centre, half = math.log(value / (1 - value)), 1.959964 * error / (value * (1 - value))
    assert found is not None
    assert found.value == pytest.approx(value)
    assert found.low == pytest.approx(1 / (1 + math.exp(half - centre)), abs=1e-6)
    assert found.high == pytest.approx(1 / (1 + math.exp(-half - centre)), abs=1e-6)


def test_the_interval_holds_the_truth_about_95_times_in_100() -> None:
    truth = roc_auc_score(*sample(200_000, 1))

    intervals = [auc(*sample(200, seed)) for seed in range(400)]

    held = sum(one is not None and one.low <= truth <= one.high for one in intervals)
    assert 365 <= held <= 395


def test_one_class_has_no_auc() -> None:
    found = assess([1, 1, 1], [0.2, 0.3, 0.9])

    assert found.auc is None
    assert found.positives == 3


def test_a_perfect_order_is_not_claimed_to_be_certain() -> None:
    found = auc([0] * 10 + [1] * 10, list(np.linspace(0, 1, 20)))

    assert found is not None
    assert found.value == found.high == 1.0
    assert found.low == pytest.approx(0.025**0.1)


def test_brier_is_scikit_learns_and_a_calibrated_score_has_little_error() -> None:
    rng = np.random.default_rng(3)
    s = rng.uniform(0.05, 0.95, 20_000)
    y = (rng.uniform(size=20_000) < s).astype(int)

    found = assess(list(y), list(s))

    assert found.brier == pytest.approx(brier_score_loss(y, s))
    assert found.ece < 0.015


def test_scores_that_are_no_probabilities_are_refused() -> None:
    with pytest.raises(ValueError, match="probabilities"):
        assess([0, 1], [0.5, 7.0])


@pytest.mark.parametrize(
    ("value", "high", "n", "released", "level"),
    [
        (0.90, 0.92, 500, 0.905, Level.OK),
        (0.87, 0.89, 500, 0.905, Level.WARN),
        (0.85, 0.87, 500, 0.905, Level.FAIL),
        (0.85, 0.91, 500, 0.905, Level.OK),  # the interval holds the released value: noise
        (0.85, 0.87, 99, 0.905, Level.INSUFFICIENT),
        (0.85, 0.87, 500, None, Level.INSUFFICIENT),
        (0.95, 0.97, 500, 0.905, Level.OK),
    ],
)
def test_a_fall_of_auc_is_judged_against_its_noise(
    value: float, high: float, n: int, released: float | None, level: Level
) -> None:
    found = Performance(n=n, positives=n // 2, auc=I(value, value - 0.02, high), brier=0.1, ece=0.02)

    assert level_of(found, released, DropLimits()) is level
