"""How recipe, algorithm and settings become one scikit-learn pipeline, and how it is fitted.

Pure. The pipeline reads raw columns by name and answers with probabilities, so that nothing has to be repeated around it
when it is served.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from datasets.preparation import compile_recipe
from datasets.profile import positive
from datasets.recipes import Recipe, unimputed
from training.algorithms import Algorithm, settings_for
from training.measures import Floats


class CannotFit(ValueError):
    """The rows cannot be fitted; the sentence says why and what to change."""


@dataclass(frozen=True)
class Fitted:
    """A fitted pipeline, the seconds it took, and what scikit-learn warned about."""

    pipeline: Pipeline
    seconds: float
    warnings: tuple[str, ...]
    iterations: int | None


def _logistic(values: Mapping[str, Any], seed: int) -> LogisticRegression:
    weight = None if values["class_weight"] == "none" else values["class_weight"]
    return LogisticRegression(
        C=values["C"], max_iter=values["max_iter"], class_weight=weight, solver="newton-cholesky", random_state=seed
    )


def _forest(values: Mapping[str, Any], seed: int) -> RandomForestClassifier:
    return RandomForestClassifier(**values, random_state=seed)


def _boosting(values: Mapping[str, Any], seed: int) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(**values, random_state=seed)


MAKERS: Final[Mapping[Algorithm, Callable[[Mapping[str, Any], int], Any]]] = {
    Algorithm.LOGISTIC_REGRESSION: _logistic,
    Algorithm.RANDOM_FOREST: _forest,
    Algorithm.HIST_GRADIENT_BOOSTING: _boosting,
}


def build(recipe: Recipe, frame: pd.DataFrame, algorithm: str, settings: Mapping[str, Any], *, seed: int) -> Pipeline:
    """The unfitted pipeline `prepare → model`; `frame` is read for column types only. Raises `SettingMistakes`."""
    values = settings_for(algorithm, settings, seed=seed)
    model = MAKERS[Algorithm(algorithm)](values, seed)
    return Pipeline([("prepare", compile_recipe(recipe, frame)), ("model", model)])


def fit(
    recipe: Recipe,
    frame: pd.DataFrame,
    algorithm: str,
    settings: Mapping[str, Any],
    *,
    seed: int,
    weights: Floats | None = None,
) -> Fitted:
    """A pipeline fitted on all rows of `frame` (already filtered). The same input and seed give the same model.

    `weights` `(n_rows,)`: how much each row counts for the model; the preparation before it counts every row alike.

    Raises `CannotFit` (one class only, missing values without a step for them, scikit-learn's own refusal) and `SettingMistakes`.
    """
    target = positive(frame[recipe.target]).astype(np.int64)
    if len(np.unique(target)) < 2:
        raise CannotFit(
            f"All {len(frame)} training rows have the same {recipe.target}; nothing can be learned from them."
        )
    if gaps := unimputed(frame, recipe):
        raise CannotFit(" ".join(gaps))
    pipeline = build(recipe, frame, algorithm, settings, seed=seed)
    started = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            pipeline.fit(
                frame[list(recipe.features)], target, **({} if weights is None else {"model__sample_weight": weights})
            )
        except ValueError as error:
            raise CannotFit(f"scikit-learn could not fit these rows: {error}") from error
    said = tuple(dict.fromkeys(str(warning.message).splitlines()[0] for warning in caught))
    return Fitted(pipeline, time.perf_counter() - started, said, _iterations(pipeline))


def scores(pipeline: Pipeline, frame: pd.DataFrame, recipe: Recipe) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The probability of the positive class for each row of `frame`: float64 `(n_rows,)`."""
    found: np.ndarray[tuple[int], np.dtype[np.float64]] = pipeline.predict_proba(frame[list(recipe.features)])[:, 1]
    return found


def _iterations(pipeline: Pipeline) -> int | None:
    found = getattr(pipeline[-1], "n_iter_", None)
    return None if found is None else int(np.max(found))
