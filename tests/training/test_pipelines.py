"""Pipelines: the same seed the same model, what is served, and what cannot be fitted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import skops.io

from datasets.recipes import parse
from tests.datasets.frames import RECIPE, loans, schema
from training.algorithms import OFFERS, Algorithm
from training.pipelines import CannotFit, fit, scores

RECIPE_PARSED = parse(RECIPE, schema())
SMALL: dict[str, dict[str, Any]] = {"random_forest": {"n_estimators": 10}, "hist_gradient_boosting": {"max_iter": 10}}


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_every_algorithm_learns_something_and_answers_with_probabilities(algorithm: Algorithm) -> None:
    frame = loans()

    fitted = fit(RECIPE_PARSED, frame, algorithm, SMALL.get(algorithm, {}), seed=1)

    score = scores(fitted.pipeline, frame, RECIPE_PARSED)
    assert score.shape == (len(frame),)
    assert ((score >= 0) & (score <= 1)).all()
    assert score[frame["repaid"] == 1].mean() > score[frame["repaid"] == 0].mean() + 0.1


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_the_same_rows_and_seed_give_the_same_model(algorithm: Algorithm) -> None:
    frame = loans()

    first, second = (
        scores(fit(RECIPE_PARSED, frame, algorithm, SMALL.get(algorithm, {}), seed=7).pipeline, frame, RECIPE_PARSED)
        for _ in range(2)
    )

    np.testing.assert_array_equal(first, second)


def test_what_is_served_is_stored_by_skops_without_a_type_on_trust() -> None:
    fitted = fit(RECIPE_PARSED, loans(), "logistic_regression", {}, seed=0)

    assert skops.io.get_untrusted_types(data=skops.io.dumps(fitted.pipeline)) == []


@pytest.mark.parametrize("algorithm", [Algorithm.RANDOM_FOREST, Algorithm.HIST_GRADIENT_BOOSTING])
def test_what_skops_does_not_trust_says_that_it_is_not_served(algorithm: Algorithm) -> None:
    fitted = fit(RECIPE_PARSED, loans(), algorithm, SMALL[algorithm], seed=0)

    assert skops.io.get_untrusted_types(data=skops.io.dumps(fitted.pipeline)) != []
    assert not OFFERS[algorithm].served
    assert "not served" in OFFERS[algorithm].remark


def test_one_class_cannot_be_learned() -> None:
    with pytest.raises(CannotFit, match="same repaid"):
        fit(RECIPE_PARSED, loans().assign(repaid=1), "logistic_regression", {}, seed=0)


def test_missing_values_without_a_step_are_refused_before_scikit_learn_stumbles() -> None:
    frame = loans()
    frame.loc[3, "income"] = np.nan

    with pytest.raises(CannotFit, match="add an impute step"):
        fit(RECIPE_PARSED, frame, "logistic_regression", {}, seed=0)


def test_warnings_are_kept_for_the_log() -> None:
    fitted = fit(RECIPE_PARSED, loans(), "logistic_regression", {"max_iter": 10, "C": 1000.0}, seed=0)

    assert isinstance(fitted.warnings, tuple)
    assert fitted.iterations is not None
