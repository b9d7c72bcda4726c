"""Which algorithms can be trained, with which settings, and how recipe and algorithm become one scikit-learn pipeline.

Pure. The pipeline reads raw columns by name and answers with probabilities, so that nothing has to be repeated around it
when it is served. Settings are checked against a table; nothing else reaches an estimator.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from datasets.preparation import compile_recipe
from datasets.profile import positive
from datasets.recipes import Recipe, unimputed

MAX_SEED: Final = 2**31 - 1
NOT_SERVED: Final = (
    "It can be trained, reviewed, registered and pulled, but not served: the scoring worker loads only types on its own "
    "trusted list, and a fitted tree can be edited so that loading it crashes or loops."
)


class Algorithm(StrEnum):
    """What can be trained."""

    LOGISTIC_REGRESSION = "logistic_regression"
    RANDOM_FOREST = "random_forest"
    HIST_GRADIENT_BOOSTING = "hist_gradient_boosting"


@dataclass(frozen=True)
class Setting:
    """One hyper-parameter: its default and what is accepted (`choices`, or a range with both ends included)."""

    name: str
    default: float | int | str | None
    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    optional: bool = False
    choices: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        """What is accepted, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        kind = "a whole number" if self.whole else "a number"
        return f"{kind} from {self.low:g} to {self.high:g}{', or nothing' if self.optional else ''}"

    def accepts(self, value: Any) -> bool:
        """Whether `value` is allowed."""
        if self.choices:
            return isinstance(value, str) and value in self.choices
        if value is None:
            return self.optional
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return False
        return bool(self.low <= value <= self.high)


@dataclass(frozen=True)
class Offer:
    """One algorithm as a person sees it: title, settings, whether the scoring worker serves it, and what to know."""

    title: str
    settings: tuple[Setting, ...]
    make: Callable[[Mapping[str, Any], int], Any]
    served: bool
    remark: str


def _logistic(values: Mapping[str, Any], seed: int) -> LogisticRegression:
    weight = None if values["class_weight"] == "none" else values["class_weight"]
    return LogisticRegression(
        C=values["C"], max_iter=values["max_iter"], class_weight=weight, solver="newton-cholesky", random_state=seed
    )


def _forest(values: Mapping[str, Any], seed: int) -> RandomForestClassifier:
    return RandomForestClassifier(**values, random_state=seed)


def _boosting(values: Mapping[str, Any], seed: int) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(**values, random_state=seed)


OFFERS: Final[Mapping[Algorithm, Offer]] = {
    Algorithm.LOGISTIC_REGRESSION: Offer(
        "Logistic regression",
        (
            Setting("C", 1.0, low=0.0001, high=1000.0),
            Setting("max_iter", 200, low=10, high=5000, whole=True),
            Setting("class_weight", "none", choices=("none", "balanced")),
        ),
        _logistic,
        served=True,
        remark="Every coefficient can be read, and it can be served.",
    ),
    Algorithm.RANDOM_FOREST: Offer(
        "Random forest",
        (
            Setting("n_estimators", 200, low=10, high=1000, whole=True),
            Setting("max_depth", None, low=1, high=64, whole=True, optional=True),
            Setting("min_samples_leaf", 20, low=1, high=100_000, whole=True),
        ),
        _forest,
        served=False,
        remark=NOT_SERVED,
    ),
    Algorithm.HIST_GRADIENT_BOOSTING: Offer(
        "Gradient boosting on histograms",
        (
            Setting("learning_rate", 0.1, low=0.001, high=1.0),
            Setting("max_iter", 100, low=10, high=2000, whole=True),
            Setting("max_leaf_nodes", 31, low=2, high=1024, whole=True),
            Setting("min_samples_leaf", 20, low=1, high=100_000, whole=True),
            Setting("l2_regularization", 0.0, low=0.0, high=1000.0),
        ),
        _boosting,
        served=False,
        remark=NOT_SERVED,
    ),
}


class SettingMistakes(ValueError):
    """Algorithm, settings or seed are not allowed: one sentence for each mistake."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        """`mistakes`: sentences."""
        super().__init__(" ".join(mistakes))
        self.mistakes = tuple(mistakes)


class CannotFit(ValueError):
    """The rows cannot be fitted; the sentence says why and what to change."""


@dataclass(frozen=True)
class Fitted:
    """A fitted pipeline, the seconds it took, and what scikit-learn warned about."""

    pipeline: Pipeline
    seconds: float
    warnings: tuple[str, ...]
    iterations: int | None


def settings_for(algorithm: str, given: Mapping[str, Any], *, seed: int = 0) -> dict[str, Any]:
    """The complete settings of `algorithm`, defaults filled in; raises `SettingMistakes` naming everything that is wrong."""
    if algorithm not in set(Algorithm):
        raise SettingMistakes([f"There is no algorithm {algorithm!r}; choose one of {', '.join(Algorithm)}."])
    offered = {setting.name: setting for setting in OFFERS[Algorithm(algorithm)].settings}
    mistakes = [f"{algorithm} has no setting {name!r}; it has {', '.join(offered)}." for name in given if name not in offered]
    mistakes += [
        f"{name} must be {offered[name].expected}; it is {value!r}."
        for name, value in given.items()
        if name in offered and not offered[name].accepts(value)
    ]
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAX_SEED:
        mistakes.append(f"The seed must be a whole number from 0 to {MAX_SEED}.")
    if mistakes:
        raise SettingMistakes(mistakes)
    return {name: given.get(name, setting.default) for name, setting in offered.items()}


def build(recipe: Recipe, frame: pd.DataFrame, algorithm: str, settings: Mapping[str, Any], *, seed: int) -> Pipeline:
    """The unfitted pipeline `prepare → model`; `frame` is read for column types only. Raises `SettingMistakes`."""
    values = settings_for(algorithm, settings, seed=seed)
    model = OFFERS[Algorithm(algorithm)].make(values, seed)
    return Pipeline([("prepare", compile_recipe(recipe, frame)), ("model", model)])


def fit(recipe: Recipe, frame: pd.DataFrame, algorithm: str, settings: Mapping[str, Any], *, seed: int) -> Fitted:
    """A pipeline fitted on all rows of `frame` (already filtered). The same input and seed give the same model.

    Raises `CannotFit` (one class only, missing values without a step for them, scikit-learn's own refusal) and `SettingMistakes`.
    """
    target = positive(frame[recipe.target]).astype(np.int64)
    if len(np.unique(target)) < 2:
        raise CannotFit(f"All {len(frame)} training rows have the same {recipe.target}; nothing can be learned from them.")
    if gaps := unimputed(frame, recipe):
        raise CannotFit(" ".join(gaps))
    pipeline = build(recipe, frame, algorithm, settings, seed=seed)
    started = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            pipeline.fit(frame[list(recipe.features)], target)
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
