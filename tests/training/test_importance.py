"""Permutation importance."""

from __future__ import annotations

from datasets.recipes import parse
from tests.datasets.frames import RECIPE, loans, schema
from training.importance import permutation_importance
from training.pipelines import fit


def test_what_matters_comes_first_and_the_seed_repeats_it() -> None:
    frame, recipe = loans(2_000), parse(RECIPE, schema())
    pipeline = fit(recipe, frame, "logistic_regression", {}, seed=0).pipeline
    label = frame["repaid"].to_numpy(dtype=float)

    first, again = (permutation_importance(pipeline, frame, label, features=recipe.features, seed=2) for _ in range(2))

    assert first == again
    assert first["features"][0]["feature"] == "income"
    assert all(one["low"] <= one["mean"] <= one["high"] for one in first["features"])
    assert {one["feature"] for one in first["features"]} == set(recipe.features)
